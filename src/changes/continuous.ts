import { Observable, concat, mergeMap, of } from 'rxjs';
import type { OperatorFunction } from 'rxjs';
import { describeCause } from '../errors/redact.ts';
import type { ProtocolError } from '../errors/connection-error.ts';
import { lineLimit, protocolError } from '../http/exchange.ts';
import type { Exchange } from '../http/link.ts';
import { asObject, numberOrNull, sequence } from '../http/decode.ts';
import { endpoint } from '../http/url.ts';
import { lines } from '../operators/lines.ts';
import { guarded } from '../operators/to-observable.ts';
import { HEARTBEAT, OPEN } from './feed-source.ts';
import type { FeedEvent, FeedSource, Sequenced } from './feed-source.ts';
import type { Sequence } from '../model/change.ts';

/**
 * Opens one continuous feed at each subscription. The server sends each row as a line, as it
 * happens, and an empty line as heartbeat.
 *
 * Completes after an `end` event. Errors with a transient `ProtocolError` if the stream ends without
 * one, or if a line is not a row. Errors with a `TimeoutError` if nothing arrives for two heartbeats.
 */
export function continuous<Item extends Sequenced>(
  source: FeedSource<Item>,
  since: Sequence,
  remaining: number,
  heartbeat: number,
): Observable<FeedEvent<Item>> {
  return openFeed('continuous', source, since, remaining, heartbeat);
}

/**
 * Opens one eventsource feed at each subscription. It differs from a continuous feed in that it has
 * no last line: when the stream ends, it emits an `end` event after the last sequence received.
 */
export function eventSource<Item extends Sequenced>(
  source: FeedSource<Item>,
  since: Sequence,
  remaining: number,
  heartbeat: number,
): Observable<FeedEvent<Item>> {
  return openFeed('eventsource', source, since, remaining, heartbeat);
}

function openFeed<Item extends Sequenced>(
  feed: 'continuous' | 'eventsource',
  source: FeedSource<Item>,
  since: Sequence,
  remaining: number,
  heartbeat: number,
): Observable<FeedEvent<Item>> {
  const limit = remaining === Infinity ? {} : { limit: remaining };
  const { query, ...rest } = source.request({ feed, heartbeat, since, ...limit });
  const address = endpoint(source, '', query);
  const eventSourceSince = feed === 'eventsource' ? since : undefined;
  return source.connection
    .send(() => ({ ...rest, ...address, endless: true, timeout: 2 * heartbeat }))
    .pipe(
      mergeMap((exchange) => {
        const blocks = exchange.body.pipe(lines('drop', lineLimit(exchange)));
        return concat(of(OPEN), blocks.pipe(rows(source, exchange, eventSourceSince)));
      }),
    );
}

/** Decodes rows: those of an eventsource if `eventSourceSince`, its start sequence, is given. */
function rows<Item extends Sequenced>(
  source: FeedSource<Item>,
  { request, redact }: Exchange,
  eventSourceSince?: Sequence,
): OperatorFunction<readonly string[], FeedEvent<Item>> {
  const feedError = (problem: string): ProtocolError =>
    protocolError(request, `the feed ${problem}`, { transient: true });
  return (blocks) =>
    new Observable((subscriber) => {
      let end: FeedEvent<Item> | undefined;
      let lastSeq = eventSourceSince;
      return blocks.subscribe(
        guarded(subscriber, {
          next: (block) => {
            const items: Item[] = [];
            try {
              for (const line of block) {
                const text = eventSourceSince === undefined ? line : dataOf(line);
                if (text === '') continue;
                const row = asObject(source.connection.codec.parse(text));
                if ('last_seq' in row) {
                  const pending = numberOrNull(row['pending']);
                  end = { type: 'end', lastSeq: sequence(row['last_seq']), pending };
                } else {
                  const item = source.decode(row);
                  lastSeq = item.seq ?? lastSeq;
                  items.push(item);
                }
              }
            } catch (error) {
              const { message } = describeCause(error, redact);
              subscriber.error(feedError(`sent a line that is not a row: ${message}`));
              return;
            }
            subscriber.next(items.length === 0 ? HEARTBEAT : { type: 'items', items });
            if (end !== undefined) subscriber.next(end);
          },
          complete: () => {
            if (eventSourceSince !== undefined && lastSeq !== undefined) {
              subscriber.next({ type: 'end', lastSeq, pending: null });
            } else if (end === undefined) {
              subscriber.error(feedError('ended early'));
            }
            subscriber.complete();
          },
        }),
      );
    });
}

/** Returns the data of a line of an eventsource; an empty string for its other fields. */
function dataOf(line: string): string {
  return line.startsWith('data:') ? line.slice(5).trim() : '';
}
