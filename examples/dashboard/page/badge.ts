import { type FeedState, isCorduroyError } from 'corduroy';
import { type Observable, of, switchMap, takeWhile, timer, map } from 'rxjs';

/** The state of a feed with the milliseconds until its next attempt, which count down. */
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

/** Returns a function that shows a state in the badge. */
export function badgeIn(
  badge: HTMLElement,
  word: HTMLElement,
  detail: HTMLElement,
): (state: Countdown) => void {
  return (state) => {
    // A feed that has ended is idle as well, but there is more to say of it.
    if (badge.dataset['status'] === 'ended' && state.status === 'idle') return;
    badge.dataset['status'] = state.status;
    // Only the word is read aloud: the seconds would never let a screen reader finish.
    set(word, WORDS[state.status]);
    set(detail, detailOf(state));
    badge.title = state.status === 'waiting' ? state.error.message : '';
  };
}

function detailOf(state: Countdown): string {
  if (state.status === 'waiting') {
    const seconds = ((state.left ?? state.delay) / 1000).toFixed(1);
    return `attempt ${state.attempt} in ${seconds} s`;
  }
  if (state.status === 'connecting' && state.attempt > 0) return `attempt ${state.attempt}`;
  return '';
}

/** Shows that the feed has ended for good, as it does when its database is gone. */
export function showEnd(badge: HTMLElement, word: HTMLElement, error: unknown): void {
  badge.dataset['status'] = 'ended';
  set(word, isCorduroyError(error) ? `Ended: ${error.name}` : 'Ended');
}

function set(element: HTMLElement, text: string): void {
  if (element.textContent !== text) element.textContent = text;
}
