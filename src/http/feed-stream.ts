import { Observable, Subscription } from 'rxjs';
import { lines } from '../operators/lines.ts';
import { LineReader, SharedResponse } from './shared-response.ts';
import type {
  ResponseHeaders,
  Transport,
  TransportRequest,
  TransportResponse,
} from './transport.ts';

/** The status of a feed that a relay cannot share. */
const ALONE = 421;

/** One response of a relay, with the feeds that it carries. */
class Stream {
  readonly #url: string;
  readonly #transport: Transport;
  readonly #feeds = new Map<number, SharedResponse>();
  /** Takes feeds that the relay behind this stream does not know. */
  readonly #moved: (feeds: readonly SharedResponse[]) => void;
  readonly #connection = new Subscription();
  /** Feeds and numbers for the next request about the stream. */
  #added: SharedResponse[] = [];
  #dropped: number[] = [];
  /** The name by which the relay knows the stream; null until it is open. */
  #name: string | null = null;

  constructor(
    url: string,
    transport: Transport,
    feeds: readonly SharedResponse[],
    moved: (feeds: readonly SharedResponse[]) => void,
  ) {
    this.#url = url;
    this.#transport = transport;
    this.#moved = moved;
    for (const feed of feeds) this.#feeds.set(feed.id, feed);
    this.#open(feeds);
  }

  get isOver(): boolean {
    return this.#connection.closed;
  }

  /** Adds feeds of one user. */
  add(feeds: readonly SharedResponse[]): void {
    for (const feed of feeds) this.#feeds.set(feed.id, feed);
    this.#added.push(...feeds);
    this.#flush();
  }

  drop(id: number): void {
    if (!this.#feeds.delete(id)) return;
    this.#added = this.#added.filter((feed) => feed.id !== id);
    this.#dropped.push(id);
  }

  /** Tells the relay what has changed. Closes the stream if it has no feeds. */
  flush(): void {
    if (this.#feeds.size === 0) this.#connection.unsubscribe();
    else this.#flush();
  }

  #open(feeds: readonly SharedResponse[]): void {
    const reader = new LineReader({
      named: (name) => {
        this.#name = name;
        this.#flush();
      },
      told: (id, kind, rest) => this.#hear(id, kind, rest),
      delivered: (id, rows) => this.#feeds.get(id)?.write(`${rows.join('\n')}\n`),
    });
    const ended = (): void => {
      for (const feed of this.#forget()) feed.end();
    };
    const failed = (error: unknown): void => {
      for (const feed of this.#forget()) feed.fail(error);
    };
    this.#connection.add(
      this.#transport.send({ ...this.#request(feeds, ''), endless: true }).subscribe({
        next: ({ status, headers, body }) => {
          const parts: Uint8Array[] = [];
          const read$ = body.pipe(lines('drop'));
          const reading =
            status === 200
              ? read$.subscribe({
                  next: (block) => reader.read(block),
                  error: failed,
                  complete: ended,
                })
              : body.subscribe({
                  next: (part) => parts.push(part),
                  error: failed,
                  complete: () => this.#refuse(status, headers, parts),
                });
          this.#connection.add(reading);
        },
        error: failed,
      }),
    );
  }

  #flush(): void {
    const [first] = this.#added;
    const [any] = this.#feeds.values();
    if (this.#name === null || this.isOver || any === undefined) return;
    if (first === undefined && this.#dropped.length === 0) return;
    // Each request speaks for one user.
    const added = this.#added.filter(({ identity }) => identity === first?.identity);
    this.#added = this.#added.filter((feed) => !added.includes(feed));
    const failed = (): void => {
      for (const { id } of added) this.#feeds.delete(id);
      this.#moved(added);
    };
    const request = this.#request(added.length > 0 ? added : [any], `/${this.#name}`);
    const body = { add: added.map(describe), drop: this.#dropped.splice(0) };
    const answer$ = this.#transport.send({ ...request, body: JSON.stringify(body) });
    this.#connection.add(
      answer$.subscribe({
        next: (answer) => {
          this.#connection.add(answer.body.subscribe({ error: () => {} }));
          // Another relay has answered, behind the same address.
          if (answer.status !== 200) failed();
        },
        error: failed,
      }),
    );
    this.#flush();
  }

  /** Makes a request about feeds of one user. */
  #request(feeds: readonly SharedResponse[], path: string): TransportRequest {
    const { headers, cookies } = (feeds[0] as SharedResponse).request;
    return {
      method: 'POST',
      url: `${this.#url}/_relay/streams${path}`,
      headers: { ...headers, 'content-type': 'application/json' },
      body: JSON.stringify({ add: feeds.map(describe) }),
      reads: true,
      cookies,
    };
  }

  /** Takes what a line says about a feed. */
  #hear(id: number, kind: string, rest: string): void {
    const feed = this.#feeds.get(id);
    if (feed === undefined) return;
    if (kind === 'o') return feed.start(200, JSON.parse(rest) as ResponseHeaders);
    this.#feeds.delete(id);
    if (kind !== 'f') return feed.end();
    const { status, headers, text } = JSON.parse(rest) as {
      readonly status: number;
      readonly headers: ResponseHeaders;
      readonly text: string;
    };
    if (status === ALONE) return feed.follow(this.#transport.send(feed.request));
    feed.start(status, headers);
    feed.write(text);
    return feed.end();
  }

  /** Passes the answer of a server that opens no stream to all feeds. */
  #refuse(status: number, headers: ResponseHeaders, parts: readonly Uint8Array[]): void {
    const decoder = new TextDecoder();
    const text = parts.map((part) => decoder.decode(part, { stream: true })).join('');
    for (const feed of this.#forget()) {
      feed.start(status, headers);
      feed.write(text);
      feed.end();
    }
  }

  /** Ends the stream, and returns the feeds that it had. */
  #forget(): readonly SharedResponse[] {
    const feeds = [...this.#feeds.values()];
    this.#feeds.clear();
    this.#connection.unsubscribe();
    return feeds;
  }
}

const describe = ({ id, path, request: { body } }: SharedResponse): object => ({ id, path, body });

/**
 * Carries the continuous feeds of one `Couch` over one response of a relay. Each feed looks like a separate
 * response. Where several relays share one address without being told apart, there may be a response for
 * each group of feeds that began together.
 */
export class FeedStream {
  readonly #url: string;
  readonly #transport: Transport;
  #count = 0;
  #waiting: SharedResponse[] = [];
  #streams: Stream[] = [];
  #isScheduled = false;

  /** @param url - The URL of the relay, without a final slash. */
  constructor(url: string, transport: Transport) {
    this.#url = url;
    this.#transport = transport;
  }

  /** Sends the request of a feed, as a transport does. */
  send(request: TransportRequest): Observable<TransportResponse> {
    return new Observable((subscriber) => {
      this.#count += 1;
      const path = request.url.slice(this.#url.length);
      const feed = new SharedResponse(this.#count, request, path, subscriber);
      this.#waiting.push(feed);
      this.#schedule();
      return () => {
        this.#waiting = this.#waiting.filter((other) => other !== feed);
        for (const stream of this.#streams) stream.drop(feed.id);
        this.#schedule();
      };
    });
  }

  /** Feeds that begin or end in one turn share a request. */
  #schedule(): void {
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    queueMicrotask(() => {
      this.#isScheduled = false;
      this.#flush();
    });
  }

  #flush(): void {
    for (let [first] = this.#waiting; first !== undefined; [first] = this.#waiting) {
      const { identity } = first;
      const group = this.#waiting.filter((feed) => feed.identity === identity);
      this.#waiting = this.#waiting.filter((feed) => !group.includes(feed));
      const last = this.#streams.filter(({ isOver }) => !isOver).at(-1);
      if (last === undefined) this.#open(group);
      else last.add(group);
    }
    for (const stream of this.#streams) stream.flush();
    this.#streams = this.#streams.filter(({ isOver }) => !isOver);
  }

  #open(feeds: readonly SharedResponse[]): void {
    const moved = (others: readonly SharedResponse[]): void => {
      if (others.length > 0) this.#open(others);
    };
    this.#streams.push(new Stream(this.#url, this.#transport, feeds, moved));
  }
}
