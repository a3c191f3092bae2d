import { type IncomingMessage, request as httpRequest, type ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { FaultPlan, Gate, OwnAnswer, SeenRequest } from './faulty-proxy-faults.ts';

// Forwards one request and its response, with the planned faults.

/** Headers that Node sets itself. All others are forwarded. */
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

/** Forwards a request and its response. Resolves when the exchange is over. */
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
  const upstream = await sendUpstream(seen, target, socket);
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
  // A server error must reach the client.
  upstream.on('error', () => socket.destroy());
  const bodyLimit = cutAfter?.of === 'body' ? cutAfter.bytes : Infinity;
  const { headers, ...head } = headOf(upstream);
  if (truncate) delete headers['content-length'];
  response.writeHead(head.status, head.message, headers);
  response.flushHeaders();
  await forwardBody(
    seen,
    upstream,
    response,
    gate,
    Math.min(bodyLimit, truncate?.bytes ?? Infinity),
  );
  // A planned cut must not end cleanly, even if all bytes were sent before.
  if (bodyLimit === Infinity && (truncate || upstream.complete)) await cleanEnd(response);
  else socket.destroy();
  upstream.destroy();
}

/** Forwards at most `limit` bytes of the body. */
async function forwardBody(
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
    // The server cut the body; `upstream.complete` is then false.
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

/**
 * Forwards the request. Resolves with undefined if the server is unreachable or the client leaves.
 */
function sendUpstream(
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
        // One connection per request, so that no pool hides faults.
        agent: false,
      },
      resolve,
    );
    outgoing.on('error', () => resolve(undefined));
    // If the client disconnects, the server must see a disconnect too.
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

/** Destroys a socket after exactly this number of bytes, including the head. */
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

/** Waits. Stops waiting if the client disconnects. */
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
