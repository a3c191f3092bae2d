import type { Connection } from '../http/connection.ts';
import { arrayField, stringField } from '../http/decode.ts';
import { operation } from '../http/operation.ts';
import type { Operation } from '../http/operation.ts';
import { count, json, text, toBody, toQuery } from '../http/query.ts';
import type { Parameter, Parameters } from '../http/query.ts';
import { SERVER, endpoint } from '../http/url.ts';
import { invalidArgument, requireOptions } from '../model/invalid-argument.ts';
import { Resharding } from './resharding.ts';

/** The nodes that a server knows. */
export interface Membership {
  /** The nodes that the server is connected to, including itself. */
  readonly allNodes: readonly string[];
  /** The nodes that belong to the cluster. */
  readonly clusterNodes: readonly string[];
}

/**
 * The cluster of a server: `couch.cluster`.
 *
 * Every method returns a cold `Operation`, and errors with `Unauthorized` for all but
 * administrators.
 */
export class Cluster {
  readonly #connection: Connection;

  /** @internal */
  constructor(connection: Connection) {
    this.#connection = connection;
  }

  /**
   * Reads the connected nodes, and the nodes that belong to the cluster.
   *
   * @see https://docs.couchdb.org/en/stable/api/server/common.html#membership
   */
  membership(): Operation<Membership> {
    return operation(
      this.#connection,
      () => endpoint(SERVER, '/_membership'),
      (body) => ({
        allNodes: arrayField(body, 'all_nodes') as string[],
        clusterNodes: arrayField(body, 'cluster_nodes') as string[],
      }),
    );
  }

  /**
   * Reads the state of the cluster setup. With an action, executes a step of the setup and emits
   * `true`.
   *
   * Errors with `BadRequest` for a step that was already executed.
   *
   * @throws TypeError for an unknown action, and for an option that the action does not have.
   * @example
   * couch.cluster.setup({ action: 'finish_cluster' }).subscribe();
   * @see https://docs.couchdb.org/en/stable/setup/cluster.html
   */
  setup(options?: ClusterStateOptions): Operation<ClusterState>;
  setup(step: ClusterSetup): Operation<true>;
  setup(
    options: ClusterStateOptions | ClusterSetup = {},
  ): Operation<ClusterState> | Operation<true> {
    requireOptions(options, 'cluster.setup');
    return 'action' in options
      ? setUpCluster(this.#connection, options)
      : clusterState(this.#connection, options);
  }

  /** The splitting of shards. */
  get reshard(): Resharding {
    return new Resharding(this.#connection);
  }
}

/** The state of the setup of a node or its cluster. */
export type ClusterState =
  | 'cluster_disabled'
  | 'single_node_disabled'
  | 'single_node_enabled'
  | 'cluster_enabled'
  | 'cluster_finished';

/** The databases that a complete setup requires. */
export interface ClusterStateOptions {
  /** The system databases. @defaultValue ['_users', '_replicator'] */
  readonly ensureDbsExist?: readonly string[];
}

/** The administrator that a step creates, or authenticates as. */
interface Administrator {
  readonly username?: string;
  readonly password?: string;
}

/** Makes the node that answers a single-node server. */
export interface EnableSingleNode extends Administrator, ClusterStateOptions {
  readonly action: 'enable_single_node';
  readonly bindAddress?: string;
  readonly port?: number;
}

/** Prepares a node to join a cluster: the node that answers, or a remote one. */
export interface EnableCluster extends Administrator {
  readonly action: 'enable_cluster';
  readonly bindAddress?: string;
  readonly port?: number;
  /** The number of nodes of the complete cluster. */
  readonly nodeCount?: number;
  readonly remoteNode?: string;
  readonly remoteCurrentUser?: string;
  readonly remoteCurrentPassword?: string;
}

/** Joins a prepared node to the cluster. */
export interface AddNode extends Administrator {
  readonly action: 'add_node';
  readonly host: string;
  readonly port?: number;
  readonly name?: string;
}

/** Completes the cluster, and creates the system databases. */
export interface FinishCluster extends ClusterStateOptions {
  readonly action: 'finish_cluster';
}

/** A step of the cluster setup. */
export type ClusterSetup = EnableSingleNode | EnableCluster | AddNode | FinishCluster;

/** A string whose value must not appear in an error message. */
const secret: Parameter = (value, name) => {
  if (typeof value === 'string') return value;
  throw new TypeError(`${name} must be a string`);
};

const ADMINISTRATOR = { username: text, password: secret };
const ADDRESS = { bindAddress: text, port: count };
const EXISTING = { ensureDbsExist: json };

const OPTIONS: Readonly<Record<ClusterSetup['action'], Parameters>> = {
  enable_single_node: { ...ADMINISTRATOR, ...ADDRESS, ...EXISTING },
  enable_cluster: {
    ...ADMINISTRATOR,
    ...ADDRESS,
    nodeCount: count,
    remoteNode: text,
    remoteCurrentUser: text,
    remoteCurrentPassword: secret,
  },
  add_node: { ...ADMINISTRATOR, host: text, port: count, name: text },
  finish_cluster: EXISTING,
};

const CLUSTER_SETUP = '/_cluster_setup';

export function clusterState(
  connection: Connection,
  options: ClusterStateOptions,
): Operation<ClusterState> {
  const query = toQuery(EXISTING, options, 'cluster.setup');
  return operation(
    connection,
    () => endpoint(SERVER, CLUSTER_SETUP, query),
    (body) => stringField(body, 'state') as ClusterState,
  );
}

const SECRETS = ['password', 'remote_current_password'];

export function setUpCluster(connection: Connection, step: ClusterSetup): Operation<true> {
  const { action, ...options } = step;
  if (!Object.hasOwn(OPTIONS, action))
    throw invalidArgument('setup: action', `one of '${Object.keys(OPTIONS).join("', '")}'`, action);
  const body: Record<string, unknown> = {
    action,
    ...toBody(OPTIONS[action], options, `setup: ${action}`),
  };
  if (action === 'add_node' && typeof body['host'] !== 'string')
    throw invalidArgument('setup: host', "a node's address", body['host']);
  const secrets = SECRETS.flatMap((name) => (typeof body[name] === 'string' ? body[name] : []));
  connection.hide(secrets, 'request');
  return operation(
    connection,
    () => ({ ...endpoint(SERVER, CLUSTER_SETUP), method: 'POST', json: body, secrets }),
    () => true,
  );
}
