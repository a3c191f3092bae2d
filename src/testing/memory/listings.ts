import { collate } from '../../model/collation.ts';
import { byId } from '../../model/document.ts';
import { canonical } from '../../model/json.ts';
import { Refusal, isRecord, json, missing, notImplemented } from '../reply.ts';
import type { Reply } from '../reply.ts';
import type { MemoryRequest } from './request.ts';
import { sequenceOf } from './changes.ts';
import type { MemoryDatabase } from './database.ts';
import { requireShard } from './ids.ts';
import { backwards } from './parameters.ts';
import { toDocument } from './reads.ts';
import { NO_KEY, readRowOptions } from './rows.ts';
import type { RowOptions } from './rows.ts';
import {
  javascriptMap,
  mapRows,
  pageOf,
  reduceRows,
  reversed,
  selectRows,
  viewOf,
} from './views.ts';
import type { ViewRow } from './views.ts';

interface IdRow {
  readonly id: string;
  readonly key: string;
  readonly value: { readonly rev: string };
}

/** CouchDB compares terms of Erlang, in which all other types come before strings. */
function compareIds(a: unknown, b: unknown): number {
  return typeof b === 'string' ? byId(String(a), b) : 1;
}

/** Narrows a range of ids to those of a partition. */
function inPartitionRange(options: RowOptions, partition: string): RowOptions {
  const [low, high] = [`${partition}:`, `${partition};`];
  const clip = (key: unknown, isStart: boolean): unknown => {
    const bound = isStart === options.descending ? high : low;
    const isOutside =
      bound === low
        ? typeof key !== 'string' || byId(key, low) < 0
        : typeof key === 'string' && byId(key, high) > 0;
    return key === NO_KEY || isOutside ? bound : key;
  };
  return {
    ...options,
    startKey: clip(options.startKey, true),
    endKey: clip(options.endKey, false),
  };
}

/** Throws for a range in which no row can be. */
function requireRange({ startKey, endKey, startId, endId, descending }: RowOptions): void {
  if (startKey === NO_KEY || endKey === NO_KEY) return;
  const order = collate(startKey, endKey);
  if (order === 0 && canonical(startKey) === canonical(endKey)) return;
  const [first, last] = descending ? ['\uffff', ''] : ['', '\uffff'];
  const isBefore = order < 0 || (order === 0 && byId(startId ?? first, endId ?? last) < 0);
  if (isBefore === !descending) return;
  throw new Refusal(
    400,
    'query_parse_error',
    'No rows can match your key range, reverse your start_key and end_key or set ' +
      `descending=${String(!descending)}`,
  );
}

/** Lists documents by id: `_all_docs`, `_design_docs` and `_local_docs`. */
export function listDocuments(
  db: MemoryDatabase,
  name: string,
  request: MemoryRequest,
  partition?: string,
): Reply {
  const options = readRowOptions(request, { inPartition: partition !== undefined });
  const all = idRows(db, name);
  const { keys, startKey, endKey, startId, endId } = options;
  const total = name === '_local_docs' ? null : all.length;
  const seq = options.updateSeq && {
    update_seq: name === '_local_docs' || keys !== undefined ? null : sequenceOf(db.lastSeq),
  };
  if (keys !== undefined) {
    for (const key of keys) requireShard(db, key);
    const ordered = options.descending ? backwards(keys) : keys;
    const rows = pageOf(ordered, options).map((key) => keyRow(db, name, key, options));
    return json(200, { total_rows: total, offset: null, ...seq, rows });
  }
  const range = {
    ...options,
    startKey: startKey ?? startId,
    endKey: endKey ?? endId,
    startId: undefined,
    endId: undefined,
  };
  const { before, selected } = selectRows(
    all,
    partition === undefined ? range : inPartitionRange(range, partition),
    compareIds,
  );
  // CouchDB counts the documents of other kinds before the first row, too.
  const others = name === '_design_docs' ? db.live.filter(([id]) => id < '_design/').length : 0;
  const skipped = partition === undefined ? options.skip : Math.min(options.skip, selected.length);
  const offset = total === null ? null : Math.min(total, before + others + skipped);
  const rows = pageOf(selected, options).map((row) => withDoc(db, row, options));
  return json(200, { total_rows: total, offset, ...seq, rows });
}

function idRow(id: string, rev: string): IdRow {
  return { id, key: id, value: { rev } };
}

function idRows(db: MemoryDatabase, name: string): readonly IdRow[] {
  if (name === '_local_docs')
    return [...db.local].map(([id, { rev }]) => idRow(id, rev)).sort((a, b) => byId(a.id, b.id));
  const rows = db.live.map(([id, { rev }]) => idRow(id, rev));
  return name === '_design_docs' ? rows.filter(({ id }) => id.startsWith('_design/')) : rows;
}

function keyRow(db: MemoryDatabase, name: string, key: unknown, options: RowOptions): object {
  const local = name === '_local_docs' ? db.local.get(String(key)) : undefined;
  if (local !== undefined) return { id: key, key, value: { rev: local.rev } };
  const winner = typeof key === 'string' ? db.tree(key)?.winner : undefined;
  if (winner === undefined) return { key, error: 'not_found' };
  const { rev, content } = winner;
  if (content?.deleted !== true)
    return withDoc(db, { id: key as string, key, value: { rev } }, options);
  return {
    id: key,
    key,
    value: { rev, deleted: true },
    ...(options.includeDocs && { doc: null }),
  };
}

function withDoc(
  db: MemoryDatabase,
  row: { readonly id: string; readonly key: unknown; readonly value: unknown },
  { includeDocs, conflicts, attachments }: RowOptions,
): object {
  if (!includeDocs) return row;
  const { value } = row;
  const linked = isRecord(value) && typeof value['_id'] === 'string' ? value['_id'] : row.id;
  const rev = isRecord(value) && typeof value['_rev'] === 'string' ? value['_rev'] : undefined;
  const local = db.local.get(linked);
  if (local !== undefined)
    return { ...row, doc: { _id: linked, _rev: local.rev, ...local.fields } };
  const found = rev === undefined ? db.find(linked) : db.tree(linked)?.find(rev);
  const doc =
    found && toDocument(db, linked, found, { conflicts: conflicts === true, attachments });
  return { ...row, doc: doc ?? null };
}

/** Queries a view of a design document. */
export function queryView(
  db: MemoryDatabase,
  ddoc: string,
  name: string,
  request: MemoryRequest,
  partition?: string,
): Reply {
  const winner = db.find(ddoc);
  if (winner === undefined) throw missing(db.tree(ddoc) === undefined ? 'missing' : 'deleted');
  const design = toDocument(db, ddoc, winner);
  const { map, reduce } = viewOf(design, name);
  const { language = 'javascript' } = design as { readonly language?: unknown };
  if (language !== 'javascript' || typeof map !== 'string')
    throw notImplemented(`run views in the language ${String(language)}`);
  const options = readRowOptions(request, {
    isReduce: reduce !== undefined,
    isView: true,
    inPartition: partition !== undefined,
  });
  requireScope(db, design, partition);
  const isReduced = reduce !== undefined && options.reduce !== false;
  requireRange(options);
  const { options: viewOptions } = design as { readonly options?: { include_design?: boolean } };
  const rowsOfAll = mapRows(db, map, javascriptMap(map), viewOptions?.include_design === true);
  const all =
    partition === undefined
      ? rowsOfAll
      : rowsOfAll.filter(({ id }) => id.startsWith(`${partition}:`));
  const { before, selected } = choose(all, options);
  const seq = options.updateSeq && { update_seq: sequenceOf(db.lastSeq) };
  if (isReduced) {
    const reduced =
      options.keys === undefined
        ? reduceRows(selected, reduce, options)
        : options.keys.flatMap((key) =>
            reduceRows(choose(all, { ...options, keys: [key] }).selected, reduce, options),
          );
    return json(200, { ...seq, rows: pageOf(reduced, options) });
  }
  const rows = pageOf(selected, options).map((row) => withDoc(db, row, options));
  const { length: total } = rowsOfAll;
  const offset =
    partition === undefined
      ? Math.min(total, before + options.skip)
      : rowsBefore(rowsOfAll, partition, options.descending) +
        before +
        Math.min(options.skip, selected.length);
  return json(200, { total_rows: total, offset, ...seq, rows });
}

/** Counts the rows of the partitions that come before a partition. */
function rowsBefore(rows: readonly ViewRow[], partition: string, isDescending: boolean): number {
  const sign = isDescending ? -1 : 1;
  return rows.filter(({ id }) => byId(id.slice(0, id.indexOf(':')), partition) * sign < 0).length;
}

/** Throws unless a view is queried in a partition if it is partitioned, and over all else. */
function requireScope(
  db: MemoryDatabase,
  { options }: Readonly<Record<string, unknown>>,
  partition: string | undefined,
): void {
  const own = isRecord(options) ? options['partitioned'] : undefined;
  const isPartitioned = typeof own === 'boolean' ? own : db.partitioned;
  if (isPartitioned === (partition !== undefined)) return;
  throw new Refusal(
    400,
    'query_parse_error',
    isPartitioned
      ? '`partition` parameter is mandatory for queries to this view.'
      : '`partition` parameter is not supported in this design doc',
  );
}

/** Selects the rows of a range, or of each key. */
function choose(
  all: readonly ViewRow[],
  options: RowOptions,
): { readonly before: number; readonly selected: readonly ViewRow[] } {
  const { keys, descending } = options;
  if (keys === undefined) return selectRows(all, options);
  if (keys.length === 0) return { before: 0, selected: [] };
  const ordered = descending ? backwards(keys) : keys;
  const selected = ordered.flatMap(
    (key) => selectRows(all, { ...options, keys: undefined, startKey: key, endKey: key }).selected,
  );
  const [first] = selected;
  const inDirection = descending ? reversed(all) : all;
  if (first !== undefined) return { before: inDirection.indexOf(first), selected };
  // Without a row, CouchDB counts those before the last key.
  const { before } = selectRows(all, { ...options, startKey: ordered.at(-1), endKey: NO_KEY });
  return { before, selected };
}
