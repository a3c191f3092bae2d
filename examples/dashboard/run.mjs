import { setTimeout as sleep } from 'node:timers/promises';
import { Database, isCorduroyError } from 'corduroy';
import { Subscription, firstValueFrom, fromEvent, lastValueFrom, takeUntil } from 'rxjs';
import { openDatabase } from './couch.mjs';
import { readAirports, readFlights } from './data.mjs';
import { Flights } from './flights.mjs';
import { startServer } from './server.mjs';
import { follow, progress, reconnections, say } from './terminal.mjs';
import { count, paint } from './terminal-text.mjs';
import { load, write } from './writer.mjs';

/** Runs the demo until `quit` is aborted, or through once; returns the exit code. */
export async function run(options, quit) {
  const closers = [];
  try {
    return await show(options, quit, closers);
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

async function show({ port, url, once }, quit, closers) {
  const quit$ = fromEvent(quit.signal, 'abort');
  const server = await startServer(port);
  closers.push(() => server.close());
  const couch = await openDatabase(url, quit, quit$);
  closers.push(() => couch.close());
  server.show(couch);
  console.log(
    `Database  ${couch.url}/${couch.name} (${couch.kind} ${couch.version.replace(' (embedded)', '')})`,
  );

  // All reading goes through the demo's own server, as the page's does, so that a cut cuts it too.
  const here = new Database(`${server.url}/couch/${couch.name}`, {
    headers: { 'x-demo-client': 'terminal' },
  });
  const feed = here.changes$({
    since: 0,
    includeDocs: true,
    latency: 1000,
    // For human eyes: by default it would be back sooner than one can read.
    backoff: { initialDelay: 500, maxDelay: 4_000 },
  });
  const seen = { changes: 0, batches: 0, revisions: new Map(), reconnections: 0, written: 0 };
  const fail = (error) => {
    complain(error);
    quit.abort(1);
  };
  const subscriptions = new Subscription();
  closers.push(async () => subscriptions.unsubscribe());
  subscriptions.add(reconnections(feed).subscribe((times) => (seen.reconnections = times)));
  subscriptions.add(
    follow(feed).subscribe({ next: (tally) => Object.assign(seen, tally), error: fail }),
  );

  const documents = await readAirports();
  const loading = load(couch.database, documents).pipe(
    progress('Loading airports', documents.length),
    takeUntil(quit$),
  );
  const loaded = await lastValueFrom(loading);
  quit.signal.throwIfAborted();
  const airports = new Map(documents.map((airport) => [airport._id, airport]));
  const flights = new Flights(await readFlights());
  const writing = write(couch.database, airports, flights).subscribe({
    next: (written) => (seen.written += written),
    error: fail,
  });
  subscriptions.add(writing);
  console.log(`Page      ${paint('bold', `${server.url}/`)}`);

  if (once) {
    await rehearse(server, quit);
    writing.unsubscribe();
    return summarize({ ...(await verify(couch.database, seen, loaded, quit)), loaded, seen });
  }
  console.log(`          ${paint('dim', 'Ctrl-C to stop')}`);
  await firstValueFrom(quit$);
  const { changes, batches, reconnections: times } = seen;
  console.log(
    `\nStopped: ${count(changes, 'change')} in ${count(batches, 'batch')}, ` +
      `${count(times, 'reconnection')}.`,
  );
  return quit.signal.reason;
}

/** Five seconds with a cut in their middle. */
async function rehearse({ url }, { signal }) {
  await sleep(2_000, undefined, { signal });
  say('cutting the connection');
  await fetch(`${url}/cut?ms=1000`, { method: 'POST', signal });
  await sleep(3_000, undefined, { signal });
}

/** Compares what the feed has told with a fresh read, and gives the feed some time to catch up. */
async function verify(database, { revisions }, loaded, { signal }) {
  const deadline = Date.now() + 15_000;
  for (;;) {
    const { rows } = await firstValueFrom(database.view('_all_docs'));
    const lost = rows.filter(({ id, value }) => revisions.get(id) !== value.rev).length;
    const missing = Math.max(0, loaded - rows.length);
    if (lost + missing === 0 || Date.now() > deadline) return { lost: lost + missing };
    await sleep(200, undefined, { signal });
  }
}

function summarize({ lost, loaded, seen }) {
  const verdict =
    lost === 0
      ? 'every document was seen in its last revision: nothing lost'
      : `${count(lost, 'document')} not seen in the last revision: LOST`;
  console.log(
    `Summary: ${count(loaded, 'document')} loaded, ${count(seen.written, 'update')} written, ` +
      `${count(seen.changes, 'change')} seen in ${count(seen.batches, 'batch')}, ` +
      `${count(seen.reconnections, 'reconnection')}; ${verdict}`,
  );
  return lost === 0 ? 0 : 1;
}

/** Errors that are expected say all in one line; others are mistakes of the demo's. */
function complain(error) {
  if (isCorduroyError(error)) console.error(`${error.name}: ${error.message}`);
  else console.error(error?.expected ? error.message : error);
}
