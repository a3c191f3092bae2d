import { catchError, map, of, throwError, zip } from 'rxjs';
import type { Observable } from 'rxjs';
import { isTransient } from '../errors/corduroy-error.ts';
import type { DatabaseScope } from '../http/scope.ts';
import { byId } from '../model/document.ts';
import type { AnyFields, Document, LiveDocument } from '../model/document.ts';
import { invalidArgument } from '../model/invalid-argument.ts';
import { plainCopy } from '../model/json.ts';
import { duration } from '../operators/time.ts';
import { explain, find } from '../queries/find.ts';
import type { FieldPath } from '../queries/field-path.ts';
import type { FindQuery } from '../queries/find.ts';
import type { TagValue } from '../queries/selector.ts';
import { equalities } from '../queries/equalities.ts';
import { compilePath, compileSort, readColumn } from '../queries/fields.ts';
import type { SortColumn } from '../queries/fields.ts';
import { compileSelector } from '../queries/matcher.ts';
import { follow } from './follow.ts';
import type { LiveDatabase, LivePlace } from './live-database.ts';
import { FoundEntry } from './live-entry.ts';
import { liveQuery } from './live-query.ts';
import type { LiveQuery } from './live-query.ts';
import { SortedList } from './sorted-list.ts';
import type { Comparison, ListRules } from './sorted-list.ts';

/** The query of `db.find$()`. It finds whole documents, and all that match unless it has a `limit`. */
export interface LiveFindQuery<T extends object = AnyFields, Tag = TagValue<T>> extends Pick<
  FindQuery<T, FieldPath<T>, Tag>,
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

/**
 * Returns a live query that emits the documents that a Mango query finds. It matches changed
 * documents locally, and reads from the server again only if that is not possible.
 */
export function liveFind<T extends object>(
  live: LiveDatabase,
  query: LiveFindQuery<T>,
  place: LivePlace = { db: live.db, prefix: '' },
): LiveQuery<readonly LiveDocument<T>[]> {
  if (typeof query !== 'object' || query === null) {
    throw invalidArgument('find$: query', 'an object with a selector', query);
  }
  for (const name of UNSUPPORTED) {
    if (name in query) throw new TypeError(`find$: ${name} is not supported: use find instead`);
  }
  const { latency = live.latency, ...given } = query;
  duration(latency, 'find$: latency');
  const asked = { ...given, limit: given.limit ?? NO_LIMIT };
  // Checks the query, before it is copied.
  find<AnyFields, string>(place.db, asked);
  // The caller may change its objects later.
  const findQuery = plainCopy(asked, live.db.connection.codec) as FindQuery;
  return liveQuery(live, ['find$', place.prefix, findQuery, latency], (waits) => {
    const order = new FindOrder(findQuery);
    const found$ = find<AnyFields, string>(place.db, findQuery);
    return follow<readonly Document[], readonly Document[]>(
      live,
      {
        interest: { fields: hasSkip(findQuery) ? new Map() : equalities(findQuery.selector) },
        result: () => new SortedList<Document>(rulesOf(findQuery, order, place.prefix), live.cache),
        read: (onWait, onAttempt) =>
          live.readAfterStart(() => {
            onAttempt();
            const docs$ = found$.pipe(map(({ docs }) => docs as Document[]));
            return order.isKnown
              ? docs$
              : zip(docs$, order.learn(place.db)).pipe(map(([docs]) => docs));
          }, onWait),
        latency,
      },
      waits,
    ).pipe(map((docs) => docs as readonly unknown[] as readonly LiveDocument<T>[]));
  });
}

function rulesOf(query: FindQuery, order: FindOrder, prefix: string): ListRules<Document> {
  const { limit = NO_LIMIT, skip = 0, useIndex } = query;
  const matches = compileSelector(query.selector);
  const { sortFields } = order;
  // A partial index or a text index may leave documents out, or sort them by other rules.
  const serverDecides = useIndex !== undefined || order.isTyped;
  return {
    idOf: ({ _id }) => _id,
    revOf: ({ _rev }) => _rev,
    versionOf: ({ _rev }) => _rev,
    itemOf: ({ doc }) => doc as Document,
    entryOf: (doc) => new FoundEntry(doc),
    accepts: ({ id, doc }) => {
      // A query finds no design documents.
      if (doc === null || id.startsWith('_design/') || !id.startsWith(prefix)) return false;
      // The index that sorts contains only documents that have all of its fields.
      if (!sortFields.every((field) => field(doc) !== undefined)) return false;
      const verdict = matches(doc);
      return serverDecides && verdict === true ? undefined : verdict;
    },
    orderOf: (docs) => order.of(docs),
    placesNew: sortFields.length > 0,
    limit: limit === NO_LIMIT ? Infinity : limit,
    skip,
  };
}

function hasSkip({ skip = 0 }: FindQuery): boolean {
  return skip > 0;
}

/** The order of the documents that a query finds. */
class FindOrder {
  readonly sortFields: readonly ((doc: unknown) => unknown)[];
  /** Whether a field has a type, as only text indexes have. */
  readonly isTyped: boolean;
  readonly #query: FindQuery;
  readonly #descending: boolean;
  readonly #compareSort: ((a: object, b: object) => number | undefined) | null;
  /** Compares documents that are equal in the fields of the sort: by the other fields of the index. */
  #compareTies: ((a: object, b: object) => number | undefined) | null = null;
  isKnown: boolean;

  constructor(query: FindQuery) {
    const { sort = [] } = query;
    const columns = sort.map((field) => readColumn(field as SortColumn));
    const names = columns.map(([name]) => name);
    this.#query = query;
    this.#descending = columns.some(([, direction]) => direction === 'desc');
    this.sortFields = names.map((name) => compilePath(name));
    this.isTyped = names.some((name) => name.includes(':'));
    this.#compareSort = sort.length === 0 ? null : compileSort(sort as readonly SortColumn[]);
    // The order of ids has no ties, and a search server has no such index.
    this.isKnown = sort.length === 0 || names.includes('_id') || this.isTyped;
  }

  /** Returns the order of an answer. Without `sort`, it is that of an index that only the server knows. */
  of(docs: readonly Document[]): Comparison<Document> {
    const compareSort = this.#compareSort;
    if (compareSort !== null) {
      const direction = this.#descending ? -1 : 1;
      return (a, b) => {
        const order = compareSort(a, b);
        if (order !== 0) return order;
        const tie = this.#compareTies === null ? 0 : this.#compareTies(a, b);
        return tie === 0 ? byId(a._id, b._id) * direction : tie;
      };
    }
    const isById = docs.every(
      ({ _id }, i) => i === 0 || byId((docs[i - 1] as Document)._id, _id) < 0,
    );
    if (isById) return (a, b) => byId(a._id, b._id);
    // New documents come last.
    const ranks = new Map<string, number>();
    const rankOf = ({ _id }: Document): number => {
      const rank = ranks.get(_id) ?? ranks.size;
      ranks.set(_id, rank);
      return rank;
    };
    docs.forEach(rankOf);
    return (a, b) => rankOf(a) - rankOf(b);
  }

  /** Asks the server which index sorts. A server that does not tell sorts ties by id. Emits once. */
  learn(db: DatabaseScope): Observable<void> {
    return explain(db, this.#query).pipe(
      map(({ index }) => index?.fields ?? []),
      catchError((error: unknown) => (isTransient(error) ? throwError(() => error) : of([]))),
      map((columns) => {
        const direction = this.#descending ? 'desc' : 'asc';
        const sort = columns
          .slice(this.sortFields.length)
          .map((column) => ({ [readColumn(column)[0]]: direction }));
        this.#compareTies = sort.length === 0 ? null : compileSort(sort);
        this.isKnown = true;
      }),
    );
  }
}
