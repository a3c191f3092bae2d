import { Observable } from 'rxjs';
import type { FeedState } from './feed-state.ts';
import { CorduroyError } from '../errors/corduroy-error.ts';
import type { Sequence } from '../model/change.ts';

/**
 * Requests the lock of a name: waits for it, or takes it from its holder (`steal`). Emits when it
 * holds the lock, and completes when another tab has stolen it. Unsubscribing releases the lock.
 */
export type TabLock = (name: string, steal: boolean) => Observable<void>;

/** Returns a lock over Web Locks, which all tabs of one origin share. */
export function webLock(locks: LockManager): TabLock {
  return (name, steal) =>
    new Observable((subscriber) => {
      const aborter = new AbortController();
      const released = new Promise<void>((resolve) => subscriber.add(resolve));
      const hold = (): Promise<void> => {
        subscriber.next();
        return released;
      };
      locks.request(name, steal ? { steal } : { signal: aborter.signal }, hold).then(
        () => subscriber.complete(),
        (error: unknown) => {
          if (isAbort(error)) subscriber.complete();
          // A sandboxed frame, or a browser that blocks cookies, refuses locks.
          else subscriber.error(new LockDenied());
        },
      );
      return () => aborter.abort();
    });
}

/** The error of a lock that the platform refuses. It never leaves the tab. */
export class LockDenied extends Error {}

function isAbort(error: unknown): boolean {
  return (
    typeof error === 'object' && error !== null && 'name' in error && error.name === 'AbortError'
  );
}

/** A message between tabs. The leader numbers its blocks of items from 1. */
export type TabMessage =
  /** A tab asks for the leader and its position. */
  | { readonly type: 'who-leads' }
  /** The leader has sent `count` blocks; the next one comes after the sequence `seq`. */
  | {
      readonly type: 'position';
      readonly leader: string;
      readonly count: number;
      readonly seq: Sequence;
      readonly state: TabState;
    }
  /** The sender will lead as soon as it has caught up. */
  | { readonly type: 'catching-up' }
  /** Items, as text from the connection's codec. */
  | {
      readonly type: 'block';
      readonly leader: string;
      readonly count: number;
      readonly text: string;
    }
  | { readonly type: 'state'; readonly leader: string; readonly state: TabState };

/** The state of a feed as a message can carry it: an error is reduced to its name and message. */
export type TabState =
  | Exclude<FeedState, { readonly error: CorduroyError }>
  | {
      readonly status: 'waiting';
      readonly attempt: number;
      readonly delay: number;
      readonly error: { readonly name: string; readonly message: string };
    };

/** Converts a state for other tabs; null for `'failed'`, because each tab finds that out itself. */
export function toTabState(state: FeedState): TabState | null {
  if (state.status === 'failed') return null;
  if (state.status !== 'waiting') return state;
  const { name, message } = state.error;
  return { ...state, error: { name, message } };
}

export function fromTabState(state: TabState): FeedState {
  if (state.status !== 'waiting') return state;
  return { ...state, error: new OtherTabError(state.error.name, state.error.message) };
}

/** An error of another tab. Guards such as `isTimeoutError` recognize it by its name. */
class OtherTabError extends CorduroyError {
  override readonly name: string;

  constructor(name: string, message: string) {
    super(message, { transient: true });
    this.name = name;
  }
}
