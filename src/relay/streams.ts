import { randomBytes } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Sequence } from '../model/change.ts';
import { readChangesQuery } from './changes-query.ts';
import type { Hub } from './hub.ts';
import type { Listener } from './listener.ts';
import { credentialsOf } from './origin.ts';
import type { Credentials } from './origin.ts';
import { refusal, toRefusal } from './refusal.ts';
import type { Refusal } from './refusal.ts';
import { drained } from './sink.ts';
import type { Sink } from './sink.ts';

/** A subscription that a client adds to its stream. */
interface Added {
  /** The client's number for it. */
  readonly id: number;
  /** The path of the changes with its query, below the server. */
  readonly path: string;
  readonly body?: string | null;
}

/** How many subscriptions a stream has at most. */
const MOST = 1000;

/**
 * Many subscriptions on one response. Each line that begins with a letter is about one of them, by its number:
 *
 * - `o3 {…}`: subscription 3 is open; the headers of its response follow.
 * - `r3 2`: two rows of it follow, each on a line, as in a continuous feed. With 0 rows, a sign of life.
 * - `e3`: it has ended in good order. `c3`: it was cut off.
 * - `f3 {…}`: it was refused; the answer follows.
 */
class Stream {
  readonly #hub: Hub;
  readonly #response: ServerResponse;
  readonly #listeners = new Map<number, Listener>();
  /** The subscriptions that were not dropped, also before they listen. */
  readonly #wanted = new Set<number>();
  #isOver = false;

  constructor(hub: Hub, response: ServerResponse) {
    this.#hub = hub;
    this.#response = response;
    // Each subscription may wait for this response.
    response.setMaxListeners(0);
    response.on('drain', () => {
      for (const listener of this.#listeners.values()) listener.pump();
    });
    response.once('close', () => {
      this.#isOver = true;
      for (const listener of this.#listeners.values()) listener.end('left');
    });
  }

  write(text: string): void {
    this.#response.write(text);
  }

  end(): void {
    this.#isOver = true;
    this.#response.end();
  }

  get isOver(): boolean {
    return this.#isOver;
  }

  /** Ends the stream if it has no subscription: it would occupy a connection that nothing counts. */
  endIfEmpty(): void {
    if (this.#wanted.size === 0 && !this.#isOver) this.end();
  }

  drop(ids: readonly number[]): void {
    for (const id of ids) {
      this.#wanted.delete(id);
      this.#listeners.get(id)?.end('left');
      this.#listeners.delete(id);
    }
  }

  async add({ id, path, body = null }: Added, credentials: Credentials): Promise<void> {
    const { access, channels, settings } = this.#hub;
    this.#wanted.add(id);
    const sink = new StreamSink(this.#response, id, () => {
      this.#wanted.delete(id);
      this.#listeners.delete(id);
      // Other subscriptions of the same request may follow.
      queueMicrotask(() => this.endIfEmpty());
    });
    if (this.#hub.size >= settings.maxClients || this.#listeners.size >= MOST)
      return sink.refuse(refusal(503, 'service_unavailable', 'There are too many listeners.'));
    try {
      const [name = '', search = ''] = path.slice(1).split(/\/_changes(?:\?(.*))?$/s);
      const database = decodeURIComponent(name);
      const query = readChangesQuery(new URLSearchParams(search), undefined, body);
      if (database.startsWith('_') || !settings.serves(database) || query?.feed !== 'continuous')
        return sink.refuse(NOT_SHARED);
      const changes = `/${encodeURIComponent(database)}/_changes`;
      const answer = await access.ask(credentials, changes, query.own, query.body);
      if (answer.status !== 200) return sink.refuse(answer);
      const version = await channels.version(database, query);
      if (version === null) return sink.refuse(NOT_SHARED);
      if (this.#isOver || !this.#wanted.has(id)) return undefined;
      const listener = this.#hub.listener({ query, database, path: changes, credentials }, sink);
      this.#listeners.get(id)?.end('left');
      this.#listeners.set(id, listener);
      listener.grant = access.grant(credentials, changes, answer, listener);
      return await this.#hub.listen(listener, version);
    } catch (error) {
      return sink.refuse(toRefusal(error));
    }
  }
}

/** Tells a client to open a separate response for this subscription. */
const NOT_SHARED = refusal(421, 'misdirected_request', 'This feed needs a separate request.');

/** Writes one subscription to a stream that it shares with others. */
class StreamSink implements Sink {
  readonly #response: ServerResponse;
  readonly #id: number;
  readonly #ended: () => void;
  isOpen = false;
  isOver = false;

  constructor(response: ServerResponse, id: number, ended: () => void) {
    this.#response = response;
    this.#id = id;
    this.#ended = ended;
  }

  get isBlocked(): boolean {
    return this.#response.writableNeedDrain;
  }

  open(): void {
    this.isOpen = true;
    this.#write(`o${this.#id} {"content-type":"application/json"}\n`);
  }

  write(data: Buffer, rows: number): void {
    this.#write(`r${this.#id} ${rows}\n`);
    this.#write(data);
  }

  beat(): void {
    if (!this.isOpen) this.open();
    this.#write(`r${this.#id} 0\n`);
  }

  finish(seq: Sequence, pending: number): void {
    if (!this.isOpen) this.open();
    const row = JSON.stringify({ last_seq: seq, pending });
    this.#end(`r${this.#id} 1\n${row}\ne${this.#id}\n`);
  }

  cut(): void {
    this.#end(`c${this.#id}\n`);
  }

  refuse({ status, headers, text }: Refusal): void {
    if (this.isOpen) return this.cut();
    this.#end(`f${this.#id} ${JSON.stringify({ status, headers, text })}\n`);
  }

  /** The stream may have ended while CouchDB was asked. */
  #write(data: string | Buffer): void {
    if (!this.#response.writableEnded) this.#response.write(data);
  }

  drained(): Promise<void> {
    return drained(this.#response);
  }

  #end(text: string): void {
    if (this.isOver) return;
    this.isOver = true;
    this.#write(text);
    this.#ended();
  }
}

type Cors = Readonly<Record<string, string | string[]>>;

/** The streams of a relay, by the secret name that their client knows. */
export class Streams {
  readonly #hub: Hub;
  readonly #streams = new Map<string, Stream>();

  constructor(hub: Hub) {
    this.#hub = hub;
  }

  /**
   * Opens a stream, with its first subscriptions.
   *
   * @param cors - The headers by which CouchDB lets the page read the response.
   */
  open(
    request: IncomingMessage,
    response: ServerResponse,
    body: string,
    cors: Cors,
  ): Refusal | null {
    const changed = readChanges(body);
    if (changed === null) return WRONG_BODY;
    const name = randomBytes(16).toString('hex');
    response.writeHead(200, {
      ...cors,
      'content-type': 'application/x-ndjson',
      'cache-control': 'no-store',
      'x-accel-buffering': 'no',
    });
    const stream = new Stream(this.#hub, response);
    this.#streams.set(name, stream);
    response.once('close', () => this.#streams.delete(name));
    stream.write(`${JSON.stringify({ stream: name })}\n`);
    this.#apply(stream, changed, request);
    return null;
  }

  /** Adds subscriptions to a stream, and drops others. */
  change(request: IncomingMessage, name: string, body: string): Refusal {
    const stream = this.#streams.get(name);
    const changed = readChanges(body);
    if (changed === null) return WRONG_BODY;
    if (stream === undefined || stream.isOver)
      return refusal(404, 'not_found', 'This relay does not know the stream.');
    this.#apply(stream, changed, request);
    return { status: 200, headers: JSON_HEADERS, text: '{"ok":true}\n' };
  }

  /** Ends all streams. Their subscriptions must have ended before. */
  close(): void {
    for (const stream of this.#streams.values()) stream.end();
  }

  #apply(stream: Stream, { add, drop }: Changed, request: IncomingMessage): void {
    const credentials = credentialsOf(request.headers, this.#hub.settings.credentialHeaders);
    stream.drop(drop);
    for (const added of add) void stream.add(added, credentials);
    stream.endIfEmpty();
  }
}

const JSON_HEADERS = { 'content-type': 'application/json', 'cache-control': 'no-store' };
const WRONG_BODY = refusal(400, 'bad_request', 'The body must have lists `add` and `drop`.');

interface Changed {
  readonly add: readonly Added[];
  readonly drop: readonly number[];
}

function readChanges(body: string): Changed | null {
  try {
    const { add = [], drop = [] } = JSON.parse(body) as Partial<Changed>;
    const isValid =
      Array.isArray(add) &&
      Array.isArray(drop) &&
      drop.every(Number.isSafeInteger) &&
      add.length <= MOST &&
      add.every(
        (added: Partial<Added> | null) =>
          Number.isSafeInteger(added?.id) &&
          typeof added?.path === 'string' &&
          ['string', 'undefined'].includes(typeof (added.body ?? undefined)),
      );
    return isValid ? { add, drop } : null;
  } catch {
    return null;
  }
}
