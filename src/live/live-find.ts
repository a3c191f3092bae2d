import { map, tap } from 'rxjs';
import { byId } from '../model/document.ts';
import type { AnyFields, Document } from '../model/document.ts';
import { invalidArgument } from '../model/invalid-argument.ts';
import { compareJson } from '../queries/compare-json.ts';
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

/** A Mango query that is followed: whole documents, and all that match unless there is a `limit`. */
export interface LiveFindQuery<T extends object = AnyFields> extends Pick<
  FindQuery<T>,
  'selector' | 'sort' | 'skip' | 'useIndex' | 'allowFallback' | 'stable' | 'r'
> {
  /** How many documents at most. @defaultValue all that match, unlike `find` */
  readonly limit?: number;
  /** How long to wait after an answer before asking again, in milliseconds; else the `Couch`'s. */
  readonly latency?: number;
}

/** What CouchDB itself takes for no limit. */
const ALL = 268_435_456;

const REFUSED = ['fields', 'bookmark', 'conflicts', 'executionStats', 'update'];

/** What decides over where a document stands in a list, and whether it does. */
interface Rules {
  readonly matches: (doc: AnyFields) => Verdict;
  /** Undefined where it cannot be told here which comes first. */
  readonly compare: ((a: LiveEntry, b: LiveEntry) => number | undefined) | null;
  /** Whether others move up when one leaves, or who enters is for the server to say. */
  readonly bounded: boolean;
}

/**
 * The documents that a query finds, as they change. Whether a changed document is among them is
 * decided here; the server is asked again where it cannot be.
 */
export function liveFind<T extends object>(
  live: LiveDatabase,
  query: LiveFindQuery<T>,
): LiveQuery<readonly Document<T>[]> {
  if (typeof query !== 'object' || query === null) {
    throw invalidArgument('find$: query', 'an object with a selector', query);
  }
  for (const name of REFUSED) {
    if (name in query) throw new TypeError(`find$: ${name} cannot be followed; use find for it`);
  }
  const { latency = live.latency, ...wanted } = query;
  const ask = find<AnyFields, string>(live.db, { ...wanted, limit: wanted.limit ?? ALL });
  const rules = rulesOf(wanted);
  return new LiveQuery(live, ['find$', wanted, latency], () =>
    follow<readonly LiveEntry[]>(live, {
      changes$: live.changes$,
      read: () =>
        ask.pipe(
          map(({ docs }) => docs.map((doc) => entryOfDocument(doc as Document))),
          tap((found) => live.note(found)),
        ),
      patch: (value, changes, overtaken) => patch(live, rules, value, changes, overtaken),
      reconcile: (value, answer) => keepEqual(value, answer, ({ id }) => id),
      latency,
    }).pipe(map((all) => all.map(({ doc }) => doc as Document<T>))),
  );
}

function patch(
  live: LiveDatabase,
  rules: Rules,
  value: readonly LiveEntry[],
  changes: readonly LiveEntry[],
  overtaken: boolean,
): PatchResult<readonly LiveEntry[]> {
  let next: readonly LiveEntry[] = value;
  for (const found of changes) {
    // A query finds no design documents.
    if (found.id.startsWith('_design/')) continue;
    const there = next.find(({ id }) => id === found.id);
    if (there !== undefined && !supersedes(live, found, there.rev, overtaken)) continue;
    const verdict = found.doc !== null && rules.matches(found.doc);
    if (there === undefined && verdict === false) continue;
    const stays = there !== undefined && verdict === true && sameOrder(rules, there, found);
    if (stays) {
      next = next.map((one) => (one === there ? found : one));
      continue;
    }
    const put = verdict === true ? placeOf(rules, next, found) : 0;
    const isNew = there === undefined;
    if (verdict === undefined || put === undefined || rules.bounded || (isNew && overtaken)) {
      return { value: next, again: true };
    }
    const others = next.filter(({ id }) => id !== found.id);
    if (verdict) others.splice(placeOf(rules, others, found) ?? others.length, 0, found);
    next = others;
  }
  return { value: next };
}

function rulesOf(query: LiveFindQuery): Rules {
  const { sort = [], limit, skip, useIndex } = query;
  const order = sort.map((field): [string, number] => {
    if (typeof field === 'string') return [field, 1];
    const [[name, direction] = ['', 'asc']] = Object.entries(field);
    return [name, direction === 'desc' ? -1 : 1];
  });
  const selected = compileSelector(query.selector);
  // A partial index, and a text index, have rules of their own.
  const foreign = useIndex !== undefined || order.some(([name]) => name.includes(':'));
  return {
    // The index that gives the order has only documents with all of its fields.
    matches: (doc) => order.every(([name]) => readField(doc, name) !== undefined) && selected(doc),
    compare: order.length === 0 ? null : (a, b) => compareBy(order, a, b),
    bounded: limit !== undefined || skip !== undefined || foreign,
  };
}

function compareBy(
  order: readonly (readonly [name: string, direction: number])[],
  a: LiveEntry,
  b: LiveEntry,
): number | undefined {
  for (const [name, direction] of order) {
    const by = compareJson(readField(a.doc, name), readField(b.doc, name));
    if (by !== 0) return by && by * direction;
  }
  return byId(a.id, b.id) * (order[0]?.[1] ?? 1);
}

function sameOrder({ compare }: Rules, a: LiveEntry, b: LiveEntry): boolean {
  return compare === null || compare(a, b) === 0;
}

/** Where a document belongs; undefined where only the server can tell. */
function placeOf(
  { compare }: Rules,
  list: readonly LiveEntry[],
  found: LiveEntry,
): number | undefined {
  if (compare === null) {
    // Without an order it is that of an index; the one that there always is goes by id.
    const isById = list.every(
      (one, i) => i === 0 || byId((list[i - 1] as LiveEntry).id, one.id) < 0,
    );
    const after = list.findIndex(({ id }) => byId(id, found.id) > 0);
    return isById && after !== -1 ? after : list.length;
  }
  for (const [i, one] of list.entries()) {
    const by = compare(one, found);
    if (by === undefined) return undefined;
    if (by > 0) return i;
  }
  return list.length;
}
