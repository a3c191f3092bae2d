import { fork } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { Couch, isNotFound } from 'corduroy';
import { EMPTY, catchError, firstValueFrom, lastValueFrom, takeUntil } from 'rxjs';

const program = fileURLToPath(
  new URL('../../integration/helpers/embedded/server.mjs', import.meta.url),
);

/**
 * Makes a database for the demo: on the server that is named, or on an embedded one in a process of
 * its own. `close` deletes the database, or ends that process with all it holds.
 */
export async function openDatabase(given, quit, quit$, title = 'airports') {
  const server = given === undefined ? await startEmbedded(quit) : named(given);
  const couch = new Couch(server.url, { auth: server.auth, timeout: 10_000 });
  // Where others are at work as well it gets a name that nobody else has.
  const unique = `${Date.now().toString(36)}-${randomBytes(3).toString('hex')}`;
  const name = given === undefined ? title : `corduroy-demo-${unique}`;
  const missing = catchError((error) => {
    if (isNotFound(error)) return EMPTY;
    throw error;
  });
  const remove = () => lastValueFrom(couch.delete(name).pipe(missing), { defaultValue: undefined });
  const close = server.stop ?? remove;
  const version = await firstValueFrom(couch.version().pipe(takeUntil(quit$))).catch(
    async (error) => {
      await server.stop?.();
      throw error;
    },
  );
  try {
    const database = await firstValueFrom(couch.create(name).pipe(takeUntil(quit$)));
    return { ...server, name, version, database, close };
  } catch (error) {
    // Ctrl-C may have come between the request and the answer. What failed is told, not this.
    await close().catch(() => {});
    throw error;
  }
}

function named(text) {
  const url = new URL(text);
  const [username, password] = [url.username, url.password].map(decodeURIComponent);
  url.username = '';
  url.password = '';
  const auth = username === '' ? undefined : { username, password };
  return { kind: 'CouchDB', url: url.href.replace(/\/+$/, ''), auth };
}

async function startEmbedded(quit) {
  const auth = { username: 'demo', password: randomBytes(12).toString('hex') };
  // In a group of its own, so that Ctrl-C comes to this process alone. However this process ends,
  // the server sees the channel between them close, and ends too.
  const child = fork(program, ['--admin', `${auth.username}:${auth.password}`], {
    execArgv: [],
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
    detached: process.platform !== 'win32',
  });
  const exit = once(child, 'exit');
  let stopping = false;
  const stop = async () => {
    stopping = true;
    if (child.connected) child.disconnect();
    await exit;
  };
  quit.signal.addEventListener('abort', () => (stopping = true));
  const ended = exit.then(() => {
    if (stopping) throw new Error('stopped');
    throw new Error('The embedded server has ended of its own accord');
  });
  try {
    const aborted = once(quit.signal, 'abort').then(() => quit.signal.throwIfAborted());
    const [{ url }] = await Promise.race([once(child, 'message'), ended, aborted]);
    ended.catch((error) => {
      if (stopping) return;
      console.error(`${error.message}.`);
      quit.abort(1);
    });
    aborted.catch(() => {});
    return { kind: 'embedded server', url, auth, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}
