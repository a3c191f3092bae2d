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

/** A network that a test can break: starts a proxy on a free port in front of a server. */
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
  /** Every request seen, oldest first. */
  readonly requests: SeenRequest[] = [];
  /** Connections taken since the start. */
  accepted = 0;

  readonly #target: URL;
  readonly #plan = new FaultPlan();
  readonly #gate = new Gate();
  /** Open sockets, each with the request it is busy with. */
  readonly #sockets = new Map<Socket, SeenRequest | undefined>();
  readonly #waiting = new Set<Waiting>();
  readonly #http = createHttpServer();
  #listener: Server | undefined;
  #port = 0;
  #whenClosed: (() => void)[] = [];

  constructor(target: URL) {
    this.#target = target;
    // Idle connections stay for as long as the client likes: closing them is a fault, and asked for.
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

  /** How many connections of clients are open now. */
  get connections(): number {
    return this.#sockets.size;
  }

  /** Listens, the second time on the port of the first. */
  async accept(): Promise<void> {
    if (this.#listener) return;
    // The listener is apart from the HTTP server, which would close idle connections with it.
    const listener = createServer((socket) => this.#take(socket));
    this.#listener = listener;
    listener.listen(this.#port, '127.0.0.1');
    await once(listener, 'listening');
    this.#port = (listener.address() as AddressInfo).port;
  }

  /**
   * Takes no more connections (ECONNREFUSED). Idle ones are closed, as a client would use them
   * again; those with a request under way go on until it ends: see cut().
   */
  refuse(): void {
    this.#listener?.close();
    this.#listener = undefined;
    for (const [socket, busy] of this.#sockets) if (!busy) socket.destroy();
  }

  /**
   * Cuts the connection after exactly so many bytes of an answer: of its body, or, counted
   * `of: 'wire'`, of everything from its status line on.
   */
  cutAfter(bytes: number, limits: FaultLimits & { of?: 'body' | 'wire' } = {}): () => void {
    const { of = 'body', ...rest } = limits;
    return this.#plan.add({ kind: 'cutAfter', bytes, of }, rest);
  }

  /** Ends an answer after so many bytes of its body, as if that had been all of it. */
  truncate(match: Match, bytes: number, limits: Omit<FaultLimits, 'match'> = {}): () => void {
    return this.#plan.add({ kind: 'truncate', bytes }, { ...limits, match });
  }

  /** Answers itself instead of asking the server. */
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

  /** Waits before it forwards a request. */
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

  /** Closes open connections. With a `match`, only those with such a request under way. */
  cut(match?: Match): void {
    for (const socket of this.#matching(match)) socket.destroy();
  }

  /** Closes open connections with a RST: ECONNRESET at the client. */
  reset(match?: Match): void {
    for (const socket of this.#matching(match)) socket.resetAndDestroy();
  }

  /** Ends its own side of open connections and goes on reading the client's. */
  halfClose(match?: Match): void {
    for (const socket of this.#matching(match)) socket.end();
  }

  /** Calls off every planned fault; connections are as they are. */
  heal(): void {
    this.#plan.clear();
    this.#gate.open();
  }

  /** The next request that matches, from now on. */
  nextRequest(match: Match = all): Promise<SeenRequest> {
    return new Promise((resolve) => {
      this.#waiting.add({ match, resolve });
    });
  }

  /** Resolves when no connection is open: at once, if none is. */
  closed(): Promise<void> {
    if (this.#sockets.size === 0) return Promise.resolve();
    return new Promise((resolve) => {
      this.#whenClosed.push(resolve);
    });
  }

  /** Ends everything; no handle stays open. */
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

  *#matching(match?: Match): Generator<Socket> {
    for (const [socket, busy] of this.#sockets) {
      if (!match || (busy && match(busy))) yield socket;
    }
  }

  #take(socket: Socket): void {
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
    // No connection is left over for a client that ought to be refused.
    if (!this.#listener) socket.destroySoon();
  }
}
