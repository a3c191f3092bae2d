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
  reduce,
  retry,
  scan,
  throwError,
  timer,
} from 'rxjs';
import { updatesOf } from './flights.mjs';

const BATCH = 200;
const TICK = 200;

/** Retries transient errors, such as a refused connection while the server restarts. */
const retryTransient = retry({
  delay: (error, attempt) =>
    isTransient(error) ? timer(Math.min(200 * attempt, 2_000)) : throwError(() => error),
});

/** Saves documents, one batch after the other. Emits the number of documents saved so far. */
export function load(db, documents) {
  return from(documents).pipe(
    bufferCount(BATCH),
    concatMap((batch) => db.save(batch)),
    scan((sum, { resolved }) => sum + resolved.size, 0),
  );
}

/**
 * Replays the flights into the database until the subscriber unsubscribes. Emits
 * `{ documents, flights, rev, at }` after each tick: how many of each it has written in that tick, one
 * of the new revisions, and when the server acknowledged it, in milliseconds since 1970.
 *
 * `documents` is a Map of the last saved documents by id.
 */
export function write(db, documents, flights) {
  return defer(() => {
    let before = Date.now();
    return interval(TICK).pipe(
      // A tick that fires during a save is dropped: the next tick writes its flights.
      exhaustMap(() => {
        const now = Date.now();
        const departed = flights.advance(now - before);
        before = now;
        if (departed.length === 0) return EMPTY;
        return update(db, documents, updatesOf(departed)).pipe(
          reduce((sum, { saved, rev, at }) => ({ documents: sum.documents + saved, rev, at }), {
            documents: 0,
          }),
          map((tick) => ({ ...tick, flights: departed.length })),
        );
      }),
    );
  });
}

/** Saves the updated documents. Reads documents in conflict, and applies their updates again. */
function update(db, documents, updates) {
  return defer(() => save(db, documents, updates)).pipe(
    expand(({ conflicts }) =>
      conflicts.size === 0
        ? EMPTY
        : db.get([...conflicts.keys()]).pipe(
            retryTransient,
            concatMap((current) => {
              // A document that another client has deleted stays deleted.
              const found = current.filter((document) => document !== null);
              for (const document of found) documents.set(document._id, document);
              const rest = found.map(({ _id: id }) => [id, conflicts.get(id)]);
              return rest.length === 0 ? EMPTY : save(db, documents, new Map(rest));
            }),
          ),
    ),
  );
}

function save(db, documents, updates) {
  const drafts = [...updates].map(([id, change]) => change(documents.get(id)));
  return db.save(drafts).pipe(
    retryTransient,
    map(({ resolved, pending }) => {
      for (const [id, document] of resolved) documents.set(id, document);
      const conflicts = new Map([...pending.keys()].map((id) => [id, updates.get(id)]));
      const at = performance.timeOrigin + performance.now();
      const { _rev: rev } = resolved.values().next().value ?? {};
      return { saved: resolved.size, conflicts, rev, at };
    }),
  );
}
