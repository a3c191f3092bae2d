import {
  BehaviorSubject,
  catchError,
  defer,
  finalize,
  from,
  map,
  mergeMap,
  of,
  share,
  timer,
} from 'rxjs';
import type { Observable } from 'rxjs';
import type { Sequence } from '../model/change.ts';
import type { FeedBehaviour } from './feed-behaviour.ts';
import type { FeedSource, Sequenced } from './feed-source.ts';
import type { FeedState } from './feed-state.ts';
import { Follower } from './follower.ts';

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
