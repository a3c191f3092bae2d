import { Observable, concatMap, map, mergeMap, takeWhile } from 'rxjs';
import type { Subscriber } from 'rxjs';
import { isCorduroyError } from '../errors/corduroy-error.ts';
import { describeCause } from '../errors/redact.ts';
import type { ProtocolError } from '../errors/connection-error.ts';
import { lineLimit, protocolError } from '../http/exchange.ts';
import type { Exchange } from '../http/link.ts';
import { asObject, numberOrNull, sequence } from '../http/decode.ts';
import { failureText, rows } from '../http/rows.ts';
import { endpoint } from '../http/url.ts';
import { lines } from '../operators/lines.ts';
import { guarded } from '../operators/to-observable.ts';
import { lastSequence } from './changes-request.ts';
import type { FeedCommand, FeedEvent } from './feed-model.ts';
import { look } from './feed-source.ts';
import type { FeedSource, Sequenced } from './feed-source.ts';
import type { Sequence } from '../model/change.ts';

type Open = FeedCommand & { readonly type: 'open' };

/** An event of a connection. `size` is the length of its items in the response. */
type ConnectionEvent = FeedEvent & { readonly size?: number };

/**
 * Opens one connection of a feed at each subscription.
 *
 * - `continuous`: the server sends each row as a line, as it happens, and an empty line as heartbeat.
 *   A line with the last sequence ends it.
 * - `eventsource`: the same as server-sent events. It has no last line, so that its end is that of the
 *   response, after the last row.
 * - `longpoll`: the server answers when it has rows, or after `wait`. While a filter works, it sends an
 *   empty line as often. This works behind a proxy that holds back a response until it is complete.
 *
 * Errors with a transient `ProtocolError` if the response ends early, or if a line is not a row.
 * Errors with a `TimeoutError` if nothing arrives for `timeout` milliseconds.
 *
 * @param maxBytes - The connection ends when its items have had more bytes, as far as it knows their
 * sequence. The next one continues after them.
 * @param endless - False for a poll that does not wait: it takes a pooled connection, and leaves it open.
 */
export function openConnection<Item extends Sequenced>(
  source: FeedSource<Item>,
  open: Open,
  maxBytes: number,
  endless = true,
): Observable<FeedEvent> {
  const events$ = readConnection(source, open, endless);
  if (maxBytes === Infinity) return events$;
  let bytes = 0;
  const bounded$ = events$.pipe(
    concatMap((event): FeedEvent[] => {
      if (event.type !== 'items' || event.seq === null) return [event];
      bytes += event.size ?? 0;
      if (bytes <= maxBytes) return [event];
      return [event, { type: 'ended', id: open.id, seq: event.seq, pending: null }];
    }),
  );
  return bounded$.pipe(takeWhile(({ type }) => type !== 'ended', true));
}

/** Asks the server a question at each subscription. */
export function ask<Item extends Sequenced>(
  source: FeedSource<Item>,
  { id, question, after, wait, timeout }: FeedCommand & { readonly type: 'ask' },
): Observable<FeedEvent> {
  if (question === 'more') {
    const looked$ = look(source, after, wait, timeout);
    return looked$.pipe(map((found) => ({ type: 'looked', id, after, ...found })));
  }
  if (question === 'sequence')
    return source.currentSequence(timeout).pipe(map((seq) => ({ type: 'resolved', id, seq })));
  return source.identity(timeout).pipe(map((identity) => ({ type: 'identified', id, identity })));
}

function readConnection<Item extends Sequenced>(
  source: FeedSource<Item>,
  open: Open,
  endless: boolean,
): Observable<ConnectionEvent> {
  const { protocol, since, limit, heartbeat, wait, timeout, id } = open;
  const pace = protocol === 'longpoll' ? { timeout: wait } : { heartbeat };
  const bound = limit === Infinity ? {} : { limit };
  const { query, ...rest } = source.request({ feed: protocol, ...pace, since, ...bound });
  const spec = { ...rest, ...endpoint(source, '', query), endless, timeout };
  return source.connection
    .send(() => spec)
    .pipe(
      mergeMap(
        (exchange) =>
          new Observable<ConnectionEvent>((subscriber) => {
            const { changesUrl } = source.connection;
            const fallback = changesUrl !== null && !exchange.request.url.startsWith(changesUrl);
            subscriber.next({ type: 'opened', id, fallback });
            if (subscriber.closed) return undefined;
            return protocol === 'longpoll'
              ? readPoll(source, exchange, id, subscriber)
              : readStream(source, exchange, open, subscriber);
          }),
      ),
    );
}

/** Reads the rows of a stream. */
function readStream<Item extends Sequenced>(
  source: FeedSource<Item>,
  exchange: Exchange,
  { id, protocol, since }: Open,
  subscriber: Subscriber<ConnectionEvent>,
): () => void {
  const { request, redact } = exchange;
  const feedError = (problem: string): ProtocolError =>
    protocolError(request, `the feed ${problem}`, { transient: true });
  const isEventSource = protocol === 'eventsource';
  let lastSeq: Sequence | null = since;
  let hasEnded = false;
  const end = (seq: Sequence, pending: number | null): void => {
    hasEnded = true;
    subscriber.next({ type: 'ended', id, seq, pending });
  };
  const readBlock = (block: readonly string[]): void => {
    const items: Item[] = [];
    let last: { readonly seq: Sequence; readonly pending: number | null } | null = null;
    let size = 0;
    for (const line of block) {
      const text = isEventSource ? dataOf(line) : line;
      if (text === '') continue;
      size += text.length;
      const row = asObject(source.codec.parse(text));
      const failure = failureText(row, redact);
      if (failure !== null) throw feedError(`broke off: ${failure}`);
      if ('last_seq' in row)
        last = { seq: sequence(row['last_seq']), pending: numberOrNull(row['pending']) };
      else items.push(source.decode(row));
    }
    const seq = lastSequence(items);
    lastSeq = seq ?? lastSeq;
    if (items.length > 0) subscriber.next({ type: 'items', id, items, seq, size });
    else if (last === null) subscriber.next({ type: 'heartbeat', id });
    if (last !== null) end(last.seq, last.pending);
  };
  const subscription = exchange.body.pipe(lines('drop', lineLimit(exchange))).subscribe(
    guarded(subscriber, {
      next: (block) => {
        try {
          readBlock(block);
        } catch (error) {
          const known = isCorduroyError(error);
          const problem = `sent a line that is not a row: ${describeCause(error, redact).message}`;
          subscriber.error(known ? error : feedError(problem));
        }
      },
      complete: () => {
        if (isEventSource) end(lastSeq ?? since, null);
        else if (!hasEnded) subscriber.error(feedError('ended early'));
        subscriber.complete();
      },
    }),
  );
  return () => subscription.unsubscribe();
}

/** Returns the data of a line of an eventsource; an empty string for its other fields. */
function dataOf(line: string): string {
  return line.startsWith('data:') ? line.slice(5).trim() : '';
}

/** Reads the rows of a poll as they arrive, because a response may be longer than memory allows. */
function readPoll<Item extends Sequenced>(
  { codec, decode }: FeedSource<Item>,
  exchange: Exchange,
  id: number,
  subscriber: Subscriber<ConnectionEvent>,
): () => void {
  let items: Item[] = [];
  let rest: Readonly<Record<string, unknown>> = {};
  const layout = {
    field: 'results' as const,
    row: decode,
    info: (fields: Readonly<Record<string, unknown>>) => fields,
  };
  const emitRows = (size: number): void => {
    if (items.length === 0) return;
    const taken = items;
    items = [];
    subscriber.next({ type: 'items', id, items: taken, seq: lastSequence(taken), size });
  };
  const blocks$ = exchange.body.pipe(lines('keep', lineLimit(exchange)));
  const decoded$ = rows(
    { codec },
    exchange,
    layout,
    (fields) => (rest = fields),
  )(
    new Observable<readonly string[]>((decoder) =>
      blocks$.subscribe(
        guarded(decoder, {
          next: (block) => {
            decoder.next(block);
            const size = block.reduce((sum, line) => sum + line.length, 0);
            if (size === 0) subscriber.next({ type: 'heartbeat', id });
            else emitRows(size);
          },
          complete: () => decoder.complete(),
        }),
      ),
    ),
  );
  const subscription = decoded$.subscribe(
    guarded(subscriber, {
      next: (item) => items.push(item),
      complete: () => {
        emitRows(0);
        const pending = numberOrNull(rest['pending']);
        try {
          subscriber.next({ type: 'ended', id, seq: sequence(rest['last_seq']), pending });
        } catch (error) {
          const { message } = describeCause(error, exchange.redact);
          throw protocolError(exchange.request, `the answer ${message}`, { transient: true });
        }
        subscriber.complete();
      },
    }),
  );
  return () => subscription.unsubscribe();
}
