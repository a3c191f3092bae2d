/**
 * The changes room: the history of a database, once or for ever. It sees http and below.
 */
import { count, flag, oneOf, text, toQuery } from '../http/query.ts';
import type { Parameter, Parameters } from '../http/query.ts';
import type { Sequence } from '../model/change.ts';
import { assertJson } from '../model/json.ts';
import { invalidArgument } from '../model/invalid-argument.ts';

/** Which changes the server sends, and what of them. */
export interface ChangesParameters {
  /** Only changes after this place; `0` is the beginning, `'now'` the end. */
  readonly since?: Sequence | 0;
  /** How many changes at most. */
  readonly limit?: number;
  /** Adds the document to each change. @defaultValue false */
  readonly includeDocs?: boolean;
  /** With `includeDocs`: adds `_conflicts`. @defaultValue false */
  readonly conflicts?: boolean;
  /** With `includeDocs`: reads attachments too, as base64. @defaultValue false */
  readonly attachments?: boolean;
  readonly attEncodingInfo?: boolean;
  /** Whether a change names its winning revision or all leaves. @defaultValue 'main_only' */
  readonly style?: 'main_only' | 'all_docs';
  /** Only these documents. */
  readonly docIds?: readonly string[];
  /** Only documents that match this Mango selector. */
  readonly selector?: Readonly<Record<string, unknown>>;
  /** Only documents that this view emits: `'design-document/view'`. */
  readonly view?: string;
  /** Only documents that this filter function passes: `'design-document/filter'`, or `'_design'`. */
  readonly filter?: string;
  /** Parameters for the filter function. */
  readonly query?: Readonly<Record<string, string | number | boolean>>;
  /** Says a sequence only at every so many changes; the others have `seq: null`. */
  readonly seqInterval?: number;
}

/** A place in a history, as an option. */
export const sinceParameter: Parameter = (value, name) => {
  if (value === 0 || (typeof value === 'string' && value !== '')) return String(value);
  throw invalidArgument(name, "a sequence that CouchDB gave, 'now' or 0", value);
};

const CHANGES: Parameters = {
  since: sinceParameter,
  limit: count,
  includeDocs: flag,
  conflicts: flag,
  attachments: flag,
  attEncodingInfo: flag,
  style: oneOf('main_only', 'all_docs'),
  view: text,
  filter: text,
  seqInterval: count,
  descending: flag,
  feed: text,
  heartbeat: count,
  timeout: count,
};

/** A request for changes as it goes over the wire. */
export interface ChangesRequest {
  readonly method: 'GET' | 'POST';
  /** The query string, with its `?`. */
  readonly query: string;
  readonly json?: unknown;
}

/**
 * Writes the parameters as a request.
 *
 * @throws TypeError for unknown options, and where two ways of filtering are asked for at once.
 */
export function changesRequest(
  parameters: ChangesParameters,
  added: Readonly<Record<string, unknown>>,
  what: string,
): ChangesRequest {
  const { docIds, selector, query = {}, ...rest } = parameters;
  const { view, filter } = rest;
  const ways = Object.entries({ docIds, selector, view, filter })
    .filter(([, value]) => value !== undefined)
    .map(([name]) => name);
  if (ways.length > 1) {
    throw new TypeError(`${what}: ${ways.join(' and ')} exclude each other`);
  }
  const built =
    docIds !== undefined ? '_doc_ids' : selector !== undefined ? '_selector' : view && '_view';
  const own = toQuery(CHANGES, { ...rest, ...added, ...(built && { filter: built }) }, what);
  const extra = Object.entries(query)
    .map(([name, value]) => `&${encodeURIComponent(name)}=${encodeURIComponent(String(value))}`)
    .join('');
  const full = own === '' ? extra.replace('&', '?') : own + extra;
  const body =
    docIds !== undefined ? { doc_ids: docIds } : selector !== undefined ? { selector } : undefined;
  if (body === undefined) return { method: 'GET', query: full };
  assertJson(body, what);
  return { method: 'POST', query: full, json: body };
}
