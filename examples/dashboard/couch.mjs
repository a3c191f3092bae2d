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
 * Creates a database for the demo: on the given server, or on an embedded server in a child
 * process. `close` deletes the database on a given server, and ends the embedded server.
 */
export async function openDatabase(givenUrl, quit, quit$, title = 'airports') {
  const server = givenUrl === undefined ? await startEmbedded(quit) : readServer(givenUrl);
  const couch = new Couch(server.url, { auth: server.auth, timeout: 10_000 });
  // A given server may hold other databases: the name must be unique there.
  const unique = `${Date.now().toString(36)}-${randomBytes(3).toString('hex')}`;
  const name = givenUrl === undefined ? title : `corduroy-demo-${unique}`;
  const ignoreMissing = catchError((error) => {
    if (isNotFound(error)) return EMPTY;
    throw error;
  });
  const remove = () =>
    lastValueFrom(couch.delete(name).pipe(ignoreMissing), { defaultValue: undefined });
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
    // Ctrl-C can come between the request and its answer: the database may exist. The first error
    // matters to the user, an error of this deletion does not.
    await close().catch(() => {});
    throw error;
  }
}

function readServer(text) {
  const url = new URL(text);
  const [username, password] = [url.username, url.password].map(decodeURIComponent);
  url.username = '';
  url.password = '';
  const auth = username === '' ? undefined : { username, password };
  return { kind: 'CouchDB', url: url.href.replace(/\/+$/, ''), auth };
}

async function startEmbedded(quit) {
  const auth = { username: 'demo', password: randomBytes(12).toString('hex') };
  // A detached child has its own process group, so that Ctrl-C reaches only the demo, which then
  // stops the child. If the demo is killed, the IPC channel closes, and the child ends too.
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
    if (stopping) throw new Error('The demo has stopped the embedded server');
    throw new Error('The embedded server has ended unexpectedly');
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
    return { kind: 'embedded server', url, auth, pid: child.pid, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}
