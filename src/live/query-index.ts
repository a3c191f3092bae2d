import { isAscii } from '../model/json.ts';
import { compilePath } from '../queries/fields.ts';
import type { LiveChange, LiveEntry } from './live-entry.ts';

/** The changes that may affect a query. */
export type Interest =
  /** Every change. */
  | 'all'
  /** The changes of these documents. */
  | { readonly ids: readonly string[] }
  /**
   * The changes of documents that have, or had, one of these values in each of these fields. A query
   * that needs no certain value in any field has no fields here: it receives every change.
   */
  | { readonly fields: ReadonlyMap<string, readonly unknown[]> };

/**
 * Finds the queries that a change may affect. A change costs nothing for the other queries, however
 * many there are: queries are filed by document id, or by a value that their documents must have.
 *
 * A query with fields must hold its documents in the cache, so that `before` is known.
 */
export class QueryIndex<Query> {
  readonly #all = new Set<Query>();
  readonly #byId = new Map<string, Set<Query>>();
  readonly #byField = new Map<string, FieldIndex<Query>>();

  /** Files a query. Returns a function that removes it. */
  add(query: Query, interest: Interest): () => void {
    const places = this.#placesFor(interest);
    for (const { map, key } of places) {
      const place = map.get(key) ?? new Set<Query>();
      map.set(key, place.add(query));
    }
    // No ids mean no changes; no fields mean all of them.
    const isByIds = interest !== 'all' && 'ids' in interest;
    if (places.length === 0 && !isByIds) this.#all.add(query);
    return () => {
      this.#all.delete(query);
      for (const { map, key } of places) {
        const place = map.get(key);
        place?.delete(query);
        if (place?.size === 0) map.delete(key);
      }
    };
  }

  /** Returns the queries that changes may affect, each with its changes. */
  affected(changes: readonly LiveChange[]): ReadonlyMap<Query, readonly LiveChange[]> {
    const affected = new Map<Query, LiveChange[]>();
    const add = (query: Query, change: LiveChange): void => {
      const present = affected.get(query);
      // A query that both the former and the present value lead to receives the change once.
      if (present === undefined) affected.set(query, [change]);
      else if (present.at(-1) !== change) present.push(change);
    };
    for (const change of changes) {
      const { before, after } = change;
      for (const query of this.#byId.get(after.id) ?? []) add(query, change);
      for (const field of this.#byField.values()) {
        for (const place of placesOf(field, before)) for (const query of place) add(query, change);
        for (const place of placesOf(field, after)) for (const query of place) add(query, change);
      }
    }
    const whole: ReadonlyMap<Query, readonly LiveChange[]> = affected;
    for (const query of this.#all) (whole as Map<Query, readonly LiveChange[]>).set(query, changes);
    return whole;
  }

  #placesFor(interest: Interest): readonly Place<Query>[] {
    if (interest === 'all') return [];
    if ('ids' in interest) return interest.ids.map((id) => ({ map: this.#byId, key: id }));
    let best: readonly Place<Query>[] = [];
    let fewest = Infinity;
    for (const [path, values] of interest.fields) {
      const field = this.#byField.get(path) ?? { read: compilePath(path), byValue: new Map() };
      this.#byField.set(path, field);
      const map = field.byValue;
      // The field that distinguishes queries best: `{ type: 'order', customer: 7 }` by `customer`.
      const neighbours = values.reduce<number>(
        (sum, value) => sum + (map.get(value)?.size ?? 0),
        0,
      );
      if (neighbours >= fewest) continue;
      fewest = neighbours;
      best = values.map((key) => ({ map, key }));
    }
    return best;
  }
}

/** A set of queries, as the value of a key in a map. */
interface Place<Query> {
  readonly map: Map<unknown, Set<Query>>;
  readonly key: unknown;
}

/** The queries whose documents must have a certain value in a field. */
interface FieldIndex<Query> {
  readonly read: (doc: unknown) => unknown;
  readonly byValue: Map<unknown, Set<Query>>;
}

/** Returns the queries that a document may belong to. */
function placesOf<Query>(
  { read, byValue }: FieldIndex<Query>,
  entry: LiveEntry | undefined,
): Iterable<Set<Query>> {
  if (byValue.size === 0 || !entry?.doc) return [];
  const value = read(entry.doc);
  // Beyond ASCII, two different strings may be equal for CouchDB.
  if (typeof value === 'string' && !isAscii(value)) return byValue.values();
  // A bigint of a codec equals its number.
  const place = byValue.get(typeof value === 'bigint' ? Number(value) : value);
  return place === undefined ? [] : [place];
}
