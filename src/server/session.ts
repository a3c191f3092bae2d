import {
  ReplaySubject,
  catchError,
  defer,
  distinctUntilChanged,
  map,
  of,
  retry,
  share,
  startWith,
  switchMap,
  throwError,
} from 'rxjs';
import type { Observable } from 'rxjs';
import { ConnectionError } from '../errors/connection-error.ts';
import type { RequestSummary } from '../errors/corduroy-error.ts';
import { isTransient } from '../errors/corduroy-error.ts';
import { isUnauthorized } from '../errors/http-error.ts';
import { nameAndPassword } from '../http/auth.ts';
import type { Connection } from '../http/connection.ts';
import { asArray, asObject } from '../http/decode.ts';
import { Operation, operation } from '../http/operation.ts';
import { SESSION } from '../http/url.ts';
import { backoff } from '../operators/retry-policy.ts';

/** The current user, as the server authenticated the request. */
export interface Session {
  /** The user's name. `null` means anonymous. */
  readonly name: string | null;
  readonly roles: readonly string[];
  /** The method: `'cookie'`, `'default'` (Basic), `'jwt'`, `'proxy'`… `null` means anonymous. */
  readonly authenticated: string | null;
}

const ANONYMOUS: Session = { name: null, roles: [], authenticated: null };

export function readSession(connection: Connection): Operation<Session> {
  return operation(
    connection,
    () => SESSION,
    (body) => {
      const { info, userCtx } = asObject(body);
      const { authenticated } = asObject(info ?? {});
      return {
        ...decodeUser(userCtx),
        authenticated: typeof authenticated === 'string' ? authenticated : null,
      };
    },
  );
}

export function logIn(
  connection: Connection,
  username: string,
  password: string,
): Operation<Session> {
  const user = nameAndPassword({ username, password }, 'login');
  return new Operation(
    connection.authenticator.logIn(
      user,
      (reading) =>
        connection.decode(reading, (body) => {
          const { name, roles } = decodeUser(body);
          // Some CouchDB versions omit the names of administrators.
          return { name: name ?? username, roles, authenticated: 'cookie' };
        }),
      (present, { value }) =>
        connection.decode(present, (body) => {
          const { name } = asObject(asObject(body)['userCtx']);
          if (name !== value.name) throw droppedCookie(present.exchange.request);
        }),
    ),
  );
}

/** Makes the error of a login after which the browser does not send the cookie. */
function droppedCookie(request: RequestSummary): ConnectionError {
  const hint =
    'A page of another site gets its cookie only over https, with [couch_httpd_auth] same_site = ' +
    'none in CouchDB, and if the browser allows third-party cookies. A proxy that serves CouchDB ' +
    "on the page's own origin needs none of these";
  const message = `POST ${request.url}: the browser did not keep the session's cookie. ${hint}`;
  return new ConnectionError(message, { request: { ...request, method: 'POST' }, hint });
}

export function logOut(connection: Connection): Operation<{ readonly ok: true }> {
  const logOut$ = connection.authenticator.logOut();
  return new Operation(
    logOut$.pipe(map((reading) => connection.decode(reading, () => ({ ok: true as const })))),
  );
}

/** Emits the current session, and each new one. Shared. */
export function watchSession(connection: Connection): Observable<Session> {
  const current$ = defer(() => readSession(connection)).pipe(
    retry({
      delay: (error: unknown, failures) =>
        isTransient(error) ? connection.after(backoff(failures)) : throwError(() => error),
    }),
    catchError((error: unknown) =>
      isUnauthorized(error) ? of(ANONYMOUS) : throwError(() => error),
    ),
  );
  return connection.authenticator.turns$.pipe(
    startWith(undefined),
    switchMap(() => current$),
    distinctUntilChanged(isSame),
    share({ connector: () => new ReplaySubject<Session>(1) }),
  );
}

function decodeUser(body: unknown): Pick<Session, 'name' | 'roles'> {
  const { name, roles } = asObject(body);
  return {
    name: typeof name === 'string' ? name : null,
    roles: asArray(roles, "an array as 'roles'").map(String),
  };
}

function isSame(one: Session, other: Session): boolean {
  return JSON.stringify(one) === JSON.stringify(other);
}
