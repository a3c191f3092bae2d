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
 * The server that the suite runs against: the one in $COUCHDB_URL, else one installed here, else the
 * embedded one. $CORDUROY_SERVER names a kind to force it.
 */
export async function startServer(kind: ServerKind = chosenKind()): Promise<RunningServer> {
  if (kind === 'given') return useGiven();
  if (kind === 'installed') return startInstalled(freshAdmin());
  return startEmbedded({ admin: freshAdmin() });
}

/** A server of the same kind for one test alone, which may kill, stop and restart it. */
export async function startIsolatedServer(kind?: ServerKind): Promise<RunningServer> {
  const chosen = kind ?? chosenKind();
  if (chosen === 'given') {
    throw new Error('A server given by $COUCHDB_URL is not ours to kill: see needs("process")');
  }
  return startServer(chosen);
}

/** What startServer() would start. */
export function chosenKind(): ServerKind {
  const forced = process.env['CORDUROY_SERVER'];
  if (forced === 'given' || forced === 'installed' || forced === 'embedded') return forced;
  if (forced) throw new Error(`CORDUROY_SERVER=${forced}: it is given, installed or embedded`);
  if (process.env['COUCHDB_URL']) return 'given';
  return findInstalled() === undefined ? 'embedded' : 'installed';
}

async function useGiven(): Promise<RunningServer> {
  const given = process.env['COUCHDB_URL'];
  if (!given) throw new Error('CORDUROY_SERVER=given needs $COUCHDB_URL, with an admin in it');
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
      return Promise.reject(new Error('A given server is not ours to kill'));
    },
  };
}

/** Better one clear word at the start than a thousand 403s. */
async function checkAdmin(url: string, authorization: string): Promise<void> {
  const response = await fetch(`${url}/_session`, { headers: { authorization } });
  const { userCtx } = (await response.json()) as { userCtx?: { roles: string[] } };
  if (!userCtx?.roles.includes('_admin')) {
    throw new Error('The credentials in $COUCHDB_URL must be those of an admin');
  }
}

/** Characters that must be encoded, so that every run proves that they are. */
function freshAdmin(): { username: string; password: string } {
  return { username: 'admin', password: `p@ss/${randomBytes(6).toString('hex')}%` };
}
