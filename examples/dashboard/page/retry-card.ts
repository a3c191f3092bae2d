import { type FeedState, isCorduroyError } from 'corduroy';
import { type Observable, map, of, switchMap, takeWhile, timer } from 'rxjs';
import { count, find, seconds, setText, show } from './elements.ts';

/** The state of a feed. `left` counts down the milliseconds until the next attempt. */
export type Countdown = FeedState & { readonly left?: number };

/** Adds a countdown to the states in which the feed waits. */
export function withCountdown(state$: Observable<FeedState>): Observable<Countdown> {
  return state$.pipe(
    switchMap((state): Observable<Countdown> => {
      if (state.status !== 'waiting') return of(state);
      const due = Date.now() + state.delay;
      return timer(0, 100).pipe(
        map(() => ({ ...state, left: Math.max(0, due - Date.now()) })),
        takeWhile(({ left }) => left > 0, true),
      );
    }),
  );
}

const WORDS = {
  idle: 'Idle',
  connecting: 'Connecting',
  live: 'Live',
  waiting: 'Waiting',
  paused: 'Paused',
  failed: 'Ended',
};

/** Shows a state in the card. After a recovery, the card keeps the figures of the last retry. */
export function showState(state: Countdown): void {
  const badge = find('badge');
  badge.dataset['status'] = state.status;
  // Only this word is announced: a screen reader could not keep up with the countdown.
  show('badge-word', WORDS[state.status]);
  if (state.status === 'waiting') {
    const left = state.left ?? state.delay;
    show('retry-title', 'The feed retries');
    show('attempt', state.attempt);
    show('delay', seconds(state.delay));
    show('left', seconds(left));
    setBar(left / state.delay);
    showError(state.error);
    return;
  }
  show('left', '–');
  setBar(0);
  if (state.status === 'connecting') {
    show('retry-title', state.attempt === 0 ? 'Connecting' : `Attempt ${state.attempt} is running`);
  } else if (state.status === 'live') {
    show('retry-title', titleOfLive(state.connections));
  } else if (state.status === 'failed') {
    show('retry-title', 'The feed has ended: reload the page');
    showError(state.error);
  }
}

function titleOfLive(connections: number): string {
  if (connections === 1) return 'Nothing to retry';
  return `Nothing to retry: reconnected ${count(connections - 1, 'time')}`;
}

function setBar(share: number): void {
  (find('left-bar') as HTMLProgressElement).value = share;
}

function showError(error: unknown): void {
  const element = find('last-error');
  setText(element, isCorduroyError(error) ? error.name : 'Error');
  element.title = error instanceof Error ? error.message : '';
}
