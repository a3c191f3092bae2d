import { pbkdf2Sync, randomBytes } from 'node:crypto';
import { createSystemDatabases, freePort, startInstalled } from './installed-server.ts';
import { basicAuth, type RunningServer } from './running-server.ts';

/** A cluster whose nodes have joined. */
export interface Cluster {
  readonly nodes: readonly RunningServer[];
  readonly urls: readonly string[];
  readonly username: string;
  readonly password: string;
  stop(): Promise<void>;
}

/** How long the nodes may take to join, in milliseconds. */
const JOIN_TIMEOUT = 60_000;

/** Starts a cluster of three installed CouchDBs. Each node has every document. */
export async function startCluster(): Promise<Cluster> {
  const username = 'admin';
  const password = randomBytes(9).toString('hex');
  const [secret, salt] = [randomBytes(16).toString('hex'), randomBytes(16).toString('hex')];
  const key = pbkdf2Sync(password, salt, 10, 20, 'sha1').toString('hex');
  const common = { secret, passwordHash: `-pbkdf2-${key},${salt},10`, port: await freePort() };
  const addresses = ['127.0.0.11', '127.0.0.12', '127.0.0.13'];
  const starting = addresses.map((address) =>
    startInstalled({ username, password }, { address, ...common }),
  );
  const started = await Promise.allSettled(starting);
  const nodes = started.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : []));
  const stop = async (): Promise<void> => {
    await Promise.all(nodes.map((node) => node.stop()));
  };
  try {
    for (const one of started) if (one.status === 'rejected') throw one.reason;
    await join(nodes, addresses, basicAuth(username, password));
  } catch (error) {
    await stop();
    throw error;
  }
  return { nodes, urls: nodes.map(({ url }) => url), username, password, stop };
}

async function join(
  nodes: readonly RunningServer[],
  addresses: readonly string[],
  authorization: string,
): Promise<void> {
  const headers = { authorization, 'content-type': 'application/json' };
  const [first = ''] = nodes.map(({ url }) => url);
  for (const address of addresses.slice(1)) {
    const url = `${first}/_node/_local/_nodes/couchdb@${address}`;
    const response = await fetch(url, { method: 'PUT', headers, body: '{}' });
    if (!response.ok) throw new Error(`${address} did not join: ${await response.text()}`);
  }
  const deadline = Date.now() + JOIN_TIMEOUT;
  for (const { url } of nodes) {
    for (;;) {
      const response = await fetch(`${url}/_membership`, { headers });
      const { all_nodes: alive, cluster_nodes: known } = (await response.json()) as {
        all_nodes?: string[];
        cluster_nodes?: string[];
      };
      if (alive?.length === addresses.length && known?.length === addresses.length) break;
      if (Date.now() > deadline) throw new Error(`${url} knows only ${String(alive)}`);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }
  await createSystemDatabases(first, authorization);
}
