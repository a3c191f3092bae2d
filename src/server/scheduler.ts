import type { Connection } from '../http/connection.ts';
import { arrayField, asObject, stringField } from '../http/decode.ts';
import { operation } from '../http/operation.ts';
import type { Operation } from '../http/operation.ts';
import { count, flag, toQuery } from '../http/query.ts';
import type { Parameter } from '../http/query.ts';
import { segment } from '../http/url.ts';
import { invalidArgument } from '../model/invalid-argument.ts';
import { docPath, docsPath, readCounts, readReplicationStatus } from './replication-states.ts';
import type {
  ReplicationCounts,
  ReplicationState,
  ReplicationStatus,
} from './replication-states.ts';

/** A replication that runs, or waits to. */
export interface SchedulerJob {
  /** The id by which the server knows it: the `localId` of a continuous one. */
  readonly id: string;
  /** The document that describes it, and the database of that; null for one of `replicate`. */
  readonly docId: string | null;
  readonly replicator: string | null;
  /** Where from and where to, without credentials. */
  readonly source: string;
  readonly target: string;
  readonly user: string | null;
  readonly node: string;
  /** The process that it runs in; null while it does not run. */
  readonly pid: string | null;
  /** In ISO 8601, to the second. */
  readonly startTime: string | null;
  /** Null where nothing has been counted yet. */
  readonly counts: ReplicationCounts | null;
  /** What happened to it, the latest first. */
  readonly history: readonly SchedulerEvent[];
  /** The answer as the server gave it. */
  readonly raw: Readonly<Record<string, unknown>>;
}

/** What happened to a replication: `'added'`, `'started'`, `'stopped'`, `'crashed'`… */
export interface SchedulerEvent {
  readonly type: string;
  /** In ISO 8601, to the second. */
  readonly timestamp: string;
  /** Why it crashed. */
  readonly reason?: string;
}

/** Which jobs are listed. */
export interface SchedulerJobsOptions {
  /** How many at most. @defaultValue 100 */
  readonly limit?: number;
  readonly skip?: number;
}

/** Which documents of a `_replicator` database are listed. */
export interface SchedulerDocsOptions {
  /** The database, as in `'team/_replicator'`. @defaultValue '_replicator' */
  readonly replicator?: string;
  /** Only replications in these states. The server picks them after `limit` and `skip`. */
  readonly states?: readonly ReplicationState[];
  readonly limit?: number;
  readonly skip?: number;
  readonly descending?: boolean;
}

/** Some of the jobs, in the order of their ids. */
export interface SchedulerJobs {
  /** How many there are in all. */
  readonly totalRows: number;
  readonly offset: number;
  readonly jobs: readonly SchedulerJob[];
}

/** Some of the documents, in the order of their ids. */
export interface SchedulerDocs {
  /** How many there are in all. */
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
 * What plans the replications of a server: what `couch.scheduler` is. For administrators; errors
 * with `Unauthorized` for everybody else.
 *
 * @see https://docs.couchdb.org/en/stable/api/server/common.html#scheduler-jobs
 */
export class Scheduler {
  readonly #connection: Connection;

  /** @internal */
  constructor(connection: Connection) {
    this.#connection = connection;
  }

  /** Emits the replications that run or wait to, those of `replicate` among them. */
  jobs(options: SchedulerJobsOptions = {}): Operation<SchedulerJobs> {
    const query = toQuery(JOBS, options, 'scheduler.jobs');
    return operation(
      this.#connection,
      () => ({ path: `/_scheduler/jobs${query}` }),
      (body) => ({ ...readPage(body), jobs: arrayField(body, 'jobs').map(readJob) }),
    );
  }

  /**
   * Emits one that runs or waits to. Errors with `NotFound` where it has ended, or never was.
   *
   * @param id - The `localId` that `replicate` gave, or the `jobId` of a status.
   */
  job(id: string): Operation<SchedulerJob> {
    if (typeof id !== 'string' || id === '')
      throw invalidArgument('scheduler.job: id', 'the id of a job', id);
    return operation(
      this.#connection,
      () => ({ path: `/_scheduler/jobs/${segment(id)}` }),
      readJob,
    );
  }

  /**
   * Emits the replications that documents describe, those that have ended among them.
   *
   * @see https://docs.couchdb.org/en/stable/api/server/common.html#scheduler-docs
   */
  docs(options: SchedulerDocsOptions = {}): Operation<SchedulerDocs> {
    const { replicator = '_replicator', ...rest } = options;
    const path = docsPath(replicator, 'scheduler.docs') + toQuery(DOCS, rest, 'scheduler.docs');
    return operation(
      this.#connection,
      () => ({ path }),
      (body) => ({ ...readPage(body), docs: arrayField(body, 'docs').map(readReplicationStatus) }),
    );
  }

  /**
   * Emits the replication that a document describes. Errors with `NotFound` where there is no such
   * document.
   */
  doc(replicator: string, id: string): Operation<ReplicationStatus> {
    const path = docPath(replicator, id, 'scheduler.doc');
    return operation(this.#connection, () => ({ path }), readReplicationStatus);
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
