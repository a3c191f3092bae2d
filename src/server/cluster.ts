import type { Connection } from '../http/connection.ts';
import { arrayField, stringField } from '../http/decode.ts';
import { operation } from '../http/operation.ts';
import type { Operation } from '../http/operation.ts';
import { count, json, text, toBody, toQuery } from '../http/query.ts';
import type { Parameter, Parameters } from '../http/query.ts';
import { invalidArgument } from '../model/invalid-argument.ts';
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

/** How far a node, or its cluster, has been set up. */
export type ClusterState =
  | 'cluster_disabled'
  | 'single_node_disabled'
  | 'single_node_enabled'
  | 'cluster_enabled'
  | 'cluster_finished';

/** What has to be there for a setup to be complete. */
export interface ClusterStateOptions {
  /** Databases of the system. @defaultValue ['_users', '_replicator'] */
  readonly ensureDbsExist?: readonly string[];
}

/** The administrator that a step makes, or is taken as. */
interface Administrator {
  readonly username?: string;
  readonly password?: string;
}

/** Makes the node that answers a server of its own. */
export interface EnableSingleNode extends Administrator, ClusterStateOptions {
  readonly action: 'enable_single_node';
  readonly bindAddress?: string;
  readonly port?: number;
}

/** Prepares a node, the one that answers or a remote one, to be joined to a cluster. */
export interface EnableCluster extends Administrator {
  readonly action: 'enable_cluster';
  readonly bindAddress?: string;
  readonly port?: number;
  /** How many nodes the cluster will have, with this one. */
  readonly nodeCount?: number;
  readonly remoteNode?: string;
  readonly remoteCurrentUser?: string;
  readonly remoteCurrentPassword?: string;
}

/** Joins a node that has been prepared to the cluster. */
export interface AddNode extends Administrator {
  readonly action: 'add_node';
  readonly host: string;
  readonly port?: number;
  readonly name?: string;
}

/** Completes the cluster: makes the databases of the system. */
export interface FinishCluster extends ClusterStateOptions {
  readonly action: 'finish_cluster';
}

/** A step of the setup of a cluster. */
export type ClusterSetup = EnableSingleNode | EnableCluster | AddNode | FinishCluster;

/** A string that no message shows. */
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

export function clusterState(
  connection: Connection,
  options: ClusterStateOptions,
): Operation<ClusterState> {
  const query = toQuery(EXISTING, options, 'setup');
  return operation(
    connection,
    () => ({ path: `/_cluster_setup${query}` }),
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
    throw invalidArgument('setup: host', 'the address of a node', body['host']);
  return operation(
    connection,
    () => {
      connection.hide(
        SECRETS.flatMap((name) => (typeof body[name] === 'string' ? body[name] : [])),
      );
      return { method: 'POST', path: '/_cluster_setup', json: body };
    },
    () => true,
  );
}
