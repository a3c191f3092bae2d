import type { Observable } from 'rxjs';
import { httpError } from '../errors/from-response.ts';
import type { HTTPError } from '../errors/http-error.ts';
import type { Coalescing } from '../http/coalescing.ts';
import type { Connection } from '../http/connection.ts';
import type { Exchange } from '../http/exchange.ts';
import type { DatabaseScope } from '../http/scope.ts';
import { Gatherer, gathered } from '../operators/gather.ts';
import type { Gathering } from '../operators/gather.ts';

type Gatherers = Map<string, unknown>;

const registries = new WeakMap<Connection, Gatherers>();

/**
 * Sends an item together with others of its kind: whatever database objects they were asked of, if
 * they are of one database and one connection.
 *
 * @param kind - Tells what can be sent together: the request but for the items.
 */
export function coalesced<Item, Result>(
  { connection, path }: DatabaseScope,
  options: Coalescing,
  kind: string,
  item: () => Item,
  gathering: Omit<Gathering<Item, Result>, 'maxWait' | 'scheduler'>,
): Observable<Result> {
  const { maxWait, maxSize = gathering.maxSize, scheduler } = options;
  const key = `${kind} ${path} ${maxWait} ${maxSize}`;
  return gathered(() => {
    const gatherers: Gatherers = registries.get(connection) ?? new Map<string, unknown>();
    registries.set(connection, gatherers);
    const known = gatherers.get(key) as Gatherer<Item, Result> | undefined;
    if (known !== undefined) return known;
    const made = new Gatherer<Item, Result>({ ...gathering, maxWait, maxSize, scheduler }, () =>
      gatherers.delete(key),
    );
    gatherers.set(key, made);
    return made;
  }, item);
}

const STATUS: Readonly<Record<string, number>> = {
  not_found: 404,
  conflict: 409,
  forbidden: 403,
  unauthorized: 401,
  bad_request: 400,
  illegal_docid: 400,
  doc_validation: 400,
  document_too_large: 413,
  missing_stub: 412,
};

/** Makes the error that a request of its own would have had: where it would have been sent to. */
export function errorOfOne(
  { error, reason }: { readonly error: string; readonly reason: string },
  { headers }: Exchange,
  { redact, url }: Connection,
  method: 'GET' | 'PUT',
  path: string,
): HTTPError {
  return httpError({
    status: STATUS[error] ?? 500,
    error: redact(error),
    reason: redact(reason),
    headers,
    request: { method, url: redact(url + path) },
  });
}
