import type { Connection } from '../http/connection.ts';
import { arrayField, asObject, stringField } from '../http/decode.ts';
import { operation } from '../http/operation.ts';
import type { Operation } from '../http/operation.ts';
import { count, flag, toQuery } from '../http/query.ts';
import type { Parameter } from '../http/query.ts';
import { SERVER, endpoint, segment } from '../http/url.ts';
import { invalidArgument, requireOptions } from '../model/invalid-argument.ts';
import { docAt, docsAt, readCounts, readReplicationStatus } from './replication-states.ts';
import type {
  ReplicationCounts,
  ReplicationState,
  ReplicationStatus,
} from './replication-states.ts';

/** A replication that runs, or waits to run. */
export interface SchedulerJob {
  /** The scheduler's id. It is the `localId` of a continuous replication. */
  readonly id: string;
  /** The id of its document. Null for a replication of `replicate` without `_id`. */
  readonly docId: string | null;
  /** The database of its document. */
  readonly replicator: string | null;
  /** The URLs of the source and the target, without credentials. */
  readonly source: string;
  readonly target: string;
  readonly user: string | null;
  readonly node: string;
  /** The Erlang process; null while the replication does not run. */
  readonly pid: string | null;
  /** In ISO 8601, to the second. */
  readonly startTime: string | null;
  /** Null until the server has counted something. */
  readonly counts: ReplicationCounts | null;
  /** The events, the latest first. */
  readonly history: readonly SchedulerEvent[];
  /** The server's whole response. */
  readonly raw: Readonly<Record<string, unknown>>;
}

/** An event of a replication: `'added'`, `'started'`, `'stopped'`, `'crashed'`… */
export interface SchedulerEvent {
  readonly type: string;
  /** In ISO 8601, to the second. */
  readonly timestamp: string;
  /** The cause of a crash. */
  readonly reason?: string;
}

/** The options of `scheduler.jobs`. */
export interface SchedulerJobsOptions {
  /** The maximum number of jobs. @defaultValue 100 */
  readonly limit?: number;
  readonly skip?: number;
}

/** The options of `scheduler.docs`. */
export interface SchedulerDocsOptions {
  /** The database, for example `'team/_replicator'`. @defaultValue '_replicator' */
  readonly replicator?: string;
  /** Lists only these states. The server filters after `limit` and `skip`. */
  readonly states?: readonly ReplicationState[];
  readonly limit?: number;
  readonly skip?: number;
  readonly descending?: boolean;
}

/** A page of jobs, ordered by id. */
export interface SchedulerJobs {
  /** The number of all jobs. */
  readonly totalRows: number;
  readonly offset: number;
  readonly jobs: readonly SchedulerJob[];
}

/** A page of documents, ordered by id. */
export interface SchedulerDocs {
  /** The number of all documents. */
  readonly totalRows: number;
  readonly offset: number;
  readonly docs: readonly ReplicationStatus[];
}

const STATES: ReadonlySet<string> = new Set<ReplicationState>([
  'initializing',
  'pending',
  'running',
  'crashing',
  'error',
  'completed',
  'failed',
]);

const states: Parameter = (value, name) => {
  if (Array.isArray(value) && value.length > 0 && value.every((one) => STATES.has(one as string)))
    return value.join(',');
  throw invalidArgument(name, `a list of '${[...STATES].join("', '")}'`, value);
};

const JOBS = { limit: count, skip: count };
const DOCS = { ...JOBS, states, descending: flag };

/**
 * The replication scheduler of a server: `couch.scheduler`.
 *
 * Every method returns a cold `Operation`, and errors with `Unauthorized` for all but
 * administrators.
 *
 * @see https://docs.couchdb.org/en/stable/api/server/common.html#scheduler-jobs
 */
export class Scheduler {
  readonly #connection: Connection;

  /** @internal */
  constructor(connection: Connection) {
    this.#connection = connection;
  }

  /** Lists the replications that run or wait to run, including those without a document. */
  jobs(options: SchedulerJobsOptions = {}): Operation<SchedulerJobs> {
    const query = toQuery(JOBS, options, 'scheduler.jobs');
    return operation(
      this.#connection,
      () => endpoint(SERVER, '/_scheduler/jobs', query),
      (body) => ({ ...readPage(body), jobs: arrayField(body, 'jobs').map(readJob) }),
    );
  }

  /**
   * Reads a replication that runs or waits to run. Errors with `NotFound` if it has ended or never
   * existed.
   *
   * @param id - The `localId` that `replicate` emitted, or the `jobId` of a status.
   * @throws TypeError for an empty id.
   */
  job(id: string): Operation<SchedulerJob> {
    const value = segment(id, 'scheduler.job: id');
    const address = endpoint(SERVER, '/_scheduler/jobs/{jobid}', '', value);
    return operation(this.#connection, () => address, readJob);
  }

  /**
   * Cancels a replication that was started without a document, by its id. For others, delete the document.
   *
   * Errors with `NotFound` if it has ended or never existed, and with `Unauthorized` if another user has
   * started it.
   *
   * @param id - The `localId` that `replicate` emitted, or the `id` of a job.
   * @throws TypeError for an empty id.
   * @see https://docs.couchdb.org/en/stable/api/server/common.html#replicate
   */
  cancel(id: string): Operation<true> {
    segment(id, 'scheduler.cancel: id');
    return operation(
      this.#connection,
      () => ({
        ...endpoint(SERVER, '/_replicate'),
        method: 'POST',
        json: { cancel: true, replication_id: id },
      }),
      () => true,
    );
  }

  /**
   * Lists the replications that documents describe, including those that have ended.
   *
   * @see https://docs.couchdb.org/en/stable/api/server/common.html#scheduler-docs
   */
  docs(options: SchedulerDocsOptions = {}): Operation<SchedulerDocs> {
    requireOptions(options, 'scheduler.docs');
    const { replicator = '_replicator', ...rest } = options;
    const query = toQuery(DOCS, rest, 'scheduler.docs');
    const address = docsAt(replicator, 'scheduler.docs', query);
    return operation(
      this.#connection,
      () => address,
      (body) => ({ ...readPage(body), docs: arrayField(body, 'docs').map(readReplicationStatus) }),
    );
  }

  /**
   * Reads the replication that a document describes. Errors with `NotFound` if the document does
   * not exist.
   *
   * @param replicator - The document's database, for example `'_replicator'`.
   * @param id - The document's id.
   */
  doc(replicator: string, id: string): Operation<ReplicationStatus> {
    const address = docAt(replicator, id, 'scheduler.doc');
    return operation(this.#connection, () => address, readReplicationStatus);
  }
}

function readPage(body: unknown): { totalRows: number; offset: number } {
  const { total_rows: total, offset } = asObject(body);
  return { totalRows: Number(total), offset: Number(offset ?? 0) };
}

function readJob(body: unknown): SchedulerJob {
  const raw = asObject(body);
  return {
    id: stringField(raw, 'id'),
    docId: text(raw['doc_id']),
    replicator: text(raw['database']),
    source: stringField(raw, 'source'),
    target: stringField(raw, 'target'),
    user: text(raw['user']),
    node: stringField(raw, 'node'),
    pid: text(raw['pid']),
    startTime: text(raw['start_time']),
    counts: readCounts(raw['info']),
    history: (raw['history'] ?? []) as SchedulerJob['history'],
    raw,
  };
}

function text(value: unknown): string | null {
  return typeof value === 'string' ? value : null;
}
