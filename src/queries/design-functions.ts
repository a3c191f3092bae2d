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

/** What a show, list or update function answered. */
export interface RenderResult {
  readonly headers: ResponseHeaders;
  /** The decoded value where the function said it was JSON; else the text. */
  readonly body: unknown;
}

/** What an update function answered, and what became of the document. */
export interface UpdateResult extends RenderResult {
  /** The id and the revision of the document that was written; null where none was. */
  readonly id: string | null;
  readonly rev: string | null;
}

/** Parameters for a show, list or update function: its `req.query`. */
export type FunctionParameters = Readonly<Record<string, string | number | boolean | undefined>>;

export function renderShow(
  db: DatabaseScope,
  name: string,
  id: string | undefined,
  parameters: FunctionParameters,
): Operation<RenderResult> {
  const path = functionPath(db, name, '_show', id) + parametersQuery(parameters);
  return rendered(db, () => ({ path }));
}

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
  const below = view.split('/').map(segment).join('/');
  const more = parametersQuery(parameters);
  const path = `${functionPath(db, name, '_list', undefined)}/${below}${query}${query === '' ? more : more.replace('?', '&')}`;
  return rendered(db, () =>
    keys === undefined ? { path } : { method: 'POST', path, json: { keys } },
  );
}

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
  return rendered(db, () => ({
    method: id === undefined ? 'POST' : 'PUT',
    path,
    headers: { 'content-type': type },
    body: text,
  })).mapValue(({ headers, body: answer }) => ({
    headers,
    body: answer,
    id: decoded(headers['x-couch-id']),
    rev: headers['x-couch-update-newrev'] ?? null,
  }));
}

function rendered(db: DatabaseScope, describe: () => RequestSpec): Operation<RenderResult> {
  const asking = (): RequestSpec => {
    const spec = describe();
    return { ...spec, headers: { accept: '*/*', ...spec.headers } };
  };
  return new Operation(
    db.connection.send(asking).pipe(
      mergeMap(({ body, headers, status: code }) =>
        readBytes(body).pipe(
          map((bytes): Answer<RenderResult> => {
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
      `Not a function: ${describeValue(name)}; it is named 'design-document/function'`,
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

/** CouchDB encodes an id that it puts in a header, as it would in a URL. */
function decoded(id: string | undefined): string | null {
  try {
    return id === undefined ? null : decodeURIComponent(id);
  } catch {
    return id ?? null;
  }
}

/** What the server knows of a design document's index. */
export interface DesignInfo {
  readonly name: string;
  /** `signature`, `sizes`, `compact_running`, `updater_running`, `waiting_clients`… */
  readonly viewIndex: Readonly<Record<string, unknown>>;
}

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
