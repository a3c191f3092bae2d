import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { type FaultyProxy, startFaultyProxy } from './helpers/faulty-proxy.ts';

// The suite breaks networks with this proxy, so its faults must be exact.

let origin: Server;
let proxy: FaultyProxy;
let upstreamOpen = 0;

beforeEach(async () => {
  origin = createServer((request, response) => {
    if (request.url === '/feed') {
      response.write('1\n');
      const timer = setInterval(() => response.write('.\n'), 10);
      response.on('close', () => clearInterval(timer));
      return;
    }
    response.end(`${request.method} ${request.url} 0123456789`);
  });
  origin.on('connection', (socket) => {
    upstreamOpen += 1;
    socket.on('close', () => {
      upstreamOpen -= 1;
    });
  });
  origin.listen(0, '127.0.0.1');
  await once(origin, 'listening');
  proxy = await startFaultyProxy(`http://127.0.0.1:${(origin.address() as AddressInfo).port}`);
});

afterEach(async () => {
  await proxy.close();
  origin.closeAllConnections();
  origin.close();
  await once(origin, 'close');
});

const get = async (path: string): Promise<string> => (await fetch(`${proxy.url}${path}`)).text();

/**
 * Sends a request over a socket. Returns every byte of the response, and whether it ended cleanly.
 */
async function raw(
  path: string,
  began: () => void = () => {},
): Promise<{ text: string; error?: string }> {
  const { port } = new URL(proxy.url);
  const socket = connect(Number(port), '127.0.0.1');
  socket.write(`GET ${path} HTTP/1.1\r\nHost: x\r\n\r\n`);
  let text = '';
  let failure: NodeJS.ErrnoException | undefined;
  socket.on('data', (chunk) => {
    text += chunk.toString();
    began();
  });
  socket.on('error', (error) => (failure = error));
  await new Promise((resolve) => socket.on('close', resolve));
  return { text, ...(failure?.code && { error: failure.code }) };
}

const causeOf = (promise: Promise<unknown>): Promise<string | undefined> =>
  promise.then(
    () => undefined,
    (error: { cause?: { code?: string } }) => error.cause?.code,
  );

it('forwards and records requests', async () => {
  const next = proxy.nextRequest(({ url }) => url.startsWith('/b'));
  expect(await get('/a')).toBe('GET /a 0123456789');
  await (await fetch(`${proxy.url}/b?c=d`, { method: 'POST', body: '{"x":1}' })).text();
  expect(await next).toMatchObject({ method: 'POST', url: '/b?c=d', body: '{"x":1}' });
  expect(proxy.requests.map(({ url }) => url)).toEqual(['/a', '/b?c=d']);
  expect(proxy.accepted).toBeGreaterThanOrEqual(1);
});

describe('connections', () => {
  it('are refused, and later accepted on the same port', async () => {
    const { url } = proxy;
    await get('/a');
    proxy.refuse();
    expect(await causeOf(get('/b'))).toMatch(/ECONNREFUSED|UND_ERR_SOCKET/);
    expect(await causeOf(get('/b'))).toBe('ECONNREFUSED');
    await proxy.accept();
    expect(proxy.url).toBe(url);
    expect(await get('/c')).toContain('GET /c');
  });

  it('close at the server when the client disconnects', async () => {
    const controller = new AbortController();
    const response = await fetch(`${proxy.url}/feed`, { signal: controller.signal });
    const reading = response.text().catch(() => 'aborted');
    expect(proxy.connections).toBe(1);
    controller.abort();
    expect(await reading).toBe('aborted');
    await proxy.closed();
    const isClosed = (): boolean => upstreamOpen === 0;
    while (!isClosed()) await new Promise(setImmediate);
    expect(upstreamOpen).toBe(0);
  });

  it.each(['cut', 'reset', 'halfClose'] as const)('break on %s', async (fault) => {
    let begin = (): void => {};
    const began = new Promise<void>((resolve) => (begin = resolve));
    const feed = raw('/feed', begin);
    await began;
    proxy[fault]();
    const { text, error } = await feed;
    expect(text).toContain('1\n');
    expect(text).not.toContain('0\r\n\r\n');
    expect(error).toBe(fault === 'reset' ? 'ECONNRESET' : undefined);
  });

  it('break only for matching requests', async () => {
    const feed = raw('/feed');
    await proxy.nextRequest();
    proxy.cut(({ url }) => url === '/other');
    await new Promise((resolve) => setTimeout(resolve, 30));
    expect(proxy.connections).toBe(1);
    proxy.cut(({ url }) => url === '/feed');
    await feed;
    await proxy.closed();
    expect(proxy.connections).toBe(0);
  });
});

describe('answers', () => {
  it.each([0, 1, 7])('are cut after exactly %i bytes of body', async (bytes) => {
    proxy.cutAfter(bytes, { times: 1 });
    const { text } = await raw('/a');
    expect(text.split('\r\n\r\n')[1]).toBe('GET /a 0123456789'.slice(0, bytes));
    expect(await get('/a')).toBe('GET /a 0123456789');
  });

  it.each([1, 20, 60])('are cut after exactly %i bytes on the wire', async (bytes) => {
    proxy.cutAfter(bytes, { of: 'wire' });
    const { text } = await raw('/a');
    expect(text).toHaveLength(bytes);
    expect(text).toBe('HTTP/1.1 200 OK\r\n'.slice(0, bytes) + text.slice(17));
  });

  it('are truncated with a clean end', async () => {
    proxy.truncate(({ url }) => url === '/a', 5);
    expect(await get('/a')).toBe('GET /');
    expect(await get('/b')).toBe('GET /b 0123456789');
  });

  it('are replaced, a given number of times', async () => {
    const headers = { 'retry-after': '1', 'content-type': 'text/html' };
    proxy.answer({
      status: 503,
      headers,
      body: '<html>',
      times: 2,
      match: ({ url }) => url === '/a',
    });
    for (let turn = 0; turn < 2; turn += 1) {
      const response = await fetch(`${proxy.url}/a`);
      expect([response.status, response.headers.get('retry-after')]).toEqual([503, '1']);
      expect(await response.text()).toBe('<html>');
    }
    expect(await get('/a')).toContain('GET /a');
  });

  it('are delayed', async () => {
    const undo = proxy.delay(80, { match: ({ url }) => url === '/a' });
    const started = performance.now();
    await get('/b');
    expect(performance.now() - started).toBeLessThan(70);
    await get('/a');
    expect(performance.now() - started).toBeGreaterThanOrEqual(75);
    undo();
  });

  it('stall on an open connection, and resume', async () => {
    proxy.stall();
    let text: string | undefined;
    const reading = get('/a').then((got) => (text = got));
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect([text, proxy.connections]).toEqual([undefined, 1]);
    proxy.resume();
    expect(await reading).toBe('GET /a 0123456789');
  });

  it('stall in the middle of a feed', async () => {
    const response = await fetch(`${proxy.url}/feed`);
    const reader = response.body?.getReader();
    await reader?.read();
    proxy.stall(({ url }) => url === '/feed');
    await new Promise((resolve) => setTimeout(resolve, 40));
    // Bytes in flight may still arrive; afterwards there must be none.
    const silent = new Promise((resolve) => setTimeout(resolve, 100, 'silence'));
    const rest = (async () => {
      for (;;) if ((await reader?.read())?.done) return 'end';
    })().catch(() => 'cut');
    expect(await Promise.race([rest, silent])).toBe('silence');
    expect(await get('/b')).toContain('GET /b');
    proxy.resume();
    proxy.cut();
    expect(await rest).toBe('cut');
  });
});
