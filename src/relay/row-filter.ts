import type { Change } from '../model/change.ts';
import { canonical } from '../model/json.ts';
import { compileSelector } from '../queries/matcher.ts';
import type { Verdict } from '../queries/verdict.ts';

/** Decides which rows of a shared feed a listener gets. */
export interface RowFilter {
  /** Equal filters have equal keys. */
  readonly key: string;
  /** The selector, for CouchDB to decide where `accepts` cannot. */
  readonly selector: Readonly<Record<string, unknown>> | null;
  readonly accepts: (change: Change<object>) => Verdict;
}

export const acceptAll: RowFilter = { key: '', selector: null, accepts: () => true };

export const byDesign: RowFilter = {
  key: '_design',
  selector: null,
  accepts: ({ id }) => id.startsWith('_design/'),
};

export function byIds(ids: readonly string[]): RowFilter {
  const wanted = new Set(ids);
  return {
    key: canonical(['ids', ...[...wanted].sort()]),
    selector: null,
    accepts: ({ id }) => wanted.has(id),
  };
}

/** Decides as CouchDB does, with the documents of the rows. */
export function bySelector(selector: Readonly<Record<string, unknown>>): RowFilter {
  const matches = compileSelector(selector);
  return {
    key: canonical(['selector', selector]),
    selector,
    accepts: ({ doc }) => (doc ? matches(doc as Record<string, unknown>) : undefined),
  };
}

/**
 * Tells whether all users have the same answers of a filter function: it uses nothing of the request but
 * `query`. A function that this cannot tell of runs for each user.
 *
 * @param source - The source of the function.
 */
export function isSameForAll(source: string): boolean {
  // Comments and strings could hide an expression from the checks below, or feign one.
  if (/\/[/*]|`|\\|\b(?:arguments|eval|Function|this|require|with|constructor)\b/.test(source))
    return false;
  const head =
    /^\s*\(?\s*(?:function\s*[\w$]*\s*\(([^()]*)\)|\(([^()]*)\)\s*=>|([\w$]+)\s*=>)/.exec(source);
  if (head === null) return false;
  const parameters = (head[1] ?? head[2] ?? head[3] ?? '').split(',').map((name) => name.trim());
  const [, request] = parameters;
  if (parameters.length > 2 || !parameters.every((name) => /^[\w$]*$/.test(name))) return false;
  if (request === undefined || request === '') return true;
  const rest = source.slice(head[0].length);
  const name = request.replaceAll('$', String.raw`\$`);
  const uses = rest.match(new RegExp(String.raw`(?<![\w$])${name}(?![\w$])`, 'g')) ?? [];
  const queries =
    rest.match(new RegExp(String.raw`(?<![\w$.])${name}\s*\.\s*query(?![\w$])`, 'g')) ?? [];
  return uses.length === queries.length;
}
