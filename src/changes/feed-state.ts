import type { CorduroyError } from '../errors/corduroy-error.ts';

/** What a feed is doing. */
export type FeedState =
  /** Nobody listens: there is no connection. */
  | { readonly status: 'idle' }
  /** Asking the server; `attempt` counts the tries since it was last live, from 0. */
  | { readonly status: 'connecting'; readonly attempt: number }
  /** The server sends changes and heartbeats. */
  | { readonly status: 'live' }
  /** Backing off for `delay` milliseconds before the next attempt, because of `error`. */
  | {
      readonly status: 'waiting';
      readonly attempt: number;
      readonly delay: number;
      readonly error: CorduroyError;
    };
