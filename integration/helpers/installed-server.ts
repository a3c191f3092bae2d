import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { accessSync, constants, readFileSync, realpathSync } from 'node:fs';
import { createServer } from 'node:net';
import { delimiter, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { basicAuth, type RunningServer, signal, untilAnswering } from './running-server.ts';

const keeper = fileURLToPath(new URL('./installed-server-keeper.mjs', import.meta.url));

/** The launcher of an installed CouchDB: $COUCHDB_BIN, where its packages put it, or on PATH. */
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

/** A script that starts CouchDB's release, and not just any program of that name. */
function isLauncher(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return /COUCHDB_INI_FILES|erlexec/.test(readFileSync(path, 'utf8'));
  } catch {
    return false;
  }
}

/** What makes a server one node of several. */
export interface ClusterMember {
  /** The address of the loopback by which the other nodes know it. */
  readonly address: string;
  /** The port on which all of them listen for each other. */
  readonly port: number;
  /** What the nodes have in common, and nobody else knows. */
  readonly secret: string;
  /** The administrator's password, with the same salt on all of them: cookies depend on it. */
  readonly passwordHash: string;
}

/**
 * Starts an installed CouchDB on a free port of this machine with a configuration, data and an admin
 * of its own, beside whatever else runs here. A keeper process owns it and ends it even when this
 * process dies without a word.
 */
export async function startInstalled(
  admin: { readonly username: string; readonly password: string },
  member?: ClusterMember,
): Promise<RunningServer> {
  const launcher = findInstalled();
  if (launcher === undefined) throw new Error('No CouchDB is installed here: set $COUCHDB_BIN');
  const port = await freePort();
  const url = `http://127.0.0.1:${port}`;
  const child = fork(keeper, [], {
    execArgv: [],
    // In a group of its own, so that Ctrl-C reaches the tests and not the one who cleans up.
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

/** Sends the keeper a request; its one answer is the pid of the server, dead or alive. */
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
 * A single node makes them itself, but only after it answers, and a spec must not be the one to meet
 * that moment: while the two of us are at it, the server may even answer 500.
 */
export async function createSystemDatabases(url: string, authorization: string): Promise<void> {
  for (const name of ['_users', '_replicator']) {
    for (let patience = 40; ; patience -= 1) {
      const response = await fetch(`${url}/${name}`, { method: 'PUT', headers: { authorization } });
      await response.arrayBuffer();
      if (response.ok || response.status === 412) break;
      if (patience === 0) throw new Error(`Could not create ${name}: ${response.status}`);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }
}
