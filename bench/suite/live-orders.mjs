/** The database of the stub, seen through Corduroy, with the moments at which bytes arrive. */
import { map, tap } from 'rxjs';
import { Couch, gotTransport } from '../../dist/index.js';

const got = gotTransport();

/** An id of the stub's database. */
export const idOf = (i) => `order-${String(i).padStart(7, '0')}`;

/** Sends a command to the stub. */
async function control(origin, name, body = {}) {
  const response = await fetch(`${origin}/${name}`, { method: 'POST', body: JSON.stringify(body) });
  return response.json();
}

/**
 * Fills the stub with documents, and opens its database.
 *
 * @param pad - Text that each document contains, so that it has a certain size.
 */
export async function openOrders(origin, documents, pad = '') {
  await control(origin, '_reset', { documents, pad });
  let arrivedAt = 0;
  const transport = {
    send: (request) =>
      got.send(request).pipe(
        map((response) =>
          request.url.includes('feed=continuous')
            ? {
                ...response,
                body: response.body.pipe(tap(() => (arrivedAt = performance.now()))),
              }
            : response,
        ),
      ),
  };
  const couch = new Couch(origin, { transport, live: { latency: 200, linger: 0 } });
  return {
    db: couch.use('bench'),
    /** When the last bytes of the feed arrived in this process. */
    arrivedAt: () => arrivedAt,
    /** Has the stub write changes to its feeds: a list of `[id, fields]`. */
    change: (changes) => control(origin, '_change', { changes }),
    /** The requests since the start, by route. */
    counts: () => control(origin, '_counts'),
  };
}

/**
 * Subscribes to a live query. `until(test)` resolves with the time of the first emission that passes the
 * test, and of the present value if it passes.
 */
export function watch(query) {
  let value;
  let failed;
  let waiting = null;
  const look = () => {
    if (waiting === null || value === undefined || !waiting.test(value)) return;
    const { resolve } = waiting;
    waiting = null;
    resolve(performance.now());
  };
  const subscription = query.subscribe({
    next: (next) => {
      value = next;
      look();
    },
    error: (error) => {
      failed = error;
      waiting?.reject(error);
    },
  });
  return {
    value: () => value,
    until: (test) =>
      new Promise((resolve, reject) => {
        if (failed !== undefined) reject(failed);
        waiting = { test, resolve, reject };
        look();
      }),
    stop: () => subscription.unsubscribe(),
  };
}
