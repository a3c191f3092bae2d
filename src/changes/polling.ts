import { defer, mergeMap, toArray } from 'rxjs';
import type { Observable, SchedulerLike } from 'rxjs';
import { numberOrNull, sequence } from '../http/decode.ts';
import { RowStream } from '../http/row-stream.ts';
import type { Sequence } from '../model/change.ts';
import { clock } from '../operators/time.ts';
import { OPEN } from './feed-source.ts';
import type { FeedEvent, FeedSource, Sequenced } from './feed-source.ts';

/** The maximum number of items in one answer, which a poll holds in memory. */
export const POLL_LIMIT = 1000;

/**
 * Polls once at each subscription; the server waits up to one heartbeat for a change. This works
 * behind a proxy that buffers an answer until it is complete.
 */
export function longPoll<Item extends Sequenced>(
  source: FeedSource<Item>,
  since: Sequence,
  remaining: number,
  heartbeat: number,
): Observable<FeedEvent<Item>> {
  // The request has no heartbeat: the proxy would buffer it, and it would keep the poll from ending.
  return poll(source, { feed: 'longpoll', timeout: heartbeat }, since, remaining, heartbeat);
}

/** Reads the changes up to the present with one request, and does not wait for more. */
export function drain<Item extends Sequenced>(
  source: FeedSource<Item>,
  since: Sequence,
  remaining: number,
  heartbeat: number,
): Observable<FeedEvent<Item>> {
  return poll(source, {}, since, remaining, heartbeat);
}

function poll<Item extends Sequenced>(
  source: FeedSource<Item>,
  kind: object,
  since: Sequence,
  remaining: number,
  heartbeat: number,
): Observable<FeedEvent<Item>> {
  const limit = Math.min(remaining, POLL_LIMIT);
  const { query, ...rest } = source.request({ ...kind, since, limit });
  const spec = { ...rest, path: source.path + query, endless: true, timeout: 2 * heartbeat };
  return defer(() => {
    let end: FeedEvent<Item> | undefined;
    // Row by row, because an answer may be longer than the longest string.
    const answer = new RowStream(source.connection, () => spec, {
      field: 'results',
      row: (row) => source.decode(row),
      info: ({ last_seq: last, pending }) => {
        end = { type: 'end', lastSeq: sequence(last), pending: numberOrNull(pending) };
      },
    });
    return answer.pipe(
      toArray(),
      mergeMap((items) => [OPEN, { type: 'items' as const, items }, end as FeedEvent<Item>]),
    );
  });
}

/** The minimum time between two requests that bring few items, in milliseconds. */
const MIN_INTERVAL = 250;
/** How many items a request must bring so that the next one goes out at once. */
const MANY_ITEMS = 100;
/** How many requests in a row may end early before the next one waits. */
const BURST = 10;

/**
 * Keeps a minimum time between requests that end soon with few items. A feed would otherwise send
 * thousands of requests a second to a server that ends each one at once.
 */
export class PollPace {
  readonly #now: () => number;
  #begun = 0;
  #quickRequests = 0;

  constructor(scheduler: SchedulerLike) {
    this.#now = clock(scheduler);
  }

  /** Records the beginning of a request. */
  begin(): void {
    this.#begun = this.#now();
  }

  /** Returns the time before the next request, in milliseconds. */
  pause(items: number): number {
    const rest = MIN_INTERVAL - (this.#now() - this.#begun);
    if (items >= MANY_ITEMS || rest <= 0) {
      this.#quickRequests = 0;
      return 0;
    }
    this.#quickRequests += 1;
    return this.#quickRequests > BURST ? rest : 0;
  }
}
