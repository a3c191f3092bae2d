import { defer, map, mergeMap, of, retry, throwError } from 'rxjs';
import type { MonoTypeOperatorFunction, Observable } from 'rxjs';
import { httpError } from '../errors/from-response.ts';
import { isConflict } from '../errors/http-error.ts';
import type { Connection } from '../http/connection.ts';
import type { Answer } from '../http/exchange.ts';
import { Operation } from '../http/operation.ts';
import type { DatabaseScope } from '../http/scope.ts';
import { invalidArgument } from '../model/invalid-argument.ts';
import { backoff } from '../operators/retry-policy.ts';
import { serialize } from '../operators/batcher.ts';
import { asObject } from '../http/decode.ts';
import { operation } from '../http/operation.ts';

/** Who may read and write a database. */
export interface Security {
  readonly admins?: { readonly names?: readonly string[]; readonly roles?: readonly string[] };
  readonly members?: { readonly names?: readonly string[]; readonly roles?: readonly string[] };
  readonly [field: string]: unknown;
}

export function readSecurity(db: DatabaseScope): Operation<Security> {
  return operation(
    db.connection,
    () => ({ path: `${db.path}/_security` }),
    (body) => asObject(body) as Security,
  );
}

export function writeSecurity(db: DatabaseScope, value: Security): Operation<Security> {
  if (typeof value !== 'object' || value === null)
    throw invalidArgument('security: value', 'an object', value);
  return operation(
    db.connection,
    () => ({ method: 'PUT', path: `${db.path}/_security`, json: value }),
    () => value,
  );
}

/** Names of users, and of roles. */
export interface NamesAndRoles {
  readonly names?: readonly string[];
  readonly roles?: readonly string[];
}

/** Who is to be let in, or no longer: as members, who read and write, or as administrators. */
export interface Grant {
  readonly members?: NamesAndRoles;
  readonly admins?: NamesAndRoles;
}

/** Adds to a list what is to be granted, or takes from it what is to be revoked. */
type Edit = (list: readonly string[], entries: readonly string[]) => readonly string[];

const GROUPS = ['admins', 'members'] as const;
const KINDS = ['names', 'roles'] as const;
/** How often what somebody else has written over is written again. */
const ATTEMPTS = 10;
const BACKOFF = { initialDelay: 50, maxDelay: 1000 };

export function grant(db: DatabaseScope, entries: Grant): Operation<Security> {
  requireGrant(entries, 'grant');
  return edit(db, entries, (list, added) => [...new Set([...list, ...added])]);
}

export function revoke(db: DatabaseScope, entries: Grant): Operation<Security> {
  requireGrant(entries, 'revoke');
  return edit(db, entries, (list, removed) => list.filter((one) => !removed.includes(one)));
}

/**
 * Reads, edits, writes, and reads again whether it is still there. The object has no revision by
 * which the server could refuse what was read before somebody else wrote: of one connection one edit
 * goes after the other, and what others wrote over in between is done again.
 */
function edit(db: DatabaseScope, entries: Grant, change: Edit): Operation<Security> {
  const { connection } = db;
  const read = (): Observable<Answer<Security>> => readSecurity(db).answers();
  const once = defer(read).pipe(
    mergeMap((answer) => {
      const value = apply(answer.value, entries, change);
      if (isSame(answer.value, value)) return of(answer);
      return writeSecurity(db, value).answers().pipe(mergeMap(read), map(settle));
    }),
  );
  const settle = (answer: Answer<Security>): Answer<Security> => {
    if (isSame(answer.value, apply(answer.value, entries, change))) return answer;
    const request = { method: 'PUT', url: `${connection.url}${db.path}/_security` };
    const reason = 'somebody else has written over it';
    throw httpError({ status: 409, error: 'conflict', reason, headers: answer.headers, request });
  };
  return new Operation(
    once.pipe(
      retry({
        count: ATTEMPTS - 1,
        delay: (error: unknown, failures) =>
          isConflict(error)
            ? connection.after(backoff(failures, BACKOFF))
            : throwError(() => error),
      }),
      turnsOf(db),
    ),
  );
}

/** Makes the edit; the lists that nothing is said of stay as they are. */
function apply(security: Security, entries: Grant, change: Edit): Security {
  const edited: Record<string, unknown> = { ...security };
  for (const group of GROUPS) {
    const lists: Record<string, readonly string[]> = { ...security[group] };
    for (const kind of KINDS) {
      const entry = entries[group]?.[kind];
      if (entry !== undefined) lists[kind] = change(lists[kind] ?? [], entry);
    }
    if (entries[group] !== undefined) edited[group] = lists;
  }
  return edited;
}

function isSame(one: Security, other: Security): boolean {
  return GROUPS.every((group) =>
    KINDS.every((kind) => String(one[group]?.[kind] ?? []) === String(other[group]?.[kind] ?? [])),
  );
}

type Turns = MonoTypeOperatorFunction<Answer<Security>>;
const turns = new WeakMap<Connection, Map<string, Turns>>();

function turnsOf({ connection, path }: DatabaseScope): Turns {
  const known = turns.get(connection) ?? new Map<string, Turns>();
  turns.set(connection, known);
  const turn = known.get(path) ?? serialize();
  known.set(path, turn);
  return turn;
}

function requireGrant(entries: Grant, what: string): void {
  if (typeof entries !== 'object' || entries === null)
    throw invalidArgument(what, 'an object', entries);
  const groups = Object.entries(entries);
  if (groups.length === 0) throw new TypeError(`${what} needs members or admins`);
  for (const [group, lists] of groups) {
    if (!GROUPS.some((known) => known === group)) {
      throw new TypeError(`${what}: unknown group '${group}'; there are members and admins`);
    }
    for (const [kind, list] of Object.entries((lists ?? {}) as NamesAndRoles)) {
      if (!KINDS.some((known) => known === kind)) {
        throw new TypeError(`${what}: ${group} has names and roles, and no '${kind}'`);
      }
      if (!Array.isArray(list) || !list.every((one) => typeof one === 'string' && one !== '')) {
        throw invalidArgument(`${what}: ${group}.${kind}`, 'a list of names', list);
      }
    }
  }
}
