import type { BehaviorSubject, Observable } from 'rxjs';
import type { Sequence } from '../model/change.ts';
import type { BackoffOptions } from '../operators/backoff.ts';
import type { FeedSource, Sequenced } from './feed-source.ts';
import type { FeedState } from './feed-state.ts';
import type { ErrorTolerance } from './pace.ts';

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
