import type { FeedState } from './feed-model.ts';
import { CorduroyError } from '../errors/corduroy-error.ts';
import type { Sequence } from '../model/change.ts';

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
