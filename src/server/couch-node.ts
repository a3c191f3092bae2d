import type { Connection } from '../http/connection.ts';
import { asObject, stringField } from '../http/decode.ts';
import { operation } from '../http/operation.ts';
import type { Operation } from '../http/operation.ts';
import { request } from '../http/request.ts';
import type { RequestOptions } from '../http/request.ts';
import { isDotSegment, segment } from '../http/url.ts';
import { invalidArgument } from '../model/invalid-argument.ts';
import { configuration } from './configuration.ts';
import type { ConfigSection, ConfigValue, NodeConfigOptions } from './configuration.ts';
import { statistics } from './server-info.ts';
import type { Statistics } from './server-info.ts';

/**
 * One node of a server: what `couch.node()` is. For administrators; everything errors with
 * `Unauthorized` for everybody else, and with `NotFound` for a node that nobody knows.
 *
 * @see https://docs.couchdb.org/en/stable/api/server/common.html#node-node-name
 */
export class CouchNode {
  readonly #connection: Connection;
  readonly #node: string;
  readonly #path: string;

  /** @internal */
  constructor(connection: Connection, node: string) {
    if (typeof node !== 'string' || node === '' || isDotSegment(node))
      throw invalidArgument('node: name', 'the name of a node, as in couchdb@127.0.0.1', node);
    this.#connection = connection;
    this.#node = node;
    this.#path = `/_node/${segment(node)}`;
  }

  /** Emits the node's own name: what `'_local'` stands for. */
  name(): Operation<string> {
    const named = this.#node === '_local' ? undefined : this.#node;
    // To a name of its own a node answers with a welcome, which says as much.
    return this.#read('', (body) => named ?? stringField(body, 'name'));
  }

  /**
   * Reads or writes the configuration of this node: everything, a section, or one value. As
   * {@link Couch.config}, which is that of the node that answers.
   *
   * @see https://docs.couchdb.org/en/stable/api/server/configuration.html
   */
  config(): Operation<Readonly<Record<string, ConfigSection>>>;
  config(
    name: `${string}/${string}`,
    value?: ConfigValue,
    options?: NodeConfigOptions,
  ): Operation<string>;
  config(section: string, value?: undefined, options?: NodeConfigOptions): Operation<ConfigSection>;
  config(
    section: string,
    values: Readonly<Record<string, ConfigValue>>,
    options?: NodeConfigOptions,
  ): Operation<ConfigSection>;
  config(
    name?: string,
    value?: ConfigValue | Readonly<Record<string, ConfigValue>>,
    options: NodeConfigOptions = {},
  ): Operation<never> {
    const mine = { ...options, node: this.#node };
    return configuration(this.#connection, name, value, mine) as Operation<never>;
  }

  /** Has the node read its configuration from disk again, as it is there; emits `true`. */
  reloadConfig(): Operation<true> {
    return this.#post('/_config/_reload');
  }

  /** Emits the statistics of this node, or a part. As {@link Couch.stats}. */
  stats(name?: string): Operation<Statistics> {
    return statistics(this.#connection, name, this.#node);
  }

  /**
   * Emits the statistics as Prometheus reads them: text, a metric a line.
   *
   * @see https://docs.couchdb.org/en/stable/api/server/common.html#node-node-name-prometheus
   */
  prometheus(): Operation<string> {
    return this.request<string>({ path: '/_prometheus', headers: { accept: 'text/plain' } });
  }

  /**
   * Emits what the automatic compaction is doing, by the names of its channels.
   *
   * @see https://docs.couchdb.org/en/stable/api/server/common.html#node-node-name-smoosh-status
   */
  smoosh(): Operation<Readonly<Record<string, SmooshChannel>>> {
    return this.#read('/_smoosh/status', readSmoosh);
  }

  /**
   * Emits the state of the virtual machine: memory, processes, queues.
   *
   * @see https://docs.couchdb.org/en/stable/api/server/common.html#node-node-name-system
   */
  system(): Operation<NodeSystem> {
    return this.#read('/_system', readSystem);
  }

  /**
   * Emits the versions of what the node is made of.
   *
   * Cold. Errors with `ServerError` on a node without a name of its own, as a CouchDB 3.5 that is
   * not distributed is.
   *
   * @see https://docs.couchdb.org/en/stable/api/server/common.html#node-node-name-versions
   */
  versions(): Operation<NodeVersions> {
    return this.#read('/_versions', readVersions);
  }

  /**
   * Restarts the node, and emits `true` when it has begun to. For integration tests: requests in
   * flight are lost, and for a while there is nobody to answer.
   *
   * @see https://docs.couchdb.org/en/stable/api/server/common.html#node-node-name-restart
   */
  restart(): Operation<true> {
    return this.#post('/_restart');
  }

  /**
   * Sends any request to this node's own door, as {@link Couch.request} does to the server: what the
   * node holds for itself, without the cluster, as in `{ path: '/_dbs' }`.
   *
   * @throws TypeError for a path that would lead elsewhere, and for credentials among the headers.
   */
  request<T = unknown>(options: RequestOptions): Operation<T> {
    return request<T>(this.#connection, options, this.#path);
  }

  #read<T>(below: string, decode: (body: unknown) => T): Operation<T> {
    return operation(this.#connection, () => ({ path: this.#path + below }), decode);
  }

  #post(below: string): Operation<true> {
    return operation(
      this.#connection,
      () => ({
        method: 'POST',
        path: this.#path + below,
        headers: { 'content-type': 'application/json' },
        body: '',
      }),
      () => true,
    );
  }
}

/** A channel of the automatic compaction. */
export interface SmooshChannel {
  /** How many compactions run, and how many are about to. */
  readonly active: number;
  readonly starting: number;
  /** How many wait, and the lowest and highest priority among them. */
  readonly waiting: { readonly size: number; readonly min: number; readonly max: number };
}

/** The state of the virtual machine that a node runs in. */
export interface NodeSystem {
  /** In seconds. */
  readonly uptime: number;
  /** In bytes, by what it is for: `processes`, `binary`, `ets`… */
  readonly memory: Readonly<Record<string, number>>;
  /** How many processes of the virtual machine there are, and may be. */
  readonly processCount: number;
  readonly processLimit: number;
  /** How many wait to be run. */
  readonly runQueue: number;
  /** How many query servers there are. */
  readonly osProcCount: number;
  /** How many messages wait, by the name of the process; for some, how they are distributed. */
  readonly messageQueues: Readonly<Record<string, unknown>>;
  /** The answer as the server gave it. */
  readonly raw: Readonly<Record<string, unknown>>;
}

/** What a node is made of. */
export interface NodeVersions {
  readonly erlang: string;
  /** What runs design functions; CouchDB tells no version of QuickJS. */
  readonly javascriptEngine: { readonly name: string; readonly version: string | null };
  /** The library that orders the keys of views. */
  readonly collation: { readonly name: string; readonly version: string | null };
  /** The answer as the server gave it. */
  readonly raw: Readonly<Record<string, unknown>>;
}

export function readSmoosh(body: unknown): Readonly<Record<string, SmooshChannel>> {
  const channels = Object.entries(asObject(asObject(body)['channels']));
  return Object.fromEntries(
    channels.map(([name, channel]) => {
      const { active, starting, waiting } = asObject(channel);
      const { size, min, max } = asObject(waiting);
      return [
        name,
        {
          active: Number(active),
          starting: Number(starting),
          waiting: { size: Number(size), min: Number(min), max: Number(max) },
        },
      ];
    }),
  );
}

export function readSystem(body: unknown): NodeSystem {
  const raw = asObject(body);
  return {
    uptime: Number(raw['uptime']),
    memory: asObject(raw['memory']) as NodeSystem['memory'],
    processCount: Number(raw['process_count']),
    processLimit: Number(raw['process_limit']),
    runQueue: Number(raw['run_queue']),
    osProcCount: Number(raw['os_proc_count']),
    messageQueues: asObject(raw['message_queues']),
    raw,
  };
}

export function readVersions(body: unknown): NodeVersions {
  const raw = asObject(body);
  const collation = asObject(raw['collation_driver']);
  const engine = asObject(raw['javascript_engine']);
  return {
    erlang: stringField(raw['erlang'], 'version'),
    javascriptEngine: { name: stringField(engine, 'name'), version: text(engine['version']) },
    collation: {
      name: stringField(collation, 'name'),
      version: text(collation['library_version']),
    },
    raw,
  };
}

function text(value: unknown): string | null {
  return typeof value === 'string' ? value : null;
}
