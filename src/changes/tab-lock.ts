import { Observable } from 'rxjs';
import type { FeedState } from './feed-state.ts';
import { CorduroyError } from '../errors/corduroy-error.ts';
import type { Sequence } from '../model/change.ts';

/**
 * Waits for the lock of a name, or takes it away from whoever has it (`steal`), and holds it until it
 * is unsubscribed from. Emits when it is held; completes when somebody else took it.
 */
export type TabLock = (name: string, steal: boolean) => Observable<void>;

/** Locks that the tabs of one origin share. */
export function webLock(locks: LockManager): TabLock {
  return (name, steal) =>
    new Observable((subscriber) => {
      const aborter = new AbortController();
      const left = new Promise<void>((resolve) => subscriber.add(resolve));
      const hold = (): Promise<void> => {
        subscriber.next();
        return left;
      };
      locks.request(name, steal ? { steal } : { signal: aborter.signal }, hold).then(
        () => subscriber.complete(),
        (error: unknown) => {
          if (isAbort(error)) subscriber.complete();
          else subscriber.error(error);
        },
      );
      return () => aborter.abort();
    });
}

function isAbort(error: unknown): boolean {
  return (
    typeof error === 'object' && error !== null && 'name' in error && error.name === 'AbortError'
  );
}

/** What tabs say to each other. Whoever leads numbers what it passes on, from 1. */
export type TabMessage =
  /** Who leads, and where is it? */
  | { readonly type: 'hello' }
  /** I do, and have passed on `count` blocks; what I pass on next comes after `place`. */
  | {
      readonly type: 'at';
      readonly leader: string;
      readonly count: number;
      readonly place: Sequence;
      readonly state: TabState;
    }
  /** I shall, as soon as I have caught up. */
  | { readonly type: 'soon' }
  /** Items, as the codec of the connection writes them. */
  | {
      readonly type: 'block';
      readonly leader: string;
      readonly count: number;
      readonly text: string;
    }
  | { readonly type: 'state'; readonly leader: string; readonly state: TabState };

/** The state of a feed as it can be sent: of an error its name and what it says. */
export type TabState =
  | Exclude<FeedState, { readonly error: CorduroyError }>
  | {
      readonly status: 'waiting';
      readonly attempt: number;
      readonly delay: number;
      readonly error: { readonly name: string; readonly message: string };
    };

/** Writes a state for other tabs; null for a failure, which each finds out by itself. */
export function toTabState(state: FeedState): TabState | null {
  if (state.status === 'failed') return null;
  if (state.status !== 'waiting') return state;
  const { name, message } = state.error;
  return { ...state, error: { name, message } };
}

export function fromTabState(state: TabState): FeedState {
  if (state.status !== 'waiting') return state;
  return { ...state, error: new ForeignError(state.error.name, state.error.message) };
}

/** What went wrong in another tab. The guards know it by its name. */
class ForeignError extends CorduroyError {
  override readonly name: string;

  constructor(name: string, message: string) {
    super(message, { transient: true });
    this.name = name;
  }
}
