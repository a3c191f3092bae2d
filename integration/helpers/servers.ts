import { randomBytes } from 'node:crypto';
import { startEmbedded } from './embedded-server.ts';
import { findInstalled, startInstalled } from './installed-server.ts';
import {
  basicAuth,
  type RunningServer,
  type ServerKind,
  untilAnswering,
} from './running-server.ts';

export { startEmbedded } from './embedded-server.ts';
export type { RunningServer, ServerKind, ServerSignal } from './running-server.ts';

/**
 * Starts the server of the suite: the one in $COUCHDB_URL, else an installed CouchDB, else the
 * embedded server. $CORDUROY_SERVER forces a kind.
 */
export async function startServer(kind: ServerKind = chosenKind()): Promise<RunningServer> {
  if (kind === 'given') return useGiven();
  if (kind === 'installed') return startInstalled(freshAdmin());
  return startEmbedded({ admin: freshAdmin() });
}

/** Starts a server of the same kind for one test, which may kill, stop and restart it. */
export async function startIsolatedServer(kind?: ServerKind): Promise<RunningServer> {
  const chosen = kind ?? chosenKind();
  if (chosen === 'given') {
    throw new Error('Tests must not kill a server given by $COUCHDB_URL: use needs("process")');
  }
  return startServer(chosen);
}

/** Starts a server for one test, which lets pages of other origins read its answers. */
export async function startServerForPages(origins: readonly string[]): Promise<RunningServer> {
  if (chosenKind() === 'embedded') return startEmbedded({ admin: freshAdmin(), cors: true });
  const server = await startIsolatedServer();
  const authorization = basicAuth(server.username, server.password);
  for (const [key, value] of [
    ['cors/origins', origins.join()],
    ['cors/credentials', 'true'],
    ['cors/methods', 'GET, PUT, POST, HEAD, DELETE'],
    ['cors/headers', 'accept, authorization, content-type'],
    ['chttpd/enable_cors', 'true'],
  ] as const) {
    const url = `${server.url}/_node/_local/_config/${key}`;
    const body = JSON.stringify(value);
    const response = await fetch(url, { method: 'PUT', headers: { authorization }, body });
    if (!response.ok) throw new Error(`Could not set ${key}`);
  }
  return server;
}

/** Returns the kind of server that startServer() starts. */
export function chosenKind(): ServerKind {
  const forced = process.env['CORDUROY_SERVER'];
  if (forced === 'given' || forced === 'installed' || forced === 'embedded') return forced;
  if (forced)
    throw new Error(`CORDUROY_SERVER must be given, installed or embedded (received ${forced})`);
  if (process.env['COUCHDB_URL']) return 'given';
  return findInstalled() === undefined ? 'embedded' : 'installed';
}

async function useGiven(): Promise<RunningServer> {
  const given = process.env['COUCHDB_URL'];
  if (!given)
    throw new Error('CORDUROY_SERVER=given needs $COUCHDB_URL with the credentials of an admin');
  const { origin, username: user, password: secret } = new URL(given);
  const username = decodeURIComponent(user);
  const password = decodeURIComponent(secret);
  const authorization = basicAuth(username, password);
  const version = await untilAnswering(origin, authorization);
  await checkAdmin(origin, authorization);
  return {
    kind: 'given',
    url: origin,
    username,
    password,
    version,
    async stop() {},
    kill() {
      return Promise.reject(new Error('Tests must not kill a server given by $COUCHDB_URL'));
    },
  };
}

/** Fails early, because without an admin most tests would fail with 403. */
async function checkAdmin(url: string, authorization: string): Promise<void> {
  const response = await fetch(`${url}/_session`, { headers: { authorization } });
  const { userCtx } = (await response.json()) as { userCtx?: { roles: string[] } };
  if (!userCtx?.roles.includes('_admin')) {
    throw new Error('The credentials in $COUCHDB_URL must be those of an admin');
  }
}

/** The password contains characters that must be encoded, so that every run tests that. */
function freshAdmin(): { username: string; password: string } {
  return { username: 'admin', password: `p@ss/${randomBytes(6).toString('hex')}%` };
}
