import { once } from 'node:events';
import { createServer as createHttpServer, type ServerResponse } from 'node:http';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { exchange, readSeen } from './faulty-proxy-exchange.ts';
import {
  type FaultLimits,
  FaultPlan,
  Gate,
  type LostAnswer,
  type Match,
  type OwnAnswer,
  type SeenRequest,
} from './faulty-proxy-faults.ts';

export type {
  FaultLimits,
  LostAnswer,
  Match,
  OwnAnswer,
  SeenRequest,
} from './faulty-proxy-faults.ts';

/** Starts a proxy on a free port in front of a server, to simulate network faults. */
export async function startFaultyProxy(target: string): Promise<FaultyProxy> {
  const proxy = new FaultyProxy(new URL(target));
  await proxy.accept();
  return proxy;
}

interface Waiting {
  readonly match: Match;
  readonly resolve: (request: SeenRequest) => void;
}

const all: Match = () => true;

export class FaultyProxy {
  /** All requests so far, oldest first. */
  readonly requests: SeenRequest[] = [];
  /** The number of connections accepted since the start. */
  accepted = 0;

  readonly #target: URL;
  readonly #plan = new FaultPlan();
  readonly #gate = new Gate();
  /** The open sockets, each with its request in flight. */
  readonly #sockets = new Map<Socket, SeenRequest | undefined>();
  readonly #waiting = new Set<Waiting>();
  readonly #http = createHttpServer();
  #listener: Server | undefined;
  #port = 0;
  #whenClosed: (() => void)[] = [];

  constructor(target: URL) {
    this.#target = target;
    // Idle connections stay open, because closing them would be an unplanned fault.
    this.#http.keepAliveTimeout = 0;
    this.#http.on('request', (incoming, response: ServerResponse) => {
      readSeen(incoming).then(
        (seen) => this.#serve(seen, response),
        () => response.destroy(),
      );
    });
  }

  get url(): string {
    return `http://127.0.0.1:${this.#port}`;
  }

  /** The number of open client connections. */
  get connections(): number {
    return this.#sockets.size;
  }

  /** Returns how many open connections have such a request in flight. */
  inFlight(match: Match = all): number {
    return [...this.#sockets.values()].filter((busy) => busy !== undefined && match(busy)).length;
  }

  /** Accepts connections, after refuse() on the same port as before. */
  async accept(): Promise<void> {
    if (this.#listener) return;
    // A separate listener, because closing the HTTP server would close idle connections too.
    const listener = createServer((socket) => this.#acceptSocket(socket));
    this.#listener = listener;
    listener.listen(this.#port, '127.0.0.1');
    await once(listener, 'listening');
    this.#port = (listener.address() as AddressInfo).port;
  }

  /**
   * Refuses new connections (ECONNREFUSED). Closes idle ones, because a client would reuse them.
   * Connections with a request in flight stay open until it ends: see cut().
   */
  refuse(): void {
    this.#listener?.close();
    this.#listener = undefined;
    for (const [socket, busy] of this.#sockets) if (!busy) socket.destroy();
  }

  /**
   * Cuts the connection after exactly this number of bytes: of the body, or, with `of: 'wire'`, of
   * the whole response.
   */
  cutAfter(bytes: number, limits: FaultLimits & { of?: 'body' | 'wire' } = {}): () => void {
    const { of = 'body', ...rest } = limits;
    return this.#plan.add({ kind: 'cutAfter', bytes, of }, rest);
  }

  /** Ends a response cleanly after this number of bytes of its body. */
  truncate(match: Match, bytes: number, limits: Omit<FaultLimits, 'match'> = {}): () => void {
    return this.#plan.add({ kind: 'truncate', bytes }, { ...limits, match });
  }

  /** Answers with the given response instead of forwarding. */
  answer(answer: OwnAnswer): () => void {
    return this.#plan.add({ kind: 'answer', answer }, answer);
  }

  /** Closes the connection, and does not forward the request. */
  drop(limits: FaultLimits = {}): () => void {
    return this.#plan.add({ kind: 'drop' }, limits);
  }

  /** Forwards the request, and keeps the server's answer from the client. */
  lose(instead: LostAnswer = {}): () => void {
    return this.#plan.add({ kind: 'lose', instead }, instead);
  }

  /** Delays a request before it forwards it. */
  delay(milliseconds: number, limits: FaultLimits = {}): () => void {
    return this.#plan.add({ kind: 'delay', milliseconds }, limits);
  }

  /** Keeps connections open and forwards nothing on them, until resume(). */
  stall(match: Match = all): void {
    this.#gate.shut(match);
  }

  resume(): void {
    this.#gate.open();
  }

  /** Closes open connections. With a `match`, only those with such a request in flight. */
  cut(match?: Match): void {
    for (const socket of this.#matchingSockets(match)) socket.destroy();
  }

  /** Closes open connections with a RST (ECONNRESET at the client). */
  reset(match?: Match): void {
    for (const socket of this.#matchingSockets(match)) socket.resetAndDestroy();
  }

  /** Ends the proxy's side of open connections, and continues to read the client's. */
  halfClose(match?: Match): void {
    for (const socket of this.#matchingSockets(match)) socket.end();
  }

  /** Cancels all planned faults. Does not change connections. */
  heal(): void {
    this.#plan.clear();
    this.#gate.open();
  }

  /** Resolves with the next request that matches. */
  nextRequest(match: Match = all): Promise<SeenRequest> {
    return new Promise((resolve) => {
      this.#waiting.add({ match, resolve });
    });
  }

  /** Resolves when no connection is open. */
  closed(): Promise<void> {
    if (this.#sockets.size === 0) return Promise.resolve();
    return new Promise((resolve) => {
      this.#whenClosed.push(resolve);
    });
  }

  /** Closes the proxy and all connections. */
  async close(): Promise<void> {
    this.heal();
    const listener = this.#listener;
    this.#listener = undefined;
    const ended = listener && once(listener, 'close');
    listener?.close();
    this.cut();
    await Promise.all([ended, this.closed()]);
    this.#http.close();
  }

  *#matchingSockets(match?: Match): Generator<Socket> {
    for (const [socket, busy] of this.#sockets) {
      if (!match || (busy && match(busy))) yield socket;
    }
  }

  #acceptSocket(socket: Socket): void {
    this.accepted += 1;
    this.#sockets.set(socket, undefined);
    socket.setNoDelay(true);
    socket.on('error', () => {});
    socket.on('close', () => {
      this.#sockets.delete(socket);
      if (this.#sockets.size > 0) return;
      for (const resolve of this.#whenClosed.splice(0)) resolve();
    });
    this.#http.emit('connection', socket);
  }

  async #serve(seen: SeenRequest, response: ServerResponse): Promise<void> {
    const { socket } = response;
    if (socket === null) return;
    this.#sockets.set(socket, seen);
    this.requests.push(seen);
    for (const waiting of this.#waiting) {
      if (!waiting.match(seen)) continue;
      this.#waiting.delete(waiting);
      waiting.resolve(seen);
    }
    await exchange(seen, response, {
      target: this.#target,
      plan: this.#plan,
      gate: this.#gate,
    });
    if (!this.#sockets.has(socket)) return;
    this.#sockets.set(socket, undefined);
    // A client must not reuse the connection while the proxy refuses new ones.
    if (!this.#listener) socket.destroySoon();
  }
}
