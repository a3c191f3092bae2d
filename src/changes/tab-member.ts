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
import { SETTLED } from './follower.ts';
import { lastSequence } from './one-shot.ts';
import type { Sequence } from '../model/change.ts';
import type { Sequenced } from './feed-source.ts';
import type { TabFeed } from './tab-feed.ts';
import type { TabLock } from './tab-lock.ts';
import { fromTabState, toTabState } from './tab-lock.ts';
import type { TabMessage } from './tab-lock.ts';

/** What is needed of a `BroadcastChannel`. */
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
 * Who holds the lock leads: it has the connection, and tells the others what comes over it. The
 * others begin each with what they have not seen: what lies between their own place and the leader's
 * they ask the server for, once, and what the leader says meanwhile waits. Who takes over begins at
 * its own place. So each has everything, and some of it, perhaps, twice.
 */
export class TabMember<Item extends Sequenced> {
  readonly #feed: TabFeed<Item>;
  readonly #channel: TabChannel;
  readonly #lock: (steal: boolean) => Observable<void>;
  readonly #id = Math.random().toString(36).slice(2);
  /** What is to be passed on, and what is to be asked for, in its order. */
  readonly #tasks$ = new Subject<Observable<readonly Item[]>>();
  readonly #held$ = new BehaviorSubject(false);
  readonly #heard$ = new Subject<void>();
  readonly #steal$ = new Subject<true>();
  /** Whom this tab follows, and how many blocks of it have come. */
  #leader: string | null = null;
  #count = 0;
  /** How often this tab has become the leader. */
  #terms = 0;
  #leads = false;
  /** Up to where nothing can be missing, and what has come since: until it has been looked. */
  #doubt: { readonly from: Sequence; readonly heard: Set<string> } | null = null;
  readonly #closed$ = new Subject<void>();

  constructor(feed: TabFeed<Item>, channel: TabChannel, lock: TabLock, name: string) {
    this.#feed = feed;
    this.#channel = channel;
    this.#lock = (steal) => lock(name, steal);
  }

  /** Takes part, at each subscription, until it is unsubscribed from. */
  items(): Observable<readonly Item[]> {
    return new Observable((subscriber) => {
      this.#channel.addEventListener('message', ({ data }) => this.#hear(data as TabMessage));
      const { connection } = this.#feed.source;
      const looking$ = this.#closed$.pipe(
        switchMap(() => connection.after(SETTLED)),
        tap(() => this.#tasks$.next(this.#look())),
      );
      subscriber.add(
        merge(
          this.#tasks$.pipe(concatAll()),
          merge(this.#watch(), looking$, this.#apply()).pipe(ignoreElements()),
        ).subscribe(subscriber),
      );
      subscriber.add(() => this.#channel.close());
      this.#post({ type: 'hello' });
    });
  }

  /** Applies for the lock, again whenever it was taken away. */
  #apply(): Observable<void> {
    const held = (steal: boolean): Observable<void> =>
      this.#lock(steal).pipe(
        tap({
          next: () => {
            this.#held$.next(true);
            this.#tasks$.next(this.#lead());
          },
          // Somebody took it away, and is to be followed.
          complete: () => {
            this.#held$.next(false);
            this.#post({ type: 'hello' });
          },
        }),
      );
    return this.#steal$.pipe(
      startWith(false),
      switchMap((steal) => concat(held(steal), defer(() => held(false)).pipe(repeat()))),
    );
  }

  /** Asks a leader that is silent whether it is there, and takes its place if it is not. */
  #watch(): Observable<unknown> {
    const { connection } = this.#feed.source;
    const { heartbeat, backoff } = this.#feed.behaviour;
    const { random = Math.random } = backoff;
    const ask = defer(() => {
      this.#post({ type: 'hello' });
      return EMPTY;
    });
    const wait = (times: number): Observable<unknown> => connection.after(heartbeat * times);
    return merge(this.#heard$, this.#held$).pipe(
      switchMap(() =>
        this.#held$.value
          ? EMPTY
          : concat(wait(1), ask, wait(1), ask, wait(1 + random())).pipe(
              ignoreElements(),
              tap({ complete: () => this.#steal$.next(true) }),
            ),
      ),
    );
  }

  #lead(): Observable<readonly Item[]> {
    return defer(() => {
      if (!this.#held$.value) return EMPTY;
      const leader = `${this.#id}.${(this.#terms += 1)}`;
      const { state$, source } = this.#feed;
      this.#leads = true;
      this.#leader = leader;
      this.#count = 0;
      this.#rewind();
      this.#tell();
      const states = state$.subscribe((now) => {
        const state = toTabState(now);
        if (state !== null) this.#post({ type: 'state', leader, state });
      });
      return this.#feed.lead().pipe(
        tap((items) => {
          this.#count += 1;
          const text = source.connection.codec.stringify(items);
          this.#post({ type: 'block', leader, count: this.#count, text });
        }),
        takeUntil(this.#held$.pipe(filter((held) => !held))),
        finalize(() => {
          states.unsubscribe();
          this.#leads = false;
          this.#leader = null;
        }),
      );
    });
  }

  #hear(message: TabMessage): void {
    if (message.type === 'hello') {
      if (this.#leads) this.#tell();
      else if (this.#held$.value) this.#post({ type: 'soon' });
      return;
    }
    // Who was taken for gone, and is back, speaks for a moment as if it still led.
    if (this.#held$.value) return;
    this.#heard$.next();
    if (message.type === 'at') {
      this.#align(message);
    } else if (message.type === 'block') {
      if (message.leader === this.#leader && message.count === this.#count + 1) {
        this.#count += 1;
        this.#tasks$.next(this.#read(message.text));
      } else {
        this.#post({ type: 'hello' });
      }
    } else if (message.type === 'state' && message.leader === this.#leader) {
      this.#feed.state$.next(fromTabState(message.state));
    }
  }

  /** Follows whoever leads from where it is; what this tab has not seen of that is asked for. */
  #align({ leader, count, place, state }: TabMessage & { readonly type: 'at' }): void {
    if (leader === this.#leader && count === this.#count) return;
    this.#leader = leader;
    this.#count = count;
    this.#tasks$.next(this.#close(place));
    this.#feed.state$.next(fromTabState(state));
  }

  /** Passes on what lies between the place of this tab and the leader's. */
  #close(to: Sequence): Observable<readonly Item[]> {
    return defer(() => {
      this.#rewind();
      const feed = this.#feed;
      if (feed.place === to) return EMPTY;
      const heard = new Set<string>();
      this.#doubt = { from: feed.place, heard };
      return feed
        .catchUp((place) => {
          feed.moveTo(place);
          this.#doubt = { from: place, heard };
        })
        .pipe(tap({ complete: () => this.#closed$.next() }));
    });
  }

  /**
   * A node of a cluster may for a moment not have what the leader has had from another: it is looked
   * once more, a little later, whether there was anything.
   */
  #look(): Observable<readonly Item[]> {
    return defer(() => {
      const doubt = this.#doubt;
      if (doubt === null) return EMPTY;
      const { place } = this.#feed;
      this.#feed.moveTo(doubt.from);
      return this.#feed
        .catchUp(() => {})
        .pipe(
          map((items) => items.filter((item) => !doubt.heard.has(keyOf(item)))),
          filter((items) => items.length > 0),
          finalize(() => {
            this.#feed.moveTo(place);
            this.#doubt = null;
          }),
        );
    });
  }

  /** Goes back to where it is certain that nothing is missing. */
  #rewind(): void {
    this.#feed.moveTo(this.#doubt?.from ?? null);
    this.#doubt = null;
  }

  #read(text: string): Observable<readonly Item[]> {
    return defer(() => {
      const items = this.#feed.source.connection.codec.parse(text) as readonly Item[];
      for (const item of items) this.#doubt?.heard.add(keyOf(item));
      this.#feed.moveTo(lastSequence(items));
      return of(items);
    });
  }

  /** Says where this tab, which leads, is. */
  #tell(): void {
    const { state$, place } = this.#feed;
    const state = toTabState(state$.value) ?? { status: 'idle' };
    const leader = this.#leader ?? '';
    this.#post({ type: 'at', leader, count: this.#count, place, state });
  }

  #post(message: TabMessage): void {
    // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a channel has no target
    this.#channel.postMessage(message);
  }
}

/** What an item says, whatever its sequence, which differs from request to request. */
function keyOf(item: Sequenced): string {
  return JSON.stringify({ ...item, seq: null });
}
