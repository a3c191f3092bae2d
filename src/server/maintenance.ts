import { defer, filter, map, mergeMap, repeat, take } from 'rxjs';
import type { Answer } from '../http/exchange.ts';
import { asObject } from '../http/decode.ts';
import { Operation, operation } from '../http/operation.ts';
import type { DatabaseScope } from '../http/scope.ts';
import { segment } from '../http/url.ts';
import { mustBe } from '../model/must-be.ts';

/** How `compact` is done. */
export interface CompactOptions {
  /** Emits only when the compaction has ended. @defaultValue false */
  readonly wait?: boolean;
  /** With `wait`: how often the server is asked, in milliseconds. @defaultValue 500 */
  readonly interval?: number;
}

/** CouchDB wants the JSON content type on these, and no body. */
const AS_JSON = { 'content-type': 'application/json' };

export function cleanup(db: DatabaseScope): Operation<{ readonly ok: true }> {
  return post(db, '/_view_cleanup').mapValue(() => ({ ok: true }));
}

export function commit(db: DatabaseScope): Operation<{ readonly ok: true }> {
  return post(db, '/_ensure_full_commit').mapValue(() => ({ ok: true }));
}

export function compact(
  db: DatabaseScope,
  ddoc: string | undefined,
  options: CompactOptions,
): Operation<{ readonly ok: true }> {
  const { wait = false, interval = 500 } = options;
  if (!(interval > 0))
    throw mustBe('compact: interval', 'milliseconds above 0', interval, RangeError);
  const begin = post(db, `/_compact${ddoc === undefined ? '' : `/${designName(ddoc, 'compact')}`}`);
  if (!wait) return begin.mapValue(() => ({ ok: true }));
  const running = db.connection.json(
    () => ({
      path:
        ddoc === undefined ? db.path : `${db.path}/_design/${designName(ddoc, 'compact')}/_info`,
    }),
    (body) => {
      const info = asObject(body);
      return asObject(info['view_index'] ?? info)['compact_running'] === true;
    },
  );
  return new Operation(
    begin.status().pipe(
      map((status) => {
        if (!status.ok) throw status.exception;
      }),
      mergeMap(() =>
        defer(() => running).pipe(
          repeat({ delay: () => db.connection.after(interval) }),
          filter(({ value }) => !value),
          take(1),
        ),
      ),
      map((answer): Answer<{ readonly ok: true }> => ({ ...answer, value: { ok: true } })),
    ),
  );
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
    throw mustBe('security: value', 'an object', value);
  return operation(
    db.connection,
    () => ({ method: 'PUT', path: `${db.path}/_security`, json: value }),
    () => value,
  );
}

/** Has the server do something that takes no body. */
export function post(
  db: DatabaseScope,
  path: string,
): Operation<Readonly<Record<string, unknown>>> {
  return operation(
    db.connection,
    () => ({ method: 'POST', path: db.path + path, headers: AS_JSON, body: '' }),
    asObject,
  );
}

/** Encodes the name of a design document, with or without the `_design/` before it. */
export function designName(ddoc: unknown, what: string): string {
  const name = typeof ddoc === 'string' ? ddoc.replace(/^_design\//, '') : '';
  if (name === '') throw mustBe(`${what}: ddoc`, 'the name of a design document', ddoc);
  return segment(name);
}
