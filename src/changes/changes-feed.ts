import { BehaviorSubject, Observable, defer, map, mergeMap, of, switchAll, tap } from 'rxjs';
import type { Subscriber } from 'rxjs';
import type { DatabaseScope } from '../http/scope.ts';
import type { Change, ChangesBatch, Sequence } from '../model/change.ts';
import type { AnyFields } from '../model/document.ts';
import { invalidArgument } from '../model/invalid-argument.ts';
import type { BackoffOptions } from '../operators/retry-policy.ts';
import { toAsyncIterator } from '../operators/to-observable.ts';
import { startSequence } from './feed-source.ts';
import type { CheckpointStore } from './checkpoint.ts';
import { CheckpointWriter } from './checkpoint.ts';
import { databaseSource } from './feed-source.ts';
import { lastSequence } from './one-shot.ts';
import { sharedFeed } from './shared-feed.ts';
import type { FeedState } from './feed-state.ts';
import { RetryPolicy } from '../operators/retry-policy.ts';
import type { ErrorTolerance } from '../operators/retry-policy.ts';
import { retryTransient } from '../http/retry-transient.ts';
import { changesRequest } from './parameters.ts';
import type { ChangesParameters } from './parameters.ts';
import type { CrossTab, FeedBehaviour, FeedKind } from './feed-state.ts';
import type { SharedFeed } from './shared-feed.ts';
import { sharedWindows } from './shared-feed.ts';
import { singleBatches } from './shared-feed.ts';
import type { SingleBatches } from './shared-feed.ts';

/** How a feed listens, whatever it listens to. */
export interface FeedOptions {
  /**
   * Emits at most once in so many milliseconds; with 0 each change comes by itself, at once.
   * It changes nothing on the server: feeds that differ in it alone share a connection.
   * @defaultValue 1000
   */
  readonly latency?: number;
  /**
   * How often the server shows that it is there, in milliseconds, from 1 to 60000. When nothing has
   * come for twice as long the connection is taken for dead, and replaced.
   * @defaultValue 10000
   */
  readonly heartbeat?: number;
  /**
   * How the server is asked: `'continuous'`, a row at a time over one connection; `'longpoll'`,
   * where something on the way holds answers back until they are whole; `'auto'`, the first until
   * its heartbeats do not arrive, and then the second; `'eventsource'`; or `'normal'`, which
   * delivers what there is and completes.
   * @defaultValue 'continuous'
   */
  readonly feed?: FeedKind;
  /**
   * How long failures are put up with: `'always'`, or milliseconds since the last success, or 0.
   * @defaultValue 'always'
   */
  readonly errorTolerance?: ErrorTolerance;
  /**
   * How long the connection is kept when the last subscriber has left, in milliseconds, for the
   * next one to come (another page of an application).
   * @defaultValue 0
   */
  readonly linger?: number;
  /** How long to wait before connecting again; that of the feed that was made first holds. */
  readonly backoff?: BackoffOptions;
  /**
   * Closes the connection while it says true, and opens it at once when it says false, without a
   * gap: see `pageHidden` and `offline`.
   */
  readonly pauseWhile?: Observable<boolean>;
  /**
   * Shares one connection among all tabs and workers of this origin that listen to the same, as
   * `crossTab` of `corduroy/cross-tab` says. `true` loads the code for it when it is wanted; where
   * that cannot be (in a service worker) it is given `crossTab()`, and else has a connection of its
   * own. Not with `limit`, nor with `feed: 'normal'`, which end by themselves.
   * @defaultValue false
   */
  readonly crossTab?: boolean | CrossTab;
}

/** What a feed of changes can be given. */
export interface ChangesFeedOptions extends ChangesParameters, FeedOptions {
  /**
   * Where to go on after a restart: read at each subscription, in the place of `since` where
   * something was noted, and written after each batch. At least once: a batch may come again.
   */
  readonly checkpoint?: CheckpointStore;
}

/**
 * The changes of a database as they happen, in batches: what `db.changes$()` returns.
 *
 * - **Temperature:** hot and shared. The first subscriber opens the connection, the last one closes
 *   it; feeds of one `Couch` whose server-side parameters are equal share it.
 * - **Emits** `{ seq, changes }`, never empty, at most once every `latency` milliseconds.
 * - **Completes** only when `limit` changes have come, or with `feed: 'normal'` all there were.
 * - **Errors** only for what cannot pass by itself (400, 401, 403, 404, and a database that was
 *   replaced) or has lasted longer than `errorTolerance`; all else is waited out, and the feed goes
 *   on after the last change. So is a 401 where other credentials may come: from an Observable, or
 *   from the next `login`. A new subscription begins anew.
 * - **On unsubscribe** nothing more is emitted; the last subscriber closes the connection at once.
 */
export class ChangesFeed<T extends object = AnyFields> extends Observable<ChangesBatch<T>> {
  /**
   * What the connection is doing: the present state at once, then each new one. Hot; it never
   * errors, and listening to it opens no connection.
   */
  readonly state$: Observable<FeedState>;
  #seq: Sequence | null = null;
  #singles: SingleBatches<T> | undefined;
  /** How many subscriptions there are to single batches, and how many of those came before. */
  #listeners = 0;
  #before = 0;

  /** @internal */
  constructor(db: DatabaseScope, options: ChangesFeedOptions) {
    const { latency = 1000, checkpoint, ...rest } = options;
    if (!(latency >= 0))
      throw invalidArgument('changes$: latency', 'milliseconds from 0', latency, RangeError);
    const { behaviour, parameters } = readFeedOptions(rest, 'changes$');
    // Misuse is told now, not when somebody subscribes.
    changesRequest(parameters, { since: behaviour.since }, 'changes$');
    const source = databaseSource<T>(db, parameters);
    const feedFrom = (since: Sequence): SharedFeed<Change<T>> =>
      sharedFeed(source, parameters, { ...behaviour, since });
    const present$ = new BehaviorSubject(feedFrom(behaviour.since));
    const begin$ =
      checkpoint === undefined
        ? of(present$.value)
        : defer(() => {
            const { connection } = source;
            const { errorTolerance, heartbeat, since } = behaviour;
            const pace = new RetryPolicy(behaviour.backoff, errorTolerance, () =>
              connection.scheduler.now(),
            );
            return startSequence(source, checkpoint, since, 2 * heartbeat).pipe(
              retryTransient(connection, pace),
              map((place) => feedFrom(place)),
              tap((feed) => present$.next(feed)),
            );
          });
    const batches$ = begin$.pipe(
      mergeMap((feed) =>
        sharedWindows(feed, latency, source).pipe(
          map((changes): ChangesBatch<T> => {
            this.#seq = lastSequence(changes) ?? this.#seq;
            return { seq: this.#seq ?? feed.since, changes };
          }),
        ),
      ),
    );
    const emitted$ =
      checkpoint === undefined
        ? batches$
        : defer(() => new CheckpointWriter(checkpoint).after(batches$));
    super((subscriber) =>
      this.#singles === undefined
        ? emitted$.subscribe(subscriber)
        : this.#follow(this.#singles, subscriber),
    );
    if (latency === 0 && checkpoint === undefined) this.#singles = singleBatches(present$.value);
    this.state$ = present$.pipe(
      map(({ state$ }) => state$),
      switchAll(),
    );
  }

  /** The sequence of the last batch emitted, to go on from with `since`; null before the first. */
  get seq(): Sequence | null {
    const singles = this.#singles;
    const listening = singles !== undefined && this.#listeners > 0;
    return listening && singles.count > this.#before ? singles.seq : this.#seq;
  }

  /** Hands single batches to a subscriber as they are: nothing is between it and the feed. */
  #follow(singles: SingleBatches<T>, subscriber: Subscriber<ChangesBatch<T>>): void {
    if (this.#listeners === 0) this.#before = singles.count;
    this.#listeners += 1;
    subscriber.add(() => {
      this.#seq = this.seq;
      this.#listeners -= 1;
    });
    singles.batches$.subscribe(subscriber);
  }

  /**
   * Lets `for await (const batch of feed)` read the feed; leaving the loop unsubscribes. What
   * arrives while the loop is busy waits in memory: see `db.consume` for a reader that is slow.
   */
  [Symbol.asyncIterator](): AsyncIterableIterator<ChangesBatch<T>> {
    return toAsyncIterator(this);
  }
}

const KINDS: readonly string[] = ['auto', 'continuous', 'longpoll', 'eventsource', 'normal'];

/** Takes the options of a feed apart: how it behaves, and what goes to the server. */
export function readFeedOptions(
  options: Omit<FeedOptions, 'latency'> & ChangesParameters,
  what: string,
): { readonly behaviour: FeedBehaviour; readonly parameters: ChangesParameters } {
  const {
    heartbeat = 10_000,
    feed = 'continuous',
    errorTolerance = 'always',
    linger = 0,
    backoff = {},
    pauseWhile,
    crossTab = false,
    since = 'now',
    limit = Infinity,
    ...parameters
  } = options;
  const fault = (name: string, wanted: string, value: unknown): TypeError =>
    invalidArgument(`${what}: ${name}`, wanted, value, RangeError);
  if (!Number.isSafeInteger(heartbeat) || heartbeat < 1 || heartbeat > 60_000) {
    throw fault('heartbeat', 'whole milliseconds from 1 to 60000', heartbeat);
  }
  if (!KINDS.includes(feed)) throw fault('feed', `one of '${KINDS.join("', '")}'`, feed);
  if (errorTolerance !== 'always' && !(errorTolerance >= 0)) {
    throw fault('errorTolerance', "'always' or milliseconds from 0", errorTolerance);
  }
  if (!(linger >= 0)) throw fault('linger', 'milliseconds from 0', linger);
  if (limit !== Infinity && !(Number.isSafeInteger(limit) && limit > 0)) {
    throw fault('limit', 'a whole number from 1', limit);
  }
  if (typeof crossTab !== 'boolean' && typeof crossTab !== 'function') {
    throw invalidArgument(`${what}: crossTab`, 'true, false or crossTab()', crossTab);
  }
  if (crossTab !== false && (limit !== Infinity || feed === 'normal')) {
    throw new TypeError(`${what}: crossTab excludes limit and feed: 'normal'`);
  }
  const behaviour = {
    heartbeat,
    feed,
    errorTolerance,
    linger,
    backoff,
    pauseWhile,
    crossTab,
    since: String(since),
    limit,
  };
  return { behaviour, parameters };
}
