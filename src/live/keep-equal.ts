import { equal } from '../model/equal.ts';

/**
 * Makes the next list of the present one and an answer: what is equal stays the same object, and the
 * list does where all of it is.
 */
export function keepEqual<Item>(
  present: readonly Item[],
  answer: readonly Item[],
  keyOf: (item: Item) => string,
): readonly Item[] {
  const known = new Map<string, Item>();
  for (const item of present) known.set(keyOf(item), item);
  const kept = answer.map((item) => {
    const before = known.get(keyOf(item));
    return before !== undefined && equal(before, item) ? before : item;
  });
  const same = kept.length === present.length && kept.every((item, i) => item === present[i]);
  return same ? present : kept;
}
