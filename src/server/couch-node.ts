import type { Connection } from '../http/connection.ts';
import { asObject, stringField } from '../http/decode.ts';
import { operation } from '../http/operation.ts';
import type { Operation } from '../http/operation.ts';
import { request } from '../http/request.ts';
import type { RequestOptions } from '../http/request.ts';
import { endpoint, nodeAt } from '../http/url.ts';
import type { Endpoint } from '../http/url.ts';
import { requireOptions } from '../model/invalid-argument.ts';
import { configuration } from './configuration.ts';
import type { ConfigSection, ConfigValue, NodeConfigOptions } from './configuration.ts';
import { statistics } from './server-info.ts';
import type { Statistics } from './server-info.ts';

const PROMETHEUS = '/_prometheus';

/**
 * One node of a server: `couch.node()`.
 *
 * Every method returns a cold `Operation`. It errors with `Unauthorized` for all but
 * administrators, and with `NotFound` for an unknown node.
 *
 * @see https://docs.couchdb.org/en/stable/api/server/common.html#node-node-name
 */
export class CouchNode {
  readonly #connection: Connection;
  readonly #node: string;
  readonly #base: Endpoint;

  /** @internal */
  constructor(connection: Connection, node: string) {
    this.#connection = connection;
    this.#node = node;
    this.#base = nodeAt(node, 'node: name');
  }

  /** Reads the node's name, which `'_local'` stands for. */
  name(): Operation<string> {
    const named = this.#node === '_local' ? undefined : this.#node;
    // Under its real name a node answers with a welcome message without the name.
    return this.#read('', (body) => named ?? stringField(body, 'name'));
  }

  /**
   * Reads or writes the configuration of this node. Otherwise as {@link Couch.config}.
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
    requireOptions(options, 'config', ['delete', 'persist']);
    const withNode = { ...options, node: this.#node };
    return configuration(this.#connection, name, value, withNode) as Operation<never>;
  }

  /**
   * Makes the node read its configuration from disk again. Emits `true`.
   *
   * @see https://docs.couchdb.org/en/stable/api/server/configuration.html
   */
  reloadConfig(): Operation<true> {
    return this.#post('/_config/_reload', true);
  }

  /** Reads the statistics of this node, or a part of them. Otherwise as {@link Couch.stats}. */
  stats(name?: string): Operation<Statistics> {
    return statistics(this.#connection, name, this.#node);
  }

  /**
   * Reads the statistics in the Prometheus text format: one metric per line.
   *
   * @see https://docs.couchdb.org/en/stable/api/server/common.html#node-node-name-prometheus
   */
  prometheus(): Operation<string> {
    return this.request<string>({
      path: PROMETHEUS,
      route: PROMETHEUS,
      headers: { accept: 'text/plain' },
    });
  }

  /**
   * Reads the state of the automatic compaction, by channel.
   *
   * @see https://docs.couchdb.org/en/stable/api/server/common.html#node-node-name-smoosh-status
   */
  smoosh(): Operation<Readonly<Record<string, SmooshChannel>>> {
    return this.#read('/_smoosh/status', readSmoosh);
  }

  /**
   * Reads the state of the Erlang virtual machine: memory, processes, queues.
   *
   * @see https://docs.couchdb.org/en/stable/api/server/common.html#node-node-name-system
   */
  system(): Operation<NodeSystem> {
    return this.#read('/_system', readSystem);
  }

  /**
   * Reads the versions of Erlang, the JavaScript engine and the collation library.
   *
   * Errors with `ServerError` on a node without a distributed name, such as a default CouchDB 3.5.
   *
   * @see https://docs.couchdb.org/en/stable/api/server/common.html#node-node-name-versions
   */
  versions(): Operation<NodeVersions> {
    return this.#read('/_versions', readVersions);
  }

  /**
   * Restarts the node. Emits `true` when the restart has begun. Use it only in integration tests:
   * requests in flight are lost, and the node is unreachable for a while.
   *
   * @see https://docs.couchdb.org/en/stable/api/server/common.html#node-node-name-restart
   */
  restart(): Operation<true> {
    // A second request would end the requests that the node has accepted since.
    return this.#post('/_restart', false);
  }

  /**
   * Sends any request to this node, below `/_node/{name}`. Otherwise as {@link Couch.request}.
   *
   * @throws TypeError for a path that leads elsewhere, and for credentials in `headers`.
   * @example
   * couch.node().request({ path: '/_dbs' }).subscribe();
   */
  request<T = unknown>(options: RequestOptions): Operation<T> {
    return request<T>(this.#connection, options, this.#base);
  }

  #read<T>(name: string, decode: (body: unknown) => T): Operation<T> {
    return operation(this.#connection, () => endpoint(this.#base, name), decode);
  }

  #post(name: string, repeatable: boolean): Operation<true> {
    return operation(
      this.#connection,
      () => ({
        ...endpoint(this.#base, name),
        method: 'POST',
        repeatable,
        headers: { 'content-type': 'application/json' },
        body: '',
      }),
      () => true,
    );
  }
}

/** A channel of the automatic compaction. */
export interface SmooshChannel {
  /** The number of compactions that run. */
  readonly active: number;
  /** The number of compactions that are about to run. */
  readonly starting: number;
  /** The number of waiting compactions, and their lowest and highest priority. */
  readonly waiting: { readonly size: number; readonly min: number; readonly max: number };
}

/** The state of the virtual machine of a node. */
export interface NodeSystem {
  /** In seconds. */
  readonly uptime: number;
  /** In bytes, by purpose: `processes`, `binary`, `ets`… */
  readonly memory: Readonly<Record<string, number>>;
  /** The number of Erlang processes. */
  readonly processCount: number;
  /** The maximum number of Erlang processes. */
  readonly processLimit: number;
  /** The number of processes that wait to run. */
  readonly runQueue: number;
  /** The number of query servers. */
  readonly osProcCount: number;
  /** The number of waiting messages by process name; for some processes, their distribution. */
  readonly messageQueues: Readonly<Record<string, unknown>>;
  /** The server's whole response. */
  readonly raw: Readonly<Record<string, unknown>>;
}

/** The versions of the components of a node. */
export interface NodeVersions {
  readonly erlang: string;
  /** The engine of design functions. CouchDB reports no version for QuickJS. */
  readonly javascriptEngine: { readonly name: string; readonly version: string | null };
  /** The library that orders the keys of views. */
  readonly collation: { readonly name: string; readonly version: string | null };
  /** The server's whole response. */
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
