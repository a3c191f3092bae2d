import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { accessSync, constants, readFileSync, realpathSync } from 'node:fs';
import { createServer } from 'node:net';
import { delimiter, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { basicAuth, type RunningServer, signal, untilAnswering } from './running-server.ts';

const keeper = fileURLToPath(new URL('./installed-server-keeper.mjs', import.meta.url));

/** Finds the launcher of an installed CouchDB: $COUCHDB_BIN, the path of its packages, or PATH. */
export function findInstalled(): string | undefined {
  const named = process.env['COUCHDB_BIN'];
  const onPath = (process.env['PATH'] ?? '').split(delimiter).filter(Boolean);
  const candidates = [
    ...(named ? [named] : []),
    '/opt/couchdb/bin/couchdb',
    ...onPath.map((folder) => join(folder, 'couchdb')),
  ];
  const found = candidates.find(isLauncher);
  return found === undefined ? undefined : realpathSync(found);
}

/** Returns whether a file is CouchDB's launcher script, and not another program of that name. */
function isLauncher(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return /COUCHDB_INI_FILES|erlexec/.test(readFileSync(path, 'utf8'));
  } catch {
    return false;
  }
}

/** The settings of a node of a cluster. */
export interface ClusterMember {
  /** The node's loopback address. */
  readonly address: string;
  /** The port for connections between nodes, equal for all nodes. */
  readonly port: number;
  /** The secret that all nodes share. */
  readonly secret: string;
  /**
   * The hash of the administrator's password. All nodes need the same salt, because cookies depend
   * on it.
   */
  readonly passwordHash: string;
}

/**
 * Starts an installed CouchDB on a free port, with a separate configuration, data folder and admin.
 * A keeper process owns it, and ends it even if this process is killed.
 */
export async function startInstalled(
  admin: { readonly username: string; readonly password: string },
  member?: ClusterMember,
): Promise<RunningServer> {
  const launcher = findInstalled();
  if (launcher === undefined) throw new Error('No installed CouchDB was found: set $COUCHDB_BIN');
  const port = await freePort();
  const url = `http://127.0.0.1:${port}`;
  const child = fork(keeper, [], {
    execArgv: [],
    // A separate process group, so that Ctrl-C does not stop the keeper before it cleans up.
    detached: true,
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
  });
  const ended = once(child, 'exit');
  const authorization = basicAuth(admin.username, admin.password);
  const alive = (): boolean => child.exitCode === null;
  let pid = 0;
  let version: string;
  try {
    pid = await ask(child, { start: { launcher, port, ...admin, member } });
    version = await untilAnswering(url, authorization, { alive });
    if (member === undefined) await createSystemDatabases(url, authorization);
  } catch (error) {
    child.disconnect();
    throw error;
  }
  return {
    kind: 'installed',
    url,
    ...admin,
    version,
    get pid() {
      return pid;
    },
    async stop() {
      if (!alive()) return;
      child.disconnect();
      await ended;
    },
    async kill(name) {
      signal(pid, name);
      if (name === 'SIGKILL') await ask(child, { awaitEnd: true });
    },
    async restart() {
      pid = await ask(child, { restart: true });
      await untilAnswering(url, authorization, { alive });
    },
  };
}

/** Sends the keeper a request. Resolves with the server's pid, even if the server has ended. */
async function ask(child: ChildProcess, request: object): Promise<number> {
  const answer = once(child, 'message');
  child.send(request);
  const [{ pid, error }] = (await answer) as [{ pid: number; error?: string }];
  if (error !== undefined) throw new Error(error);
  return pid;
}

export async function freePort(): Promise<number> {
  const probe = createServer().listen(0, '127.0.0.1');
  await once(probe, 'listening');
  const { port } = probe.address() as { port: number };
  probe.close();
  await once(probe, 'close');
  return port;
}

/**
 * Creates the system databases. A single node creates them itself, but only after it answers.
 * During that time a test could miss them, or receive a 500.
 */
export async function createSystemDatabases(url: string, authorization: string): Promise<void> {
  for (const name of ['_users', '_replicator']) {
    for (let attempts = 40; ; attempts -= 1) {
      const response = await fetch(`${url}/${name}`, { method: 'PUT', headers: { authorization } });
      await response.arrayBuffer();
      if (response.ok || response.status === 412) break;
      if (attempts === 0) throw new Error(`Could not create ${name}: ${response.status}`);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }
}
