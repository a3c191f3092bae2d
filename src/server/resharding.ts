import type { Connection } from '../http/connection.ts';
import { arrayField, asArray, asObject, stringField } from '../http/decode.ts';
import { operation } from '../http/operation.ts';
import type { Operation } from '../http/operation.ts';
import { text, toBody } from '../http/query.ts';
import { endpoint, segment } from '../http/url.ts';
import type { Endpoint } from '../http/url.ts';
import { invalidArgument } from '../model/invalid-argument.ts';

/** Whether the server splits shards, and the reason if it is stopped. */
export interface ReshardState<State extends string = 'running' | 'stopped'> {
  readonly state: State;
  readonly reason: string | null;
}

/** Whether the server splits shards, and the number of jobs by state. */
export interface ReshardSummary extends ReshardState {
  readonly total: number;
  readonly running: number;
  readonly stopped: number;
  readonly completed: number;
  readonly failed: number;
}

/** The state of a splitting job. */
export type ReshardJobState = 'new' | 'running' | 'stopped' | 'completed' | 'failed';

/** A job that splits one shard. */
export interface ReshardJob {
  readonly id: string;
  readonly type: 'split';
  /** The shard that is split, for example `'shards/00000000-7fffffff/name.1700000000'`. */
  readonly source: string;
  /** The resulting shards. */
  readonly target: readonly string[];
  readonly jobState: ReshardJobState;
  /** The current step: `'initial_copy'`, `'build_indices'`, `'update_shardmap'`… */
  readonly splitState: string;
  readonly node: string;
  /** When it began, in ISO 8601, to the second. */
  readonly startTime: string;
  /** When its last step began, in ISO 8601, to the second. */
  readonly updateTime: string;
  /** The server's whole response, with the job's history. */
  readonly raw: Readonly<Record<string, unknown>>;
}

/** The shards to split: those of a database, optionally of a range or a node; or a single one. */
export type ReshardTarget =
  | {
      readonly db: string;
      /** For example `'00000000-7fffffff'`. */
      readonly range?: string;
      readonly node?: string;
      readonly shard?: never;
    }
  | {
      /** For example `'shards/00000000-7fffffff/name.1700000000'`. */
      readonly shard: string;
      readonly node?: string;
      readonly db?: never;
      readonly range?: never;
    };

/** The outcome of the creation of a job. */
export type ReshardOutcome =
  | { readonly ok: true; readonly id: string; readonly node: string; readonly shard: string }
  | { readonly ok: false; readonly error: string; readonly node: string; readonly shard: string };

/**
 * The splitting of shards: `couch.cluster.reshard`.
 *
 * Every method returns a cold `Operation`. It errors with `Unauthorized` for all but
 * administrators, and with `NotFound` for an unknown job.
 *
 * @see https://docs.couchdb.org/en/stable/cluster/sharding.html#splitting-shards
 */
export class Resharding {
  readonly #connection: Connection;

  /** @internal */
  constructor(connection: Connection) {
    this.#connection = connection;
  }

  /** Reads whether the cluster splits shards, and the number of jobs by state. */
  summary(): Operation<ReshardSummary> {
    return this.#read(RESHARD, (body) => {
      const { state_reason: reason, ...counts } = asObject(body);
      const count = (name: string): number => Number(counts[name] ?? 0);
      return {
        ...readState({ ...counts, reason }),
        total: count('total'),
        running: count('running'),
        stopped: count('stopped'),
        completed: count('completed'),
        failed: count('failed'),
      };
    });
  }

  /** Reads whether the cluster splits shards. */
  state(): Operation<ReshardState> {
    return this.#read(endpoint(RESHARD, STATE), readState);
  }

  /** Resumes all stopped jobs. Emits `true`. */
  start(): Operation<true> {
    return this.#put(endpoint(RESHARD, STATE), { state: 'running' });
  }

  /** Stops all jobs until `start`. Emits `true`. */
  stop(reason?: string): Operation<true> {
    return this.#put(endpoint(RESHARD, STATE), { state: 'stopped', ...withReason(reason) });
  }

  /** Lists all jobs, including finished ones. */
  jobs(): Operation<ReshardJob[]> {
    return this.#read(endpoint(RESHARD, JOBS), (body) => arrayField(body, 'jobs').map(readJob));
  }

  /** Reads a job. */
  job(id: string): Operation<ReshardJob> {
    return this.#read(jobAt(id), readJob);
  }

  /**
   * Creates the jobs that split shards in two. Emits the outcome of each.
   *
   * Errors with `BadRequest` for an unknown database or shard.
   *
   * @throws TypeError unless the target has either `db` or `shard`.
   */
  create(target: ReshardTarget): Operation<ReshardOutcome[]> {
    const json = { type: 'split', ...requireTarget(target) };
    return operation(
      this.#connection,
      () => ({ ...endpoint(RESHARD, JOBS), method: 'POST', json }),
      (body) => asArray(body).map(readOutcome),
    );
  }

  /** Reads the state of a job, and its reason. */
  jobState(id: string): Operation<ReshardState<ReshardJobState>> {
    return this.#read(endpoint(jobAt(id), STATE), readState<ReshardJobState>);
  }

  /** Resumes a stopped job. Emits `true`. */
  startJob(id: string): Operation<true> {
    return this.#put(endpoint(jobAt(id), STATE), { state: 'running' });
  }

  /** Stops a job until `startJob`. Emits `true`. */
  stopJob(id: string, reason?: string): Operation<true> {
    return this.#put(endpoint(jobAt(id), STATE), { state: 'stopped', ...withReason(reason) });
  }

  /** Stops a job if it runs, and deletes it. Emits `true`. */
  deleteJob(id: string): Operation<true> {
    const address = jobAt(id);
    return operation(
      this.#connection,
      () => ({ ...address, method: 'DELETE' }),
      () => true,
    );
  }

  #read<T>(address: Endpoint, decode: (body: unknown) => T): Operation<T> {
    return operation(this.#connection, () => address, decode);
  }

  #put(address: Endpoint, json: object): Operation<true> {
    return operation(
      this.#connection,
      () => ({ ...address, method: 'PUT', repeatable: true, json }),
      () => true,
    );
  }
}

const RESHARD: Endpoint = { path: '/_reshard', route: '/_reshard' };
const JOBS = '/jobs';
const STATE = '/state';

function jobAt(id: unknown): Endpoint {
  return endpoint(RESHARD, '/jobs/{jobid}', '', segment(id, 'reshard: id'));
}

function withReason(reason: unknown): { reason?: string } {
  if (reason === undefined) return {};
  if (typeof reason === 'string') return { reason };
  throw invalidArgument('reshard: reason', 'a string', reason);
}

const TARGET = { db: text, range: text, node: text, shard: text };

function requireTarget(target: unknown): Record<string, unknown> {
  if (typeof target !== 'object' || target === null)
    throw invalidArgument('reshard: target', '{ db } or { shard }', target);
  const given = toBody(TARGET, target, 'reshard');
  if ('db' in given === 'shard' in given)
    throw new TypeError('reshard: target must have either db or shard');
  if ('shard' in given && 'range' in given)
    throw new TypeError('reshard: target must not have both shard and range');
  return given;
}

function readState<State extends string = 'running' | 'stopped'>(
  body: unknown,
): ReshardState<State> {
  const { reason } = asObject(body);
  return {
    state: stringField(body, 'state') as State,
    reason: typeof reason === 'string' ? reason : null,
  };
}

function readJob(body: unknown): ReshardJob {
  return {
    id: stringField(body, 'id'),
    type: 'split',
    source: stringField(body, 'source'),
    target: arrayField(body, 'target') as string[],
    jobState: stringField(body, 'job_state') as ReshardJobState,
    splitState: stringField(body, 'split_state'),
    node: stringField(body, 'node'),
    startTime: stringField(body, 'start_time'),
    updateTime: stringField(body, 'update_time'),
    raw: asObject(body),
  };
}

function readOutcome(row: unknown): ReshardOutcome {
  const { ok } = asObject(row);
  const location = { node: stringField(row, 'node'), shard: stringField(row, 'shard') };
  return ok === true
    ? { ok, id: stringField(row, 'id'), ...location }
    : { ok: false, error: stringField(row, 'error'), ...location };
}
