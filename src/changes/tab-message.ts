import { CorduroyError } from '../errors/corduroy-error.ts';
import type { Sequence } from '../model/change.ts';
import type { FeedState } from './feed-state.ts';

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
