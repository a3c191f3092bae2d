import {
  BehaviorSubject,
  Observable,
  defer,
  filter,
  isObservable,
  map,
  mergeMap,
  switchAll,
  tap,
} from 'rxjs';
import type { Subscriber } from 'rxjs';
import type { DatabaseScope } from '../http/scope.ts';
import type { Change, ChangesBatch, Sequence } from '../model/change.ts';
import type { AnyFields } from '../model/document.ts';
import { invalidArgument, requireOptions } from '../model/invalid-argument.ts';
import type { BackoffOptions } from '../operators/retry-policy.ts';
import { duration } from '../operators/time.ts';
import { toAsyncIterator } from '../operators/to-observable.ts';
import { startSequence } from './feed-source.ts';
import type { CheckpointStore } from './checkpoint.ts';
import { recordDelivered } from './checkpoint.ts';
import { databaseSource } from './feed-source.ts';
import { longestSilence } from './feed-pace.ts';
import { lastSequence } from './changes-request.ts';
import { sharedFeed } from './shared-feed.ts';
import type { FeedState } from './feed-model.ts';
import { RetryPolicy, requireTolerance } from '../operators/retry-policy.ts';
import type { ErrorTolerance } from '../operators/retry-policy.ts';
import { requireBackoff, toBody } from '../http/query.ts';
import { retryTransient } from '../http/retry-transient.ts';
import { changesRequest, readChange, sinceParameter } from './changes-request.ts';
import type { ChangesParameters } from './changes-request.ts';
import type { CrossTab, FeedBehaviour, FeedKind } from './feed-model.ts';
import type { SharedFeed } from './shared-feed.ts';
import { sharedWindows } from './shared-feed.ts';
import { singleBatches } from './shared-feed.ts';
import type { SingleBatches } from './shared-feed.ts';

/** The options that all feeds have in common. */
export interface FeedOptions {
  /**
   * Emits at most one batch in this time, in milliseconds. With 0 the feed emits each change alone
   * and at once. Feeds that differ only in `latency` share a connection.
   * @defaultValue 1000
   */
  readonly latency?: number;
  /**
   * How often the server sends a heartbeat, in milliseconds, from 1 to 60000. If nothing arrives for a
   * heartbeat and the same time again, 15 s at most, the feed closes the connection and opens another.
   * If connections die of silence, as behind some proxies, the feed shortens the heartbeat by itself.
   * @defaultValue 30000
   */
  readonly heartbeat?: number;
  /**
   * The protocol of the feed:
   *
   * - `'continuous'`: one connection, over which the server sends each change as a line.
   * - `'longpoll'`: one request after the other, for proxies that buffer a response until it ends.
   * - `'auto'`: `'continuous'`. If the head of the response does not arrive within a second, a poll
   *   races it, and the feed keeps the protocol that delivers first. It tries the stream again after
   *   ten minutes. `state$` names the protocol.
   * - `'eventsource'`: as `'continuous'`, in the format of server-sent events.
   * - `'normal'`: emits the changes up to the present, and completes. Its default `since` is 0.
   *
   * @defaultValue 'auto'
   */
  readonly feed?: FeedKind;
  /**
   * How long the feed retries after its last success: `'always'`, milliseconds, or 0 to fail at the
   * first error.
   * @defaultValue 'always'
   */
  readonly errorTolerance?: ErrorTolerance;
  /**
   * How long the connection stays open after the last subscriber has left, in milliseconds. A
   * subscriber that comes in this time, such as another page of an application, uses it again.
   * @defaultValue 0
   */
  readonly linger?: number;
  /**
   * The delays between attempts to connect. Feeds that share a connection use those of the feed
   * that was created first.
   */
  readonly backoff?: BackoffOptions;
  /**
   * Closes the connection while it emits true, and reopens it at once when it emits false. The feed
   * then continues without a gap: see `pageHidden` and `offline`.
   */
  readonly pauseWhile?: Observable<boolean>;
  /**
   * Shares one connection among all tabs and workers of this origin that have equal feeds: see
   * `crossTab` of `corduroy/cross-tab`. `true` loads that module when the feed connects. Pass
   * `crossTab()` if a module cannot be loaded then (in a service worker): with `true`, such a feed
   * opens its own connection. Not with `limit` or `feed: 'normal'`, because such a feed completes.
   * @defaultValue false
   */
  readonly crossTab?: boolean | CrossTab;
}

/** The options of `db.changes$()`. */
export interface ChangesFeedOptions extends ChangesParameters, FeedOptions {
  /**
   * Stores the sequence to resume from after a restart. The feed reads it at each subscription, in
   * place of `since` if a sequence is stored, and writes it after each batch. Delivery is at least
   * once: a batch may come again.
   */
  readonly checkpoint?: CheckpointStore;
  /**
   * The shortest time between two writes of the checkpoint, in milliseconds. The last sequence is
   * written before the feed completes, and when you unsubscribe.
   * @defaultValue 1000
   */
  readonly checkpointInterval?: number;
}

/**
 * Emits the changes of a database in batches, as they happen: `db.changes$()` returns it.
 *
 * - **Temperature:** hot and shared. The first subscriber opens the connection, the last one closes
 *   it. Feeds of one `Couch` with equal server-side parameters share a connection.
 * - **Emits** `{ seq, changes }`, never empty, at most once every `latency` milliseconds.
 * - **Completes** only after `limit` changes; with `feed: 'normal'`, after the changes up to the
 *   present.
 * - **Errors** with what a retry cannot repair (400, 401, 403, 404, or a replaced database), and
 *   with an error that lasts longer than `errorTolerance`. Transient errors are retried, and the
 *   feed continues after the last change. So is a 401 if other credentials may come: from an
 *   Observable, or from the next `login`. After an error, subscribe again to reconnect.
 * - **On unsubscribe** the feed emits nothing more. The last subscriber closes the connection at
 *   once, or after `linger`.
 *
 * @see https://docs.couchdb.org/en/stable/api/database/changes.html
 */
export class ChangesFeed<T extends object = AnyFields> extends Observable<ChangesBatch<T>> {
  /**
   * Emits the state of the connection: the present one at once, then each new one. Hot. It never
   * errors, and a subscription to it opens no connection.
   */
  readonly state$: Observable<FeedState>;
  #seq: Sequence | null = null;
  #singles: SingleBatches<T> | undefined;
  #singlesSubscribers = 0;
  /** The value of `#singles.count` when the first of the present subscribers came. */
  #singlesBefore = 0;

  /** @internal */
  constructor(db: DatabaseScope, options: ChangesFeedOptions) {
    requireOptions(options, 'changes$');
    const { latency = 1000, checkpoint, checkpointInterval = 1000, ...rest } = options;
    duration(latency, 'changes$: latency');
    duration(checkpointInterval, 'changes$: checkpointInterval');
    const { behaviour, parameters } = readFeedOptions(rest, 'changes$');
    // Validate now: throws at the call, not at the subscription.
    changesRequest(parameters, { since: behaviour.since }, 'changes$', db.connection.codec);
    const source = databaseSource<T>(db, parameters);
    const feedFrom = (since: Sequence): SharedFeed<Change<T>> =>
      sharedFeed(source, parameters, { ...behaviour, since });
    const unresumed = feedFrom(behaviour.since);
    const states$ = new BehaviorSubject<Observable<FeedState>>(unresumed.state$);
    const decode = (changes: readonly Change<T>[]): readonly Change<T>[] =>
      db.rules === null ? changes : changes.map((change) => readChange(db, change));
    const batchesOf = (feed: SharedFeed<Change<T>>): Observable<ChangesBatch<T>> =>
      sharedWindows(feed, latency, source).windows$.pipe(
        map((changes): ChangesBatch<T> => {
          this.#seq = lastSequence(changes) ?? this.#seq;
          return { seq: this.#seq ?? feed.since, changes: decode(changes) };
        }),
      );
    const resume = (store: CheckpointStore): Observable<ChangesBatch<T>> => {
      const { scheduler } = source.connection;
      const { heartbeat, since } = behaviour;
      const retryPolicy = new RetryPolicy(behaviour.backoff, behaviour.errorTolerance, scheduler);
      const starting$ = new BehaviorSubject<FeedState>({ status: 'connecting', attempt: 0 });
      states$.next(starting$);
      return startSequence(source, store, since, longestSilence(heartbeat)).pipe(
        retryTransient(source.connection, retryPolicy, (attempt, delay, error) =>
          starting$.next({ status: 'waiting', attempt, delay, error }),
        ),
        tap({ error: (error) => starting$.next({ status: 'failed', error }) }),
        mergeMap((seq) => {
          const feed = feedFrom(seq);
          states$.next(feed.state$);
          const windows = sharedWindows(feed, latency, source);
          // A sequence that has moved without items is behind those of the open window.
          const progress$ = feed.progress$.pipe(filter(() => windows.isEmpty));
          const pace = { interval: checkpointInterval, backoff: behaviour.backoff };
          return recordDelivered(batchesOf(feed), progress$, store, pace, scheduler);
        }),
      );
    };
    const emitted$ =
      checkpoint === undefined ? batchesOf(unresumed) : defer(() => resume(checkpoint));
    super((subscriber) =>
      this.#singles === undefined
        ? emitted$.subscribe(subscriber)
        : this.#subscribeToSingles(this.#singles, subscriber),
    );
    if (latency === 0 && checkpoint === undefined && db.rules === null)
      this.#singles = singleBatches(unresumed);
    this.state$ = states$.pipe(switchAll());
  }

  /** The sequence of the last batch emitted, to pass as `since` later; null before the first. */
  get seq(): Sequence | null {
    const singles = this.#singles;
    const subscribed = singles !== undefined && this.#singlesSubscribers > 0;
    return subscribed && singles.count > this.#singlesBefore ? singles.seq : this.#seq;
  }

  /** Subscribes to the shared batches without an operator between, for thousands of subscribers. */
  #subscribeToSingles(singles: SingleBatches<T>, subscriber: Subscriber<ChangesBatch<T>>): void {
    if (this.#singlesSubscribers === 0) this.#singlesBefore = singles.count;
    this.#singlesSubscribers += 1;
    subscriber.add(() => {
      this.#seq = this.seq;
      this.#singlesSubscribers -= 1;
    });
    singles.batches$.subscribe(subscriber);
  }

  /**
   * Lets `for await (const batch of feed)` read the feed; leaving the loop unsubscribes. Batches that
   * arrive while the loop is busy wait in memory: use `db.consume` for back-pressure.
   */
  [Symbol.asyncIterator](): AsyncIterableIterator<ChangesBatch<T>> {
    return toAsyncIterator(this);
  }
}

const any = (): string => '';
const FEED_OPTIONS = {
  latency: any,
  heartbeat: any,
  feed: any,
  errorTolerance: any,
  linger: any,
  backoff: any,
  pauseWhile: any,
  crossTab: any,
};

/**
 * Validates that options are those that all feeds have in common.
 *
 * @throws TypeError for an unknown option, with the most similar name.
 */
export function requireFeedOptions(options: unknown, what: string): void {
  if (typeof options !== 'object' || options === null)
    throw invalidArgument(what, 'an object', options);
  toBody(FEED_OPTIONS, options, what);
}

const KINDS: readonly string[] = ['auto', 'continuous', 'longpoll', 'eventsource', 'normal'];

/**
 * Separates the options of a feed: its behaviour on this side, and the parameters for the server.
 *
 * @param what - The method's name, for error messages.
 * @throws TypeError or RangeError for options that are out of range or exclude each other.
 */
export function readFeedOptions(
  options: Omit<FeedOptions, 'latency'> & ChangesParameters,
  what: string,
): { readonly behaviour: FeedBehaviour; readonly parameters: ChangesParameters } {
  const {
    heartbeat = 30_000,
    feed = 'auto',
    errorTolerance = 'always',
    linger = 0,
    backoff = {},
    pauseWhile,
    crossTab = false,
    since = feed === 'normal' ? 0 : 'now',
    limit = Infinity,
    ...parameters
  } = options;
  const invalidOption = (name: string, wanted: string, value: unknown): TypeError =>
    invalidArgument(`${what}: ${name}`, wanted, value, RangeError);
  if (!Number.isSafeInteger(heartbeat) || heartbeat < 1 || heartbeat > 60_000) {
    throw invalidOption('heartbeat', 'whole milliseconds from 1 to 60000', heartbeat);
  }
  if (!KINDS.includes(feed)) throw invalidOption('feed', `one of '${KINDS.join("', '")}'`, feed);
  requireTolerance(errorTolerance, `${what}: errorTolerance`);
  requireBackoff(backoff, `${what}: backoff`);
  if (pauseWhile !== undefined && !isObservable(pauseWhile))
    throw invalidArgument(`${what}: pauseWhile`, 'an Observable of booleans', pauseWhile);
  duration(linger, `${what}: linger`);
  if (limit !== Infinity && !(Number.isSafeInteger(limit) && limit > 0)) {
    throw invalidOption('limit', 'a whole number from 1', limit);
  }
  if (typeof crossTab !== 'boolean' && typeof crossTab !== 'function') {
    throw invalidArgument(`${what}: crossTab`, 'true, false or crossTab()', crossTab);
  }
  if (crossTab !== false && (limit !== Infinity || feed === 'normal')) {
    throw new TypeError(`${what}: crossTab excludes limit and feed: 'normal': omit one of them`);
  }
  const behaviour = {
    heartbeat,
    feed,
    errorTolerance,
    linger,
    backoff,
    pauseWhile,
    crossTab,
    since: sinceParameter(since, `${what}: since`),
    limit,
  };
  return { behaviour, parameters };
}
