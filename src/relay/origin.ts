import { createHash } from 'node:crypto';
import { Agent, request as requestHttp } from 'node:http';
import type { IncomingHttpHeaders, IncomingMessage, ServerResponse } from 'node:http';
import { Agent as AgentTls, request as requestHttps } from 'node:https';
import { pipeline } from 'node:stream/promises';

/** The headers by which CouchDB knows a user, by lower-case name. */
export interface Credentials {
  readonly headers: Readonly<Record<string, string>>;
  /** A hash of them, and of the origin of a page, because CouchDB answers pages with other headers. */
  readonly key: string;
  readonly isAnonymous: boolean;
}

/** Takes the credentials from a request. */
export function credentialsOf(headers: IncomingHttpHeaders, names: readonly string[]): Credentials {
  const taken: Record<string, string> = {};
  for (const name of names) {
    const value = headers[name];
    if (typeof value === 'string') taken[name] = value;
  }
  const isAnonymous = Object.keys(taken).length === 0;
  if (headers.origin !== undefined) taken['origin'] = headers.origin;
  const key = createHash('sha256').update(JSON.stringify(taken)).digest('base64url');
  return { headers: taken, key, isAnonymous };
}

/** A request of a listener to CouchDB. */
export interface OriginRequest {
  readonly method?: string;
  /** The path below the server's URL, with its query. */
  readonly path: string;
  readonly headers: Readonly<Record<string, string | string[]>>;
  readonly body?: string | null;
  /** Whether the response may never end, so that it must not occupy a socket of the pool. */
  readonly endless?: boolean;
  readonly signal?: AbortSignal;
  /** How long CouchDB may be silent, in milliseconds. @defaultValue 60000 */
  readonly patience?: number;
}

/** Headers that belong to one connection, and not to the message. */
const HOP_BY_HOP = new Set([
  'connection',
  'keep-alive',
  'proxy-authenticate',
  'proxy-authorization',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
]);

const PATIENCE = 60_000;

/** Sends requests of listeners to CouchDB: with their credentials, never with those of the relay. */
export class Origin {
  readonly #base: URL;
  readonly #path: string;
  readonly #pool: Agent;
  readonly #endless: Agent;

  /** @param url - The URL of the server, without credentials and without a final slash. */
  constructor(url: string) {
    this.#base = new URL(url);
    this.#path = this.#base.pathname.replace(/\/$/, '');
    const AgentOf = this.#base.protocol === 'https:' ? AgentTls : Agent;
    this.#pool = new AgentOf({ keepAlive: true, maxSockets: 64 });
    this.#endless = new AgentOf({ keepAlive: false });
  }

  /** Sends a request, and resolves with the response when its head has arrived. */
  send(request: OriginRequest): Promise<IncomingMessage> {
    const { body = null, patience = PATIENCE } = request;
    return new Promise((resolve, reject) => {
      const sent = this.#open(request, resolve, reject);
      sent.setTimeout(patience, () => sent.destroy(new Error('CouchDB did not answer')));
      sent.end(body ?? undefined);
    });
  }

  /** Sends a request, and reads its response as text, up to a size. */
  async text(
    request: OriginRequest,
  ): Promise<{ status: number; headers: IncomingHttpHeaders; text: string }> {
    const response = await this.send(request);
    const parts: Buffer[] = [];
    let size = 0;
    for await (const part of response as AsyncIterable<Buffer>) {
      size += part.length;
      if (size > 16_777_216) throw new Error('The answer of CouchDB is too long');
      parts.push(part);
    }
    const { statusCode = 502, headers } = response;
    return { status: statusCode, headers, text: Buffer.concat(parts).toString() };
  }

  /**
   * Passes a request on, and its response back. Resolves when the response has been sent.
   *
   * @param allowed - Whether a header may pass.
   * @param body - The body, if it has been read already.
   */
  async forward(
    incoming: IncomingMessage,
    outgoing: ServerResponse,
    allowed: (name: string) => boolean,
    body: string | null,
  ): Promise<void> {
    const headers: Record<string, string | string[]> = {};
    const hops = new Set([...HOP_BY_HOP, ...listed(incoming.headers.connection)]);
    for (const [name, value] of Object.entries(incoming.headers)) {
      if (value === undefined || hops.has(name) || name === 'host' || !allowed(name)) continue;
      headers[name] = value;
    }
    if (body !== null) headers['content-length'] = String(Buffer.byteLength(body));
    const from = [incoming.headers['x-forwarded-for'], incoming.socket.remoteAddress].flat();
    headers['x-forwarded-for'] = from.filter((part) => part !== undefined).join(', ');
    const { method = 'GET', url = '/' } = incoming;
    const aborter = new AbortController();
    outgoing.once('close', () => aborter.abort());
    const request = { method, path: url, headers, endless: true, signal: aborter.signal };
    const response = await new Promise<IncomingMessage>((resolve, reject) => {
      const sent = this.#open(request, resolve, reject);
      if (body === null) incoming.pipe(sent);
      else sent.end(body);
    });
    outgoing.writeHead(response.statusCode ?? 502, passedBack(response.headers));
    outgoing.flushHeaders();
    await pipeline(response, outgoing);
  }

  close(): void {
    this.#pool.destroy();
    this.#endless.destroy();
  }

  #open(
    { method = 'GET', path, headers, body, endless, signal }: OriginRequest,
    resolve: (response: IncomingMessage) => void,
    reject: (error: Error) => void,
  ): ReturnType<typeof requestHttp> {
    const { protocol, hostname, port } = this.#base;
    const requestOf = protocol === 'https:' ? requestHttps : requestHttp;
    const sent = requestOf(
      {
        hostname: hostname.replace(/^\[|\]$/g, ''),
        port,
        method,
        path: this.#path + path,
        headers: {
          ...headers,
          ...(typeof body === 'string' && { 'content-length': String(Buffer.byteLength(body)) }),
        },
        agent: endless === true ? this.#endless : this.#pool,
        ...(signal !== undefined && { signal }),
      },
      resolve,
    );
    sent.on('error', reject);
    return sent;
  }
}

/** Returns the headers of a response without those of its connection. */
export function passedBack(headers: IncomingHttpHeaders): Record<string, string | string[]> {
  const hops = new Set([...HOP_BY_HOP, ...listed(headers.connection)]);
  const passed: Record<string, string | string[]> = {};
  for (const [name, value] of Object.entries(headers))
    if (value !== undefined && !hops.has(name)) passed[name] = value;
  return passed;
}

function listed(header: string | undefined): string[] {
  return (header ?? '').split(',').map((name) => name.trim().toLowerCase());
}

/** Returns the headers by which CouchDB allows pages of other origins to read the response. */
export function corsHeaders(
  headers: Readonly<Record<string, string | string[]>>,
): Record<string, string | string[]> {
  return Object.fromEntries(
    Object.entries(headers).filter(
      ([name]) => name.startsWith('access-control-') || name === 'vary',
    ),
  );
}
