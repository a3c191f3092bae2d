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

/** How far a walk through two lists looks for items that both have, in items. */
const LOOKAHEAD = 16;

/**
 * Returns the difference between two lists. A walk pairs the items that stay in order: the same objects cost
 * one comparison each. Only the items that it leaves are found by their keys.
 */
function difference<Item>(
  before: readonly Item[],
  list: readonly Item[],
  keyOf: (item: Item) => unknown,
): ListPatch<Item> {
  /** The former position of each item of the new list; -1 of an item that entered. */
  const origins = new Int32Array(list.length).fill(-1);
  const { left, entered, replaced } = pairInOrder(before, list, keyOf, origins);

  /** The former positions by key: equal keys in their order. */
  const positions = new Map<unknown, number[]>();
  for (let i = left.length - 1; i >= 0; i--) {
    const index = left[i] as number;
    const key = keyOf(before[index] as Item);
    const others = positions.get(key);
    if (others === undefined) positions.set(key, [index]);
    else others.push(index);
  }
  const added: Positioned<Item>[] = [];
  for (const index of entered) {
    const item = list[index] as Item;
    const from = positions.get(keyOf(item))?.pop();
    if (from === undefined) added.push({ item, index });
    else {
      origins[index] = from;
      if (before[from] !== item) replaced.push(index);
    }
  }
  const changed = replaced
    .sort((a, b) => a - b)
    .map((index) => ({ item: list[index] as Item, index }));
  const removed = [...positions.values()]
    .flat()
    .sort((a, b) => a - b)
    .map((index) => ({ item: before[index] as Item, index }));
  const moved =
    entered.length === added.length
      ? []
      : outOfOrder(origins).map((index) => ({
          item: list[index] as Item,
          index,
          from: origins[index] as number,
        }));
  return { list, removed, added, moved, changed };
}

/**
 * Writes the former positions of items that stay in order into `origins`. Returns the positions of the others in
 * both lists, and of the items with other content in the new list, ascending.
 */
function pairInOrder<Item>(
  before: readonly Item[],
  list: readonly Item[],
  keyOf: (item: Item) => unknown,
  origins: Int32Array,
): { readonly left: number[]; readonly entered: number[]; readonly replaced: number[] } {
  const left: number[] = [];
  const replaced: number[] = [];
  const entered: number[] = [];
  let [formerEnd, end] = [before.length, list.length];
  while (formerEnd > 0 && end > 0 && before[formerEnd - 1] === list[end - 1]) {
    formerEnd -= 1;
    end -= 1;
    origins[end] = formerEnd;
  }
  let [former, index] = [0, 0];
  while (former < formerEnd && index < end) {
    const [formerItem, item] = [before[former] as Item, list[index] as Item];
    if (formerItem === item || keyOf(formerItem) === keyOf(item)) {
      origins[index] = former;
      if (formerItem !== item) replaced.push(index);
      former += 1;
      index += 1;
      continue;
    }
    const skip = skipToSame(before, former, formerEnd, list, index, end);
    for (let n = skip?.left ?? formerEnd - former; n > 0; n--) left.push(former++);
    for (let n = skip?.entered ?? end - index; n > 0; n--) entered.push(index++);
  }
  while (former < formerEnd) left.push(former++);
  while (index < end) entered.push(index++);
  return { left, entered, replaced };
}

/** Returns how many items to skip in each list up to the next same object; null if none is near. */
function skipToSame<Item>(
  before: readonly Item[],
  former: number,
  formerEnd: number,
  list: readonly Item[],
  index: number,
  end: number,
): { readonly left: number; readonly entered: number } | null {
  for (let distance = 1; distance <= 2 * LOOKAHEAD; distance++) {
    for (let left = 0; left <= distance; left++) {
      const entered = distance - left;
      const isInside = former + left < formerEnd && index + entered < end;
      if (isInside && before[former + left] === list[index + entered]) return { left, entered };
    }
  }
  return null;
}

/**
 * Returns the indexes of the items that must move, ascending: those outside a longest increasing subsequence of
 * the former positions.
 */
function outOfOrder(origins: Int32Array): readonly number[] {
  /** For each length, the index of the smallest last origin of such a subsequence. */
  const tails = new Int32Array(origins.length);
  const previous = new Int32Array(origins.length);
  let length = 0;
  const originAt = (rank: number): number => origins[tails[rank] as number] as number;
  origins.forEach((origin, index) => {
    if (origin === -1) return;
    let [low, high] = [0, length];
    // Most items stay in order, so their place is the end.
    if (length > 0 && originAt(length - 1) < origin) low = length;
    else if (length > 1 && originAt(length - 2) < origin) low = high = length - 1;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (originAt(middle) < origin) low = middle + 1;
      else high = middle;
    }
    previous[index] = low === 0 ? -1 : (tails[low - 1] as number);
    tails[low] = index;
    if (low === length) length += 1;
  });
  const stays = new Uint8Array(origins.length);
  for (
    let i = length === 0 ? -1 : (tails[length - 1] as number);
    i !== -1;
    i = previous[i] as number
  )
    stays[i] = 1;
  const indexes: number[] = [];
  origins.forEach((origin, index) => {
    if (origin !== -1 && stays[index] === 0) indexes.push(index);
  });
  return indexes;
}
