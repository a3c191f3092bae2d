import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { basicAuth, type RunningServer, signal, untilAnswering } from './running-server.ts';

export interface EmbeddedOptions {
  /** Who must log in; without one everybody is an admin. */
  readonly admin?: { readonly username: string; readonly password: string };
  /** Answer cross-origin requests of pages, as a CouchDB with [cors] does. */
  readonly cors?: boolean;
  /** A fixed port instead of a free one. */
  readonly port?: number;
}

const program = fileURLToPath(new URL('./embedded/server.mjs', import.meta.url));

/** Starts an embedded server in a process of its own: fresh, empty, gone with its data at the end. */
export async function startEmbedded(options: EmbeddedOptions = {}): Promise<RunningServer> {
  const { admin, cors = false, port } = options;
  const args = [
    ...(admin ? ['--admin', `${admin.username}:${admin.password}`] : []),
    ...(cors ? ['--cors'] : []),
    ...(port === undefined ? [] : ['--port', String(port)]),
  ];
  // Without this process's own node flags: a debugger's port or Jest's modules are not for it.
  const child = fork(program, args, {
    execArgv: [],
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
  });
  const url = await firstMessage(child);
  const username = admin?.username ?? '';
  const password = admin?.password ?? '';
  const ended = once(child, 'exit');
  const version = await untilAnswering(url, basicAuth(username, password)).catch((error) => {
    child.disconnect();
    throw error;
  });
  return {
    kind: 'embedded',
    url,
    username,
    password,
    version,
    ...(child.pid !== undefined && { pid: child.pid }),
    async stop() {
      if (child.exitCode === null && child.signalCode === null) {
        // A frozen process would never see that its parent let go.
        child.kill('SIGCONT');
        child.disconnect();
        await ended;
      }
    },
    async kill(name) {
      signal(child.pid, name);
      if (name === 'SIGKILL') await ended;
    },
  };
}

async function firstMessage(child: ChildProcess): Promise<string> {
  const ended = once(child, 'exit').then(() => {
    throw new Error('The embedded server ended before it listened');
  });
  const [message] = await Promise.race([once(child, 'message'), ended]);
  return (message as { url: string }).url;
}
