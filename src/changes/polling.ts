import { map, mergeMap } from 'rxjs';
import type { Observable } from 'rxjs';
import { arrayField, asObject, numberOrNull, sequence } from '../http/decode.ts';
import type { Sequence } from '../model/change.ts';
import { OPEN } from './feed-source.ts';
import type { FeedEvent, FeedSource, Sequenced } from './feed-source.ts';

/** How many items one answer brings at most: what a poll holds in memory. */
export const POLL_LIMIT = 1000;

/**
 * Polls once at each subscription, and waits for an answer as long as one heartbeat. It works where
 * something between here and the server holds answers back until they are whole.
 */
export function longPoll<Item extends Sequenced>(
  source: FeedSource<Item>,
  place: Sequence,
  left: number,
  heartbeat: number,
): Observable<FeedEvent<Item>> {
  // Without a heartbeat: it would be held back as well, and would keep the poll from timing out.
  return poll(source, { feed: 'longpoll', timeout: heartbeat }, place, left, heartbeat);
}

/** Asks once at each subscription for what there is, without waiting. */
export function drain<Item extends Sequenced>(
  source: FeedSource<Item>,
  place: Sequence,
  left: number,
  heartbeat: number,
): Observable<FeedEvent<Item>> {
  return poll(source, {}, place, left, heartbeat);
}

function poll<Item extends Sequenced>(
  source: FeedSource<Item>,
  kind: object,
  place: Sequence,
  left: number,
  heartbeat: number,
): Observable<FeedEvent<Item>> {
  const limit = Math.min(left, POLL_LIMIT);
  const { query, ...rest } = source.request({ ...kind, since: place, limit });
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
