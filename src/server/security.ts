import { defer, map, mergeMap, of, retry, throwError } from 'rxjs';
import type { MonoTypeOperatorFunction, Observable } from 'rxjs';
import { httpError, redactHeaders } from '../errors/from-response.ts';
import { isConflict } from '../errors/http-error.ts';
import type { Answer } from '../http/exchange.ts';
import { Operation } from '../http/operation.ts';
import type { DatabaseScope } from '../http/scope.ts';
import { assertQuery } from '../model/json.ts';
import { invalidArgument } from '../model/invalid-argument.ts';
import { backoff } from '../operators/retry-policy.ts';
import { serialize } from '../operators/batcher.ts';
import { asObject } from '../http/decode.ts';
import { operation } from '../http/operation.ts';
import { endpoint } from '../http/url.ts';

/** The security object of a database: its administrators, and its members, who read and write. */
export interface Security {
  readonly admins?: { readonly names?: readonly string[]; readonly roles?: readonly string[] };
  readonly members?: { readonly names?: readonly string[]; readonly roles?: readonly string[] };
  readonly [field: string]: unknown;
}

const SECURITY = '/_security';

export function readSecurity(db: DatabaseScope): Operation<Security> {
  return operation(
    db.connection,
    () => endpoint(db, SECURITY),
    (body) => asObject(body) as Security,
  );
}

export function writeSecurity(db: DatabaseScope, value: Security): Operation<Security> {
  if (typeof value !== 'object' || value === null)
    throw invalidArgument('security: value', 'an object', value);
  // Without its members, a database is open to all users.
  assertQuery(value, 'security: value', db.connection.codec);
  return operation(
    db.connection,
    () => ({ ...endpoint(db, SECURITY), method: 'PUT', repeatable: true, json: value }),
    () => value,
  );
}

/** Names of users, and roles. */
export interface NamesAndRoles {
  readonly names?: readonly string[];
  readonly roles?: readonly string[];
}

/**
 * The entries to add or to remove: of the members, who read and write, or of the administrators.
 */
export interface Grant {
  readonly members?: NamesAndRoles;
  readonly admins?: NamesAndRoles;
}

/** Returns a list with the granted entries added, or without the revoked ones. */
type ListEdit = (list: readonly string[], entries: readonly string[]) => readonly string[];

const GROUPS = ['admins', 'members'] as const;
const KINDS = ['names', 'roles'] as const;
/** How often an edit that another client has overwritten is repeated. */
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
 * Reads, edits, writes, and reads back. The security object has no revision, so the server cannot
 * detect concurrent writes. Edits of one connection run one after the other; an edit that another
 * client has overwritten is repeated.
 */
function edit(db: DatabaseScope, entries: Grant, editList: ListEdit): Operation<Security> {
  const { connection } = db;
  const read = (): Observable<Answer<Security>> => readSecurity(db).answers();
  const attempt = defer(read).pipe(
    mergeMap((answer) => {
      const value = applyEdit(answer.value, entries, editList);
      if (isSame(answer.value, value)) return of(answer);
      return writeSecurity(db, value).answers().pipe(mergeMap(read), map(requireEdited));
    }),
  );
  const requireEdited = (answer: Answer<Security>): Answer<Security> => {
    if (isSame(answer.value, applyEdit(answer.value, entries, editList))) return answer;
    const request = { method: 'PUT', url: connection.url + endpoint(db, SECURITY).path };
    const reason = 'another client has overwritten the change';
    const headers = redactHeaders(answer.headers, connection.redact);
    throw httpError({ status: 409, error: 'conflict', reason, headers, request });
  };
  return new Operation(
    attempt.pipe(
      retry({
        count: ATTEMPTS - 1,
        delay: (error: unknown, failures) =>
          isConflict(error)
            ? connection.after(backoff(failures, BACKOFF))
            : throwError(() => error),
      }),
      queueOf(db),
    ),
  );
}

/** Applies the edit. Lists without an entry stay as they are. */
function applyEdit(security: Security, entries: Grant, editList: ListEdit): Security {
  const edited: Record<string, unknown> = { ...security };
  for (const group of GROUPS) {
    const lists: Record<string, readonly string[]> = { ...security[group] };
    for (const kind of KINDS) {
      const entry = entries[group]?.[kind];
      if (entry !== undefined) lists[kind] = editList(lists[kind] ?? [], entry);
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

type Queue = MonoTypeOperatorFunction<Answer<Security>>;
const queues = new WeakMap<object, Map<string, Queue>>();

/** Returns the operator that runs the edits of a database one after the other. */
function queueOf({ connection, path }: DatabaseScope): Queue {
  const queuesByPath = queues.get(connection.shared) ?? new Map<string, Queue>();
  queues.set(connection.shared, queuesByPath);
  const queue = queuesByPath.get(path) ?? serialize();
  queuesByPath.set(path, queue);
  return queue;
}

function requireGrant(entries: Grant, method: string): void {
  if (typeof entries !== 'object' || entries === null)
    throw invalidArgument(`${method}: entries`, 'an object with members or admins', entries);
  const groups = Object.entries(entries);
  if (groups.length === 0) throw new TypeError(`${method}: entries must have members or admins`);
  for (const [group, lists] of groups) {
    if (!GROUPS.some((known) => known === group)) {
      throw new TypeError(`${method}: unknown group '${group}'; use members or admins`);
    }
    for (const [kind, list] of Object.entries((lists ?? {}) as NamesAndRoles)) {
      if (!KINDS.some((known) => known === kind)) {
        throw new TypeError(`${method}: unknown list '${kind}' of ${group}; use names or roles`);
      }
      if (!Array.isArray(list) || !list.every((one) => typeof one === 'string' && one !== '')) {
        throw invalidArgument(`${method}: ${group}.${kind}`, 'a list of names', list);
      }
    }
  }
}
