import { delay } from 'rxjs';
import type { SchedulerLike } from 'rxjs';
import { changesReply } from '../changes-reply.ts';
import type { ChangeRow, ChangesHistory, ChangesPage } from '../changes-reply.ts';
import { Refusal, badRequest, isRecord, json, missing } from '../reply.ts';
import type { Reply } from '../reply.ts';
import type { MemoryRequest } from './request.ts';
import type { MemoryDatabase } from './database.ts';
import { compileFunction, throughJson } from './functions.ts';
import { matcherOf } from './mango-match.ts';
import { normalize } from './mango-selector.ts';
import { backwards, parseJson } from './parameters.ts';
import { toDocument, treeOf } from './reads.ts';
import type { Revision } from './revision-tree.ts';
import { javascriptMap, viewOf } from './views.ts';

type Query = MemoryRequest['query'];

/** Answers a request for changes: `_changes`. */
export function changes(
  db: MemoryDatabase,
  request: MemoryRequest,
  { scheduler, latency }: { readonly scheduler: SchedulerLike; readonly latency: number },
  userContext: object,
): Reply {
  const query = checked(request.query);
  const passes = filterOf(db, request, userContext);
  // Validate now: a malformed sequence must answer 400 instead of breaking the body.
  parseSequence(db, query['since'] ?? '0');
  const times = repeats(request);
  const rows = (since: string): readonly ChangeRow[] => {
    const start = parseSequence(db, since);
    return db.seqs
      .filter(([, seq]) => seq > start)
      .flatMap(([id, seq]) => {
        const own = rowOf(db, id, seq, query, passes);
        return Array.from({ length: times(id) }, () => own).flat();
      });
  };
  if (query['descending'] === 'true' && (query['feed'] ?? 'normal') === 'normal') {
    const all = backwards(db.seqs.flatMap(([id, seq]) => rowOf(db, id, seq, query, passes)));
    const results = all.slice(0, limitOf(query));
    const pending = all.length - results.length;
    const lastSeq = results.at(-1)?.seq ?? sequenceOf(db.lastSeq);
    return json(200, { results, last_seq: lastSeq, pending });
  }
  // CouchDB reads the documents of these filters alone, and counts all others as pending.
  const isFast = isFastFilter(request);
  const countAfter = (since: string): number => {
    const start = parseSequence(db, since);
    return db.seqs.filter(([, seq]) => seq > start).length;
  };
  const history: ChangesHistory = {
    read: (since, limit): ChangesPage => {
      const remaining = rows(since);
      const page = remaining.slice(0, limit);
      const pending = (isFast ? countAfter(since) : remaining.length) - page.length;
      // At the end, the next read also skips the changes that the filter excluded.
      const isAtEnd = remaining.length === page.length;
      const end = isAtEnd ? lastOf(db, since, isFast) : (page.at(-1)?.seq ?? since);
      return { rows: page, lastSeq: end, pending };
    },
    // A change arrives after the response of its write, and a deletion of the database at once.
    more$: latency === 0 ? db.changed$ : db.changed$.pipe(delay(latency, scheduler)),
  };
  return changesReply(history, query, scheduler);
}

/** CouchDB answers a document as often as the request names it. */
function repeats({ query, body }: MemoryRequest): (id: string) => number {
  const ids = isRecord(body) ? body['doc_ids'] : undefined;
  if (query['filter'] !== '_doc_ids' || (query['feed'] ?? 'normal') !== 'normal') return () => 1;
  return (id) => (Array.isArray(ids) ? ids.filter((one) => one === id).length : 1);
}

/** The sequence after all changes: that of the last document, if there is one after `since`. */
function lastOf(db: MemoryDatabase, since: string, isFast: boolean): string {
  if (isFast) return sequenceOf(db.lastSeq);
  const start = parseSequence(db, since);
  return sequenceOf(Math.max(start, db.seqs.at(-1)?.[1] ?? 0));
}

function isFastFilter({ query, body }: MemoryRequest): boolean {
  const { filter, feed = 'normal' } = query;
  if (feed !== 'normal') return false;
  if (filter === '_design') return true;
  const ids = isRecord(body) ? body['doc_ids'] : undefined;
  return filter === '_doc_ids' && (!Array.isArray(ids) || ids.length <= 100);
}

function limitOf({ limit }: Query): number {
  return limit === undefined ? Infinity : Number(limit);
}

function checked(query: Query): Query {
  const { feed, style, limit, heartbeat, seq_interval: interval } = query;
  if (limit !== undefined && !/^[+-]?\d+$/.test(limit)) throw badArgument();
  if (style !== undefined && style !== 'main_only' && style !== 'all_docs') throw badArgument();
  if (heartbeat !== undefined && heartbeat !== 'true' && !(Number(heartbeat) > 0))
    throw badRequest(
      Number.isNaN(Number(heartbeat))
        ? 'Invalid heartbeat value. Expecting a positive integer value (in milliseconds).'
        : 'The heartbeat value should be a positive integer (in milliseconds).',
    );
  if (interval !== undefined && !(Number(interval) > 0)) throw badRequest('invalid_seq_interval');
  if (feed !== undefined && !/^(?:normal|continuous|live|longpoll|eventsource)$/.test(feed))
    throw badRequest('Supported `feed` types: normal, continuous, live, longpoll, eventsource');
  const { limit: _limit, ...unlimited } = query;
  const own = Number(limit) < 0 ? unlimited : query;
  return feed === 'live' ? { ...own, feed: 'continuous' } : own;
}

/** CouchDB's answer where its code meets a value that it does not expect. */
function badArgument(): Refusal {
  return new Refusal(500, 'unknown_error', 'badarg');
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

/** Returns the revisions of a change that pass the filter. */
type Filter = (id: string, revisions: readonly Revision[]) => readonly Revision[];

function rowOf(
  db: MemoryDatabase,
  id: string,
  seq: number,
  query: Query,
  passes: Filter,
): readonly ChangeRow[] {
  const { ranked } = treeOf(db, id);
  const [winner] = ranked;
  if (winner === undefined) return [];
  const revisions = passes(id, query['style'] === 'all_docs' ? ranked : [winner]);
  if (revisions.length === 0) return [];
  const row = {
    seq: sequenceOf(seq),
    id,
    changes: revisions.map(({ rev }) => ({ rev })),
    ...(winner.content?.deleted === true && { deleted: true }),
    ...(query['include_docs'] === 'true' && { doc: docOf(db, id, winner, query) }),
  };
  return [row];
}

function docOf(db: MemoryDatabase, id: string, winner: Revision, query: Query): object {
  const conflicts = query['conflicts'] === 'true';
  return toDocument(db, id, winner, { conflicts, attachments: query['attachments'] === 'true' });
}

function filterOf(db: MemoryDatabase, request: MemoryRequest, userContext: object): Filter {
  const { query, body } = request;
  const parameters = isRecord(body) ? body : {};
  const everyDocument =
    (matches: (doc: object) => boolean): Filter =>
    (id, revisions) =>
      revisions.filter((revision) => matches(toDocument(db, id, revision)));
  const { filter } = query;
  switch (filter) {
    case undefined:
      return (_id, revisions) => revisions;
    case '_doc_ids': {
      const ids = parameters['doc_ids'] ?? parseJson(query['doc_ids'] ?? 'null');
      if (!Array.isArray(ids))
        throw badRequest('`doc_ids` filter parameter is not a list of doc ids.');
      const idSet = new Set<unknown>(ids);
      return (id, revisions) => (idSet.has(id) ? revisions : []);
    }
    case '_selector': {
      const { selector } = parameters;
      if (!isRecord(selector)) throw badRequest('Selector error: expected a JSON object');
      normalize(selector);
      return everyDocument(matcherOf(selector) as (doc: object) => boolean);
    }
    case '_design':
      return (id, revisions) => (id.startsWith('_design/') ? revisions : []);
    case '_view': {
      const [design, name] = split(query['view'] ?? '', 'view');
      const { map } = viewIn(designOf(db, design), name);
      const run = javascriptMap(String(map));
      return everyDocument((doc) => {
        let emitted = false;
        attempt(() => run(throughJson(doc) as object, () => (emitted = true)));
        return emitted;
      });
    }
    default: {
      const [design, name] = split(filter, 'filter');
      const { filters } = designOf(db, design) as { readonly filters?: unknown };
      if (!isRecord(filters)) throw missing('missing json key: filters');
      const source = filters[name];
      if (source === undefined) throw missing(`missing json key: ${name}`);
      const run = compileFunction(source);
      const asked = {
        query,
        method: request.method,
        path: request.path.split('/').slice(1),
        userCtx: userContext,
      };
      return everyDocument((doc) => attempt(() => run(throughJson(doc), asked)) === true);
    }
  }
}

function viewIn(
  design: Readonly<Record<string, unknown>>,
  name: string,
): { readonly map: unknown } {
  try {
    return viewOf(design, name);
  } catch {
    throw missing(`missing json key: ${isRecord(design['views']) ? name : 'views'}`);
  }
}

/** A filter function that throws lets nothing pass. */
function attempt(run: () => unknown): unknown {
  try {
    return run();
  } catch {
    return undefined;
  }
}

function split(name: string, what: 'filter' | 'view'): readonly [design: string, name: string] {
  const parts = name.split('/').map(decodeURIComponent);
  const [design, own, more] = parts;
  if (design === undefined || own === undefined || more !== undefined || own === '')
    throw badRequest(
      what === 'filter'
        ? '`filter` must be of the form `designname/filtername`'
        : '`view` filter parameter is not provided.',
    );
  return [`_design/${design}`, own];
}

function designOf(db: MemoryDatabase, id: string): Readonly<Record<string, unknown>> {
  const winner = db.find(id);
  if (winner === undefined) throw missing(db.tree(id) === undefined ? 'missing' : 'deleted');
  return toDocument(db, id, winner);
}
