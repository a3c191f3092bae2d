import { map, mergeMap } from 'rxjs';
import type { Observable } from 'rxjs';
import { arrayField, asObject, numberOrNull, sequence } from '../http/decode.ts';
import type { Sequence } from '../model/change.ts';
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
  const answer = source.connection.json(
    () => spec,
    (body) => {
      const { last_seq: last, pending } = asObject(body);
      const items = arrayField(body, 'results').map((row) => source.decode(row));
      return { items, lastSeq: sequence(last), pending: numberOrNull(pending) };
    },
  );
  return answer.pipe(
    map(({ value }) => value),
    mergeMap(({ items, lastSeq, pending }): FeedEvent<Item>[] => [
      OPEN,
      { type: 'items', items },
      { type: 'end', lastSeq, pending },
    ]),
  );
}
