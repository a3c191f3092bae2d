import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { Couch, isCorduroyError } from 'corduroy';
import { firstValueFrom, fromEvent } from 'rxjs';
import { openDatabase } from '../dashboard/couch.mjs';
import { firstOrders } from './orders.mjs';
import { startServer } from './server.mjs';

/** Serves the application until `quit` is aborted; returns the exit code. */
export async function run({ port, url }, quit) {
  const closers = [];
  try {
    const quit$ = fromEvent(quit.signal, 'abort');
    const database = await openDatabase(url, quit, quit$, 'orders');
    closers.push(() => database.close());
    const users = await invite(database, url === undefined, closers);
    await firstValueFrom(database.database.save(firstOrders()));
    quit.signal.throwIfAborted();
    const server = await startServer(port, database);
    closers.push(() => server.close());

    console.log(`Database  ${database.url}/${database.name} (${database.kind})`);
    for (const { name, password } of users) console.log(`Log in    ${name} / ${password}`);
    console.log(`Page      ${server.url}/`);
    console.log('          Ctrl-C to stop');
    await firstValueFrom(quit$);
    return quit.signal.reason;
  } catch (error) {
    if (!quit.signal.aborted) complain(error);
    return quit.signal.aborted ? quit.signal.reason : 1;
  } finally {
    // In the reverse order; nothing that hangs keeps the rest from being closed.
    for (const close of closers.toReversed()) {
      await Promise.race([close(), sleep(700, undefined, { ref: false })]).catch(complain);
    }
  }
}

/** Makes two users, who alone may read and write the orders. */
async function invite({ url, auth, database }, isOwn, closers) {
  const couch = new Couch(url, { auth, timeout: 10_000 });
  const unique = isOwn ? '' : `-${randomBytes(3).toString('hex')}`;
  const users = ['kitchen', 'counter'].map((station) => ({
    name: station + unique,
    password: randomBytes(4).toString('hex'),
  }));
  for (const { name, password } of users) {
    await firstValueFrom(couch.users.create(name, password));
    if (!isOwn) closers.push(() => firstValueFrom(couch.users.remove(name)));
  }
  await firstValueFrom(database.grant({ members: { names: users.map(({ name }) => name) } }));
  return users;
}

/** Errors that are expected say all in one line; others are mistakes of the demo's. */
function complain(error) {
  if (isCorduroyError(error)) console.error(`${error.name}: ${error.message}`);
  else console.error(error?.expected ? error.message : error);
}
