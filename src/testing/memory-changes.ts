import type { SchedulerLike } from 'rxjs';
import { changesReply } from './changes-reply.ts';
import type { ChangeRow, ChangesHistory, ChangesPage } from './changes-reply.ts';
import { isRecord } from './matcher.ts';
import { matches } from './matcher.ts';
import { parse } from './memory-documents.ts';
import type { MemoryDatabase } from './memory-database.ts';
import { backwards, findTree } from './memory-database.ts';
import { present } from './memory-documents.ts';
import { badRequest, notImplemented } from './reply.ts';
import { json } from './reply.ts';
import type { Reply } from './reply.ts';
import type { ServerRequest } from './route.ts';

/** Answers a request for changes: `_changes`. */
export function changes(
  db: MemoryDatabase,
  request: ServerRequest,
  scheduler: SchedulerLike,
): Reply {
  const { query } = request;
  const passes = filterOf(db, request);
  placeOf(db, query['since'] ?? '0');
  const rows = (since: string): readonly ChangeRow[] => {
    const begin = placeOf(db, since);
    return db.places
      .filter(([id, place]) => place > begin && passes(id))
      .map(([id, place]) => rowOf(db, id, place, query));
  };
  if (query['descending'] === 'true') {
    const all = backwards(rows('0')).slice(0, Number(query['limit'] ?? Infinity));
    const last = all.at(-1)?.seq ?? sequenceOf(db.place);
    return json(200, { results: all, last_seq: last, pending: 0 });
  }
  const history: ChangesHistory = {
    read: (since, limit): ChangesPage => {
      const left = rows(since);
      const page = left.slice(0, limit);
      const pending = left.length - page.length;
      // With nothing left one goes on after what a filter held back as well.
      const end = pending === 0 ? sequenceOf(db.place) : (page.at(-1)?.seq ?? since);
      return { rows: page, lastSeq: end, pending };
    },
    more$: db.changed$,
  };
  return changesReply(history, query, scheduler);
}

/** A place in the history of a database, as it goes over the wire. */
export function sequenceOf(place: number): string {
  return place === 0 ? '0' : `${place}-memory`;
}

function placeOf(db: MemoryDatabase, since: string): number {
  if (since === 'now') return db.place;
  if (since === '0') return 0;
  const place = /^(\d+)-memory$/.exec(since)?.[1];
  if (place === undefined) throw badRequest("Malformed sequence supplied in 'since' parameter.");
  return Number(place);
}

function rowOf(
  db: MemoryDatabase,
  id: string,
  place: number,
  query: ServerRequest['query'],
): ChangeRow {
  const { winner, leaves } = findTree(db, id);
  const named = query['style'] === 'all_docs' ? leaves : [winner];
  const { conflicts } = query;
  const asked = conflicts === undefined ? {} : { conflicts };
  return {
    seq: sequenceOf(place),
    id,
    changes: named.map(({ rev }) => ({ rev })),
    ...(winner.deleted && { deleted: true }),
    ...(query['include_docs'] === 'true' && { doc: present(db, id, winner, asked) }),
  } as ChangeRow;
}

function filterOf(db: MemoryDatabase, { query, body }: ServerRequest): (id: string) => boolean {
  const given = isRecord(body) ? body : {};
  switch (query['filter']) {
    case undefined:
      return () => true;
    case '_doc_ids': {
      const ids = given['doc_ids'] ?? parse(query['doc_ids'] ?? 'null');
      if (!Array.isArray(ids))
        throw badRequest('`doc_ids` filter parameter is not a list of doc ids.');
      const wanted = new Set(ids);
      return (id) => wanted.has(id);
    }
    case '_selector': {
      const { selector } = given;
      if (!isRecord(selector)) throw badRequest('Selector must be specified in POST payload');
      return (id) => matches(selector, present(db, id, findTree(db, id).winner, {}));
    }
    case '_design':
      return (id) => id.startsWith('_design/');
    default:
      throw notImplemented('run filter functions and views');
  }
}
