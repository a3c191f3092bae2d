import { catchError, defer, distinctUntilChanged, map, repeat, takeWhile, tap } from 'rxjs';
import type { Observable } from 'rxjs';
import { httpError } from '../errors/from-response.ts';
import { isNotFound } from '../errors/http-error.ts';
import type { HTTPError } from '../errors/http-error.ts';
import type { Connection } from '../http/connection.ts';
import { asObject, numberOrNull, stringField } from '../http/decode.ts';
import { text as textParameter, toBody } from '../http/query.ts';
import type { Parameter } from '../http/query.ts';
import type { Sequence } from '../model/change.ts';
import { invalidArgument, describeValue } from '../model/invalid-argument.ts';
import { isDotSegment, requireDatabaseName, requireId, segment } from '../http/url.ts';
import { retryTransient } from '../http/retry-transient.ts';
import { RetryPolicy } from '../operators/retry-policy.ts';
import type { BackoffOptions, ErrorTolerance } from '../operators/retry-policy.ts';

/**
 * What a replication is doing. It goes on from all of them by itself but from `'completed'` and
 * `'failed'`, which are its end.
 *
 * @see https://docs.couchdb.org/en/stable/replication/replicator.html#replication-states
 */
export type ReplicationState =
  'initializing' | 'pending' | 'running' | 'crashing' | 'error' | 'completed' | 'failed';

/** What a replication has done since it began. */
export interface ReplicationCounts {
  readonly revisionsChecked: number;
  readonly missingRevisionsFound: number;
  readonly docsRead: number;
  readonly docsWritten: number;
  readonly docWriteFailures: number;
  /** How many changes of the source are still to come; null where the server does not know. */
  readonly changesPending: number | null;
  /** The sequence of the source up to which everything has been copied for good. */
  readonly checkpointedSourceSeq: Sequence | null;
}

/** A document of a `_replicator` database, and the replication that it describes. */
export interface ReplicationStatus {
  /** The id of the document. */
  readonly id: string;
  /** The database that it is in. */
  readonly replicator: string;
  readonly state: ReplicationState;
  /** The id of the job by which the scheduler knows it; null before there is one, and at the end. */
  readonly jobId: string | null;
  /** Where from and where to, without credentials; null where the server does not say. */
  readonly source: string | null;
  readonly target: string | null;
  /** The node that it runs on, or null. */
  readonly node: string | null;
  /** How often in a row it has failed; the server waits the longer the more often. */
  readonly errorCount: number;
  /** Why it is `'crashing'`, `'error'` or `'failed'`; null in other states. */
  readonly error: string | null;
  /** Null where nothing has been counted yet. */
  readonly counts: ReplicationCounts | null;
  /** When it began, and when its state was new: in ISO 8601, to the second. */
  readonly startTime: string | null;
  readonly lastUpdated: string | null;
  /** The answer as the server gave it. */
  readonly raw: Readonly<Record<string, unknown>>;
}

export function readReplicationStatus(body: unknown): ReplicationStatus {
  const raw = asObject(body);
  return {
    id: stringField(raw, 'doc_id'),
    replicator: text(raw['database']) ?? '_replicator',
    // A document that the scheduler has not looked at has no state.
    state: (text(raw['state']) ?? 'initializing') as ReplicationState,
    jobId: text(raw['id']),
    source: text(raw['source']),
    target: text(raw['target']),
    node: text(raw['node']),
    errorCount: Number(raw['error_count'] ?? 0),
    error: readError(raw['info']),
    counts: readCounts(raw['info']),
    startTime: text(raw['start_time']),
    lastUpdated: text(raw['last_updated']),
    raw,
  };
}

export function readCounts(info: unknown): ReplicationCounts | null {
  if (typeof info !== 'object' || info === null || !('docs_read' in info)) return null;
  const raw = asObject(info);
  const count = (name: string): number => Number(raw[name] ?? 0);
  return {
    revisionsChecked: count('revisions_checked'),
    missingRevisionsFound: count('missing_revisions_found'),
    docsRead: count('docs_read'),
    docsWritten: count('docs_written'),
    docWriteFailures: count('doc_write_failures'),
    changesPending: numberOrNull(raw['changes_pending']),
    checkpointedSourceSeq: text(raw['checkpointed_source_seq']),
  };
}

function readError(info: unknown): string | null {
  if (typeof info === 'object' && info !== null && 'error' in info) return text(info.error);
  return text(info);
}

function text(value: unknown): string | null {
  return typeof value === 'string' ? value : null;
}

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
  throw invalidArgument(name, 'milliseconds above 0', value, RangeError);
};
const tolerance: Parameter = (value, name) => {
  if (value === 'always' || (typeof value === 'number' && value >= 0)) return String(value);
  throw invalidArgument(name, "'always' or milliseconds from 0", value, RangeError);
};
const OPTIONS = {
  replicator: textParameter,
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
    const pace = new RetryPolicy(backoff, errorTolerance, () => connection.scheduler.now());
    let seen = false;
    return connection
      .json(() => ({ path }), readReplicationStatus)
      .pipe(
        map(({ value }) => value),
        tap(() => (seen = true)),
        catchError((error: unknown) => {
          throw seen && isNotFound(error) ? deleted(error) : error;
        }),
        retryTransient(connection, pace),
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

/** Returns where the scheduler tells of one document. */
export function docPath(replicator: string, id: string, what: string): string {
  requireId(id, `${what}: id`);
  if (isDotSegment(id)) throw new TypeError(`${what}: no URL can hold the id ${describeValue(id)}`);
  return `${docsPath(replicator, what)}/${segment(id)}`;
}

export function docsPath(replicator: unknown, what: string): string {
  requireDatabaseName(replicator);
  // The server tells a replicator database by its name alone.
  if (!/(?:^|\/)_replicator$/.test(replicator))
    throw invalidArgument(
      `${what}: replicator`,
      "'_replicator', or a name that ends with it",
      replicator,
    );
  return `/_scheduler/docs/${segment(replicator)}`;
}
