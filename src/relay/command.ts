import { once } from 'node:events';
import { createServer } from 'node:http';
import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { firstValueFrom, timeout } from 'rxjs';
import { CoreCouch } from '../core-couch.ts';
import { isForbidden, isUnauthorized } from '../errors/http-error.ts';
import { gotTransport } from '../http/got-transport.ts';
import { readCommandLine } from './command-line.ts';
import type { CommandLine } from './command-line.ts';
import { relay } from './relay.ts';

/** Runs the command `corduroy` until a signal ends it. Sets the exit code. */
export async function run(args: readonly string[]): Promise<void> {
  const line = readCommandLine(args, process.env);
  if ('text' in line) {
    (line.isError ? process.stderr : process.stdout).write(`${line.text}\n`);
    process.exitCode = line.isError ? 2 : 0;
    return;
  }
  try {
    await serve(line);
  } catch (error) {
    say(`corduroy: ${error instanceof Error ? error.message : String(error)}`);
    process.exitCode = 1;
  }
}

function say(text: string): void {
  process.stderr.write(`${text}\n`);
}

async function serve({ url, auth, port, host, drain, relay: options }: CommandLine): Promise<void> {
  const couch = new CoreCouch(url, {
    transport: gotTransport(),
    ...(auth !== null && { auth: [...auth] as [string, string] }),
  });
  await look(couch);
  warnOfFiles(options.maxClients ?? 0);
  const handler = relay(couch, options);
  const server = createServer({ requestTimeout: 60_000 }, handler);
  try {
    await listen(server, port, host);
  } catch (error) {
    await handler.close();
    throw error;
  }
  const { address, port: actual } = server.address() as AddressInfo;
  say(`corduroy: relay of ${couch.url} at http://${address}:${actual}`);
  const ended = ['SIGTERM', 'SIGINT'].map((signal) => once(process, signal));
  await Promise.race(ended);
  say(`corduroy: ending the feeds within ${drain} ms`);
  // Connections that are open get no further feed; the others are closed when they are idle.
  server.close();
  await handler.close({ over: drain });
  server.closeAllConnections();
}

/** Looks whether CouchDB can be reached. If it cannot, the relay waits for it; wrong credentials end it. */
async function look(couch: CoreCouch): Promise<void> {
  try {
    await firstValueFrom(couch.session().pipe(timeout(10_000)));
  } catch (error) {
    if (isUnauthorized(error) || isForbidden(error)) throw error;
    say(
      `corduroy: ${couch.url} cannot be reached at present, so that the relay waits for it: ${String(error)}`,
    );
  }
}

/** Warns if the system lets the process open fewer connections than the relay may have. */
function warnOfFiles(most: number): void {
  const { userLimits } = process.report.getReport() as unknown as {
    readonly userLimits?: { readonly open_files?: { readonly soft: number | string } };
  };
  const limit = userLimits?.open_files?.soft;
  if (typeof limit !== 'number' || limit >= most + 200) return;
  say(
    `corduroy: this process may open ${limit} files, fewer than --max-clients (${most}): raise ulimit -n`,
  );
}

async function listen(server: Server, port: number, host: string): Promise<void> {
  server.listen(port, host);
  try {
    await once(server, 'listening');
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'EADDRINUSE')
      throw new Error(`port ${port} of ${host} is in use: choose another one with --port`, {
        cause: error,
      });
    throw error;
  }
}
