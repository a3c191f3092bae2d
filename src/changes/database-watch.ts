import { Subscription } from 'rxjs';
import { retryTransient } from '../http/retry-transient.ts';
import type { Connection } from '../http/connection.ts';
import { RetryPolicy } from '../operators/retry-policy.ts';
import { schedule } from '../operators/time.ts';
import { guarded } from '../operators/to-observable.ts';
import { explainUpdatesError, listDatabases } from './database-list.ts';
import type { DatabaseList, Selection } from './database-list.ts';
import type { Lane } from './database-reader.ts';
import { dbUpdatesSource } from './db-updates.ts';
import type { DbUpdate } from './db-updates.ts';
import type { FeedBehaviour, FeedState } from './feed-model.ts';
import { longestSilence } from './feed-pace.ts';
import { sharedFeed } from './shared-feed.ts';

/** How a feed of many databases notices what has changed. */
export interface WatchSettings {
  readonly connection: Connection;
  readonly selection: Selection;
  readonly behaviour: FeedBehaviour;
  /** The method's name, for error messages. */
  readonly what: string;
  /** How often the databases are listed, in milliseconds; null to follow the server's updates. */
  readonly poll: number | null;
}

/** The calls of a {@link DatabaseWatch} to its user. */
interface WatchEvents {
  readonly updated: (updates: readonly DbUpdate[]) => void;
  readonly listed: (list: DatabaseList) => void;
  /** The state has changed. */
  readonly moved: () => void;
  readonly failed: (error: unknown) => void;
}

export const CONNECTING: FeedState = { status: 'connecting', attempt: 0 };

/** Whether a state would tell nothing new after another. */
export function isSameState(state: FeedState, before: FeedState): boolean {
  if (state.status !== 'connecting' || before.status !== 'connecting') return state === before;
  return state.attempt === before.attempt;
}

/**
 * Notices what changes on a server: it follows the updates, and lists the databases each time these are
 * live again, because some may have been lost. With `poll` it lists the databases at that interval instead.
 */
export class DatabaseWatch extends Subscription {
  readonly #settings: WatchSettings;
  readonly #events: WatchEvents;
  readonly #lane: Lane;
  /** The state of the updates, or of the lists that replace them. */
  #source: FeedState = CONNECTING;
  #wait: FeedState | null = null;
  #lists: 'none' | 'running' | 'again' = 'none';

  constructor(settings: WatchSettings, lane: Lane, events: WatchEvents) {
    super();
    this.#settings = settings;
    this.#lane = lane;
    this.#events = events;
  }

  get state(): FeedState {
    const isDown = this.#source.status !== 'live' && this.#settings.poll === null;
    return isDown ? this.#source : (this.#wait ?? this.#source);
  }

  start(): void {
    if (this.#settings.poll === null) this.#follow();
    else this.#list();
  }

  #follow(): void {
    const { connection, behaviour, what } = this.#settings;
    const { updated, moved, failed } = this.#events;
    const feed = sharedFeed(dbUpdatesSource(connection), {}, behaviour);
    let wasLive = false;
    this.add(
      feed.items$.subscribe(
        guarded(
          { error: failed },
          { next: updated, error: (error) => failed(explainUpdatesError(error, what)) },
        ),
      ),
    );
    this.add(
      feed.state$.subscribe((state) => {
        // The error of the feed follows.
        if (state.status === 'failed') return;
        const isLive = state.status === 'live';
        this.#source = state;
        if (isLive && !wasLive) this.#list();
        wasLive = isLive;
        moved();
      }),
    );
  }

  /** Lists the databases. */
  #list(): void {
    if (this.#lists !== 'none') {
      this.#lists = 'again';
      return;
    }
    this.#lists = 'running';
    const { connection, selection, behaviour } = this.#settings;
    const { backoff, errorTolerance, heartbeat } = behaviour;
    const policy = new RetryPolicy(backoff, errorTolerance, connection.scheduler);
    const list$ = listDatabases(connection, selection, longestSilence(heartbeat));
    const retried$ = this.#lane.run(list$).pipe(
      retryTransient(connection, policy, (attempt, delay, error) => {
        this.#wait = { status: 'waiting', attempt, delay, error };
        this.#events.moved();
      }),
    );
    const { failed } = this.#events;
    const take = (list: DatabaseList): void => this.#take(list);
    this.add(retried$.subscribe(guarded({ error: failed }, { next: take, error: failed })));
  }

  #take(list: DatabaseList): void {
    const isAgain = this.#lists === 'again';
    this.#lists = 'none';
    this.#wait = null;
    const { poll, connection } = this.#settings;
    if (poll !== null) {
      const live = { status: 'live', connections: 1, protocol: 'longpoll' } as const;
      if (this.#source === CONNECTING) this.#source = { ...live, pollInterval: poll };
      this.add(schedule(() => this.#list(), poll, connection.scheduler));
    }
    this.#events.listed(list);
    if (isAgain) this.#list();
    this.#events.moved();
  }
}
