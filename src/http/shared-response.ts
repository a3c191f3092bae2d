import { Observable } from 'rxjs';
import type { Subscriber } from 'rxjs';
import type { ResponseHeaders, TransportRequest, TransportResponse } from './transport.ts';

const encoder = new TextEncoder();

/** The response of one feed, which shares the response of a relay with others. */
export class SharedResponse {
  /** The number by which the relay knows it. */
  readonly id: number;
  readonly request: TransportRequest;
  /** The path below the relay, with its query. */
  readonly path: string;
  readonly #subscriber: Subscriber<TransportResponse>;
  #body: Subscriber<Uint8Array> | null = null;
  #hasHead = false;

  constructor(
    id: number,
    request: TransportRequest,
    path: string,
    subscriber: Subscriber<TransportResponse>,
  ) {
    this.id = id;
    this.request = request;
    this.path = path;
    this.#subscriber = subscriber;
  }

  /** Tells responses to users with different credentials apart. */
  get identity(): string {
    const { headers, cookies } = this.request;
    return JSON.stringify([headers, cookies]);
  }

  /** Emits the head. */
  start(status: number, headers: ResponseHeaders): void {
    this.#hasHead = true;
    const body = new Observable<Uint8Array>((subscriber) => {
      this.#body = subscriber;
    });
    this.#subscriber.next({ status, headers, body });
  }

  write(text: string): void {
    this.#body?.next(encoder.encode(text));
  }

  end(): void {
    // The relay ends while this feed begins.
    if (!this.#hasHead) return this.fail(new Error('the stream of the relay ended'));
    this.#body?.complete();
    this.#subscriber.complete();
  }

  fail(error: unknown): void {
    (this.#body ?? this.#subscriber).error(error);
  }

  /** Passes on the response to a separate request. */
  follow(response$: Observable<TransportResponse>): void {
    this.#subscriber.add(response$.subscribe(this.#subscriber));
  }
}

/** A line about a response: what has happened, its number, and more. */
const LINE = /^([a-z])(\d+)(?: (.*))?$/s;

/** Takes the lines of a relay. */
export interface LineEvents {
  /** The stream is open. `name` identifies it. */
  readonly named: (name: string) => void;
  /** Something has happened to a response: see `src/relay/streams.ts`. */
  readonly told: (id: number, kind: string, rest: string) => void;
  /** Rows of a response, or an empty line as a sign of life. */
  readonly delivered: (id: number, rows: readonly string[]) => void;
}

/** Reads the lines of a relay. The rows of a response follow the line that tells their number. */
export class LineReader {
  readonly #events: LineEvents;
  #isNamed = false;
  #id = 0;
  /** How many rows are still to come. */
  #missing = 0;

  constructor(events: LineEvents) {
    this.#events = events;
  }

  read(block: readonly string[]): void {
    for (let at = 0; at < block.length;) {
      if (this.#missing > 0) {
        const rows = block.slice(at, at + this.#missing);
        at += rows.length;
        this.#missing -= rows.length;
        this.#events.delivered(this.#id, rows);
      } else this.#readLine(block[at++] ?? '');
    }
  }

  #readLine(line: string): void {
    if (!this.#isNamed) {
      this.#isNamed = true;
      return this.#events.named((JSON.parse(line) as { readonly stream: string }).stream);
    }
    const [, kind = '', id = '', rest = ''] = LINE.exec(line) ?? [];
    if (kind !== 'r') return this.#events.told(Number(id), kind, rest);
    this.#id = Number(id);
    this.#missing = Number(rest);
    return this.#missing === 0 ? this.#events.delivered(this.#id, ['']) : undefined;
  }
}
