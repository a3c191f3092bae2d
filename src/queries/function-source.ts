import { mustBe, show } from '../model/must-be.ts';

/** A function to be run by the server: itself, or the text of one. */
export type ServerFunction<F extends (...args: never) => unknown> = F | string;

/**
 * Returns the text of a function, as the server's JavaScript engine takes it.
 *
 * @param given - The names that the server has outside the function (`emit`). They are handed over
 * after the function's own arguments where it takes more than those, so that a minifier that
 * renames them does no harm.
 * @throws TypeError for what the engine would not take: an async function, a generator, a method, a
 * class, a function without a text.
 */
export function functionSource(
  fn: unknown,
  name: string,
  own: readonly string[],
  given: readonly string[] = [],
): string {
  if (typeof fn === 'string') {
    if (fn.trim() === '') throw mustBe(name, 'a function or the text of one', fn);
    return fn;
  }
  if (typeof fn !== 'function') throw mustBe(name, 'a function or the text of one', fn);
  const source = Function.prototype.toString.call(fn);
  const refusal = whyNot(source);
  if (refusal !== undefined) throw new TypeError(`${name}: ${refusal}`);
  if (fn.length <= own.length || given.length === 0) return source;
  const all = [...own, ...given].join(', ');
  return `function (${own.join(', ')}) { return (${source})(${all}); }`;
}

function whyNot(source: string): string | undefined {
  if (/^class\b/.test(source)) return 'a class is no function that the server could call';
  if (/\{\s*\[native code\]\s*\}$/.test(source))
    return 'the text of a bound or built-in function is not known; write it out';
  if (/^async\b(?!\s*=>)/.test(source)) return 'the server runs no async functions';
  if (/^(?:function\s*)?\*/.test(source)) return 'the server runs no generators';
  if (/^function\b/.test(source) || isArrow(source)) return undefined;
  return `write \`name: (doc) => …\` or \`name: function (doc) { … }\`, not a method: ${show(source)}`;
}

/** An arrow function begins with its parameters; so does nothing else that is a function. */
function isArrow(source: string): boolean {
  return (
    source.startsWith('(') || /^[\p{ID_Start}$_][\p{ID_Continue}$\u200c\u200d]*\s*=>/u.test(source)
  );
}
