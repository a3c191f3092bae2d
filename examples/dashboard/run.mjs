import { setTimeout as sleep } from 'node:timers/promises';
import { Couch, isCorduroyError } from 'corduroy';
import { Subscription, firstValueFrom, fromEvent, lastValueFrom, takeUntil } from 'rxjs';
import { Cost, startRelay } from './cost.mjs';
import { openDatabase } from './couch.mjs';
import { readAirports, readFlights } from './data.mjs';
import { Flights } from './flights.mjs';
import { startServer } from './server.mjs';
import { follow, progress, reconnections, say } from './terminal.mjs';
import { count, paint } from './terminal-text.mjs';
import { load, write } from './writer.mjs';

/** Runs the demo until `quit` is aborted, or for five seconds with `once`. Returns the exit code. */
export async function run(options, quit) {
  const closers = [];
  try {
    return await runUntilQuit(options, quit, closers);
  } catch (error) {
    if (!quit.signal.aborted) report(error);
    return quit.signal.aborted ? quit.signal.reason : 1;
  } finally {
    // Close in reverse order. The time limit keeps one closer that hangs from blocking the others.
    for (const close of closers.toReversed()) {
      await Promise.race([close(), sleep(700, undefined, { ref: false })]).catch(report);
    }
  }
}

async function runUntilQuit({ port, url, listeners, relay: hasRelay, once }, quit, closers) {
  const quit$ = fromEvent(quit.signal, 'abort');
  const server = await startServer(port);
  closers.push(() => server.close());
  const couch = await openDatabase(url, quit, quit$);
  closers.push(() => couch.close());
  const written = { documents: 0, flights: 0 };
  const relay = hasRelay ? await startRelay(couch, quit) : null;
  const cost = hasRelay || listeners > 0 ? new Cost(couch, relay, listeners) : null;
  closers.push(async () => cost?.close());
  const relayUrl = relay?.url ?? null;
  server.serve(
    { ...couch, relayUrl },
    () => written.flights,
    () => cost?.figures ?? null,
  );
  console.log(
    `Database  ${couch.url}/${couch.name} (${couch.kind} ${couch.version.replace(' (embedded)', '')})`,
  );

  // The terminal reads through the demo's own server, as the page does, so that a cut affects both.
  const proxied = new Couch(`${server.url}/couch`, {
    headers: { 'x-demo-client': 'terminal' },
    ...(relay !== null && { changesUrl: `${server.url}/relay` }),
  });
  const feed = proxied.use(couch.name).changes$({
    since: 0,
    includeDocs: true,
    latency: 1000,
    // The default retries too soon for people to read the state in between.
    backoff: { initialDelay: 500, maxDelay: 4_000 },
  });
  const seen = { changes: 0, batches: 0, revisions: new Map(), reconnections: 0 };
  const fail = (error) => {
    report(error);
    quit.abort(1);
  };
  const subscriptions = new Subscription();
  closers.push(async () => subscriptions.unsubscribe());
  subscriptions.add(reconnections(feed).subscribe((times) => (seen.reconnections = times)));
  subscriptions.add(
    follow(feed).subscribe({ next: (totals) => Object.assign(seen, totals), error: fail }),
  );

  const airports = await readAirports();
  const loading = load(couch.database, airports).pipe(
    progress('Loading airports', airports.length),
    takeUntil(quit$),
  );
  const loaded = await lastValueFrom(loading);
  quit.signal.throwIfAborted();
  const documents = new Map(airports.map((airport) => [airport._id, airport]));
  const flights = new Flights(await readFlights());
  const writing = write(couch.database, documents, flights).subscribe({
    next: (tick) => {
      written.documents += tick.documents;
      written.flights += tick.flights;
      cost?.acknowledge(tick.rev, tick.at);
    },
    error: fail,
  });
  subscriptions.add(writing);
  console.log(`Page      ${paint('bold', `${server.url}/`)}`);

  if (cost !== null) {
    if (listeners > 0) say(`opening ${count(listeners, 'listener')}`);
    await cost.open(couch, quit);
    cost.reset();
  }
  if (once) {
    await watchWithOneCut(server, quit);
    if (cost !== null) {
      cost.measure();
      console.log(`Cost: ${cost.text}`);
      // An overloaded CouchDB must answer the last reads.
      await cost.endListeners();
    }
    writing.unsubscribe();
    const lost = await countLost(couch.database, seen, loaded, quit);
    return summarize({ lost, loaded, written, seen });
  }
  cost?.watch(say);
  console.log(`          ${paint('dim', 'Ctrl-C to stop')}`);
  await firstValueFrom(quit$);
  const { changes, batches, reconnections: times } = seen;
  console.log(
    `\nStopped: ${count(changes, 'change')} in ${count(batches, 'batch')}, ` +
      `${count(times, 'reconnection')}.`,
  );
  return quit.signal.reason;
}

/** Waits five seconds, and cuts the connection for one second in between. */
async function watchWithOneCut({ url }, { signal }) {
  await sleep(2_000, undefined, { signal });
  say('cutting the connection for 1 second');
  await fetch(`${url}/cut?ms=1000`, { method: 'POST', signal });
  await sleep(3_000, undefined, { signal });
}

/**
 * Counts the documents whose last revision the feed has not emitted. Gives the feed some seconds to
 * catch up first.
 */
async function countLost(database, { revisions }, loaded, { signal }) {
  const deadline = Date.now() + 15_000;
  for (;;) {
    const { rows } = await firstValueFrom(database.allDocs());
    const notSeen = rows.filter(({ id, value }) => revisions.get(id) !== value.rev).length;
    const lost = notSeen + Math.max(0, loaded - rows.length);
    if (lost === 0 || Date.now() > deadline) return lost;
    await sleep(200, undefined, { signal });
  }
}

function summarize({ lost, loaded, written, seen }) {
  const verdict =
    lost === 0
      ? 'nothing lost: the feed emitted the last revision of every document'
      : `LOST: the feed did not emit the last revision of ${count(lost, 'document')}`;
  console.log(
    `Summary: ${count(loaded, 'document')} loaded, ${count(written.documents, 'update')} written, ` +
      `${count(seen.changes, 'change')} received in ${count(seen.batches, 'batch')}, ` +
      `${count(seen.reconnections, 'reconnection')}; ${verdict}`,
  );
  return lost === 0 ? 0 : 1;
}

/** Prints expected errors in one line, and others with their stack. */
function report(error) {
  if (isCorduroyError(error)) console.error(`${error.name}: ${error.message}`);
  else console.error(error?.expected ? error.message : error);
}
