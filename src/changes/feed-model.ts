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
   * since the first subscriber came. `protocol` tells how it listens. `pollInterval` is set if the browser
   * has no connection left for the feed: it then polls that often, in milliseconds. `fallback` is set if
   * the feed listens to CouchDB itself, because the server at `changesUrl` cannot be reached.
   */
  | {
      readonly status: 'live';
      readonly connections: number;
      readonly protocol: FeedProtocol;
      readonly pollInterval?: number;
      readonly fallback?: true;
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

/** The options of a feed that its decisions depend on. */
export interface CoreOptions {
  readonly kind: FeedKind;
  /** How often the server sends a heartbeat, in milliseconds. */
  readonly heartbeat: number;
  readonly backoff: BackoffOptions;
  /** How long failures are retried after the last success, in milliseconds. */
  readonly tolerance: number;
  /** How many items one poll reads at most. */
  readonly pollLimit: number;
  /** Whether a filter of the server may pass nothing for a long time. */
  readonly filtered: boolean;
  /** Whether no connection opens between the delivery of items and the next `demand`. */
  readonly onDemand: boolean;
}

/** A question to the server beside a connection. */
export type Question =
  /** Which sequence does `'now'` stand for? */
  | 'sequence'
  /** Is it still the same database? */
  | 'identity'
  /** Are there items after a sequence? */
  | 'more';

/** Why a connection or a question failed. */
export interface Failure {
  readonly error: CorduroyError;
  /** Whether a retry may succeed. */
  readonly transient: boolean;
  /** Whether other credentials may come. */
  readonly recovers: boolean;
  /** Whether nothing arrived for too long. */
  readonly silent: boolean;
  /** How long the server asked to wait, in milliseconds. */
  readonly retryAfter: number;
}

/** An event. `id` is the number of a connection. */
export type FeedEvent =
  /** The feed starts. */
  | { readonly type: 'start' }
  /** Whether the platform has no connection left for one that waits. Another one must be opened. */
  | { readonly type: 'crowded'; readonly id: number; readonly value: boolean }
  /** The server accepted the request. `fallback`: it is not the one at `changesUrl`. */
  | { readonly type: 'opened'; readonly id: number; readonly fallback?: boolean }
  /** Items came. */
  | {
      readonly type: 'items';
      readonly id: number;
      readonly items: readonly unknown[];
      /** The sequence of the last item that has one; null if none has. */
      readonly seq: Sequence | null;
    }
  /** The server sent a sign of life. */
  | { readonly type: 'heartbeat'; readonly id: number }
  /** The server ended the connection. */
  | {
      readonly type: 'ended';
      readonly id: number;
      readonly seq: Sequence;
      readonly pending: number | null;
    }
  /** A connection failed, or the question of a connection. */
  | {
      readonly type: 'failed';
      readonly id: number;
      readonly question: Question | null;
      readonly failure: Failure;
    }
  /** The answer to `'sequence'`. */
  | { readonly type: 'resolved'; readonly id: number; readonly seq: Sequence }
  /** The answer to `'identity'`; null if the server does not tell. */
  | { readonly type: 'identified'; readonly id: number; readonly identity: string | null }
  /** The answer to `'more'`: whether there are items after `after`, and the sequence up to which it looked. */
  | {
      readonly type: 'looked';
      readonly id: number;
      readonly after: Sequence;
      readonly more: boolean;
      readonly seq: Sequence | null;
    }
  /** The time that the last `wait` named has come. */
  | { readonly type: 'tick' }
  /** The user pauses the feed, or resumes it. */
  | { readonly type: 'paused'; readonly value: boolean }
  /** The credentials have changed. */
  | { readonly type: 'credentials' }
  /** The platform says that the network is back (`isNew`), or that the page was resumed. */
  | { readonly type: 'awake'; readonly isNew: boolean }
  /** The consumer takes more items. */
  | { readonly type: 'demand' }
  /** The last subscriber has left. */
  | { readonly type: 'stopped' };

/** An event, its time in milliseconds, and a random number from 0 up to 1 for the jitter. */
export type FeedInput = FeedEvent & { readonly at: number; readonly random: number };

/** Why the feed waits, or has ended: a failure, a replaced database, or connections that end at once. */
export type Trouble = Failure | 'replaced' | 'ends at once';

/** The state of a feed, as the core reports it. */
export type Report =
  | { readonly status: 'connecting'; readonly attempt: number }
  | (FeedState & { readonly status: 'live' })
  | {
      readonly status: 'waiting';
      readonly attempt: number;
      readonly delay: number;
      readonly trouble: Trouble;
    }
  | { readonly status: 'paused' }
  | { readonly status: 'failed'; readonly trouble: Trouble };

/** An order of the core to its shell. */
export type FeedCommand =
  | {
      readonly type: 'open';
      readonly id: number;
      readonly protocol: FeedProtocol;
      readonly since: Sequence;
      readonly limit: number;
      readonly heartbeat: number;
      /** How long a poll waits for an item, in milliseconds. */
      readonly wait: number;
      /** How long the connection may be silent, in milliseconds. */
      readonly timeout: number;
    }
  /** Close a connection, and forget its questions. */
  | { readonly type: 'close'; readonly id: number }
  | {
      readonly type: 'ask';
      readonly id: number;
      readonly question: Question;
      readonly after: Sequence;
      /** How long the server may wait for an item, in milliseconds. */
      readonly wait: number;
      readonly timeout: number;
    }
  | { readonly type: 'deliver'; readonly items: readonly unknown[]; readonly seq: Sequence }
  /** The sequence has moved, but no item came. */
  | { readonly type: 'progress'; readonly seq: Sequence }
  | { readonly type: 'report'; readonly state: Report }
  /** Send a tick after a delay, and none before; `Infinity` means never. */
  | { readonly type: 'wait'; readonly delay: number }
  /** Remember for the server whether something on the way to it holds back what it sends. */
  | { readonly type: 'remember'; readonly buffered: boolean }
  | { readonly type: 'complete' }
  | { readonly type: 'fail'; readonly trouble: Trouble };

/** A list that grows without a copy. */
export interface Held {
  readonly input: FeedInput;
  readonly before: Held | null;
}

/** A connection. It delivers nothing before the database is known to be the same. */
export interface FeedConnection {
  readonly id: number;
  readonly protocol: FeedProtocol;
  readonly requestedAt: number;
  readonly startedAfter: Sequence;
  readonly opened: boolean;
  readonly verified: boolean;
  /** How many items it has delivered. */
  readonly received: number;
  /** When the last item or heartbeat came; null if none came. */
  readonly heardAt: number | null;
  /** Whether the server has had items for it that have not come yet. */
  readonly suspected: boolean;
  /** The items and the end that came before it was verified, the last first. */
  readonly held: Held | null;
}

export type Phase = 'idle' | 'connecting' | 'live' | 'waiting' | 'paused' | 'ended';

/** The state of a feed between two events. Times are in milliseconds; `Infinity` means never. */
export interface FeedCore {
  readonly options: CoreOptions;
  readonly phase: Phase;
  /** The protocol of the last connection that became live, and how often it polls; null if it waits. */
  readonly protocol: FeedProtocol;
  readonly pollInterval: number | null;
  /** Whether the platform has no connection left for one that waits. */
  readonly crowded: boolean;
  /** The sequence of the last item delivered: the next connection starts after it. */
  readonly seq: Sequence;
  /** How many items may still come before `limit` is reached. */
  readonly remaining: number;
  /** The present heartbeat, which silent deaths of connections shorten. */
  readonly heartbeat: number;
  readonly main: FeedConnection | null;
  /** The poll beside a main connection whose head is late. */
  readonly rival: FeedConnection | null;
  readonly lastId: number;
  readonly identity: string | null;
  /** How often the feed has become live. */
  readonly connections: number;
  /** The failures since the last success. */
  readonly attempt: number;
  readonly lastSuccess: number;
  readonly connectAt: number;
  readonly raceAt: number;
  readonly lookAt: number;
  /** When the feed ends with `trouble`, if other credentials have not come. */
  readonly giveUpAt: number;
  readonly trouble: Trouble | null;
  /** When something was found to hold back streams; null if nothing was. */
  readonly bufferedAt: number | null;
  /** How many connections in a row were reopened for items that the server held back. */
  readonly reopened: number;
  /** How many connections in a row ended soon without progress, and how many brought few items. */
  readonly fruitless: number;
  readonly quick: number;
  /** How long the last connection was silent when it died, in milliseconds; null if it was not. */
  readonly lastSilence: number | null;
  /** How often the patience with a silent poll was doubled. */
  readonly patience: number;
  readonly demand: boolean;
}
