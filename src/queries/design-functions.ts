import { map, mergeMap } from 'rxjs';
import { readBytes } from '../http/body.ts';
import type { Answer, RequestSpec } from '../http/exchange.ts';
import { Operation } from '../http/operation.ts';
import type { DatabaseScope } from '../http/scope.ts';
import type { ResponseHeaders } from '../http/transport.ts';
import { documentPath, requireId, segment } from '../http/url.ts';
import { mustBe, show } from '../model/must-be.ts';
import { viewQuery } from './view.ts';
import type { ViewOptions } from './view.ts';

/** What a show, list or update function answered. */
export interface Rendered {
  readonly headers: ResponseHeaders;
  /** The decoded value where the function said it was JSON; else the text. */
  readonly body: unknown;
}

/** What an update function answered, and what became of the document. */
export interface Updated extends Rendered {
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
): Operation<Rendered> {
  const path = functionPath(db, name, '_show', id) + parametersQuery(parameters);
  return rendered(db, () => ({ path }));
}

export function renderList(
  db: DatabaseScope,
  name: string,
  view: string,
  options: ViewOptions,
  parameters: FunctionParameters,
): Operation<Rendered> {
  if (typeof view !== 'string' || view === '')
    throw mustBe('list: view', "'view' or 'design-document/view'", view);
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
): Operation<Updated> {
  const path = functionPath(db, name, '_update', id) + parametersQuery(parameters);
  const isForm = typeof body === 'object' && body !== null;
  if (!isForm && body !== undefined && typeof body !== 'string')
    throw mustBe('update: body', 'text or an object', body);
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

function rendered(db: DatabaseScope, describe: () => RequestSpec): Operation<Rendered> {
  const asking = (): RequestSpec => {
    const spec = describe();
    return { ...spec, headers: { accept: '*/*', ...spec.headers } };
  };
  return new Operation(
    db.connection.send(asking).pipe(
      mergeMap(({ body, headers, status: code }) =>
        readBytes(body).pipe(
          map((bytes): Answer<Rendered> => {
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
    throw new TypeError(`Not a function: ${show(name)}; it is named 'design-document/function'`);
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
