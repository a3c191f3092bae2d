import { stringField } from '../http/decode.ts';
import type { Connection } from '../http/connection.ts';
import { operation } from '../http/operation.ts';
import type { Operation } from '../http/operation.ts';
import { request } from '../http/request.ts';
import type { RequestOptions } from '../http/request.ts';
import { isDotSegment, segment } from '../http/url.ts';
import { mustBe } from '../model/must-be.ts';
import { configuration } from './configuration.ts';
import type { ConfigSection, ConfigValue, NodeConfigOptions } from './configuration.ts';
import { readSmoosh, readSystem, readVersions } from './node-facts.ts';
import type { NodeSystem, NodeVersions, SmooshChannel } from './node-facts.ts';
import { statistics } from './statistics.ts';
import type { Statistics } from './statistics.ts';

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
      throw mustBe('node: name', 'the name of a node, as in couchdb@127.0.0.1', node);
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
