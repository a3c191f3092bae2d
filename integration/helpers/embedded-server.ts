import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { basicAuth, type RunningServer, signal, untilAnswering } from './running-server.ts';

export interface EmbeddedOptions {
  /** The administrator. Without one, every request has administrator rights. */
  readonly admin?: { readonly username: string; readonly password: string };
  /** Whether it answers cross-origin requests, as a CouchDB with [cors] does. */
  readonly cors?: boolean;
  /** The port. Default: a free port. */
  readonly port?: number;
}

const program = fileURLToPath(new URL('./embedded/server.mjs', import.meta.url));

/** Starts an empty embedded server in a child process. Its data end with the process. */
export async function startEmbedded(options: EmbeddedOptions = {}): Promise<RunningServer> {
  const { admin, cors = false, port } = options;
  const args = [
    ...(admin ? ['--admin', `${admin.username}:${admin.password}`] : []),
    ...(cors ? ['--cors'] : []),
    ...(port === undefined ? [] : ['--port', String(port)]),
  ];
  // The child must not inherit Node flags such as a debugger's port or Jest's modules.
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
        // A frozen process would not notice the disconnect.
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
    throw new Error('The embedded server ended before it listened on its port');
  });
  const [message] = await Promise.race([once(child, 'message'), ended]);
  return (message as { url: string }).url;
}
