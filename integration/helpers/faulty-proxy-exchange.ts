import { type IncomingMessage, request as httpRequest, type ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { FaultPlan, Gate, OwnAnswer, SeenRequest } from './faulty-proxy-faults.ts';

// One request through the proxy and its answer back, struck by the faults planned for it.

/** Node frames the forwarded answer itself; everything else of the head is passed on. */
const HOP_BY_HOP = new Set(['connection', 'keep-alive', 'transfer-encoding']);

export interface Route {
  readonly target: URL;
  readonly plan: FaultPlan;
  readonly gate: Gate;
}

export async function readSeen(incoming: IncomingMessage): Promise<SeenRequest> {
  const chunks: Buffer[] = [];
  for await (const chunk of incoming) chunks.push(chunk as Buffer);
  return {
    method: incoming.method ?? 'GET',
    url: incoming.url ?? '/',
    headers: incoming.headers,
    body: Buffer.concat(chunks).toString('utf8'),
  };
}

/** Forwards a request and its answer; resolves when there is nothing left to do for it. */
export async function exchange(
  seen: SeenRequest,
  response: ServerResponse,
  { target, plan, gate }: Route,
): Promise<void> {
  const socket = response.socket;
  if (socket === null) return;
  const { answer, cutAfter, truncate, delay, drop, lose } = plan.take(seen);
  if (delay) await pause(delay.milliseconds, socket);
  await gate.pass(seen);
  if (socket.destroyed) return;
  if (cutAfter?.of === 'wire') cutWireAfter(socket, cutAfter.bytes);
  if (answer) {
    answerSelf(response, answer.answer, seen);
    return;
  }
  if (drop) {
    socket.destroy();
    return;
  }
  const upstream = await ask(seen, target, socket);
  if (upstream === undefined) {
    socket.destroy();
    return;
  }
  if (lose) {
    const { answer: instead, meanwhile } = lose.instead;
    await drain(upstream);
    await meanwhile?.();
    if (instead === undefined) socket.destroy();
    else answerSelf(response, instead, seen);
    return;
  }
  await gate.pass(seen);
  // Whatever the server does after this is the client's to see, and the other way round.
  upstream.on('error', () => socket.destroy());
  const bodyLimit = cutAfter?.of === 'body' ? cutAfter.bytes : Infinity;
  const { headers, ...head } = headOf(upstream);
  if (truncate) delete headers['content-length'];
  response.writeHead(head.status, head.message, headers);
  response.flushHeaders();
  await pump(seen, upstream, response, gate, Math.min(bodyLimit, truncate?.bytes ?? Infinity));
  // Cut before its end is cut, even where all the bytes had come through by then.
  if (bodyLimit === Infinity && (truncate || upstream.complete)) await cleanEnd(response);
  else socket.destroy();
  upstream.destroy();
}

/** Passes on the body, at most `limit` bytes of it. */
async function pump(
  seen: SeenRequest,
  upstream: IncomingMessage,
  response: ServerResponse,
  gate: Gate,
  limit: number,
): Promise<void> {
  let left = limit;
  if (left <= 0) return;
  try {
    for await (const chunk of upstream) {
      await gate.pass(seen);
      const part = (chunk as Buffer).subarray(0, left);
      left -= part.length;
      await new Promise<void>((resolve) => response.write(part, () => resolve()));
      if (left <= 0) return;
    }
  } catch {
    // The server cut it: `upstream.complete` tells so.
  }
}

/** Reads an answer to its end, for what it does and not for what it says. */
async function drain(upstream: IncomingMessage): Promise<void> {
  upstream.resume();
  if (upstream.complete) return;
  await new Promise<void>((resolve) => {
    upstream.once('end', resolve);
    upstream.once('close', resolve);
    upstream.once('error', () => resolve());
  });
}

async function cleanEnd(response: ServerResponse): Promise<void> {
  if (response.destroyed) return;
  await new Promise<void>((resolve) => {
    response.once('close', resolve);
    response.end(() => resolve());
  });
}

/** Sends the request on; undefined when the server could not be asked or the client left. */
function ask(
  { method, url, headers, body }: SeenRequest,
  target: URL,
  socket: Socket,
): Promise<IncomingMessage | undefined> {
  return new Promise((resolve) => {
    const outgoing = httpRequest(
      {
        host: target.hostname,
        port: target.port,
        method,
        path: url,
        headers: { ...headers, 'content-length': Buffer.byteLength(body), connection: 'close' },
        // A connection for each request: no pool between the faults and the server.
        agent: false,
      },
      resolve,
    );
    outgoing.on('error', () => resolve(undefined));
    // A client that leaves must be seen to leave by the server too.
    const leave = (): void => void outgoing.destroy();
    socket.once('close', leave);
    outgoing.once('close', () => socket.off('close', leave));
    outgoing.end(body);
  });
}

function headOf(upstream: IncomingMessage): {
  status: number;
  message: string;
  headers: Record<string, string | string[]>;
} {
  const headers: Record<string, string | string[]> = {};
  for (const [name, value] of Object.entries(upstream.headers)) {
    if (value !== undefined && !HOP_BY_HOP.has(name)) headers[name] = value;
  }
  return { status: upstream.statusCode ?? 502, message: upstream.statusMessage ?? '', headers };
}

function answerSelf(response: ServerResponse, answer: OwnAnswer, seen: SeenRequest): void {
  const { status = 200, headers = {}, body = '' } = answer;
  response.writeHead(status, { 'content-type': 'application/json', ...headers });
  response.end(typeof body === 'function' ? body(seen) : body);
}

/** Destroys a socket after exactly so many more bytes, those of the head included. */
function cutWireAfter(socket: Socket, bytes: number): void {
  const write = socket.write.bind(socket) as (chunk: Buffer, done: () => void) => boolean;
  let left = bytes;
  const limited = (chunk: string | Uint8Array, ...rest: unknown[]): boolean => {
    const encoding = typeof rest[0] === 'string' ? (rest[0] as BufferEncoding) : 'utf8';
    const whole = typeof chunk === 'string' ? Buffer.from(chunk, encoding) : Buffer.from(chunk);
    const done = rest.find((value) => typeof value === 'function') as (() => void) | undefined;
    if (left <= 0) return false;
    const part = whole.subarray(0, left);
    left -= part.length;
    return write(part, () => {
      done?.();
      if (left <= 0) socket.destroy();
    });
  };
  socket.write = limited;
}

/** Waits, but not for a client that has left. */
function pause(milliseconds: number, socket: Socket): Promise<void> {
  return new Promise((resolve) => {
    const over = (): void => {
      clearTimeout(timer);
      socket.off('close', over);
      resolve();
    };
    const timer = setTimeout(over, milliseconds);
    socket.on('close', over);
  });
}
