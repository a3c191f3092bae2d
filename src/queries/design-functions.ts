import { map, mergeMap } from 'rxjs';
import { readBytes } from '../http/exchange.ts';
import type { Answer, RequestSpec } from '../http/exchange.ts';
import { asObject } from '../http/decode.ts';
import { Operation, operation } from '../http/operation.ts';
import type { DatabaseScope } from '../http/scope.ts';
import type { ResponseHeaders } from '../http/transport.ts';
import { designName, documentPath, requireId, segment } from '../http/url.ts';
import { invalidArgument, describeValue } from '../model/invalid-argument.ts';
import { viewQuery } from './view.ts';
import type { ViewOptions } from './view.ts';

/** The answer of a show, list or update function. */
export interface RenderResult {
  readonly headers: ResponseHeaders;
  /** The decoded value if the function answered with JSON, otherwise the text. */
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
export type FunctionParameters = Readonly<Record<string, string | number | boolean | undefined>>;

/** Calls a show function. */
export function renderShow(
  db: DatabaseScope,
  name: string,
  id: string | undefined,
  parameters: FunctionParameters,
): Operation<RenderResult> {
  const path = functionPath(db, name, '_show', id) + parametersQuery(parameters);
  return render(db, () => ({ path }));
}

/** Calls a list function with the rows of a view. */
export function renderList(
  db: DatabaseScope,
  name: string,
  view: string,
  options: ViewOptions,
  parameters: FunctionParameters,
): Operation<RenderResult> {
  if (typeof view !== 'string' || view === '')
    throw invalidArgument('list: view', "'view' or 'design-document/view'", view);
  const { keys, query } = viewQuery('list', options);
  const viewSegments = view.split('/').map(segment).join('/');
  const functionQuery = parametersQuery(parameters);
  const fullQuery = query === '' ? functionQuery : query + functionQuery.replace('?', '&');
  const path = `${functionPath(db, name, '_list', undefined)}/${viewSegments}${fullQuery}`;
  return render(db, () =>
    keys === undefined ? { path } : { method: 'POST', path, json: { keys } },
  );
}

/** Calls an update function: by POST without an id, by PUT with one. */
export function callUpdate(
  db: DatabaseScope,
  name: string,
  id: string | undefined,
  body: string | Readonly<Record<string, string | number | boolean>> | undefined,
  parameters: FunctionParameters,
): Operation<UpdateResult> {
  const path = functionPath(db, name, '_update', id) + parametersQuery(parameters);
  const isForm = typeof body === 'object' && body !== null;
  if (!isForm && body !== undefined && typeof body !== 'string')
    throw invalidArgument('update: body', 'text or an object', body);
  const type = isForm ? 'application/x-www-form-urlencoded' : 'text/plain;charset=utf-8';
  const text = isForm
    ? new URLSearchParams(
        Object.entries(body).map(([key, value]) => [key, String(value)]),
      ).toString()
    : (body ?? '');
  return render(db, () => ({
    method: id === undefined ? 'POST' : 'PUT',
    path,
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
  const describeWithAccept = (): RequestSpec => {
    const spec = describe();
    return { ...spec, headers: { accept: '*/*', ...spec.headers } };
  };
  return new Operation(
    db.connection.send(describeWithAccept).pipe(
      mergeMap((exchange) =>
        readBytes(exchange).pipe(
          map((bytes): Answer<RenderResult> => {
            const { headers, status: code } = exchange;
            const text = new TextDecoder().decode(bytes);
            const isJson = /^application\/json\b/.test(headers['content-type'] ?? '');
            const value = { headers, body: isJson ? db.connection.codec.parse(text) : text };
            return { value, code, headers };
          }),
        ),
      ),
    ),
  );
}

function functionPath(
  db: DatabaseScope,
  name: unknown,
  kind: string,
  id: string | undefined,
): string {
  const slash = typeof name === 'string' ? name.indexOf('/') : -1;
  if (typeof name !== 'string' || slash < 1 || slash === name.length - 1) {
    throw new TypeError(
      `The name of a function must be 'design-document/function' (received ${describeValue(name)})`,
    );
  }
  if (id !== undefined) requireId(id);
  const path = `${db.path}/_design/${segment(name.slice(0, slash))}/${kind}/${segment(name.slice(slash + 1))}`;
  return id === undefined ? path : path + documentPath(id);
}

function parametersQuery(parameters: FunctionParameters): string {
  const pairs = Object.entries(parameters)
    .filter(([, value]) => value !== undefined)
    .map(([name, value]) => `${segment(name)}=${segment(String(value))}`);
  return pairs.length === 0 ? '' : `?${pairs.join('&')}`;
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
  const path = `${db.path}/_design/${designName(ddoc, 'info')}/_info`;
  return operation(
    db.connection,
    () => ({ path }),
    (body) => {
      const { name, view_index: index } = asObject(body);
      return { name: String(name), viewIndex: asObject(index) };
    },
  );
}
