import { defer, filter, map, mergeMap, repeat, take } from 'rxjs';
import type { Answer } from '../http/exchange.ts';
import { asObject } from '../http/decode.ts';
import { Operation, operation } from '../http/operation.ts';
import type { DatabaseScope } from '../http/scope.ts';
import { designName } from '../http/url.ts';
import { invalidArgument } from '../model/invalid-argument.ts';

/** The options of `compact`. */
export interface CompactOptions {
  /** Whether it emits when the compaction has ended, instead of started. @defaultValue false */
  readonly wait?: boolean;
  /** With `wait`: the time between two polls, in milliseconds. @defaultValue 500 */
  readonly interval?: number;
}

/** CouchDB requires the JSON content type for these requests, although they have no body. */
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
  if (typeof interval !== 'number' || !(interval > 0))
    throw invalidArgument('compact: interval', 'milliseconds above 0', interval, RangeError);
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

/** Sends a POST request without a body. */
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
