import { describeValue, invalidArgument } from '../model/invalid-argument.ts';
import { foreignNames } from './foreign-names.ts';

/** A function that the server runs: a function, or its source text. */
export type ServerFunction<F extends (...args: never) => unknown> = F | string;

/**
 * Returns the source text of a function for the server's JavaScript engine.
 *
 * @param parameters - The parameters that the server passes.
 * @param globals - The globals of the server (`emit`). A wrapper passes them as further arguments if the
 * function declares more parameters than the server passes: a minifier may then rename them.
 * @throws TypeError for a function that the engine cannot run: an async function, a generator, a method,
 * a class, a function without source text, and one that uses what only its module has.
 */
export function functionSource(
  fn: unknown,
  name: string,
  parameters: readonly string[],
  globals: readonly string[] = [],
): string {
  if (typeof fn === 'string') {
    if (fn.trim() === '') throw invalidArgument(name, 'a function or its source text', fn);
    return fn;
  }
  if (typeof fn !== 'function') throw invalidArgument(name, 'a function or its source text', fn);
  const source = Function.prototype.toString.call(fn);
  const problem = unsupportedReason(source);
  if (problem !== undefined) throw new TypeError(`${name}: ${problem}`);
  const foreign = foreignNames(source);
  const [unknown] = foreign.filter((one) => !Object.hasOwn(HELPERS, one));
  if (unknown !== undefined) throw new TypeError(`${name}: ${foreignReason(unknown)}`);
  const helpers = foreign.map((one) => `var ${one} = ${HELPERS[one]}; `).join('');
  const takesGlobals = fn.length > parameters.length && globals.length > 0;
  if (!takesGlobals && helpers === '') return source;
  const all = [...parameters, ...(takesGlobals ? globals : [])].join(', ');
  return `function (${parameters.join(', ')}) { ${helpers}return (${source})(${all}); }`;
}

/** Functions that compilers call, and that can be defined beside the function: esbuild keeps names so. */
const HELPERS: Readonly<Record<string, string>> = { __name: 'function (f) { return f; }' };

function foreignReason(name: string): string {
  if (/^(?:_|cov_|tslib)/.test(name))
    return (
      `the compiler has put a call to its helper '${name}' into the function, which CouchDB does not have; ` +
      'compile for ES2022 or later without instrumentation, or pass the source text of the function'
    );
  return (
    `the function uses '${name}', which CouchDB does not have, because it sees nothing of its module; ` +
    'write the value into the function'
  );
}

function unsupportedReason(source: string): string | undefined {
  if (/^class\b/.test(source)) return 'the server cannot call a class; pass a function';
  if (/\{\s*\[native code\]\s*\}$/.test(source))
    return 'a bound or built-in function has no source text; write the function out';
  if (/^async\b(?!\s*=>)/.test(source)) return 'the server runs no async functions';
  if (/^(?:function\s*)?\*/.test(source)) return 'the server runs no generators';
  if (/^function\b/.test(source) || isArrow(source)) return undefined;
  return `write \`name: (doc) => …\` or \`name: function (doc) { … }\`, not a method: ${describeValue(source)}`;
}

/** Returns whether a source is an arrow function: only those begin with their parameters. */
function isArrow(source: string): boolean {
  return (
    source.startsWith('(') || /^[\p{ID_Start}$_][\p{ID_Continue}$\u200c\u200d]*\s*=>/u.test(source)
  );
}
