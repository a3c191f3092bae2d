import {
  BehaviorSubject,
  Observable,
  Subject,
  catchError,
  defer,
  filter,
  finalize,
  from,
  isObservable,
  map,
  mergeMap,
  of,
  share,
  tap,
} from 'rxjs';
import type { SchedulerLike } from 'rxjs';
import type { FeedSource, Sequenced } from './feed-source.ts';
import type { FeedBehaviour, FeedState } from './feed-model.ts';
import { Feed } from './feed.ts';
import type { Change, ChangesBatch, Sequence } from '../model/change.ts';
import { canonical } from '../model/json.ts';
import { after, bufferLatency } from '../operators/time.ts';

/**
 * Shares one connection among all subscribers of a feed.
 *
 * The first subscriber opens the connection, and the last one closes it. Transient errors are
 * retried with backoff, and the feed continues after the last item. All subscribers receive any
 * other error; the next subscriber starts again.
 */
export class SharedFeed<Item extends Sequenced> {
  /** Emits the items as they arrive: those that arrive together in one array. Hot. */
  readonly items$: Observable<readonly Item[]>;
  readonly state$: BehaviorSubject<FeedState> = new BehaviorSubject<FeedState>({ status: 'idle' });

  /** Emits the sequence if it has moved although no item came, as behind a filter. Hot. */
  readonly progress$: Subject<Sequence> = new Subject<Sequence>();
  /** The sequence after which the feed starts. */
  readonly since: Sequence;

  constructor(source: FeedSource<Item>, behaviour: FeedBehaviour) {
    const { linger } = behaviour;
    this.since = behaviour.since;
    const { scheduler } = source.connection;
    this.items$ = defer(() => follow(source, behaviour, this.state$, this.progress$)).pipe(
      finalize(() => {
        if (this.state$.value.status !== 'failed') this.state$.next({ status: 'idle' });
      }),
      share({ resetOnRefCountZero: linger > 0 ? () => after(linger, scheduler) : true }),
    );
  }
}

function follow<Item extends Sequenced>(
  source: FeedSource<Item>,
  behaviour: FeedBehaviour,
  state$: BehaviorSubject<FeedState>,
  progress$: Subject<Sequence>,
): Observable<readonly Item[]> {
  const alone = (): Observable<readonly Item[]> => {
    const feed = new Feed(source, behaviour, state$);
    return feed.pipe(
      filter((items) => {
        if (items.length === 0) progress$.next(feed.seq);
        return items.length > 0;
      }),
    );
  };
  const { crossTab } = behaviour;
  if (crossTab === false) return alone();
  if (crossTab !== true) return crossTab(source, behaviour, state$);
  // Bundlers make this module a separate file, which only pages with `crossTab` load. Service
  // workers may not import.
  return from(import('./cross-tab.ts')).pipe(
    map((module) => module.crossTab()),
    catchError(() => of(alone)),
    mergeMap((connect) => connect(source, behaviour, state$)),
  );
}

type AnyFeed = WeakRef<SharedFeed<never>>;

const registries = new WeakMap<object, Map<string, AnyFeed>>();
const referenceNumbers = new WeakMap<object, number>();
let referenceCount = 0;

/**
 * Returns the feed of a source with these parameters, and creates it if there is none. Feeds that
 * differ only in `backoff` or `linger` are the same feed, which keeps the options of the first call.
 */
export function sharedFeed<Item extends Sequenced>(
  source: FeedSource<Item>,
  parameters: object,
  behaviour: FeedBehaviour,
): SharedFeed<Item> {
  const registry = registries.get(source.connection.shared) ?? new Map<string, AnyFeed>();
  registries.set(source.connection.shared, registry);
  const { backoff: _backoff, linger: _linger, ...shared } = behaviour;
  const key = canonical([source.path, sorted(parameters), sorted(shared)]);
  const known = registry.get(key)?.deref();
  if (known !== undefined) return known;
  for (const [stale, feed] of registry) if (feed.deref() === undefined) registry.delete(stale);
  const created = new SharedFeed<Item>(source, behaviour);
  registry.set(key, new WeakRef(created as unknown as SharedFeed<never>));
  return created;
}

function sorted(options: object): unknown {
  return Object.entries(options)
    .filter(([, value]) => value !== undefined)
    .map(([name, value]) => [name, isReference(value) ? referenceNumber(value) : value])
    .sort(([a], [b]) => (String(a) < String(b) ? -1 : 1));
}

function isReference(value: unknown): value is object {
  return isObservable(value) || typeof value === 'function';
}

/** Returns a number for an Observable or a function, which a key compares by reference. */
function referenceNumber(value: object): number {
  const number = referenceNumbers.get(value) ?? (referenceCount += 1);
  referenceNumbers.set(value, number);
  return number;
}

/** Buffers the items of a feed once for all subscribers with the same latency: there may be thousands. */
export class SharedWindows<Item extends Sequenced> {
  /**
   * Emits the items of each window. Hot: its first subscriber opens the connection, and its last one
   * closes it. A late subscriber receives only items that arrived after it subscribed.
   */
  readonly windows$: Observable<readonly Item[]>;
  /** How many items the open window holds. */
  #buffered = 0;

  /** Whether all items have been delivered. */
  get isEmpty(): boolean {
    return this.#buffered === 0;
  }

  constructor(feed: SharedFeed<Item>, latency: number, scheduler: SchedulerLike) {
    const shared$ = feed.items$.pipe(
      tap((items) => {
        this.#buffered += items.length;
      }),
      bufferLatency(latency, scheduler),
      tap(() => {
        this.#buffered = 0;
      }),
      // If the last subscriber leaves while a window is open, the next one starts with no window.
      finalize(() => {
        this.#buffered = 0;
      }),
      share(),
    );
    this.windows$ = new Observable((subscriber) => {
      let skipped = this.#buffered;
      return shared$.subscribe({
        next: (items) => {
          const later = skipped === 0 ? items : items.slice(skipped);
          skipped = 0;
          if (later.length > 0) subscriber.next(later);
        },
        error: (error: unknown) => subscriber.error(error),
        complete: () => subscriber.complete(),
      });
    });
  }
}

const windowsByFeed = new WeakMap<object, Map<number, unknown>>();

/** Returns the shared windows of a feed with this latency. */
export function sharedWindows<Item extends Sequenced>(
  feed: SharedFeed<Item>,
  latency: number,
  { connection }: FeedSource<Item>,
): SharedWindows<Item> {
  const byLatency = windowsByFeed.get(feed) ?? new Map<number, unknown>();
  windowsByFeed.set(feed, byLatency);
  const windows = (byLatency.get(latency) ??
    new SharedWindows<Item>(feed, latency, connection.scheduler)) as SharedWindows<Item>;
  byLatency.set(latency, windows);
  return windows;
}

/** Emits each change of a feed as a batch. The batches are created once for all subscribers. */
export class SingleBatches<T extends object> {
  /** Hot: its first subscriber opens the connection, and its last one closes it. */
  readonly batches$: Observable<ChangesBatch<T>>;
  /** The sequence of the latest batch. */
  seq: Sequence;
  /** How many batches have been emitted. */
  count = 0;

  constructor(feed: SharedFeed<Change<T>>) {
    this.seq = feed.since;
    this.batches$ = new Observable<ChangesBatch<T>>((subscriber) =>
      feed.items$.subscribe({
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

/** Returns the shared single batches of a feed. */
export function singleBatches<T extends object>(feed: SharedFeed<Change<T>>): SingleBatches<T> {
  const batches = (batchesByFeed.get(feed) ?? new SingleBatches<T>(feed)) as SingleBatches<T>;
  batchesByFeed.set(feed, batches);
  return batches;
}
