import { map, tap } from 'rxjs';
import { byId } from '../model/document.ts';
import type { AnyFields, Document } from '../model/document.ts';
import { invalidArgument } from '../model/invalid-argument.ts';
import { compareJson } from '../model/json.ts';
import { duration } from '../operators/time.ts';
import { find } from '../queries/find.ts';
import type { FindQuery } from '../queries/find.ts';
import { readField } from '../queries/matcher.ts';
import { compileSelector } from '../queries/matcher.ts';
import type { Verdict } from '../queries/matcher.ts';
import { follow, supersedes } from './follow.ts';
import type { PatchResult } from './follow.ts';
import { entryOfDocument } from './live-entry.ts';
import type { LiveEntry } from './live-entry.ts';
import { keepEqual } from './live-entry.ts';
import type { LiveDatabase } from './live-database.ts';
import { LiveQuery } from './live-query.ts';

/** The query of `db.find$()`. It finds whole documents, and all that match unless it has a `limit`. */
export interface LiveFindQuery<T extends object = AnyFields> extends Pick<
  FindQuery<T>,
  'selector' | 'sort' | 'skip' | 'useIndex' | 'allowFallback' | 'stable' | 'r'
> {
  /** The maximum number of documents. @defaultValue all that match, unlike `find` */
  readonly limit?: number;
  /**
   * The minimum time between an answer and the next read, in milliseconds.
   * @defaultValue that of the `Couch`
   */
  readonly latency?: number;
}

/** The limit with which CouchDB itself replaces a missing one. */
const NO_LIMIT = 268_435_456;

const UNSUPPORTED = ['fields', 'bookmark', 'conflicts', 'executionStats', 'update'];

/** The rules of a query: which documents it finds, and in which order. */
interface QueryRules {
  readonly matches: (doc: AnyFields) => Verdict;
  /** Compares as the server sorts; undefined if only the server can. Null without `sort`. */
  readonly compare: ((a: LiveEntry, b: LiveEntry) => number | undefined) | null;
  /** Whether only the server knows the list after a document has entered or left it. */
  readonly serverDecides: boolean;
}

/**
 * Returns a live query that emits the documents that a Mango query finds. It matches changed
 * documents locally, and reads from the server again only if that is not possible.
 */
export function liveFind<T extends object>(
  live: LiveDatabase,
  query: LiveFindQuery<T>,
): LiveQuery<readonly Document<T>[]> {
  if (typeof query !== 'object' || query === null) {
    throw invalidArgument('find$: query', 'an object with a selector', query);
  }
  for (const name of UNSUPPORTED) {
    if (name in query) throw new TypeError(`find$: ${name} is not supported: use find instead`);
  }
  const { latency = live.latency, ...findQuery } = query;
  duration(latency, 'find$: latency');
  const query$ = find<AnyFields, string>(live.db, {
    ...findQuery,
    limit: findQuery.limit ?? NO_LIMIT,
  });
  const rules = rulesOf(findQuery);
  return new LiveQuery(live, ['find$', findQuery, latency], () =>
    follow<readonly LiveEntry[]>(live, {
      changes$: live.changes$,
      read: () =>
        query$.pipe(
          map(({ docs }) => docs.map((doc) => entryOfDocument(doc as Document))),
          tap((entries) => live.recordRevisions(entries)),
        ),
      patch: (value, changes, duringRead) => patch(live, rules, value, changes, duringRead),
      reconcile: (value, answer) => keepEqual(value, answer, ({ id }) => id),
      latency,
    }).pipe(map((all) => all.map(({ doc }) => doc as Document<T>))),
  );
}

function patch(
  live: LiveDatabase,
  rules: QueryRules,
  value: readonly LiveEntry[],
  changes: readonly LiveEntry[],
  duringRead: boolean,
): PatchResult<readonly LiveEntry[]> {
  let next: readonly LiveEntry[] = value;
  for (const change of changes) {
    // A query finds no design documents.
    if (change.id.startsWith('_design/')) continue;
    const present = next.find(({ id }) => id === change.id);
    if (present !== undefined && !supersedes(live, change, present.rev, duringRead)) continue;
    const verdict = change.doc !== null && rules.matches(change.doc);
    if (present === undefined && verdict === false) continue;
    const keepsIndex =
      present !== undefined && verdict === true && sameOrder(rules, present, change);
    if (keepsIndex) {
      next = next.map((entry) => (entry === present ? change : entry));
      continue;
    }
    const index = verdict === true ? insertionIndex(rules, next, change) : 0;
    const unknown = verdict === undefined || index === undefined;
    // A match that came during the read, but is not in the answer, may be an old revision.
    const uncertain = present === undefined && duringRead;
    if (unknown || uncertain || rules.serverDecides) return { value: next, reread: true };
    const others = next.filter(({ id }) => id !== change.id);
    if (verdict) others.splice(insertionIndex(rules, others, change) ?? others.length, 0, change);
    next = others;
  }
  return { value: next };
}

function rulesOf(query: LiveFindQuery): QueryRules {
  const { sort = [], limit, skip, useIndex } = query;
  const order = sort.map((field): [string, number] => {
    if (typeof field === 'string') return [field, 1];
    const [[name, direction] = ['', 'asc']] = Object.entries(field);
    return [name, direction === 'desc' ? -1 : 1];
  });
  const selected = compileSelector(query.selector);
  // A partial index or a text index may leave documents out, or sort them by other rules.
  const unknownIndex = useIndex !== undefined || order.some(([name]) => name.includes(':'));
  return {
    // The index that sorts holds only documents that have all of its fields.
    matches: (doc) => order.every(([name]) => readField(doc, name) !== undefined) && selected(doc),
    compare: order.length === 0 ? null : (a, b) => compareBy(order, a, b),
    serverDecides: limit !== undefined || skip !== undefined || unknownIndex,
  };
}

function compareBy(
  order: readonly (readonly [name: string, direction: number])[],
  a: LiveEntry,
  b: LiveEntry,
): number | undefined {
  for (const [name, direction] of order) {
    const result = compareJson(readField(a.doc, name), readField(b.doc, name));
    if (result !== 0) return result && result * direction;
  }
  return byId(a.id, b.id) * (order[0]?.[1] ?? 1);
}

function sameOrder({ compare }: QueryRules, a: LiveEntry, b: LiveEntry): boolean {
  return compare === null || compare(a, b) === 0;
}

/** Returns the index at which a document belongs; undefined if only the server knows it. */
function insertionIndex(
  { compare }: QueryRules,
  list: readonly LiveEntry[],
  entry: LiveEntry,
): number | undefined {
  if (compare === null) {
    // Without `sort` the order is that of the index; the built-in one sorts by id.
    const isById = list.every(
      ({ id }, i) => i === 0 || byId((list[i - 1] as LiveEntry).id, id) < 0,
    );
    const after = list.findIndex(({ id }) => byId(id, entry.id) > 0);
    return isById && after !== -1 ? after : list.length;
  }
  for (const [i, other] of list.entries()) {
    const result = compare(other, entry);
    if (result === undefined) return undefined;
    if (result > 0) return i;
  }
  return list.length;
}
