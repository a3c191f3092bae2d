import { Observable, concat, mergeMap, of } from 'rxjs';
import type { OperatorFunction } from 'rxjs';
import type { RequestSummary } from '../errors/corduroy-error.ts';
import type { ProtocolError } from '../errors/connection-error.ts';
import { protocolError } from '../http/exchange.ts';
import { asObject, numberOrNull, sequence } from '../http/decode.ts';
import { lines } from '../operators/lines.ts';
import { HEARTBEAT, OPEN } from './feed-source.ts';
import type { FeedEvent, FeedSource, Sequenced } from './feed-source.ts';
import type { Sequence } from '../model/change.ts';

/**
 * Opens one continuous feed at each subscription: a row a line, as it happens, and empty lines as
 * heartbeats.
 *
 * Completes after an `end`; errors with a transient `ProtocolError` where the stream stops without
 * one or holds what is no row, and with a `TimeoutError` where not even a heartbeat comes for twice
 * its time.
 */
export function continuous<Item extends Sequenced>(
  source: FeedSource<Item>,
  place: Sequence,
  left: number,
  heartbeat: number,
): Observable<FeedEvent<Item>> {
  return openFeed('continuous', source, place, left, heartbeat);
}

/**
 * Opens one eventsource feed at each subscription, as a continuous one. It has no last line, so its
 * end is always one of the server's own accord.
 */
export function eventSource<Item extends Sequenced>(
  source: FeedSource<Item>,
  place: Sequence,
  left: number,
  heartbeat: number,
): Observable<FeedEvent<Item>> {
  return openFeed('eventsource', source, place, left, heartbeat);
}

function openFeed<Item extends Sequenced>(
  feed: 'continuous' | 'eventsource',
  source: FeedSource<Item>,
  place: Sequence,
  left: number,
  heartbeat: number,
): Observable<FeedEvent<Item>> {
  const limit = left === Infinity ? {} : { limit: left };
  const { query, ...rest } = source.request({ feed, heartbeat, since: place, ...limit });
  const path = source.path + query;
  const events = feed === 'eventsource' ? place : undefined;
  return source.connection
    .send(() => ({ ...rest, path, endless: true, timeout: 2 * heartbeat }))
    .pipe(
      mergeMap(({ body, request }) =>
        concat(of(OPEN), body.pipe(lines(), rows(source, request, events))),
      ),
    );
}

/** Reads rows; of an eventsource, where the place it began at is given. */
function rows<Item extends Sequenced>(
  source: FeedSource<Item>,
  request: RequestSummary,
  events?: Sequence,
): OperatorFunction<readonly string[], FeedEvent<Item>> {
  const broken = (what: string): ProtocolError =>
    protocolError(request, `the feed ${what}`, { transient: true });
  return (blocks) =>
    new Observable((subscriber) => {
      let end: FeedEvent<Item> | undefined;
      let place = events;
      return blocks.subscribe({
        next: (block) => {
          const items: Item[] = [];
          try {
            for (const line of block) {
              const text = events === undefined ? line : dataOf(line);
              // An empty line is a heartbeat.
              if (text === '') continue;
              const row = asObject(source.connection.codec.parse(text));
              if ('last_seq' in row) {
                const pending = numberOrNull(row['pending']);
                end = { type: 'end', lastSeq: sequence(row['last_seq']), pending };
              } else {
                const item = source.decode(row);
                place = item.seq ?? place;
                items.push(item);
              }
            }
          } catch (error) {
            subscriber.error(broken(`holds what is no row: ${String(error)}`));
            return;
          }
          subscriber.next(items.length === 0 ? HEARTBEAT : { type: 'items', items });
          if (end !== undefined) subscriber.next(end);
        },
        error: (error: unknown) => subscriber.error(error),
        complete: () => {
          if (events !== undefined && place !== undefined) {
            subscriber.next({ type: 'end', lastSeq: place, pending: null });
          } else if (end === undefined) {
            subscriber.error(broken('ended early'));
          }
          subscriber.complete();
        },
      });
    });
}

/** The data of a line of an eventsource; of its other lines nothing is needed. */
function dataOf(line: string): string {
  return line.startsWith('data:') ? line.slice(5).trim() : '';
}
