/** The origin of a server: $COUCHDB_URL, an installed CouchDB, or the embedded server. */
export type ServerKind = 'given' | 'installed' | 'embedded';

export type ServerSignal = 'SIGKILL' | 'SIGSTOP' | 'SIGCONT';

/** A running server. The caller that started it must stop it. */
export interface RunningServer {
  readonly kind: ServerKind;
  /** The origin, without credentials and without a trailing slash. */
  readonly url: string;
  /** An admin. */
  readonly username: string;
  readonly password: string;
  /** The version in the server's welcome message. */
  readonly version: string;
  /** The server's process. Unknown for a given server. */
  readonly pid?: number;
  /** Ends the process and deletes its files. Does nothing to a given server. */
  stop(): Promise<void>;
  /** Kills, freezes or resumes the process. Resolves when that has happened. */
  kill(signal: ServerSignal): Promise<void>;
  /** Restarts it on the same port with the same data. */
  restart?(): Promise<void>;
}

/** Returns an `Authorization` header with Basic credentials. */
export function basicAuth(username: string, password: string): string {
  return `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`;
}

/** Waits until a server is up. Returns its version. */
export async function untilAnswering(
  url: string,
  authorization: string,
  { timeout = 30_000, alive = (): boolean => true } = {},
): Promise<string> {
  const deadline = Date.now() + timeout;
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

/** Sends a signal to a process. */
export function signal(pid: number | undefined, name: NodeJS.Signals): void {
  if (pid === undefined) throw new Error('This server has no process to signal');
  process.kill(pid, name);
}
