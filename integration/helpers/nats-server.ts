import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { accessSync, constants } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createConnection } from 'node:net';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { freePort } from './installed-server.ts';

/** A NATS server with JetStream in a temporary folder. The caller that started it must stop it. */
export interface NatsServer {
  /** The address for `connect({ servers })`. */
  readonly address: string;
  /** Kills the process with SIGKILL. The folder stays. */
  kill(): Promise<void>;
  /** Starts it again on the same port, with the same folder. */
  start(): Promise<void>;
  /** Ends the process and deletes the folder. */
  stop(): Promise<void>;
}

/** Finds the program: $NATS_SERVER_BIN, else PATH or the folder of the packages of Debian. */
export function findNatsServer(): string | undefined {
  const named = process.env['NATS_SERVER_BIN'];
  const folders = [...(process.env['PATH'] ?? '').split(delimiter), '/usr/sbin'].filter(Boolean);
  const candidates = named ? [named] : folders.map((folder) => join(folder, 'nats-server'));
  return candidates.find((path) => {
    try {
      accessSync(path, constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}

/**
 * Starts a NATS server on a free port.
 *
 * @param settings - Further lines of its configuration, such as `max_payload`.
 */
export async function startNatsServer(
  settings = '',
  { jetstream = true } = {},
): Promise<NatsServer> {
  const program = findNatsServer();
  if (program === undefined) throw new Error('No nats-server was found: set $NATS_SERVER_BIN');
  const folder = await mkdtemp(join(tmpdir(), 'nats-under-test-'));
  const port = await freePort();
  const config = join(folder, 'nats.conf');
  const store = JSON.stringify(join(folder, 'store'));
  await writeFile(
    config,
    `listen: "127.0.0.1:${port}"\n${jetstream ? `jetstream { store_dir: ${store} }\n` : ''}${settings}\n`,
  );
  let child: ChildProcess | null = null;
  const end = async (signal: NodeJS.Signals): Promise<void> => {
    const running = child;
    if (running === null) return;
    child = null;
    const ended = once(running, 'exit');
    running.kill(signal);
    await ended;
  };
  const killAtExit = (): unknown => child?.kill('SIGKILL');
  const server: NatsServer = {
    address: `127.0.0.1:${port}`,
    kill: () => end('SIGKILL'),
    async start() {
      const started = spawn(program, ['-c', config], { stdio: 'ignore' });
      child = started;
      await once(started, 'spawn');
      await untilListening(port, () => started.exitCode === null);
    },
    async stop() {
      process.off('exit', killAtExit);
      await end('SIGKILL');
      await rm(folder, { recursive: true, force: true });
    },
  };
  process.once('exit', killAtExit);
  await server.start();
  return server;
}

/** Waits until a server greets clients. */
async function untilListening(port: number, isAlive: () => boolean): Promise<void> {
  for (;;) {
    if (!isAlive()) throw new Error(`The nats-server on port ${port} has ended`);
    const socket = createConnection(port, '127.0.0.1');
    const greeted = await Promise.race([
      once(socket, 'data').then(
        () => true,
        () => false,
      ),
      once(socket, 'close').then(() => false),
    ]);
    socket.destroy();
    if (greeted) return;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
