import { catchError, defer, distinctUntilChanged, map, repeat, takeWhile, tap } from 'rxjs';
import type { Observable } from 'rxjs';
import { httpError } from '../errors/from-response.ts';
import { isNotFound } from '../errors/http-error.ts';
import type { HTTPError } from '../errors/http-error.ts';
import type { Connection } from '../http/connection.ts';
import { asObject, numberOrNull, stringField } from '../http/decode.ts';
import { requireBackoff, text as textParameter, toBody } from '../http/query.ts';
import type { Parameter } from '../http/query.ts';
import type { Sequence } from '../model/change.ts';
import { invalidArgument } from '../model/invalid-argument.ts';
import { equal } from '../model/json.ts';
import { SERVER, endpoint, requireDatabaseName, requireId, segment } from '../http/url.ts';
import type { Endpoint } from '../http/url.ts';
import { retryTransient } from '../http/retry-transient.ts';
import { RetryPolicy, requireTolerance } from '../operators/retry-policy.ts';
import type { BackoffOptions, ErrorTolerance } from '../operators/retry-policy.ts';

/**
 * The state of a replication. `'completed'` and `'failed'` are final; CouchDB leaves all others by
 * itself.
 *
 * @see https://docs.couchdb.org/en/stable/replication/replicator.html#replication-states
 */
export type ReplicationState =
  'initializing' | 'pending' | 'running' | 'crashing' | 'error' | 'completed' | 'failed';

/** The counts of a replication since it began. */
export interface ReplicationCounts {
  readonly revisionsChecked: number;
  readonly missingRevisionsFound: number;
  readonly docsRead: number;
  readonly docsWritten: number;
  readonly docWriteFailures: number;
  /** The number of changes of the source that are not yet replicated; null if unknown. */
  readonly changesPending: number | null;
  /** The sequence of the source in the replication's checkpoint. */
  readonly checkpointedSourceSeq: Sequence | null;
}

/** A document of a `_replicator` database, and the replication that it describes. */
export interface ReplicationStatus {
  /** The document's id. */
  readonly id: string;
  /** The document's database. */
  readonly replicator: string;
  readonly state: ReplicationState;
  /** The scheduler's job id; null before the job exists, and after it has ended. */
  readonly jobId: string | null;
  /** The URLs of the source and the target, without credentials; null if unknown. */
  readonly source: string | null;
  readonly target: string | null;
  /** The node that it runs on; null while it does not run. */
  readonly node: string | null;
  /** The number of consecutive failures. The server's backoff grows with it. */
  readonly errorCount: number;
  /** The cause of `'crashing'`, `'error'` or `'failed'`; null in other states. */
  readonly error: string | null;
  /** Null until the server has counted something. */
  readonly counts: ReplicationCounts | null;
  /** When it began, in ISO 8601, to the second. */
  readonly startTime: string | null;
  /** When its state changed, in ISO 8601, to the second. */
  readonly lastUpdated: string | null;
  /** The server's whole response. */
  readonly raw: Readonly<Record<string, unknown>>;
}

export function readReplicationStatus(body: unknown): ReplicationStatus {
  const raw = asObject(body);
  return {
    id: stringField(raw, 'doc_id'),
    replicator: text(raw['database']) ?? '_replicator',
    // The scheduler has not processed a document without a state.
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

/** The options of `couch.replication$`. */
export interface ReplicationStatesOptions {
  /** The document's database, for example `'team/_replicator'`. @defaultValue '_replicator' */
  readonly replicator?: string;
  /** The time between a response and the next request, in milliseconds. @defaultValue 1000 */
  readonly interval?: number;
  /** The delay before a retry after a transient error. */
  readonly backoff?: BackoffOptions;
  /** How long transient errors are retried, in milliseconds. @defaultValue 'always' */
  readonly errorTolerance?: ErrorTolerance;
}

const interval: Parameter = (value, name) => {
  if (typeof value === 'number' && value > 0) return String(value);
  throw invalidArgument(name, 'milliseconds above 0', value, RangeError);
};
const tolerance: Parameter = (value, name) => {
  requireTolerance(value, name);
  return '';
};
const OPTIONS = {
  replicator: textParameter,
  interval,
  backoff: (value: unknown, name: string): string => {
    requireBackoff(value, name);
    return '';
  },
  errorTolerance: tolerance,
};

const FINAL_STATES: ReadonlySet<ReplicationState> = new Set<ReplicationState>([
  'completed',
  'failed',
]);

/** Polls the scheduler for the state of a replication, until the state is final. */
export function replicationStates(
  connection: Connection,
  id: string,
  options: ReplicationStatesOptions,
): Observable<ReplicationStatus> {
  toBody(OPTIONS, options, 'replication$');
  const { replicator = '_replicator', interval: pollInterval = 1000 } = options;
  const { backoff = {}, errorTolerance = 'always' } = options;
  const address = docAt(replicator, id, 'replication$');
  return defer(() => {
    const retryPolicy = new RetryPolicy(backoff, errorTolerance, connection.scheduler);
    let existed = false;
    return connection
      .json(() => address, readReplicationStatus)
      .pipe(
        map(({ value }) => value),
        tap(() => (existed = true)),
        catchError((error: unknown) => {
          throw existed && isNotFound(error) ? asDeleted(error) : error;
        }),
        retryTransient(connection, retryPolicy),
        repeat({ delay: () => connection.after(pollInterval) }),
        takeWhile(({ state }) => !FINAL_STATES.has(state), true),
        distinctUntilChanged(isSame),
      );
  });
}

/**
 * The scheduler answers 404 in both cases. Corduroy has read the document before, so it was
 * deleted.
 */
function asDeleted({ headers, request }: HTTPError): HTTPError {
  return httpError({ status: 404, error: 'not_found', reason: 'deleted', headers, request });
}

/** Compares serialized responses: CouchDB always writes the same fields in the same order. */
function isSame(a: ReplicationStatus, b: ReplicationStatus): boolean {
  return equal(a.raw, b.raw);
}

/** Returns the address of one document's status. */
export function docAt(replicator: string, id: string, method: string): Endpoint {
  requireId(id, `${method}: id`);
  return endpoint(docsAt(replicator, method), '/{docid}', '', segment(id, `${method}: id`));
}

/** Returns the address of the list of documents. */
export function docsAt(replicator: unknown, method: string, query = ''): Endpoint {
  requireDatabaseName(replicator);
  // The server recognizes a replicator database by its name only.
  if (!/(?:^|\/)_replicator$/.test(replicator))
    throw invalidArgument(
      `${method}: replicator`,
      "'_replicator', or a name that ends with '/_replicator'",
      replicator,
    );
  const name = segment(replicator, `${method}: replicator`);
  return endpoint(SERVER, '/_scheduler/docs/{replicator_db}', query, name);
}
