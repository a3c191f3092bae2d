/**
 * Whether a document matches; `undefined` where only the server can tell: text searches, regular
 * expressions of Erlang's own, operators that came later, and strings whose order is a matter of
 * language.
 */
export type Verdict = boolean | undefined;

/** Turns a verdict round. */
export function not(verdict: Verdict): Verdict {
  return verdict === undefined ? undefined : !verdict;
}

/** Whether all do; one that surely does not outweighs those that nobody can tell. */
export function every<One>(list: readonly One[], ask: (one: One) => Verdict): Verdict {
  return not(some(list, (one) => not(ask(one))));
}

/** Whether at least one does. */
export function some<One>(list: readonly One[], ask: (one: One) => Verdict): Verdict {
  let known = true;
  for (const one of list) {
    const verdict = ask(one);
    if (verdict === true) return true;
    if (verdict === undefined) known = false;
  }
  return known ? false : undefined;
}
