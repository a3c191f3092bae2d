import { catchError, defer, distinctUntilChanged, map, repeat, takeWhile, tap } from 'rxjs';
import type { Observable } from 'rxjs';
import { Pace } from '../changes/pace.ts';
import type { ErrorTolerance } from '../changes/pace.ts';
import { patiently } from '../changes/patience.ts';
import { httpError } from '../errors/from-response.ts';
import type { HTTPError } from '../errors/http-error.ts';
import { isNotFound } from '../errors/status-errors.ts';
import type { Connection } from '../http/connection.ts';
import { text, toBody } from '../http/query.ts';
import type { Parameter } from '../http/query.ts';
import { mustBe } from '../model/must-be.ts';
import type { BackoffOptions } from '../operators/backoff.ts';
import { readReplicationStatus } from './replication-status.ts';
import type { ReplicationState, ReplicationStatus } from './replication-status.ts';
import { docPath } from './scheduler.ts';

/** How a replication is watched. */
export interface ReplicationStatesOptions {
  /** The database of its document, as in `'team/_replicator'`. @defaultValue '_replicator' */
  readonly replicator?: string;
  /** How long after an answer the server is asked again, in milliseconds. @defaultValue 1000 */
  readonly interval?: number;
  /** How long to wait after a failure of the network or the server. */
  readonly backoff?: BackoffOptions;
  /** How long such failures are put up with, in milliseconds. @defaultValue 'always' */
  readonly errorTolerance?: ErrorTolerance;
}

const interval: Parameter = (value, name) => {
  if (typeof value === 'number' && value > 0 && value < Infinity) return String(value);
  throw mustBe(name, 'milliseconds above 0', value, RangeError);
};
const tolerance: Parameter = (value, name) => {
  if (value === 'always' || (typeof value === 'number' && value >= 0)) return String(value);
  throw mustBe(name, "'always' or milliseconds from 0", value, RangeError);
};
const OPTIONS = {
  replicator: text,
  interval,
  backoff: (): string => '',
  errorTolerance: tolerance,
};

const ENDS: ReadonlySet<ReplicationState> = new Set<ReplicationState>(['completed', 'failed']);

/** Asks the scheduler again and again what a replication is doing, until it has ended. */
export function replicationStates(
  connection: Connection,
  id: string,
  options: ReplicationStatesOptions,
): Observable<ReplicationStatus> {
  toBody(OPTIONS, options, 'replication$');
  const { replicator = '_replicator', interval: pause = 1000 } = options;
  const { backoff = {}, errorTolerance = 'always' } = options;
  const path = docPath(replicator, id, 'replication$');
  return defer(() => {
    const pace = new Pace(backoff, errorTolerance, () => connection.scheduler.now());
    let seen = false;
    return connection
      .json(() => ({ path }), readReplicationStatus)
      .pipe(
        map(({ value }) => value),
        tap(() => (seen = true)),
        catchError((error: unknown) => {
          throw seen && isNotFound(error) ? deleted(error) : error;
        }),
        patiently(connection, pace),
        repeat({ delay: () => connection.after(pause) }),
        takeWhile(({ state }) => !ENDS.has(state), true),
        distinctUntilChanged(isSame),
      );
  });
}

/** The scheduler knows only that there is no such document; we know that there was one. */
function deleted({ headers, request }: HTTPError): HTTPError {
  return httpError({ status: 404, error: 'not_found', reason: 'deleted', headers, request });
}

/** Answers are written anew each time, always with the same fields in the same order. */
function isSame(a: ReplicationStatus, b: ReplicationStatus): boolean {
  return JSON.stringify(a.raw) === JSON.stringify(b.raw);
}
