import { once } from 'node:events';
import { createServer } from 'node:http';
import type { IncomingMessage, Server } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { DECOYS, chunk, cutLength, factsOf, headOf, makeAnswer } from './answers.ts';
import type { Answer, AnswerFacts } from './answers.ts';
import { BEFORE, makePlan } from './plan.ts';
import type { Plan } from './plan.ts';

// The program of the hostile server, and of the server of another origin beside it. It is a process
// apart from the client, so that its work counts neither as time nor as memory of the client.

/** A request as a server received it. */
export interface Seen {
  readonly method: string;
  readonly url: string;
  readonly headers: readonly string[];
  readonly body: string;
}

export type ToServer =
  { readonly type: 'begin'; readonly index: number } | { readonly type: 'end' };
export type FromServer =
  | { readonly type: 'listening'; readonly own: string; readonly foreign: string }
  | { readonly type: 'ready'; readonly facts: AnswerFacts }
  | { readonly type: 'report'; readonly own: readonly Seen[]; readonly foreign: readonly Seen[] };

const [seed, large] = JSON.parse(process.argv[2] ?? '[1,false]') as [number, boolean];
const seen: { own: Seen[]; foreign: Seen[] } = { own: [], foreign: [] };
let plan: Plan;
let answer: Answer;

const ours = listener('own', (request, socket, body) => {
  const { url = '', method } = request;
  if (url === BEFORE) return write(socket, simple('{}'), false);
  if (url.startsWith('/elsewhere')) return write(socket, simple('{"ok":true}'), false);
  if (url === '/_session' && method === 'POST' && plan.honestLogin && plan.call !== 'login')
    return write(socket, login(body), false);
  return write(socket, answer, method === 'HEAD');
});
const foreign = listener('foreign', (_, socket) =>
  write(socket, simple('{"ok":true,"name":"evil","roles":[]}', 'AuthSession=evil4; Path=/'), false),
);

function listener(
  which: 'own' | 'foreign',
  respond: (request: IncomingMessage, socket: Socket, body: string) => Promise<void>,
): Server {
  const server = createServer((request) => {
    const parts: Buffer[] = [];
    request.on('data', (part: Buffer) => parts.push(part));
    request.on('end', () => {
      const body = Buffer.concat(parts).toString();
      const { method = '', url = '', rawHeaders: headers } = request;
      seen[which].push({ method, url, headers, body: body.slice(0, 50_000) });
      // A client that leaves is no fault of the server.
      respond(request, request.socket, body).catch(() => request.socket.destroy());
    });
    request.on('error', () => {});
  });
  // A client that resets its connection is no fault either.
  server.on('connection', (socket) => socket.on('error', () => {}));
  server.on('clientError', (_error, socket) => socket.destroy());
  server.requestTimeout = 0;
  return server.listen(0, '127.0.0.1');
}

function simple(body: string, cookie?: string): Answer {
  return {
    status: 200,
    headers: [
      ['content-type', 'application/json'],
      ...(cookie === undefined ? [] : [['set-cookie', cookie] as const]),
    ],
    body: Buffer.from(body),
    framing: 'length',
    cut: null,
    end: 'keep',
    pieces: 1,
    raw: null,
    repeat: null,
  };
}

/** The answer of CouchDB to a login, with other cookies around its own. */
function login(body: string): Answer {
  const { name } = JSON.parse(body) as { name: string };
  const honest = simple(JSON.stringify({ ok: true, name, roles: [] }));
  const cookies = [`AuthSession=${plan.secrets.cookie}; Version=1; Max-Age=600; Path=/; HttpOnly`];
  if (plan.kind.includes('resembles')) {
    // Half of the servers set no cookie of CouchDB's at all.
    if (plan.index % 2 === 0) cookies.pop();
    cookies.unshift(...DECOYS);
  }
  const headers = cookies.map((cookie) => ['set-cookie', cookie] as const);
  return { ...honest, headers: [...honest.headers, ...headers] };
}

async function write(socket: Socket, given: Answer, isHead: boolean): Promise<void> {
  socket.setNoDelay(true);
  const { framing, end, raw, pieces, repeat } = given;
  const body = isHead ? Buffer.alloc(0) : given.body;
  const framed = framing === 'chunked' && !isHead && body.length > 0 ? chunk(body) : body;
  const cut = cutLength(given);
  const whole = cut === Infinity && framing === 'chunked' && repeat === null && !isHead;
  const parts = [headOf(given), framed, ...(whole ? [Buffer.from('0\r\n\r\n')] : [])];
  const bytes = raw ?? Buffer.concat(parts).subarray(0, cut);
  const size = Math.max(1, Math.ceil(bytes.length / pieces));
  for (let start = 0; start < bytes.length; start += size) {
    if (start > 0) await sleep(1);
    await send(socket, bytes.subarray(start, start + size));
  }
  if (repeat !== null && !isHead) {
    const piece = framing === 'chunked' ? chunk(repeat.piece) : repeat.piece;
    for (let i = 0; i < repeat.times && !socket.destroyed; i++) {
      if (repeat.delay > 0) await sleep(repeat.delay);
      await send(socket, piece);
    }
    if (framing === 'chunked') await send(socket, Buffer.from('0\r\n\r\n'));
  }
  if (end === 'fin') socket.end();
  if (end !== 'rst') return;
  // A reset overtakes what the client has not read yet.
  await sleep(8);
  socket.resetAndDestroy();
}

/** Writes with back-pressure. */
function send(socket: Socket, bytes: Buffer): Promise<void> {
  return new Promise((resolve, reject) => {
    if (socket.destroyed || bytes.length === 0) resolve();
    else socket.write(bytes, (error) => (error ? reject(error) : resolve()));
  });
}

function reply(message: FromServer): void {
  process.send?.(message);
}

await Promise.all([once(ours, 'listening'), once(foreign, 'listening')]);
const url = (server: Server): string =>
  `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
const origins = { own: url(ours), foreign: url(foreign) };
process.on('message', (message: ToServer) => {
  if (message.type === 'begin') {
    plan = makePlan(seed, message.index, large);
    answer = makeAnswer(seed, plan, origins);
    reply({ type: 'ready', facts: factsOf(plan, answer) });
    return;
  }
  // What is left in a socket must not be taken for the answer of the next case.
  ours.closeAllConnections();
  foreign.closeAllConnections();
  reply({ type: 'report', own: seen.own.splice(0), foreign: seen.foreign.splice(0) });
});
process.on('disconnect', () => process.exit());
reply({ type: 'listening', ...origins });
