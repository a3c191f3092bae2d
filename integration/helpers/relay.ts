import { once } from 'node:events';
import { createServer, request } from 'node:http';
import type { IncomingMessage, RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Couch } from 'corduroy';
import { relay } from 'corduroy/relay';
import type { Relay, RelayOptions } from 'corduroy/relay';
import { basicAuth } from './running-server.ts';
import type { RunningServer } from './running-server.ts';
import { server } from './server.ts';

/** A relay with a server of its own. */
export interface RunningRelay {
  readonly url: string;
  readonly relay: Relay;
  readonly close: () => Promise<void>;
}

/** Serves a handler on a free port. */
export async function serve(
  handler: RequestListener,
): Promise<{ readonly url: string; readonly close: () => Promise<void> }> {
  const http = createServer(handler);
  http.listen(0, '127.0.0.1');
  await once(http, 'listening');
  const { port } = http.address() as AddressInfo;
  const close = async (): Promise<void> => {
    http.closeAllConnections();
    http.close();
    await once(http, 'close');
  };
  return { url: `http://127.0.0.1:${port}`, close };
}

/** Starts a relay in front of the server of this run, of a proxy before it, or of another server. */
export async function startRelay(
  options: RelayOptions = {},
  target: string = server.url,
  { username, password }: Pick<RunningServer, 'username' | 'password'> = server,
): Promise<RunningRelay> {
  const handler = relay(new Couch(target, { auth: [username, password] }), options);
  const served = await serve(handler);
  const close = async (): Promise<void> => {
    await handler.close();
    await served.close();
  };
  return { url: served.url, relay: handler, close };
}

/** What a listener asks for. */
export interface ListenOptions {
  readonly headers?: Readonly<Record<string, string>>;
  /** A body, sent as JSON with POST. */
  readonly body?: unknown;
  /** @defaultValue the admin of the server */
  readonly auth?: readonly [name: string, password: string] | null;
}

/** A row of a feed. */
export interface FeedRow {
  readonly id: string;
  readonly seq: string;
  readonly changes: readonly { readonly rev: string }[];
  readonly doc?: Readonly<Record<string, unknown>>;
  readonly deleted?: true;
}

/** A raw listener: it knows nothing of Corduroy. */
export class RawListener {
  readonly status: number;
  readonly headers: IncomingMessage['headers'];
  /** All that has arrived. */
  text = '';
  /** Resolves at the end: whether the response was complete. */
  readonly ended: Promise<boolean>;
  readonly #response: IncomingMessage;
  readonly #close: () => void;
  #told: (() => void)[] = [];

  constructor(response: IncomingMessage, close: () => void) {
    this.status = response.statusCode ?? 0;
    this.headers = response.headers;
    this.#response = response;
    this.#close = close;
    response.setEncoding('utf8');
    response.on('data', (part: string) => {
      this.text += part;
      for (const tell of this.#told.splice(0)) tell();
    });
    this.ended = new Promise((resolve) => {
      response.once('close', () => {
        resolve(response.complete);
        for (const tell of this.#told.splice(0)) tell();
      });
      response.once('error', () => {});
    });
  }

  /** The rows that are complete. */
  get rows(): readonly FeedRow[] {
    const lines = this.text.split('\n').slice(0, -1);
    return lines
      .map((line) => line.replace(/^data: /, '').replace(/,?\r?$/, ''))
      .filter((line) => line.startsWith('{"seq"'))
      .map((line) => JSON.parse(line) as FeedRow);
  }

  get ids(): readonly string[] {
    return this.rows.map(({ id }) => id);
  }

  /** The sequence in the last line of a feed that ended in good order. */
  get lastSeq(): string | undefined {
    return /"last_seq":"([^"]+)"/.exec(this.text)?.[1];
  }

  /** Resolves when a condition holds; rejects if the response ends before. */
  async until(holds: () => boolean): Promise<void> {
    while (!holds()) {
      if (this.#response.destroyed)
        throw new Error(`The feed ended (${this.status}): ${this.text.slice(-300)}`);
      await new Promise<void>((resolve) => this.#told.push(resolve));
    }
  }

  /** Resolves when the feed has listed these documents. */
  async has(...ids: readonly string[]): Promise<void> {
    await this.until(() => ids.every((id) => this.ids.includes(id)));
  }

  pause(): void {
    this.#response.pause();
  }

  resume(): void {
    this.#response.resume();
  }

  close(): void {
    this.#close();
  }
}

/** Opens a feed, or whatever is below a URL. Resolves with the head of the response. */
export async function listen(url: string, options: ListenOptions = {}): Promise<RawListener> {
  const { headers = {}, body, auth = [server.username, server.password] } = options;
  const sent = request(url, {
    method: body === undefined ? 'GET' : 'POST',
    agent: false,
    headers: {
      ...(auth !== null && { authorization: basicAuth(auth[0], auth[1]) }),
      ...(body !== undefined && { 'content-type': 'application/json' }),
      ...headers,
    },
  });
  sent.on('error', () => {});
  sent.end(body === undefined ? undefined : JSON.stringify(body));
  const [response] = (await once(sent, 'response')) as [IncomingMessage];
  return new RawListener(response, () => sent.destroy());
}
