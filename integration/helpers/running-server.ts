/** Where a server comes from: named by $COUCHDB_URL, found on this machine, or brought along. */
export type ServerKind = 'given' | 'installed' | 'embedded';

export type ServerSignal = 'SIGKILL' | 'SIGSTOP' | 'SIGCONT';

/** A server that tests may use, and that whoever started it has to stop. */
export interface RunningServer {
  readonly kind: ServerKind;
  /** The origin, without credentials and without a slash at its end. */
  readonly url: string;
  /** An admin. */
  readonly username: string;
  readonly password: string;
  /** As the server tells it: `3.5.0`, or that of the embedded one. */
  readonly version: string;
  /** Of the process that answers. A given server has none that we know. */
  readonly pid?: number;
  /** Ends the process and removes every file it wrote. A given server is left alone. */
  stop(): Promise<void>;
  /** Kills, freezes or thaws the process; resolves when that has happened. */
  kill(signal: ServerSignal): Promise<void>;
  /** Starts it again on the same port with the same data, after a kill or instead of one. */
  restart?(): Promise<void>;
}

/** Basic credentials as a header. */
export function basicAuth(username: string, password: string): string {
  return `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`;
}

/** Waits until a server answers as itself, and gives back the version it tells. */
export async function untilAnswering(
  url: string,
  authorization: string,
  { patience = 30_000, alive = (): boolean => true } = {},
): Promise<string> {
  const deadline = Date.now() + patience;
  for (;;) {
    try {
      const response = await fetch(`${url}/_up`, { signal: AbortSignal.timeout(2_000) });
      await response.arrayBuffer();
      if (response.ok) break;
    } catch (error) {
      if (Date.now() > deadline) throw new Error(`No CouchDB answers at ${url}`, { cause: error });
    }
    if (!alive()) throw new Error(`The CouchDB for ${url} ended before it answered`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  return versionOf(url, authorization);
}

async function versionOf(url: string, authorization: string): Promise<string> {
  const response = await fetch(`${url}/`, { headers: { authorization } });
  const welcome = (await response.json()) as { couchdb?: string; version?: string };
  if (welcome.couchdb !== 'Welcome') throw new Error(`${url} is no CouchDB`);
  return welcome.version ?? 'unknown';
}

/** A signal to a process, told as failed only where it could have worked. */
export function signal(pid: number | undefined, name: NodeJS.Signals): void {
  if (pid === undefined) throw new Error('This server has no process to signal');
  process.kill(pid, name);
}
