import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { Couch, isCorduroyError } from 'corduroy';
import { firstValueFrom, fromEvent, lastValueFrom, takeUntil } from 'rxjs';
import { openDatabase } from '../dashboard/couch.mjs';
import { changeOrders, createOrders } from './orders.mjs';
import { startServer } from './server.mjs';

/** Serves the application until `quit` is aborted. Returns the exit code. */
export async function run({ port, url, orders: count, writes }, quit) {
  const closers = [];
  try {
    const quit$ = fromEvent(quit.signal, 'abort');
    const database = await openDatabase(url, quit, quit$, 'orders');
    closers.push(() => database.close());
    const users = await createUsers(database, url === undefined, closers);
    const orders = createOrders(count);
    for (let i = 0; i < count; i += 1_000) {
      const saved = database.database.save(orders.slice(i, i + 1_000)).pipe(takeUntil(quit$));
      await lastValueFrom(saved, { defaultValue: undefined });
      quit.signal.throwIfAborted();
    }
    // The page sorts by the time, with or without a status before it.
    for (const fields of [['placed'], ['status', 'placed']]) {
      await firstValueFrom(database.database.indexes.create({ fields }));
    }
    quit.signal.throwIfAborted();
    const server = await startServer(port, database);
    closers.push(() => server.close());

    console.log(`Database  ${database.url}/${database.name} (${database.kind})`);
    for (const { name, password } of users) console.log(`Log in    ${name} / ${password}`);
    console.log(`Page      ${server.url}/`);
    console.log('          Ctrl-C to stop');
    if (writes > 0) {
      const changes = changeOrders(database.database, orders, writes).subscribe({
        error: (error) => {
          printError(error);
          quit.abort(1);
        },
      });
      closers.push(async () => changes.unsubscribe());
    }
    await firstValueFrom(quit$);
    return quit.signal.reason;
  } catch (error) {
    if (!quit.signal.aborted) printError(error);
    return quit.signal.aborted ? quit.signal.reason : 1;
  } finally {
    // Close in reverse order. The time limit prevents one resource from blocking the next.
    for (const close of closers.toReversed()) {
      await Promise.race([close(), sleep(700, undefined, { ref: false })]).catch(printError);
    }
  }
}

/** Creates two users and makes them the only members of the database. */
async function createUsers({ url, auth, database }, isEmbedded, closers) {
  const couch = new Couch(url, { auth, timeout: 10_000 });
  const unique = isEmbedded ? '' : `-${randomBytes(3).toString('hex')}`;
  const users = ['kitchen', 'counter'].map((station) => ({
    name: station + unique,
    password: randomBytes(4).toString('hex'),
  }));
  for (const { name, password } of users) {
    await firstValueFrom(couch.users.create(name, password));
    if (!isEmbedded) closers.push(() => firstValueFrom(couch.users.delete(name)));
  }
  await firstValueFrom(
    database.upkeep.grant({ members: { names: users.map(({ name }) => name) } }),
  );
  return users;
}

/** Prints one line for an expected error, and the stack for a bug in the demo. */
function printError(error) {
  if (isCorduroyError(error)) console.error(`${error.name}: ${error.message}`);
  else console.error(error?.expected ? error.message : error);
}
