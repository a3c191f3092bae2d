import type { BehaviorSubject, Observable } from 'rxjs';
import type { FeedSource, Sequenced } from './feed-source.ts';
import type { CorduroyError } from '../errors/corduroy-error.ts';
import type { Sequence } from '../model/change.ts';
import type { BackoffOptions, ErrorTolerance } from '../operators/retry-policy.ts';

/** What a feed is doing. */
export type FeedState =
  /** Nobody listens: there is no connection. */
  | { readonly status: 'idle' }
  /** Asking the server; `attempt` counts the tries since the last success, from 0. */
  | { readonly status: 'connecting'; readonly attempt: number }
  /** The server sends changes and heartbeats; `connections` counts those so far, this one too. */
  | { readonly status: 'live'; readonly connections: number }
  /**
   * Backing off for `delay` milliseconds before the next attempt, because of `error`; for `Infinity`
   * where it waits for other credentials.
   */
  | {
      readonly status: 'waiting';
      readonly attempt: number;
      readonly delay: number;
      readonly error: CorduroyError;
    }
  /** Closed for the while that `pauseWhile` says. */
  | { readonly status: 'paused' }
  /** Ended by what cannot pass by itself; a new subscription begins anew. */
  | { readonly status: 'failed'; readonly error: CorduroyError };

/** How a feed asks the server. */
export type FeedKind = 'auto' | 'continuous' | 'longpoll' | 'eventsource' | 'normal';

/** How a feed behaves. */
export interface FeedBehaviour {
  readonly since: Sequence;
  readonly limit: number;
  readonly feed: FeedKind;
  readonly heartbeat: number;
  readonly backoff: BackoffOptions;
  readonly errorTolerance: ErrorTolerance;
  readonly linger: number;
  readonly pauseWhile: Observable<boolean> | undefined;
  readonly crossTab: CrossTab | boolean;
}

/** How several tabs have one feed: what `crossTab()` returns. */
export type CrossTab = <Item extends Sequenced>(
  source: FeedSource<Item>,
  behaviour: FeedBehaviour,
  state$: BehaviorSubject<FeedState>,
) => Observable<readonly Item[]>;
