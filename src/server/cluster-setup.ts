import type { Connection } from '../http/connection.ts';
import { stringField } from '../http/decode.ts';
import { operation } from '../http/operation.ts';
import type { Operation } from '../http/operation.ts';
import { count, json, text, toBody, toQuery } from '../http/query.ts';
import type { Parameter, Parameters } from '../http/query.ts';
import { mustBe } from '../model/must-be.ts';

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
    throw mustBe('setup: action', `one of '${Object.keys(OPTIONS).join("', '")}'`, action);
  const body: Record<string, unknown> = {
    action,
    ...toBody(OPTIONS[action], options, `setup: ${action}`),
  };
  if (action === 'add_node' && typeof body['host'] !== 'string')
    throw mustBe('setup: host', 'the address of a node', body['host']);
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
