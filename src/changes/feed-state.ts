import type { BehaviorSubject, Observable } from 'rxjs';
import type { FeedSource, Sequenced } from './feed-source.ts';
import type { CorduroyError } from '../errors/corduroy-error.ts';
import type { Sequence } from '../model/change.ts';
import type { BackoffOptions, ErrorTolerance } from '../operators/retry-policy.ts';

/** The state of a feed's connection. */
export type FeedState =
  /** The feed has no subscriber and no connection. */
  | { readonly status: 'idle' }
  /** The feed is connecting. `attempt` counts the failures since the last success, from 0. */
  | { readonly status: 'connecting'; readonly attempt: number }
  /**
   * The server sends changes and heartbeats. `connections` counts how often the feed has become live
   * since the first subscriber came. `protocol` tells how it listens.
   */
  | {
      readonly status: 'live';
      readonly connections: number;
      readonly protocol: FeedProtocol;
    }
  /**
   * The feed waits `delay` milliseconds before it connects again, because of `error`. A delay of
   * `Infinity` means that it waits for other credentials.
   */
  | {
      readonly status: 'waiting';
      readonly attempt: number;
      readonly delay: number;
      readonly error: CorduroyError;
    }
  /** The connection is closed while `pauseWhile` is true. */
  | { readonly status: 'paused' }
  /** The feed ended with an error that it does not retry. Subscribe again to reconnect. */
  | { readonly status: 'failed'; readonly error: CorduroyError };

/** The protocol of one connection of a feed. */
export type FeedProtocol = 'continuous' | 'longpoll' | 'eventsource';

/** The protocol of a feed: see the `feed` option of `changes$`. */
export type FeedKind = 'auto' | 'continuous' | 'longpoll' | 'eventsource' | 'normal';

/** The options of a feed that the server does not receive as filters, with defaults filled in. */
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

/** Shares one feed among several tabs: `crossTab()` returns it. */
export type CrossTab = <Item extends Sequenced>(
  source: FeedSource<Item>,
  behaviour: FeedBehaviour,
  state$: BehaviorSubject<FeedState>,
) => Observable<readonly Item[]>;
