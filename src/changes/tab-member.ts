import {
  BehaviorSubject,
  EMPTY,
  Observable,
  Subject,
  concat,
  concatAll,
  defer,
  filter,
  finalize,
  ignoreElements,
  map,
  merge,
  of,
  repeat,
  startWith,
  switchMap,
  takeUntil,
  tap,
} from 'rxjs';
import { LOOK_DELAY } from './feed-pace.ts';
import { lastSequence } from './changes-request.ts';
import { canonical } from '../model/json.ts';
import type { Sequence } from '../model/change.ts';
import type { Sequenced } from './feed-source.ts';
import { fromTabState, toTabState } from './tab-feed.ts';
import type { TabFeed, TabMessage } from './tab-feed.ts';

/**
 * Requests the lock of a name: waits for it, or takes it from its holder (`steal`). Emits when it
 * holds the lock, and completes when another tab has stolen it. Unsubscribing releases the lock.
 */
export type TabLock = (name: string, steal: boolean) => Observable<void>;

/** The members of a `BroadcastChannel` that Corduroy uses. */
export interface TabChannel {
  readonly postMessage: (message: unknown) => void;
  readonly close: () => void;
  readonly addEventListener: (
    type: 'message',
    listener: (event: { readonly data: unknown }) => void,
  ) => void;
}

/**
 * A tab among those that share one feed.
 *
 * The tab that holds the lock is the leader: it has the connection, and sends its items to the
 * others. A new member first reads the items between its own sequence and the leader's from the
 * server; items from the leader wait during that time. A new leader starts at its own sequence. So
 * each tab receives every item, and may receive some of them twice.
 */
export class TabMember<Item extends Sequenced> {
  readonly #feed: TabFeed<Item>;
  readonly #channel: TabChannel;
  readonly #lock: (steal: boolean) => Observable<void>;
  readonly #id = Math.random().toString(36).slice(2);
  /** Emits the items to pass on and to read from the server, in order. */
  readonly #tasks$ = new Subject<Observable<readonly Item[]>>();
  readonly #holdsLock$ = new BehaviorSubject(false);
  readonly #leaderHeard$ = new Subject<void>();
  readonly #steal$ = new Subject<true>();
  #leader: string | null = null;
  /** How many blocks the leader has sent. */
  #count = 0;
  /** How often this tab has become the leader. */
  #terms = 0;
  #leads = false;
  /** The start of the gap that `#recheck` reads again, and the items received since. */
  #unverified: { readonly since: Sequence; readonly received: Set<string> } | null = null;
  readonly #gapClosed$ = new Subject<void>();

  constructor(feed: TabFeed<Item>, channel: TabChannel, lock: TabLock, name: string) {
    this.#feed = feed;
    this.#channel = channel;
    this.#lock = (steal) => lock(name, steal);
  }

  /** Emits the items of the feed. Unsubscribing closes the channel and releases the lock. */
  items(): Observable<readonly Item[]> {
    return new Observable((subscriber) => {
      this.#channel.addEventListener('message', ({ data }) => this.#receive(data as TabMessage));
      const { connection } = this.#feed.source;
      const recheck$ = this.#gapClosed$.pipe(
        switchMap(() => connection.after(LOOK_DELAY)),
        tap(() => this.#tasks$.next(this.#recheck())),
      );
      subscriber.add(
        merge(
          this.#tasks$.pipe(concatAll()),
          merge(this.#monitorLeader(), recheck$, this.#requestLock()).pipe(ignoreElements()),
        ).subscribe(subscriber),
      );
      subscriber.add(() => this.#channel.close());
      this.#post({ type: 'who-leads' });
    });
  }

  /** Requests the lock, and again each time another tab has stolen it. */
  #requestLock(): Observable<void> {
    const request = (steal: boolean): Observable<void> =>
      this.#lock(steal).pipe(
        tap({
          next: () => {
            this.#holdsLock$.next(true);
            this.#tasks$.next(this.#lead());
          },
          // Another tab has stolen the lock, and leads now.
          complete: () => {
            this.#holdsLock$.next(false);
            this.#post({ type: 'who-leads' });
          },
        }),
      );
    return this.#steal$.pipe(
      startWith(false),
      switchMap((steal) => concat(request(steal), defer(() => request(false)).pipe(repeat()))),
    );
  }

  /** Asks a silent leader for a sign of life, and steals the lock if there is none. */
  #monitorLeader(): Observable<unknown> {
    const { connection } = this.#feed.source;
    const { heartbeat, backoff } = this.#feed.behaviour;
    const { random = Math.random } = backoff;
    const ask = defer(() => {
      this.#post({ type: 'who-leads' });
      return EMPTY;
    });
    const wait = (times: number): Observable<unknown> => connection.after(heartbeat * times);
    return merge(this.#leaderHeard$, this.#holdsLock$).pipe(
      switchMap(() =>
        this.#holdsLock$.value
          ? EMPTY
          : concat(wait(1), ask, wait(0.5), ask, wait(0.5 + random() / 4)).pipe(
              ignoreElements(),
              tap({ complete: () => this.#steal$.next(true) }),
            ),
      ),
    );
  }

  #lead(): Observable<readonly Item[]> {
    return defer(() => {
      if (!this.#holdsLock$.value) return EMPTY;
      const leader = `${this.#id}.${(this.#terms += 1)}`;
      const { state$, source } = this.#feed;
      this.#leads = true;
      this.#leader = leader;
      this.#count = 0;
      this.#rewind();
      this.#announcePosition();
      const states = state$.subscribe((present) => {
        const state = toTabState(present);
        if (state !== null) this.#post({ type: 'state', leader, state });
      });
      return this.#feed.lead().pipe(
        tap((items) => {
          this.#count += 1;
          const text = source.connection.codec.stringify(items);
          this.#post({ type: 'block', leader, count: this.#count, text });
        }),
        takeUntil(this.#holdsLock$.pipe(filter((holdsLock) => !holdsLock))),
        finalize(() => {
          states.unsubscribe();
          this.#leads = false;
          this.#leader = null;
        }),
      );
    });
  }

  #receive(message: TabMessage): void {
    if (message.type === 'who-leads') {
      if (this.#leads && this.#feed.isOverdue) return;
      if (this.#leads) this.#announcePosition();
      else if (this.#holdsLock$.value) this.#post({ type: 'catching-up' });
      return;
    }
    // A former leader that was frozen sends messages until it notices that its lock was stolen.
    if (this.#holdsLock$.value) return;
    this.#leaderHeard$.next();
    if (message.type === 'position') {
      this.#followLeader(message);
    } else if (message.type === 'block') {
      if (message.leader === this.#leader && message.count === this.#count + 1) {
        this.#count += 1;
        this.#tasks$.next(this.#decode(message.text));
      } else {
        this.#post({ type: 'who-leads' });
      }
    } else if (message.type === 'state' && message.leader === this.#leader) {
      this.#feed.state$.next(fromTabState(message.state));
    }
  }

  /** Follows a leader from its position, after the items before that which this tab has not seen. */
  #followLeader({ leader, count, seq, state }: TabMessage & { readonly type: 'position' }): void {
    if (leader === this.#leader && count === this.#count) return;
    this.#leader = leader;
    this.#count = count;
    this.#tasks$.next(this.#closeGap(seq));
    this.#feed.state$.next(fromTabState(state));
  }

  /** Emits the items between this tab's sequence and the leader's. */
  #closeGap(leaderSeq: Sequence): Observable<readonly Item[]> {
    return defer(() => {
      this.#rewind();
      const feed = this.#feed;
      if (feed.seq === leaderSeq) return EMPTY;
      const received = new Set<string>();
      this.#unverified = { since: feed.seq, received };
      return feed
        .catchUp((seq) => {
          feed.setSequence(seq);
          this.#unverified = { since: seq, received };
        })
        .pipe(tap({ complete: () => this.#gapClosed$.next() }));
    });
  }

  /**
   * Reads the gap again some time after it was closed, and emits items that are new. A node of a
   * cluster may for a moment lack changes that the leader has received from another node.
   */
  #recheck(): Observable<readonly Item[]> {
    return defer(() => {
      const unverified = this.#unverified;
      if (unverified === null) return EMPTY;
      const { seq } = this.#feed;
      this.#feed.setSequence(unverified.since);
      return this.#feed
        .catchUp(() => {})
        .pipe(
          map((items) => items.filter((item) => !unverified.received.has(contentKey(item)))),
          filter((items) => items.length > 0),
          finalize(() => {
            this.#feed.setSequence(seq);
            this.#unverified = null;
          }),
        );
    });
  }

  /** Goes back to the last sequence before which no item can be missing. */
  #rewind(): void {
    this.#feed.setSequence(this.#unverified?.since ?? null);
    this.#unverified = null;
  }

  #decode(text: string): Observable<readonly Item[]> {
    return defer(() => {
      const items = this.#feed.source.connection.codec.parse(text) as readonly Item[];
      for (const item of items) this.#unverified?.received.add(contentKey(item));
      this.#feed.setSequence(lastSequence(items));
      return of(items);
    });
  }

  /** Sends the position of this tab, the leader. */
  #announcePosition(): void {
    const { state$, seq } = this.#feed;
    const state = toTabState(state$.value) ?? { status: 'idle' };
    const leader = this.#leader ?? '';
    this.#post({ type: 'position', leader, count: this.#count, seq, state });
  }

  #post(message: TabMessage): void {
    // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a channel has no target
    this.#channel.postMessage(message);
  }
}

/** Returns a key of an item without its sequence, which differs between requests. */
function contentKey(item: Sequenced): string {
  return canonical({ ...item, seq: null });
}
