import type { Connection } from '../http/connection.ts';
import { arrayField } from '../http/decode.ts';
import { operation } from '../http/operation.ts';
import type { Operation } from '../http/operation.ts';
import { clusterState, setUpCluster } from './cluster-setup.ts';
import type { ClusterSetup, ClusterState, ClusterStateOptions } from './cluster-setup.ts';
import { Resharding } from './resharding.ts';

/** Which nodes a server knows. */
export interface Membership {
  /** The nodes that this one is connected to, itself among them. */
  readonly allNodes: readonly string[];
  /** The nodes that belong to the cluster. */
  readonly clusterNodes: readonly string[];
}

/**
 * The cluster that a server belongs to, alone or with others: what `couch.cluster` is. For
 * administrators; everybody else gets `Unauthorized`.
 */
export class Cluster {
  readonly #connection: Connection;

  /** @internal */
  constructor(connection: Connection) {
    this.#connection = connection;
  }

  /**
   * Emits the nodes that are connected, and those that belong to the cluster.
   *
   * @see https://docs.couchdb.org/en/stable/api/server/common.html#membership
   */
  membership(): Operation<Membership> {
    return operation(
      this.#connection,
      () => ({ path: '/_membership' }),
      (body) => ({
        allNodes: arrayField(body, 'all_nodes') as string[],
        clusterNodes: arrayField(body, 'cluster_nodes') as string[],
      }),
    );
  }

  /**
   * Emits how far the setup has come; or, given an action, takes a step of it and emits `true`.
   *
   * Cold. Errors with `BadRequest` for a step that has been taken.
   *
   * @throws TypeError for an action that is none, or an option that is not its own.
   * @example
   * couch.cluster.setup({ action: 'finish_cluster' }).subscribe();
   * @see https://docs.couchdb.org/en/stable/setup/cluster.html
   */
  setup(options?: ClusterStateOptions): Operation<ClusterState>;
  setup(step: ClusterSetup): Operation<true>;
  setup(
    options: ClusterStateOptions | ClusterSetup = {},
  ): Operation<ClusterState> | Operation<true> {
    return 'action' in options
      ? setUpCluster(this.#connection, options)
      : clusterState(this.#connection, options);
  }

  /** How shards are split. */
  get reshard(): Resharding {
    return new Resharding(this.#connection);
  }
}
