import { map, mergeMap } from 'rxjs';
import { readBytes } from '../http/exchange.ts';
import type { Answer } from '../http/exchange.ts';
import type { RequestSpec } from '../http/link.ts';
import { asObject } from '../http/decode.ts';
import { Operation, operation } from '../http/operation.ts';
import type { DatabaseScope } from '../http/scope.ts';
import type { JsonCodec } from '../http/connection-options.ts';
import type { ResponseHeaders } from '../http/transport.ts';
import { functionQuery } from '../http/query.ts';
import { assertHeader } from '../http/auth.ts';
import {
  designAt,
  designName,
  documentPath,
  endpoint,
  readByPost,
  requireId,
  requireWellFormed,
  segment,
  splitName,
} from '../http/url.ts';
import type { Endpoint } from '../http/url.ts';
import { invalidArgument, describeValue, requireOptions } from '../model/invalid-argument.ts';
import { viewQuery } from './view.ts';
import type { ViewOptions } from './view.ts';

/** The answer of a show, list or update function. */
export interface RenderResult {
  readonly headers: ResponseHeaders;
  /**
   * The decoded value if the function answered with JSON, and the text if it answered with another type
   * of text. Text that is labelled as JSON but is not, as from a list function without `start()`, is a
   * string too. Any other answer is a `Uint8Array`, such as `{ base64: … }` and text that is not UTF-8.
   */
  readonly body: unknown;
}

/** The answer of an update function, with the document that it wrote. */
export interface UpdateResult extends RenderResult {
  /** The id of the written document, or null if the function wrote none. */
  readonly id: string | null;
  /** The revision of the written document, or null if the function wrote none. */
  readonly rev: string | null;
}

/** The parameters of a show, list or update function: its `req.query`. */
export type FunctionParameters = Readonly<Record<string, string | number | boolean>>;

/** Options of `db.show()` and `db.list()`. */
export interface RenderOptions {
  /** Headers for the function's `req.headers`, such as `accept`, by which `provides` chooses a format. */
  readonly headers?: Readonly<Record<string, string>>;
}

/** Returns the headers of a call, by lower-case name. */
function readRenderOptions(options: RenderOptions, what: string): Readonly<Record<string, string>> {
  requireOptions(options, what, ['headers']);
  const { headers = {} } = options;
  if (typeof headers !== 'object' || headers === null)
    throw invalidArgument(`${what}: headers`, 'an object', headers);
  return Object.fromEntries(
    Object.entries(headers).map(([header, value]) => {
      assertHeader(header, value, `${what}: headers`);
      return [header.toLowerCase(), value];
    }),
  );
}

/** Calls a show function. */
export function renderShow(
  db: DatabaseScope,
  name: string,
  id: string | undefined,
  parameters: FunctionParameters,
  options: RenderOptions,
): Operation<RenderResult> {
  const headers = readRenderOptions(options, 'show');
  const query = parametersQuery(parameters, 'show');
  const address = functionAt(db, name, '_show', id, query);
  return render(db, () => ({ ...address, headers }));
}

/** Calls a list function with the rows of a view. */
export function renderList(
  db: DatabaseScope,
  name: string,
  view: string,
  options: ViewOptions,
  parameters: FunctionParameters,
  renderOptions: RenderOptions,
): Operation<RenderResult> {
  const headers = readRenderOptions(renderOptions, 'list');
  if (typeof view !== 'string' || view === '')
    throw invalidArgument('list: view', "'view' or 'design-document/view'", view);
  const { keys, query } = viewQuery('list', options, db.connection.codec);
  const parts = view.includes('/') ? splitName(view, 'view') : [segment(view, 'list: view')];
  if (parts === null) throw invalidArgument('list: view', "'view' or 'design-document/view'", view);
  const added = parametersQuery(parameters, 'list');
  const fullQuery = query === '' ? added : query + added.replace('?', '&');
  const template = parts.length === 1 ? '/{view}' : '/{other-ddoc}/{view}';
  const address = endpoint(functionAt(db, name, '_list'), template, fullQuery, ...parts);
  const spec = keys === undefined ? address : readByPost(address, { keys });
  return render(db, () => ({ ...spec, headers }));
}

/** Calls an update function: by POST without an id, by PUT with one. */
export function callUpdate(
  db: DatabaseScope,
  name: string,
  id: string | undefined,
  body: string | Readonly<Record<string, string | number | boolean>> | undefined,
  parameters: FunctionParameters,
): Operation<UpdateResult> {
  const query = parametersQuery(parameters, 'update');
  const address = functionAt(db, name, '_update', id, query);
  const isForm = typeof body === 'object' && body !== null;
  if (!isForm && body !== undefined && typeof body !== 'string')
    throw invalidArgument('update: body', 'text or an object', body);
  if (typeof body === 'string') requireWellFormed(body, 'update: body');
  const type = isForm ? 'application/x-www-form-urlencoded' : 'text/plain;charset=utf-8';
  const text = isForm
    ? // A form writes a space as a plus sign.
      functionQuery(body, 'update: body').replaceAll('%20', '+')
    : (body ?? '');
  return render(db, () => ({
    ...address,
    method: id === undefined ? 'POST' : 'PUT',
    headers: { 'content-type': type },
    body: text,
  })).mapValue(({ headers, body: answer }) => ({
    headers,
    body: answer,
    id: decodeId(headers['x-couch-id']),
    rev: headers['x-couch-update-newrev'] ?? null,
  }));
}

function render(db: DatabaseScope, describe: () => RequestSpec): Operation<RenderResult> {
  const { connection } = db;
  const describeWithAccept = (): RequestSpec => {
    const spec = describe();
    return { ...spec, isAnswer: isFunctionAnswer, headers: { accept: '*/*', ...spec.headers } };
  };
  return new Operation(
    connection.send(describeWithAccept, true).pipe(
      mergeMap((exchange) =>
        readBytes(exchange).pipe(
          map((bytes): Answer<RenderResult> => {
            const { headers, status: code } = exchange;
            const { 'content-type': type = '' } = headers;
            const value = { headers, body: decodeRendered(bytes, type, connection.codec) };
            return { value, code, headers };
          }),
        ),
      ),
    ),
  );
}

/**
 * Tells whether a function chose the status: a redirect, or the status of an answer for which CouchDB
 * wrote a document.
 */
function isFunctionAnswer(status: number, headers: ResponseHeaders): boolean {
  return (status >= 300 && status < 400) || headers['x-couch-update-newrev'] !== undefined;
}

const JSON_TYPE = /^application\/([\w.-]+\+)?json\b/i;
const TEXT_TYPE = /^$|^text\/|;\s*charset=|[/+](?:xml|javascript|x-www-form-urlencoded|yaml)\b/i;

/** Decodes a body by its type. CouchDB labels an answer as JSON if the function sets no type. */
function decodeRendered(bytes: Uint8Array, type: string, codec: JsonCodec): unknown {
  const isJson = JSON_TYPE.test(type);
  if (!isJson && !TEXT_TYPE.test(type)) return bytes;
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    return bytes;
  }
  if (!isJson) return text;
  try {
    return codec.parse(text);
  } catch {
    return text;
  }
}

function functionAt(
  db: DatabaseScope,
  name: unknown,
  kind: string,
  id?: string,
  query?: string,
): Endpoint {
  const parts = splitName(name, 'function');
  if (parts === null) {
    throw new TypeError(
      `The name of a function must be 'design-document/function' (received ${describeValue(name)})`,
    );
  }
  if (id !== undefined) requireId(id);
  const [ddoc, func] = parts;
  const design = designAt(db, ddoc);
  return id === undefined
    ? endpoint(design, `/${kind}/{func}`, query, func)
    : endpoint(design, `/${kind}/{func}/{docid}`, query, func, documentPath(id).slice(1));
}

function parametersQuery(parameters: FunctionParameters, what: string): string {
  const query = functionQuery(parameters, `${what}: parameters`);
  return query === '' ? '' : `?${query}`;
}

/** Decodes an id from a header, which CouchDB encodes as in a URL. */
function decodeId(id: string | undefined): string | null {
  try {
    return id === undefined ? null : decodeURIComponent(id);
  } catch {
    return id ?? null;
  }
}

/** The state of the view index of a design document. */
export interface DesignInfo {
  readonly name: string;
  /** The fields of CouchDB: `signature`, `sizes`, `compact_running`, `updater_running` and others. */
  readonly viewIndex: Readonly<Record<string, unknown>>;
}

/** Reads the state of the view index of a design document. */
export function designInfo(db: DatabaseScope, ddoc: string): Operation<DesignInfo> {
  const address = endpoint(designAt(db, designName(ddoc, 'info')), '/_info');
  return operation(
    db.connection,
    () => address,
    (body) => {
      const { name, view_index: index } = asObject(body);
      return { name: String(name), viewIndex: asObject(index) };
    },
  );
}
