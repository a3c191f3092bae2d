import { defer, map } from 'rxjs';
import type { OperatorFunction } from 'rxjs';
import { invalidArgument } from '../model/invalid-argument.ts';

/** An item with its position in a list. */
export interface Positioned<Item> {
  readonly item: Item;
  /** The position in the new list, from 0; of a removed item, in the former list. */
  readonly index: number;
}

/** An item that has another place among the items that stay. */
export interface Moved<Item> extends Positioned<Item> {
  /** The position in the former list, from 0. */
  readonly from: number;
}

/** The difference between two lists. */
export interface ListPatch<Item> {
  /** The new list. */
  readonly list: readonly Item[];
  /** The items that left, by their positions in the former list, ascending. */
  readonly removed: readonly Positioned<Item>[];
  /** The items that entered, by their positions in the new list, ascending. */
  readonly added: readonly Positioned<Item>[];
  /**
   * The items that changed their places, by their positions in the new list, ascending. They are as few as
   * possible: if one item moves, the others that shift are not among them.
   */
  readonly moved: readonly Moved<Item>[];
  /** The items that stay with other content, whether they moved or not, by their new positions. */
  readonly changed: readonly Positioned<Item>[];
}

/**
 * Turns a live list into the differences between its values, for virtual scrolling and animation.
 *
 * - **Temperature:** that of its source.
 * - **Emits** a {@link ListPatch} for each list. The first one has all items in `added`.
 * - **Completes and errors** as its source does. Unsubscribing unsubscribes from the source.
 *
 * To apply a patch to the former list: take out the `removed` and `moved` items, insert the `added` and
 * `moved` items at their new positions in ascending order, and replace the `changed` ones.
 *
 * @param key - Returns the identity of an item, which stays if its content changes. The order tells items
 * with equal keys apart. Default: `_id` of a document; `id` and `key` of a row; otherwise the item itself.
 * @throws TypeError if `key` is not a function.
 *
 * @example
 * orders.find$({ selector: {}, sort: ['placed'] }).pipe(asPatches())
 *   .subscribe(({ added, moved, removed }) => animate(added, moved, removed));
 */
export function asPatches<Item>(
  key: (item: Item) => unknown = defaultKey,
): OperatorFunction<readonly Item[], ListPatch<Item>> {
  if (typeof key !== 'function') throw invalidArgument('asPatches: key', 'a function', key);
  return (source) =>
    defer(() => {
      let present: readonly Item[] = [];
      return source.pipe(
        map((list) => {
          const patch = difference(present, list, key);
          present = list;
          return patch;
        }),
      );
    });
}

function defaultKey(item: unknown): unknown {
  if (typeof item !== 'object' || item === null) return item;
  if ('_id' in item) return item._id;
  if ('id' in item && 'key' in item) return `${String(item.id)} ${JSON.stringify(item.key)}`;
  return item;
}

/** Returns the difference between two lists. The equal beginning and end cost one comparison an item. */
function difference<Item>(
  before: readonly Item[],
  list: readonly Item[],
  keyOf: (item: Item) => unknown,
): ListPatch<Item> {
  const shorter = Math.min(before.length, list.length);
  let start = 0;
  while (start < shorter && before[start] === list[start]) start += 1;
  let end = 0;
  while (end < shorter - start && before.at(-1 - end) === list.at(-1 - end)) end += 1;

  /** The former positions of the items in between, by key: equal keys in their order. */
  const positions = new Map<unknown, number[]>();
  for (let i = before.length - end - 1; i >= start; i--) {
    const key = keyOf(before[i] as Item);
    const others = positions.get(key);
    if (others === undefined) positions.set(key, [i]);
    else others.push(i);
  }
  const added: Positioned<Item>[] = [];
  const changed: Positioned<Item>[] = [];
  const stayed: Moved<Item>[] = [];
  for (let index = start; index < list.length - end; index++) {
    const item = list[index] as Item;
    const from = positions.get(keyOf(item))?.pop();
    if (from === undefined) {
      added.push({ item, index });
      continue;
    }
    stayed.push({ item, index, from });
    if (before[from] !== item) changed.push({ item, index });
  }
  const removed = [...positions.values()]
    .flat()
    .sort((a, b) => a - b)
    .map((index) => ({ item: before[index] as Item, index }));
  const fixed = longestIncreasing(stayed.map(({ from }) => from));
  const moved = stayed.filter((_, i) => !fixed.has(i));
  return { list, removed, added, moved, changed };
}

/** Returns the indexes of a longest increasing subsequence: the items that need not move. */
function longestIncreasing(values: readonly number[]): ReadonlySet<number> {
  /** For each length, the index of the smallest last value of such a subsequence. */
  const tails: number[] = [];
  const previous: number[] = [];
  values.forEach((value, i) => {
    let [low, high] = [0, tails.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((values[tails[middle] as number] as number) < value) low = middle + 1;
      else high = middle;
    }
    previous[i] = low === 0 ? -1 : (tails[low - 1] as number);
    tails[low] = i;
  });
  const indexes = new Set<number>();
  for (let i = tails.at(-1) ?? -1; i !== -1; i = previous[i] as number) indexes.add(i);
  return indexes;
}
