import { concat, defer, mergeMap } from 'rxjs';
import type { Observable, OperatorFunction, SchedulerLike } from 'rxjs';
import { arrayField, asObject, numberOrNull, sequence } from '../http/decode.ts';
import { lineLimit, sizeError } from '../http/exchange.ts';
import type { Exchange } from '../http/link.ts';
import { endpoint } from '../http/url.ts';
import { lines } from '../operators/lines.ts';
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
  const address = endpoint(source, '', query);
  const spec = { ...rest, ...address, endless: true, timeout: 2 * heartbeat };
  return source.connection
    .send(() => spec)
    .pipe(
      mergeMap((exchange) =>
        exchange.body.pipe(lines('keep', lineLimit(exchange)), readAnswer(source, exchange)),
      ),
    );
}

/**
 * Reads an answer row by row, because it may be longer than the longest string. CouchDB writes one
 * line per row. An answer in another layout, as a proxy may write it, is decoded as a whole. Memory
 * holds as many rows as were asked for: more of them are emitted before the end.
 */
function readAnswer<Item extends Sequenced>(
  { connection, decode }: FeedSource<Item>,
  exchange: Exchange,
): OperatorFunction<readonly string[], FeedEvent<Item>> {
  const parse = <R>(text: string, read: (body: unknown) => R): R =>
    connection.decode({ text, exchange }, read).value;
  return (blocks) =>
    defer(() => {
      const items: Item[] = [];
      /** All lines except the rows: the answer with an empty list. */
      const others: string[] = [];
      // With their line ends, but the last line may have none.
      let othersLength = -1;
      let inRows = false;
      let opened = false;
      const takeItems = (): FeedEvent<Item>[] => {
        const taken = { type: 'items' as const, items: items.splice(0) };
        if (opened) return [taken];
        opened = true;
        return [OPEN, taken];
      };
      const readLine = (line: string): void => {
        if (inRows && !line.startsWith(']')) {
          if (line !== '') items.push(parse(line.endsWith(',') ? line.slice(0, -1) : line, decode));
          return;
        }
        othersLength += line.length + 1;
        if (othersLength > exchange.maxBodySize) throw sizeError(exchange, 'the answer');
        // An entry of the array takes more memory than a line end.
        if (line === '') return;
        inRows = others.length === 0 && line.endsWith('"results":[');
        others.push(line);
      };
      const readEnd = (): FeedEvent<Item> =>
        parse(others.join('\n'), (body) => {
          for (const row of arrayField(body, 'results')) items.push(decode(row));
          const { last_seq: lastSeq, pending } = asObject(body);
          return { type: 'end', lastSeq: sequence(lastSeq), pending: numberOrNull(pending) };
        });
      return concat(
        blocks.pipe(
          mergeMap((block) => {
            block.forEach(readLine);
            return items.length > POLL_LIMIT ? takeItems() : [];
          }),
        ),
        defer(() => {
          const end = readEnd();
          return [...takeItems(), end];
        }),
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
