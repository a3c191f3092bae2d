import { createHash } from 'node:crypto';
import { ServerResponse } from 'node:http';
import type { Sequence } from '../model/change.ts';
import type { ListenerFeed } from './changes-query.ts';
import { refusal, sendAnswer } from './refusal.ts';
import type { Refusal } from './refusal.ts';
import { SEPARATOR } from './slices.ts';

/** Where the rows of one listener go. */
export interface Sink {
  /** Whether the client does not take more at present. */
  readonly isBlocked: boolean;
  /** Whether the client has the head of the response, so that no error can be sent any more. */
  readonly isOpen: boolean;
  /** Sends the head of the response. */
  open(): void;
  write(data: Buffer, rows: number): void;
  /** Sends a sign of life. */
  beat(): void;
  /** Ends the feed after `seq`, with `pending` rows behind it. */
  finish(seq: Sequence, pending: number): void;
  /** Ends the response after the last row that was sent, because something went wrong. */
  cut(): void;
  /** Answers with an error instead of a feed. */
  refuse(answer: Refusal): void;
  /** Resolves when the client takes more, or has left. */
  drained(): Promise<void>;
}

const CHUNK_END = Buffer.from('\r\n');
const chunks = new WeakMap<Buffer, Buffer>();

/** Returns a chunk of HTTP, made once for all listeners. */
function chunkOf(data: Buffer): Buffer {
  const known = chunks.get(data);
  if (known !== undefined) return known;
  const chunk = Buffer.concat([Buffer.from(`${data.length.toString(16)}\r\n`), data, CHUNK_END]);
  chunks.set(data, chunk);
  return chunk;
}

const LINE_END = Buffer.from('\n');
const EVENT_BEAT = Buffer.from('event: heartbeat\ndata: \n\n');
/** nginx would hold back the rows of a feed. Of a complete poll it would keep nothing with this header. */
const UNBUFFERED = { 'x-accel-buffering': 'no' };
/** How long a response may take to reach a client after its end, in milliseconds. */
const LAST_DELIVERY = 10_000;

/** Whether the client of a response does not take more at present. */
export function isBlocked({ socket, writableNeedDrain }: ServerResponse): boolean {
  return writableNeedDrain || (socket?.writableNeedDrain ?? false);
}

/** Resolves when a response takes more, or is closed. Leaves no listener of events behind. */
export async function drained(response: ServerResponse): Promise<void> {
  if (!isBlocked(response) || response.destroyed) return;
  await new Promise<void>((resolve) => {
    const settle = (): void => {
      response.off('drain', settle);
      response.off('close', settle);
      resolve();
    };
    response.on('drain', settle);
    response.on('close', settle);
  });
}

/** Writes a feed to a separate response, in the form of CouchDB. */
export class ResponseSink implements Sink {
  readonly #response: ServerResponse;
  readonly #feed: ListenerFeed;
  readonly #headers: Readonly<Record<string, string | string[]>>;
  /** How long caches may keep a poll with rows, in seconds; 0 for data that is not for everybody. */
  readonly #maxAge: number;
  #rows = 0;
  #polled: Buffer[] = [];
  isOpen = false;

  constructor(
    response: ServerResponse,
    feed: ListenerFeed,
    headers: Readonly<Record<string, string | string[]>>,
    maxAge: number,
  ) {
    this.#response = response;
    this.#feed = feed;
    this.#headers = headers;
    this.#maxAge = maxAge;
  }

  get isBlocked(): boolean {
    return isBlocked(this.#response);
  }

  open(): void {
    // The head of a poll tells caches how long to keep it, which is known at its end. CouchDB sends it at once.
    if (this.#feed === 'longpoll' && this.#maxAge > 0) return;
    if (this.#feed === 'longpoll') return this.#flushPoll();
    this.#sendHead(UNBUFFERED);
    this.#response.flushHeaders();
  }

  write(data: Buffer, rows: number): void {
    if (this.#feed !== 'longpoll') {
      this.#writeChunk(data);
    } else if (this.#rows === 0) {
      this.#polled.push(data.subarray(SEPARATOR.length));
    } else if (this.isOpen) this.#response.write(data);
    else this.#polled.push(data);
    this.#rows += rows;
    if (this.#feed === 'longpoll' && (this.isOpen || this.#polled.length > 4)) this.#flushPoll();
  }

  beat(): void {
    if (this.#feed === 'longpoll') this.#flushPoll();
    else if (!this.isOpen) this.#sendHead(UNBUFFERED);
    this.#response.write(this.#feed === 'eventsource' ? EVENT_BEAT : LINE_END);
  }

  finish(seq: Sequence, pending: number): void {
    const end = `"last_seq":${JSON.stringify(seq)},"pending":${pending}}\n\n`;
    if (this.#feed === 'longpoll') this.#finishPoll(seq, `\n],\n${end}`);
    else this.#end(this.#feed === 'eventsource' ? '\n' : `{${end}`);
  }

  cut(): void {
    // A client and a cache take the end of a poll for its completion, also if its list is not closed.
    if (this.isOpen && this.#feed === 'longpoll') this.#response.destroy();
    else if (this.isOpen) this.#end('');
    else this.refuse(refusal(503, 'service_unavailable', 'The feed was interrupted: ask again'));
  }

  drained(): Promise<void> {
    return drained(this.#response);
  }

  refuse(answer: Refusal): void {
    if (this.isOpen) return this.cut();
    this.isOpen = true;
    const cors = Object.entries(this.#headers).filter(([name]) =>
      name.startsWith('access-control-'),
    );
    sendAnswer(this.#response, {
      ...answer,
      headers: { ...Object.fromEntries(cors), ...answer.headers },
    });
  }

  #sendHead(added: Readonly<Record<string, string>>): void {
    this.isOpen = true;
    const isEvents = this.#feed === 'eventsource';
    this.#response.writeHead(200, {
      ...this.#headers,
      'content-type': isEvents ? 'text/event-stream' : 'application/json',
      'cache-control': isEvents ? 'no-cache' : 'must-revalidate',
      ...added,
    });
  }

  /**
   * Writes a chunk that all listeners share. Node would make its parts again for each response, and write
   * them one by one: that is a sixth of the CPU of a relay.
   */
  #writeChunk(data: Buffer): void {
    const response = this.#response;
    const { socket } = response;
    // Others, such as a compression, may have put themselves between.
    const isWrapped = response.write !== ServerResponse.prototype.write;
    if (isWrapped || !response.chunkedEncoding || socket === null) response.write(data);
    else if (!socket.write(chunkOf(data))) socket.once('drain', () => response.emit('drain'));
  }

  /** Whether caches may keep this poll: it has rows, and they are for everybody. */
  get #isPublic(): boolean {
    return this.#maxAge > 0 && this.#rows > 0;
  }

  get #caching(): string {
    return this.#isPublic ? `public, max-age=${this.#maxAge}` : 'no-store';
  }

  #flushPoll(): void {
    if (!this.isOpen) {
      // A poll that has rows, and that is too long to be kept, ends with rows: caches may keep it.
      const caching = this.#isPublic || this.#maxAge === 0;
      this.#sendHead({
        ...(!this.#isPublic && UNBUFFERED),
        ...(caching && { 'cache-control': this.#caching }),
      });
      this.#response.write('{"results":[\n');
    }
    for (const part of this.#polled.splice(0)) this.#response.write(part);
  }

  #finishPoll(seq: Sequence, end: string): void {
    if (!this.isOpen) {
      const caching = { 'cache-control': this.#caching };
      const tag = `"${createHash('sha256').update(seq).digest('base64url').slice(0, 22)}"`;
      if (this.#isPublic && this.#response.req.headers['if-none-match'] === tag) {
        this.isOpen = true;
        this.#response.writeHead(304, { ...this.#headers, ...caching, etag: tag });
        return this.#end('');
      }
      this.#sendHead({ ...caching, ...(this.#isPublic && { etag: tag }) });
      this.#response.write('{"results":[\n');
    }
    this.#flushPoll();
    this.#end(end);
  }

  #end(text: string): void {
    const response = this.#response;
    response.end(text);
    if (response.writableFinished) return;
    const { socket } = response;
    const timer = setTimeout(() => socket?.destroy(), LAST_DELIVERY);
    timer.unref();
    response.once('close', () => clearTimeout(timer));
    response.once('finish', () => clearTimeout(timer));
  }
}
