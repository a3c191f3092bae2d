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
import { isTransient } from '../errors/corduroy-error.ts';
import { isUnauthorized } from '../errors/http-error.ts';
import { nameAndPassword } from '../http/auth.ts';
import type { Connection } from '../http/connection.ts';
import { asArray, asObject } from '../http/decode.ts';
import { Operation, operation } from '../http/operation.ts';
import { backoff } from '../operators/retry-policy.ts';

/** For whom the server takes those who ask. */
export interface Session {
  /** The user's name; null for nobody in particular. */
  readonly name: string | null;
  readonly roles: readonly string[];
  /** How that was shown: `'cookie'`, `'default'` (Basic), `'jwt'`, `'proxy'`…; null for nobody. */
  readonly authenticated: string | null;
}

const NOBODY: Session = { name: null, roles: [], authenticated: null };

export function readSession(connection: Connection): Operation<Session> {
  return operation(
    connection,
    () => ({ path: '/_session' }),
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
    connection.authenticator.logIn(user, (reading) =>
      connection.decode(reading, (body) => {
        const { name, roles } = decodeUser(body);
        // Some versions do not tell the names of administrators.
        return { name: name ?? username, roles, authenticated: 'cookie' };
      }),
    ),
  );
}

export function logOut(connection: Connection): Operation<{ readonly ok: true }> {
  const logOut$ = connection.authenticator.logOut();
  return new Operation(
    logOut$.pipe(map((reading) => connection.decode(reading, () => ({ ok: true as const })))),
  );
}

/** Emits the session, and each other one that there is from then on. Shared. */
export function watchSession(connection: Connection): Observable<Session> {
  const present = defer(() => readSession(connection)).pipe(
    retry({
      delay: (error: unknown, failures) =>
        isTransient(error) ? connection.after(backoff(failures)) : throwError(() => error),
    }),
    catchError((error: unknown) => (isUnauthorized(error) ? of(NOBODY) : throwError(() => error))),
  );
  return connection.authenticator.turns$.pipe(
    startWith(undefined),
    switchMap(() => present),
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
