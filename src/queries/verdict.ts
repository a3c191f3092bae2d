/**
 * Whether a document matches. `undefined` means that only CouchDB can decide: for text searches, most
 * regular expressions, unknown operators, and the order of strings beyond ASCII.
 */
export type Verdict = boolean | undefined;

/** Negates a verdict. */
export function not(verdict: Verdict): Verdict {
  return verdict === undefined ? undefined : !verdict;
}

/** Returns whether all items match: false if one does not match, even if others are undecided. */
export function every<Item>(items: readonly Item[], match: (item: Item) => Verdict): Verdict {
  return not(some(items, (item) => not(match(item))));
}

/** Returns whether at least one item matches: true if one matches, even if others are undecided. */
export function some<Item>(items: readonly Item[], match: (item: Item) => Verdict): Verdict {
  let decided = true;
  for (const item of items) {
    const verdict = match(item);
    if (verdict === true) return true;
    if (verdict === undefined) decided = false;
  }
  return decided ? false : undefined;
}

/** Decides whether a value matches. */
export type Matcher = (value: unknown) => Verdict;

export const undecided: Matcher = () => undefined;
export const neverMatches: Matcher = () => false;
export const all =
  (parts: readonly Matcher[]): Matcher =>
  (value) =>
    every(parts, (part) => part(value));
/** In CouchDB, every document matches an empty list. */
export const any =
  (parts: readonly Matcher[]): Matcher =>
  (value) =>
    parts.length === 0 || some(parts, (part) => part(value));
