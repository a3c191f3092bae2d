import { Observable, Subject, map, takeUntil, tap } from 'rxjs';
import { eachValueFrom } from 'rxjs-for-await';
import type { DatabaseScope } from '../http/scope.ts';
import type { Connection } from '../http/connection.ts';
import type { Change, ChangesBatch, Sequence } from '../model/change.ts';
import type { AnyFields } from '../model/document.ts';
import type { BackoffOptions } from '../operators/backoff.ts';
import { bufferLatency } from '../operators/buffer-latency.ts';
import { lastSequence } from './decode.ts';
import type { FeedState } from './feed-state.ts';
import { changesRequest } from './parameters.ts';
import type { ChangesParameters } from './parameters.ts';
import { SharedFeed } from './shared-feed.ts';
import type { FeedParameters } from './shared-feed.ts';
import { mustBe } from '../model/must-be.ts';

/** What a feed of changes can be given. */
export interface ChangesFeedOptions extends ChangesParameters {
  /**
   * Emits at most once in so many milliseconds; with 0 each change comes by itself, at once.
   * It changes nothing on the server: feeds that differ in it alone share a connection.
   * @defaultValue 1000
   */
  readonly latency?: number;
  /**
   * How often the server shows that it is there, in milliseconds. When nothing has come for twice
   * as long the connection is taken for dead, and replaced.
   * @defaultValue 10000
   */
  readonly heartbeat?: number;
  /**
   * How long to wait before connecting again. It is no part of what feeds have to agree on to share
   * a connection: those of the feed that was made first hold.
   */
  readonly backoff?: BackoffOptions;
}

/**
 * The changes of a database as they happen, in batches: what `db.changes$()` returns.
 *
 * - **Temperature:** hot and shared. The first subscriber opens the connection, the last one closes
 *   it; feeds of one `Couch` whose server-side parameters are equal share it.
 * - **Emits** `{ seq, changes }`, never empty, at most once every `latency` milliseconds.
 * - **Completes** only when `limit` changes have come.
 * - **Errors** only for what cannot pass by itself (400, 401, 403, 404); all else is waited out, and
 *   the feed goes on after the last change. A new subscription begins anew.
 * - **On unsubscribe** nothing more is emitted; the last subscriber closes the connection at once.
 */
export class ChangesFeed<T extends object = AnyFields> extends Observable<ChangesBatch<T>> {
  /**
   * What the connection is doing: the present state at once, then each new one. Hot; it never
   * errors, and listening to it opens no connection.
   */
  readonly state$: Observable<FeedState>;
  #seq: Sequence | null = null;

  /** @internal */
  constructor(db: DatabaseScope, options: ChangesFeedOptions) {
    const { latency = 1000, heartbeat = 10_000, backoff = {}, ...parameters } = options;
    if (!(latency >= 0))
      throw mustBe('changes$: latency', 'milliseconds from 0', latency, RangeError);
    if (!Number.isSafeInteger(heartbeat) || heartbeat < 1 || heartbeat > 60_000) {
      throw mustBe(
        'changes$: heartbeat',
        'whole milliseconds from 1 to 60000',
        heartbeat,
        RangeError,
      );
    }
    // Misuse is told now, not when somebody subscribes.
    changesRequest(parameters, {}, 'changes$');
    const shared = sharedFeed<T>(db, { ...parameters, heartbeat, backoff });
    super((subscriber) =>
      shared.blocks$
        .pipe(
          bufferLatency<Change<T>>(latency, db.connection.scheduler),
          map((changes) => ({ seq: lastSequence(changes) ?? this.#seq ?? '', changes })),
          tap(({ seq }) => {
            this.#seq = seq;
          }),
        )
        .subscribe(subscriber),
    );
    this.state$ = shared.state$.asObservable();
  }

  /** The sequence of the last batch emitted, to go on from with `since`; null before the first. */
  get seq(): Sequence | null {
    return this.#seq;
  }

  /**
   * Lets `for await (const batch of feed)` read the feed; leaving the loop unsubscribes. What
   * arrives while the loop is busy waits in memory.
   */
  [Symbol.asyncIterator](): AsyncIterableIterator<ChangesBatch<T>> {
    const stop$ = new Subject<void>();
    const batches = eachValueFrom(this.pipe(takeUntil(stop$))) as AsyncGenerator<ChangesBatch<T>>;
    return {
      next: () => batches.next(),
      throw: (error) => batches.throw(error),
      return: (value) => {
        // By itself it would wait for a `next` that waits for a silent feed.
        stop$.next();
        return batches.return(value);
      },
      [Symbol.asyncIterator]() {
        return this;
      },
    };
  }
}

const registries = new WeakMap<Connection, Map<string, WeakRef<SharedFeed<never>>>>();

/** Finds the feed that others with the same parameters use, or makes it. */
function sharedFeed<T extends object>(
  db: DatabaseScope,
  parameters: FeedParameters,
): SharedFeed<T> {
  const registry = registries.get(db.connection) ?? new Map<string, WeakRef<SharedFeed<never>>>();
  registries.set(db.connection, registry);
  const { backoff: _pace, ...agreed } = parameters;
  const key = JSON.stringify([
    db.path,
    Object.entries(agreed).sort(([a], [b]) => (a < b ? -1 : 1)),
  ]);
  const known = registry.get(key)?.deref();
  if (known !== undefined) return known;
  for (const [stale, feed] of registry) if (feed.deref() === undefined) registry.delete(stale);
  const made = new SharedFeed<T>(db, parameters);
  registry.set(key, new WeakRef(made as unknown as SharedFeed<never>));
  return made;
}
