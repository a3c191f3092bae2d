import {
  BehaviorSubject,
  Observable,
  catchError,
  defer,
  finalize,
  from,
  isObservable,
  map,
  mergeMap,
  of,
  share,
  tap,
  timer,
} from 'rxjs';
import type { SchedulerLike } from 'rxjs';
import type { FeedSource, Sequenced } from './feed-source.ts';
import type { FeedBehaviour, FeedState } from './feed-state.ts';
import { Follower } from './follower.ts';
import type { Connection } from '../http/connection.ts';
import type { Change, ChangesBatch, Sequence } from '../model/change.ts';
import { bufferLatency } from '../operators/buffer-latency.ts';

/**
 * One connection for all who listen to the same.
 *
 * It is opened by the first subscriber and closed by the last. What breaks it is waited out, with
 * backoff, and it goes on after the last item it passed on; what cannot pass by itself errors to
 * all, and the next subscriber begins anew.
 */
export class SharedFeed<Item extends Sequenced> {
  /** What arrives, in the blocks in which it arrives. Hot. */
  readonly blocks$: Observable<readonly Item[]>;
  readonly state$: BehaviorSubject<FeedState> = new BehaviorSubject<FeedState>({ status: 'idle' });

  /** Where it was to begin. */
  readonly since: Sequence;

  constructor(source: FeedSource<Item>, behaviour: FeedBehaviour) {
    const { linger } = behaviour;
    this.since = behaviour.since;
    const { scheduler } = source.connection;
    this.blocks$ = defer(() => follow(source, behaviour, this.state$)).pipe(
      finalize(() => {
        if (this.state$.value.status !== 'failed') this.state$.next({ status: 'idle' });
      }),
      share({ resetOnRefCountZero: linger > 0 ? () => timer(linger, scheduler) : true }),
    );
  }
}

function follow<Item extends Sequenced>(
  source: FeedSource<Item>,
  behaviour: FeedBehaviour,
  state$: BehaviorSubject<FeedState>,
): Observable<readonly Item[]> {
  const own = (): Observable<readonly Item[]> => new Follower(source, behaviour, state$).follow();
  const { crossTab } = behaviour;
  if (crossTab === false) return own();
  if (crossTab !== true) return crossTab(source, behaviour, state$);
  // A piece of its own, which only pages that want it load. Service workers may not load any.
  return from(import('./cross-tab.ts')).pipe(
    map((module) => module.crossTab()),
    catchError(() => of(own)),
    mergeMap((together) => together(source, behaviour, state$)),
  );
}

type AnyFeed = WeakRef<SharedFeed<never>>;

const registries = new WeakMap<Connection, Map<string, AnyFeed>>();
const numbers = new WeakMap<object, number>();
let count = 0;

/**
 * Finds the feed that others use who follow the same with the same parameters, or makes it. How one
 * waits between attempts, and how long a feed lingers, is no part of that: those of the first hold.
 */
export function sharedFeed<Item extends Sequenced>(
  source: FeedSource<Item>,
  parameters: object,
  behaviour: FeedBehaviour,
): SharedFeed<Item> {
  const registry = registries.get(source.connection) ?? new Map<string, AnyFeed>();
  registries.set(source.connection, registry);
  const { backoff: _pace, linger: _linger, ...agreed } = behaviour;
  const key = JSON.stringify([source.path, sorted(parameters), sorted(agreed)]);
  const known = registry.get(key)?.deref();
  if (known !== undefined) return known;
  for (const [stale, feed] of registry) if (feed.deref() === undefined) registry.delete(stale);
  const made = new SharedFeed<Item>(source, behaviour);
  registry.set(key, new WeakRef(made as unknown as SharedFeed<never>));
  return made;
}

function sorted(options: object): unknown {
  return Object.entries(options)
    .filter(([, value]) => value !== undefined)
    .map(([name, value]) => [name, hasNoText(value) ? numberOf(value) : value])
    .sort(([a], [b]) => (String(a) < String(b) ? -1 : 1));
}

function hasNoText(value: unknown): value is object {
  return isObservable(value) || typeof value === 'function';
}

/** Streams and functions have no text to compare: each is like itself alone. */
function numberOf(value: object): number {
  const number = numbers.get(value) ?? (count += 1);
  numbers.set(value, number);
  return number;
}

/**
 * What a feed passes on, in windows of so many milliseconds: gathered once for all who listen, who may
 * be thousands.
 */
class SharedWindows<Item extends Sequenced> {
  /**
   * Hot, as the feed is: its first subscriber opens the connection, and its last one closes it. Who
   * comes while a window is open is shown what arrived since.
   */
  readonly windows$: Observable<readonly Item[]>;
  /** How many items are in the window that is open. */
  #gathered = 0;

  constructor(feed: SharedFeed<Item>, latency: number, scheduler: SchedulerLike) {
    const shared$ = feed.blocks$.pipe(
      tap((items) => {
        this.#gathered += items.length;
      }),
      bufferLatency(latency, scheduler),
      tap(() => {
        this.#gathered = 0;
      }),
      // The last one may leave while a window is open: whoever comes next misses nothing for that.
      finalize(() => {
        this.#gathered = 0;
      }),
      share(),
    );
    this.windows$ = new Observable((subscriber) => {
      let before = this.#gathered;
      return shared$.subscribe({
        next: (items) => {
          const own = before === 0 ? items : items.slice(before);
          before = 0;
          if (own.length > 0) subscriber.next(own);
        },
        error: (error: unknown) => subscriber.error(error),
        complete: () => subscriber.complete(),
      });
    });
  }
}

const windowsByFeed = new WeakMap<object, Map<number, unknown>>();

/** Finds the windows of a feed, or opens them. */
export function sharedWindows<Item extends Sequenced>(
  feed: SharedFeed<Item>,
  latency: number,
  { connection }: FeedSource<Item>,
): Observable<readonly Item[]> {
  const byLatency = windowsByFeed.get(feed) ?? new Map<number, unknown>();
  windowsByFeed.set(feed, byLatency);
  const found = (byLatency.get(latency) ??
    new SharedWindows<Item>(feed, latency, connection.scheduler)) as SharedWindows<Item>;
  byLatency.set(latency, found);
  return found.windows$;
}

/**
 * The changes of a feed, each as a batch of its own: made once for all who listen, who may be
 * thousands.
 */
export class SingleBatches<T extends object> {
  /** Hot, as the feed is: its first subscriber opens the connection, and its last one closes it. */
  readonly batches$: Observable<ChangesBatch<T>>;
  /** The sequence of the latest batch. */
  seq: Sequence;
  /** How many batches there have been. */
  count = 0;

  constructor(feed: SharedFeed<Change<T>>) {
    this.seq = feed.since;
    this.batches$ = new Observable<ChangesBatch<T>>((subscriber) =>
      feed.blocks$.subscribe({
        next: (changes) => {
          for (const change of changes) {
            if (subscriber.closed) return;
            this.seq = change.seq ?? this.seq;
            this.count += 1;
            subscriber.next({ seq: this.seq, changes: [change] });
          }
        },
        error: (error: unknown) => subscriber.error(error),
        complete: () => subscriber.complete(),
      }),
    ).pipe(share());
  }
}

const batchesByFeed = new WeakMap<object, unknown>();

/** Finds the single batches of a feed, or makes them. */
export function singleBatches<T extends object>(feed: SharedFeed<Change<T>>): SingleBatches<T> {
  const found = (batchesByFeed.get(feed) ?? new SingleBatches<T>(feed)) as SingleBatches<T>;
  batchesByFeed.set(feed, found);
  return found;
}
