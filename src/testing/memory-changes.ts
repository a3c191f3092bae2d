import type { SchedulerLike } from 'rxjs';
import { changesReply } from './changes-reply.ts';
import type { ChangeRow, ChangesHistory, ChangesPage } from './changes-reply.ts';
import { isRecord } from './reply.ts';
import { matches } from './memory-find.ts';
import { parse } from './memory-documents.ts';
import type { MemoryDatabase } from './memory-database.ts';
import { reversed, findTree } from './memory-database.ts';
import { toDocument } from './memory-documents.ts';
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
  // Validate now: a malformed sequence must answer 400 instead of breaking the body.
  parseSequence(db, query['since'] ?? '0');
  const rows = (since: string): readonly ChangeRow[] => {
    const after = parseSequence(db, since);
    return db.seqs
      .filter(([id, seq]) => seq > after && passes(id))
      .map(([id, seq]) => rowOf(db, id, seq, query));
  };
  if (query['descending'] === 'true') {
    const all = reversed(rows('0')).slice(0, Number(query['limit'] ?? Infinity));
    const last = all.at(-1)?.seq ?? sequenceOf(db.lastSeq);
    return json(200, { results: all, last_seq: last, pending: 0 });
  }
  const history: ChangesHistory = {
    read: (since, limit): ChangesPage => {
      const remaining = rows(since);
      const page = remaining.slice(0, limit);
      const pending = remaining.length - page.length;
      // Without pending rows, the next read also skips the changes that the filter excluded.
      const end = pending === 0 ? sequenceOf(db.lastSeq) : (page.at(-1)?.seq ?? since);
      return { rows: page, lastSeq: end, pending };
    },
    more$: db.changed$,
  };
  return changesReply(history, query, scheduler);
}

/** Formats the number of a change as a sequence. */
export function sequenceOf(number: number): string {
  return number === 0 ? '0' : `${number}-memory`;
}

/** Parses a sequence to the number of a change. */
function parseSequence(db: MemoryDatabase, since: string): number {
  if (since === 'now') return db.lastSeq;
  if (since === '0') return 0;
  const number = /^(\d+)-memory$/.exec(since)?.[1];
  if (number === undefined) throw badRequest("Malformed sequence supplied in 'since' parameter.");
  return Number(number);
}

function rowOf(
  db: MemoryDatabase,
  id: string,
  seq: number,
  query: ServerRequest['query'],
): ChangeRow {
  const { winner, leaves } = findTree(db, id);
  const revisions = query['style'] === 'all_docs' ? leaves : [winner];
  const { conflicts } = query;
  const metadata: Record<string, string> = conflicts === undefined ? {} : { conflicts };
  return {
    seq: sequenceOf(seq),
    id,
    changes: revisions.map(({ rev }) => ({ rev })),
    ...(winner.deleted && { deleted: true }),
    ...(query['include_docs'] === 'true' && { doc: toDocument(db, id, winner, metadata) }),
  } as ChangeRow;
}

function filterOf(db: MemoryDatabase, { query, body }: ServerRequest): (id: string) => boolean {
  const parameters = isRecord(body) ? body : {};
  switch (query['filter']) {
    case undefined:
      return () => true;
    case '_doc_ids': {
      const ids = parameters['doc_ids'] ?? parse(query['doc_ids'] ?? 'null');
      if (!Array.isArray(ids))
        throw badRequest('`doc_ids` filter parameter is not a list of doc ids.');
      const idSet = new Set(ids);
      return (id) => idSet.has(id);
    }
    case '_selector': {
      const { selector } = parameters;
      if (!isRecord(selector)) throw badRequest('Selector must be specified in POST payload');
      return (id) => matches(selector, toDocument(db, id, findTree(db, id).winner, {}));
    }
    case '_design':
      return (id) => id.startsWith('_design/');
    default:
      throw notImplemented('run filter functions and views');
  }
}
