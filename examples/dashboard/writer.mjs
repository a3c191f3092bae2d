import { isTransient } from 'corduroy';
import {
  EMPTY,
  bufferCount,
  concatMap,
  defer,
  exhaustMap,
  expand,
  from,
  interval,
  map,
  retry,
  scan,
  throwError,
  timer,
} from 'rxjs';
import { effects } from './flights.mjs';

const BATCH = 200;
const TICK = 200;

/** Tries again what may succeed later, such as a write during the restart of a server. */
const retryTransient = retry({
  delay: (error, attempt) =>
    isTransient(error) ? timer(Math.min(200 * attempt, 2_000)) : throwError(() => error),
});

/** Saves documents in batches, one after the other; emits how many are saved so far. */
export function load(db, documents) {
  return from(documents).pipe(
    bufferCount(BATCH),
    concatMap((batch) => db.save(batch)),
    scan((sum, { resolved }) => sum + resolved.size, 0),
  );
}

/**
 * Replays the flights as changes to the airports for as long as it is subscribed to; emits how many
 * documents each small save has written.
 *
 * `airports` holds the documents by code, as they were last saved.
 */
export function write(db, airports, flights) {
  return defer(() => {
    let before = Date.now();
    return interval(TICK).pipe(
      // A tick that comes while a save is under way is left out; its flights leave with the next.
      exhaustMap(() => {
        const now = Date.now();
        const left = flights.pass(now - before);
        before = now;
        return left.length === 0 ? EMPTY : update(db, airports, effects(left));
      }),
    );
  });
}

/** Saves the updated documents; those that somebody else has changed are read, and updated anew. */
function update(db, airports, updates) {
  return defer(() => save(db, airports, updates)).pipe(
    expand(({ conflicts }) =>
      conflicts.size === 0
        ? EMPTY
        : db.get([...conflicts.keys()]).pipe(
            retryTransient,
            concatMap((fresh) => {
              // What was deleted meanwhile stays deleted.
              const found = fresh.filter((airport) => airport !== null);
              for (const airport of found) airports.set(airport._id, airport);
              const rest = found.map(({ _id: id }) => [id, conflicts.get(id)]);
              return rest.length === 0 ? EMPTY : save(db, airports, new Map(rest));
            }),
          ),
    ),
    map(({ saved }) => saved),
  );
}

function save(db, airports, updates) {
  const drafts = [...updates].map(([code, change]) => change(airports.get(code)));
  return db.save(drafts).pipe(
    retryTransient,
    map(({ resolved, pending }) => {
      for (const [code, airport] of resolved) airports.set(code, airport);
      const conflicts = new Map([...pending.keys()].map((code) => [code, updates.get(code)]));
      return { saved: resolved.size, conflicts };
    }),
  );
}
