import { afterEach, describe, expect, it } from '@jest/globals';
import { createServer } from 'node:http';
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { text } from 'node:stream/consumers';
import { Couch, fetchTransport, gotTransport } from 'corduroy';
import type { CorduroyError, RequestEvent, Transport } from 'corduroy';
import { undiciTransport } from 'corduroy/undici';
import { firstValueFrom } from 'rxjs';
import type { Observable } from 'rxjs';

// A server that closes a kept connection, or refuses a request: what Corduroy sends again. The page
// docs/guide/19-links-and-retries.md has the same table.

const servers: Server[] = [];
afterEach(() => {
  for (const server of servers.splice(0)) {
    server.close();
    server.closeAllConnections();
  }
});

type Fault = (request: IncomingMessage, response: ServerResponse) => void;

const close: Fault = ({ socket }) => socket.destroy();
const reset: Fault = ({ socket }) => socket.resetAndDestroy();
const status =
  (code: number, headers: Record<string, string> = {}, error = 'error'): Fault =>
  (_, response) =>
    response.writeHead(code, headers).end(JSON.stringify({ error, reason: 'made up' }));
const truncate: Fault = (_, response) => {
  response.writeHead(200, { 'content-length': '1000' }).write('{"version":');
  setImmediate(() => response.destroy());
};

/** Answers as CouchDB does, except that the first request of `/faulty` meets a fault. */
async function start(fault: Fault): Promise<{ readonly url: string; readonly seen: string[] }> {
  const seen: string[] = [];
  let faults = 1;
  const used = new WeakSet<Socket>();
  const server = createServer((request, response) => {
    const { method, url = '', socket } = request;
    void text(request).then(() => {
      if (url.startsWith('/faulty')) {
        seen.push(
          `${method} ${url.replace('/faulty', '')}${seen.length === 0 && used.has(socket) ? ' reused' : ''}`,
        );
        used.add(socket);
        if (faults-- > 0) return fault(request, response);
      }
      used.add(socket);
      const body = {
        version: '3.5.0',
        ok: true,
        id: 'a',
        _id: 'a',
        rev: '1-a',
        docs: [],
        update_seq: '0',
        sizes: {},
        results: [{ docs: [{ error: { error: 'not_found' } }] }],
      };
      return response
        .writeHead(200, { 'content-type': 'application/json' })
        .end(JSON.stringify(body));
    });
  });
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, seen };
}

type Call = (couch: Couch) => Observable<unknown>;

const calls = {
  'GET /': (couch) => couch.use('faulty').info(),
  'POST /_find': (couch) => couch.use('faulty').find({ selector: {} }),
  'POST /_compact': (couch) => couch.use('faulty').compact(),
  'PUT /': (couch) => couch.create('faulty'),
  'PUT /a': (couch) => couch.use('faulty').save({ _id: 'a' }),
  'PUT /a/f': (couch) =>
    couch.use('faulty').putAttachment({ _id: 'a', _rev: '1-a' }, stream(), 'f'),
} satisfies Record<string, Call>;

async function* stream(): AsyncGenerator<Uint8Array> {
  yield Buffer.from('text');
}

const transports: [string, () => Transport][] = [
  ['got', gotTransport],
  ['undici', undiciTransport],
  ['fetch', fetchTransport],
];

/** What a call sends, and whether it succeeds. A connection that is kept is used first. */
async function run(
  make: () => Transport,
  fault: Fault,
  call: Call,
  reused: boolean,
): Promise<readonly [sent: string, outcome: string]> {
  const { url, seen } = await start(fault);
  const couch = new Couch(url, { transport: make(), retry: { initialDelay: 1 } });
  if (reused) {
    await firstValueFrom(couch.version());
    // Until then the connection is not free.
    await new Promise((resolve) => setTimeout(resolve));
  }
  const outcome = await firstValueFrom(call(couch)).then(
    () => 'written',
    ({ mayBeWritten, name }: CorduroyError) => (mayBeWritten ? 'unknown' : name),
  );
  return [seen.join(', '), outcome];
}

describe.each(transports)('over %s', (_name, make) => {
  it.each<[keyof typeof calls, readonly [string, string]]>([
    ['GET /', ['GET  reused, GET ', 'written']],
    ['POST /_find', ['POST /_find reused, POST /_find', 'written']],
    ['POST /_compact', ['POST /_compact reused, POST /_compact', 'written']],
    ['PUT /a', ['PUT /a reused, POST /_bulk_get?revs=true, PUT /a', 'written']],
    ['PUT /', ['PUT  reused', 'unknown']],
    ['PUT /a/f', ['PUT /a/f?rev=1-a reused', 'unknown']],
  ])('a kept connection that the server closes: %s', async (name, expected) => {
    expect(await run(make, close, calls[name], true)).toEqual(expected);
  });

  it.each<[keyof typeof calls, readonly [string, string]]>([
    ['GET /', ['GET , GET ', 'written']],
    ['POST /_find', ['POST /_find, POST /_find', 'written']],
    ['POST /_compact', ['POST /_compact', 'unknown']],
    ['PUT /a', ['PUT /a, POST /_bulk_get?revs=true', 'unknown']],
    ['PUT /', ['PUT ', 'unknown']],
    ['PUT /a/f', ['PUT /a/f?rev=1-a', 'unknown']],
  ])('a new connection that is reset: %s', async (name, expected) => {
    expect(await run(make, reset, calls[name], false)).toEqual(expected);
  });

  it.each<[string, Fault, keyof typeof calls, readonly [number, string]]>([
    ['429', status(429), 'GET /', [2, 'written']],
    ['429', status(429), 'PUT /', [2, 'written']],
    ['429', status(429), 'PUT /a', [2, 'written']],
    ['429', status(429), 'PUT /a/f', [1, 'TooManyRequests']],
    ['503', status(503), 'GET /', [2, 'written']],
    ['503', status(503), 'POST /_find', [2, 'written']],
    ['503', status(503), 'PUT /', [1, 'unknown']],
    ['503, Retry-After', status(503, { 'retry-after': '0' }), 'PUT /', [2, 'written']],
    ['502', status(502), 'GET /', [2, 'written']],
    ['504', status(504), 'GET /', [2, 'written']],
    ['500 timeout', status(500, {}, 'timeout'), 'GET /', [2, 'written']],
    ['500 unknown', status(500, {}, 'unknown_error'), 'GET /', [1, 'ServerError']],
    ['404', status(404), 'GET /', [1, 'NotFound']],
    ['a truncated answer', truncate, 'GET /', [2, 'written']],
    ['a truncated answer', truncate, 'PUT /', [1, 'unknown']],
  ])('%s: %s', async (_fault, fault, name, [count, outcome]) => {
    const [sent, actual] = await run(make, fault, calls[name], false);
    expect([sent.split(', ').length, actual]).toEqual([count, outcome]);
  });

  it('a refused connection: every request is sent again', async () => {
    const { url } = await start(close);
    const [closed] = servers.splice(0);
    await new Promise((resolve) => closed?.close(resolve));
    for (const call of [calls['GET /'], calls['PUT /']] as Call[]) {
      const couch = new Couch(url, {
        transport: make(),
        retry: { initialDelay: 1 },
      });
      const events: RequestEvent[] = [];
      couch.requests$.subscribe((event) => events.push(event));
      await expect(firstValueFrom(call(couch))).rejects.toMatchObject({
        name: 'ConnectionError',
        mayBeWritten: false,
      });
      expect(events.map(({ type }) => type)).toEqual(['start', 'retry', 'retry', 'error']);
    }
  });
});
