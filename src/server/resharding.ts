import type { Connection } from '../http/connection.ts';
import { arrayField, asArray, asObject, stringField } from '../http/decode.ts';
import { operation } from '../http/operation.ts';
import type { Operation } from '../http/operation.ts';
import { text, toBody } from '../http/query.ts';
import { segment } from '../http/url.ts';
import { invalidArgument } from '../model/invalid-argument.ts';

/** Whether shards are being split, and why not. */
export interface ReshardState<State extends string = 'running' | 'stopped'> {
  readonly state: State;
  readonly reason: string | null;
}

/** Whether shards are being split, and how many jobs there are. */
export interface ReshardSummary extends ReshardState {
  readonly total: number;
  readonly running: number;
  readonly stopped: number;
  readonly completed: number;
  readonly failed: number;
}

/** What a job of splitting is doing. */
export type ReshardJobState = 'new' | 'running' | 'stopped' | 'completed' | 'failed';

/** The splitting of one shard. */
export interface ReshardJob {
  readonly id: string;
  readonly type: 'split';
  /** The shard that is split, as in `'shards/00000000-7fffffff/name.1700000000'`. */
  readonly source: string;
  /** The shards that it becomes. */
  readonly target: readonly string[];
  readonly jobState: ReshardJobState;
  /** The step that it is at: `'initial_copy'`, `'build_indices'`, `'update_shardmap'`… */
  readonly splitState: string;
  readonly node: string;
  /** When it began, and when it took its last step: in ISO 8601, to the second. */
  readonly startTime: string;
  readonly updateTime: string;
  /** The answer as the server gave it, with its history. */
  readonly raw: Readonly<Record<string, unknown>>;
}

/** Which shards are to be split: all of a database, or those of a range or a node; or one. */
export type ReshardTarget =
  | {
      readonly db: string;
      /** As in `'00000000-7fffffff'`. */
      readonly range?: string;
      readonly node?: string;
      readonly shard?: never;
    }
  | {
      /** As in `'shards/00000000-7fffffff/name.1700000000'`. */
      readonly shard: string;
      readonly node?: string;
      readonly db?: never;
      readonly range?: never;
    };

/** What became of a job that was to be made. */
export type ReshardOutcome =
  | { readonly ok: true; readonly id: string; readonly node: string; readonly shard: string }
  | { readonly ok: false; readonly error: string; readonly node: string; readonly shard: string };

/**
 * The splitting of shards: what `couch.cluster.reshard` is. For administrators; errors with
 * `Unauthorized` for everybody else, `NotFound` for a job that is not there.
 *
 * @see https://docs.couchdb.org/en/stable/cluster/sharding.html#splitting-shards
 */
export class Resharding {
  readonly #connection: Connection;

  /** @internal */
  constructor(connection: Connection) {
    this.#connection = connection;
  }

  /** Emits whether shards are being split, and how many jobs are in which state. */
  summary(): Operation<ReshardSummary> {
    return this.#read('', (body) => {
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

  /** Emits whether shards are being split, on the cluster as a whole. */
  state(): Operation<ReshardState> {
    return this.#read('/state', readState);
  }

  /** Lets all jobs go on that were stopped; emits `true`. */
  start(): Operation<true> {
    return this.#put('/state', { state: 'running' });
  }

  /** Stops all jobs until `start`; emits `true`. */
  stop(reason?: string): Operation<true> {
    return this.#put('/state', { state: 'stopped', ...because(reason) });
  }

  /** Emits all jobs, finished ones too. */
  jobs(): Operation<ReshardJob[]> {
    return this.#read('/jobs', (body) => arrayField(body, 'jobs').map(readJob));
  }

  job(id: string): Operation<ReshardJob> {
    return this.#read(jobPath(id), readJob);
  }

  /**
   * Makes the jobs that split shards in two, and emits what became of each.
   *
   * Cold. Errors with `BadRequest` for what the server takes for no database or shard.
   *
   * @throws TypeError where neither `db` nor `shard` is a name, or both are.
   */
  create(target: ReshardTarget): Operation<ReshardOutcome[]> {
    const json = { type: 'split', ...requireTarget(target) };
    return operation(
      this.#connection,
      () => ({ method: 'POST', path: '/_reshard/jobs', json }),
      (body) => asArray(body).map(readOutcome),
    );
  }

  /** Emits what a job is doing, and why. */
  jobState(id: string): Operation<ReshardState<ReshardJobState>> {
    return this.#read(`${jobPath(id)}/state`, readState<ReshardJobState>);
  }

  /** Lets a job go on that was stopped; emits `true`. */
  startJob(id: string): Operation<true> {
    return this.#put(`${jobPath(id)}/state`, { state: 'running' });
  }

  /** Stops a job until `startJob`; emits `true`. */
  stopJob(id: string, reason?: string): Operation<true> {
    return this.#put(`${jobPath(id)}/state`, { state: 'stopped', ...because(reason) });
  }

  /** Forgets a job, and stops it where it runs; emits `true`. */
  deleteJob(id: string): Operation<true> {
    const path = `/_reshard${jobPath(id)}`;
    return operation(
      this.#connection,
      () => ({ method: 'DELETE', path }),
      () => true,
    );
  }

  #read<T>(below: string, decode: (body: unknown) => T): Operation<T> {
    return operation(this.#connection, () => ({ path: `/_reshard${below}` }), decode);
  }

  #put(below: string, json: object): Operation<true> {
    return operation(
      this.#connection,
      () => ({ method: 'PUT', path: `/_reshard${below}`, json }),
      () => true,
    );
  }
}

function jobPath(id: unknown): string {
  if (typeof id === 'string' && id !== '') return `/jobs/${segment(id)}`;
  throw invalidArgument('reshard: id', 'the id of a job', id);
}

function because(reason: unknown): { reason?: string } {
  if (reason === undefined) return {};
  if (typeof reason === 'string') return { reason };
  throw invalidArgument('reshard: reason', 'a string', reason);
}

const TARGET = { db: text, range: text, node: text, shard: text };

function requireTarget(target: unknown): Record<string, unknown> {
  if (typeof target !== 'object' || target === null)
    throw invalidArgument('reshard: target', '{ db } or { shard }', target);
  const given = toBody(TARGET, target, 'reshard');
  if ('db' in given === 'shard' in given) throw new TypeError('reshard: give either db or shard');
  if ('shard' in given && 'range' in given)
    throw new TypeError('reshard: shard and range exclude each other');
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
  const place = { node: stringField(row, 'node'), shard: stringField(row, 'shard') };
  return ok === true
    ? { ok, id: stringField(row, 'id'), ...place }
    : { ok: false, error: stringField(row, 'error'), ...place };
}
