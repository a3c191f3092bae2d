import { filter, scan, tap } from 'rxjs';
import { count, figure, paint } from './terminal-text.mjs';

const CLEAR_LINE = process.stdout.isTTY ? '\r\u001b[2K' : '';

/** Prints a line with the time. Replaces a progress bar on the current line. */
export function say(text) {
  const time = new Date().toTimeString().slice(0, 8);
  console.log(`${CLEAR_LINE}${paint('dim', time)}  ${text}`);
}

/**
 * Follows a feed in the terminal, and prints a line for each batch. Emits the totals so far, in
 * which `revisions` maps each document id to the last revision received.
 */
export function follow(feed) {
  return feed.pipe(
    scan(add, { changes: 0, batches: 0, latest: 0, revisions: new Map(), busiest: null }),
    tap(({ changes, latest, busiest }) => {
      const words = [
        paint('bold', `+${count(latest, 'change')}`.padEnd(14)),
        `${figure(changes)} in total`.padEnd(16),
        busiest === null ? '' : `busiest: ${busiest._id} ${busiest.city}, ${traffic(busiest)}`,
      ];
      say(words.join('  ').trimEnd());
    }),
  );
}

function add(totals, { changes }) {
  const { revisions } = totals;
  let { busiest } = totals;
  for (const { id, changes: leaves, doc } of changes) {
    revisions.set(id, leaves[0].rev);
    if (doc?.type === 'airport' && flights(doc) > flights(busiest)) busiest = doc;
  }
  return {
    changes: totals.changes + changes.length,
    batches: totals.batches + 1,
    latest: changes.length,
    revisions,
    busiest,
  };
}

const flights = (airport) => (airport === null ? 0 : airport.departures + airport.arrivals);
const traffic = (airport) => count(flights(airport), 'flight');

/** Prints each state of a feed. Emits how often the feed has reconnected. */
export function reconnections(feed) {
  return feed.state$.pipe(
    filter(({ status }) => status !== 'idle'),
    tap((state) => say(`feed ${describe(state)}`)),
    filter(({ status }) => status === 'live'),
    scan((times) => times + 1, -1),
  );
}

function describe({ status, attempt, delay, error }) {
  if (status === 'live') return paint('green', 'live');
  if (status === 'connecting') {
    return attempt === 0 ? 'connecting' : `connecting, attempt ${attempt}`;
  }
  if (status !== 'waiting') return status;
  const wait = `waiting ${(delay / 1000).toFixed(1)} s before attempt ${attempt}`;
  return `${paint('yellow', wait)} (${error.name})`;
}

/** Shows the progress of a task: as a bar in a terminal, as a few lines elsewhere. */
export function progress(task, total) {
  let quarters = 0;
  return tap((done) => {
    const share = done / total;
    if (process.stdout.isTTY) {
      const bar = '█'.repeat(Math.round(share * 24)).padEnd(24, '░');
      const end = done < total ? '' : '\n';
      process.stdout.write(`${CLEAR_LINE}${task} ${paint('cyan', bar)} ${figure(done)}${end}`);
    } else if (Math.floor(share * 4) > quarters) {
      quarters = Math.floor(share * 4);
      console.log(`${task}: ${figure(done)} of ${figure(total)}`);
    }
  });
}
