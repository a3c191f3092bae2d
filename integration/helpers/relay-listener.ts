import { type ClientRequest, type IncomingMessage, request as httpRequest } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Random } from './hostile/random.ts';

// A listener of a changes feed that knows nothing of Corduroy: it reads a response of `node:http`, and
// sends its request again, with the last sequence, when the response ends.

export const PROTOCOLS = ['continuous', 'longpoll', 'eventsource'] as const;
export type Protocol = (typeof PROTOCOLS)[number];

/** A document as it was written. */
export interface Written {
  readonly _id: string;
  readonly _rev: string;
  readonly _deleted?: boolean;
  readonly type?: string;
  readonly n?: number;
  readonly color?: string;
}

/** The changes that a listener wants. */
export interface Interest {
  readonly name: string;
  readonly query: Readonly<Record<string, string>>;
  /** Sent with POST. */
  readonly body?: object;
  readonly wants: (doc: Written) => boolean;
}

interface Row {
  readonly seq: string;
  readonly id: string;
  readonly changes: readonly { readonly rev: string }[];
  readonly doc?: { readonly _rev: string };
}

export interface ListenerSettings {
  readonly name: string;
  readonly protocol: Protocol;
  readonly interest: Interest;
  readonly includeDocs: boolean;
  readonly since: string;
  readonly authorization: string;
  readonly database: string;
  readonly heartbeat: number;
  /** Whether nothing but the relay itself can end a response in good order. */
  readonly isDirect: boolean;
}

/** How many heartbeats may be missing before a listener connects again. */
const PATIENCE = 5;

export class RelayListener {
  readonly settings: ListenerSettings;
  /** The revisions that came, as `id rev`. */
  readonly received = new Set<string>();
  readonly problems: string[] = [];
  /** How many rows came again. */
  again = 0;
  readonly #random: Random;
  readonly #address: () => string;
  #since: string;
  #request: ClientRequest | null = null;
  #response: IncomingMessage | null = null;
  #isSlow = false;
  #isOver = false;

  /** @param address - Returns the URL of the relay, at each request. */
  constructor(settings: ListenerSettings, random: Random, address: () => string) {
    this.settings = settings;
    this.#random = random;
    this.#address = address;
    this.#since = settings.since;
  }

  /** Listens until {@link stop}. */
  async run(): Promise<void> {
    while (!this.#isOver) {
      await this.#listen().catch(() => {});
      if (!this.#isOver) await sleep(this.#random.int(1, 40));
    }
  }

  /** Cuts the connection. Returns whether there was one. */
  cut(): boolean {
    const isListening = this.#request !== null;
    this.#request?.destroy();
    return isListening;
  }

  /** Takes nothing for a while. */
  async dawdle(milliseconds: number): Promise<void> {
    this.#isSlow = true;
    this.#response?.pause();
    await sleep(milliseconds);
    this.#isSlow = false;
    this.#response?.resume();
  }

  stop(): void {
    this.#isOver = true;
    this.#request?.destroy();
  }

  async #listen(): Promise<void> {
    const { protocol, interest, includeDocs, authorization, database, heartbeat } = this.settings;
    const url = new URL(`/${database}/_changes`, this.#address());
    const query = { ...interest.query, feed: protocol, heartbeat: String(heartbeat) };
    url.search = new URLSearchParams({ ...query, since: this.#since }).toString();
    if (includeDocs) url.searchParams.set('include_docs', 'true');
    const isEvents = protocol === 'eventsource';
    const headers = {
      authorization,
      ...(interest.body !== undefined && { 'content-type': 'application/json' }),
      ...(isEvents && this.#since !== '0' && { 'last-event-id': JSON.stringify(this.#since) }),
    };
    const method = interest.body === undefined ? 'GET' : 'POST';
    const request = httpRequest(url, { method, headers, agent: false });
    this.#request = request;
    request.setTimeout(heartbeat * PATIENCE, () => {
      if (!this.#isSlow) request.destroy();
    });
    try {
      const response = await new Promise<IncomingMessage>((resolve, reject) => {
        request.once('response', resolve);
        request.once('error', reject);
        request.once('close', () => reject(new Error('closed')));
        request.end(interest.body === undefined ? undefined : JSON.stringify(interest.body));
      });
      // Errors after the head end the response too.
      request.on('error', () => {});
      await this.#read(response);
    } finally {
      request.destroy();
      this.#request = this.#response = null;
    }
  }

  async #read(response: IncomingMessage): Promise<void> {
    const { statusCode: status = 0 } = response;
    response.setEncoding('utf8');
    this.#response = response;
    if (status !== 200) {
      response.resume();
      if (status < 500 && status !== 429) this.problems.push(`the status ${status}`);
      return;
    }
    const { protocol } = this.settings;
    let text = '';
    const ended = new Promise<boolean>((resolve) => {
      response.on('data', (part: string) => {
        text += part;
        if (protocol === 'longpoll') return;
        const lines = text.split('\n');
        text = lines.pop() ?? '';
        for (const line of lines) this.#takeLine(line);
      });
      response.once('end', () => resolve(response.complete));
      response.once('error', () => resolve(false));
      response.once('close', () => resolve(false));
    });
    if (this.#isSlow) response.pause();
    // The rows of a poll that was cut off come again with the next one.
    if (!(await ended) || protocol !== 'longpoll') return;
    const { interest, isDirect } = this.settings;
    if (!isDirect && !text.endsWith('}\n\n')) return;
    // The relay passes these polls on as they are: if CouchDB ends a truncated one in good order, so does it.
    if (interest.name === 'own' && !isJson(text)) return;
    const poll = this.#parsed(text) as { results: Row[]; last_seq: string } | undefined;
    for (const row of poll?.results ?? []) this.#take(row);
    this.#since = poll?.last_seq ?? this.#since;
  }

  #takeLine(line: string): void {
    const isEvents = this.settings.protocol === 'eventsource';
    if (isEvents && line.startsWith('id: ')) this.#since = this.#parsed(line.slice(4)) as string;
    const text = isEvents ? (/^data: (.+)$/.exec(line)?.[1] ?? '') : line;
    if (!text.startsWith('{')) return;
    const row = this.#parsed(text) as Row | { readonly last_seq: string } | undefined;
    if (row === undefined) return;
    if ('last_seq' in row) {
      this.#since = row.last_seq;
      return;
    }
    this.#take(row);
    if (!isEvents) this.#since = row.seq;
  }

  #take({ id, changes, doc }: Row): void {
    const rev = changes[0]?.rev;
    const key = `${id} ${rev}`;
    if (this.settings.includeDocs ? doc?._rev !== rev : doc !== undefined)
      this.problems.push(`${key} with the document ${JSON.stringify(doc)?.slice(0, 80)}`);
    if (this.received.has(key)) this.again += 1;
    this.received.add(key);
  }

  #parsed(text: string): unknown {
    try {
      return JSON.parse(text);
    } catch {
      this.problems.push(`no JSON: ${text.slice(0, 80)}`);
      return undefined;
    }
  }
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}
