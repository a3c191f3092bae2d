import type { LiveChange, LiveEntry } from './live-entry.ts';

/** The consequences of an answer or of changes for a live result. */
export interface Outcome {
  /** Whether the value is another one. */
  readonly changed: boolean;
  /** Whether only the server can compute the value, so that the query must read again. */
  readonly reread: boolean;
  /** The documents whose present revision is uncertain, so that they must be fetched. */
  readonly refetch: readonly string[];
}

/** The state of documents that a query heard of while its answer was under way, by id. */
export type Heard = ReadonlyMap<string, LiveEntry>;

/**
 * The result of a live query: pure, and without a clock. It takes answers of the server and changes, and
 * keeps its value up to date.
 */
export interface LiveResult<Answer, Value> {
  readonly value: Value;
  /** Takes an answer. Documents in `heard` may be newer or older than in the answer. */
  answer(answer: Answer, heard: Heard): Outcome;
  /** Applies changes, at most one for each document. */
  apply(changes: readonly LiveChange[]): Outcome;
  /** Releases the documents that the result holds. */
  clear(): void;
}

/**
 * Returns a list in which items of the present list replace equal ones, so that they keep their
 * identity. Returns the present list itself if all its items are equal.
 */
export function keepEqual<Item>(
  present: readonly Item[],
  answer: readonly Item[],
  keyOf: (item: Item) => unknown,
  isEqual: (a: Item, b: Item) => boolean,
): readonly Item[] {
  if (present.length === 0) return answer.length === 0 ? present : answer;
  // A key is not always unique: a view may emit the same one twice for a document.
  const known = new Map<unknown, Item[]>();
  const remember = (item: Item): void => {
    const key = keyOf(item);
    const others = known.get(key);
    if (others === undefined) known.set(key, [item]);
    else others.push(item);
  };
  let aligned = true;
  const kept = answer.map((item, i) => {
    const neighbour = present[i];
    if (aligned && neighbour !== undefined && isEqual(neighbour, item)) return neighbour;
    if (aligned) {
      aligned = false;
      for (const other of present.slice(i)) remember(other);
    }
    const candidates = known.get(keyOf(item)) ?? [];
    const index = candidates.findIndex((candidate) => isEqual(candidate, item));
    return index === -1 ? item : (candidates.splice(index, 1)[0] as Item);
  });
  const same = kept.length === present.length && kept.every((item, i) => item === present[i]);
  return same ? present : kept;
}
