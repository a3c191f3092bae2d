import { afterEach, describe, expect, it, jest } from '@jest/globals';
import { once } from 'node:events';
import { Couch, fetchTransport, gotTransport, memoryCheckpoint } from 'corduroy';
import type { Auth } from 'corduroy';
import { undiciTransport } from 'corduroy/undici';
import { filter, firstValueFrom, of, timeout, toArray } from 'rxjs';
import type { Observable } from 'rxjs';
import { type StubRequest, type StubServer, startStub } from './helpers/stub-server.ts';

// The requests of feeds: their headers, their rate, and the size of their answers.

jest.setTimeout(30_000);

const soon = <T>(source: Observable<T>): Promise<T> =>
  firstValueFrom(source.pipe(timeout({ first: 20_000 })));
const pause = (milliseconds: number): Promise<void> =>
  new Promise((resolve) => {
    setTimeout(resolve, milliseconds);
  });
const cleanUps: (() => unknown)[] = [];
afterEach(async () => {
  for (let last = cleanUps.pop(); last; last = cleanUps.pop()) await last();
});

/** A server that ends each feed at once, `rows` changes later each time. */
async function hasty(rows = 0): Promise<StubServer> {
  const stub = await startStub();
  cleanUps.push(() => stub.close());
  let seq = 0;
  stub.answer(({ url }, response) => {
    if (!url.includes('_changes')) {
      response.end('{"instance_start_time":"1700000000"}');
      return;
    }
    const changes = Array.from({ length: rows }, () => {
      seq += 1;
      return JSON.stringify({ seq: String(seq), id: `d${seq}`, changes: [{ rev: '1-a' }] });
    });
    seq += 1;
    const last = `"last_seq":"${seq}","pending":0}`;
    if (url.includes('feed=continuous')) {
      response.end([...changes, `{${last}`, ''].join('\n'));
    } else if (url.includes('feed=eventsource')) {
      response.end(`data: {"seq":"${seq}","id":"a","changes":[]}\n\n`);
    } else {
      response.end(`{"results":[\n${changes.join(',\n')}\n],\n${last}\n`);
    }
  });
  return stub;
}

const polls = ({ requests }: StubServer): number =>
  requests.filter(({ url }) => url.includes('_changes')).length;

describe.each([
  ['gotTransport', gotTransport],
  ['undiciTransport', undiciTransport],
  ['fetchTransport', fetchTransport],
])('a feed over %s', (_, transport) => {
  it.each(['continuous', 'longpoll', 'eventsource'] as const)(
    'asks for no compression: %s',
    async (feed) => {
      const stub = await hasty();
      const couch = new Couch(stub.url, { transport: transport() });
      const subscription = couch.use('db').changes$({ since: 0, feed }).subscribe();
      const asked = (): StubRequest[] =>
        stub.requests.filter(({ url }) => url.includes('_changes'));
      while (asked().length < 3) await new Promise(setImmediate);
      subscription.unsubscribe();
      for (const { headers } of asked()) expect(headers['accept-encoding']).toBe('identity');
    },
  );
});

// How often they ask is tested in virtual time.
describe('a server that ends each feed at once', () => {
  it.each(['continuous', 'longpoll', 'eventsource'] as const)('is followed: %s', async (feed) => {
    const stub = await hasty(2);
    const changes = new Couch(stub.url).use('db').changes$({ since: 0, feed, latency: 0 });
    const seqs: string[] = [];
    const subscription = changes.subscribe(({ seq }) => seqs.push(seq));
    cleanUps.push(() => subscription.unsubscribe());
    while (polls(stub) < 12) await new Promise(setImmediate);
    const sent = stub.requests.filter(({ url }) => url.includes('_changes'));
    const since = sent.map(({ url }) => Number(new URL(url, stub.url).searchParams.get('since')));
    // Each connection continues after the last one.
    expect(since).toEqual(Array.from({ length: since.length }, (_, n) => 3 * n));
    expect(seqs.length).toBeGreaterThan(10);
  });

  it('is followed by a consumer', async () => {
    const stub = await hasty(2);
    const handled: string[] = [];
    const options = { name: 'c', batchSize: 2, checkpoint: memoryCheckpoint('0') };
    const consumer = new Couch(stub.url).use('db').consume(({ id }) => handled.push(id), options);
    const subscription = consumer.subscribe();
    cleanUps.push(() => subscription.unsubscribe());
    while (polls(stub) < 12) await new Promise(setImmediate);
    expect(handled.slice(0, 6)).toEqual(['d1', 'd2', 'd4', 'd5', 'd7', 'd8']);
    expect(new Set(handled).size).toBe(handled.length);
  });
});

describe('an answer longer than the longest string', () => {
  it.each(['normal', 'consume'])('is read row by row: %s', async (kind) => {
    const stub = await startStub();
    cleanUps.push(() => stub.close());
    const padding = Buffer.alloc(8_000_000, 120);
    const rows = 70;
    stub.answer(({ url }, response) => {
      if (!url.includes('_changes')) {
        response.end('{"instance_start_time":"1700000000"}');
        return;
      }
      const send = async (): Promise<void> => {
        const since = Number(new URL(url, stub.url).searchParams.get('since'));
        response.write('{"results":[\n');
        for (let i = since + 1; i <= rows && !response.closed; i++) {
          response.write(`{"seq":"${i}","id":"d${i}","changes":[],"doc":{"text":"`);
          if (!response.write(padding))
            await Promise.race(['drain', 'close'].map((name) => once(response, name)));
          response.write(i < rows ? '"}},\n' : '"}}\n');
        }
        response.end(`],\n"last_seq":"${rows}","pending":0}\n`);
      };
      void send();
    });
    const db = new Couch(stub.url).use('db');
    const ids: string[] = [];
    if (kind === 'normal') {
      const batches = await soon(
        db.changes$({ since: 0, feed: 'normal', includeDocs: true }).pipe(toArray()),
      );
      ids.push(...batches.flatMap(({ changes }) => changes.map(({ id }) => id)));
    } else {
      const options = {
        name: 'c',
        since: 0 as const,
        includeDocs: true,
        checkpoint: memoryCheckpoint(),
      };
      const handler = ({ id }: { readonly id: string }): void => void ids.push(id);
      await soon(db.consume(handler, options).pipe(filter(({ handled }) => handled === rows)));
    }
    expect(ids).toHaveLength(rows);
  });
});

describe('a header that no header can hold', () => {
  const url = 'http://127.0.0.1:1';
  const token = 'abc\ndef';
  it.each<[string, () => unknown]>([
    ['a JWT', () => new Couch(url, { auth: { bearer: token } })],
    ['a token of a proxy', () => new Couch(url, { auth: { proxy: { username: 'a', token } } })],
    ['a value of the headers option', () => new Couch(url, { headers: { 'x-key': token } })],
    ['a name of the headers option', () => new Couch(url, { headers: { 'x key': 'a' } })],
    [
      'a header of a request',
      () => new Couch(url).request({ path: '/', headers: { 'x-key': token } }),
    ],
    [
      'a media type',
      () => new Couch(url).use('db').putAttachment({ _id: 'a' }, 'x', 'x', { contentType: token }),
    ],
  ])('is refused at the call, without its value: %s', (_, create) => {
    let message = '';
    try {
      create();
    } catch (error) {
      expect(error).toBeInstanceOf(TypeError);
      ({ message } = error as TypeError);
    }
    expect(message).not.toBe('');
    expect(message).not.toContain('abc');
  });

  it('is an error of the request if credentials arrive later', async () => {
    const couch = new Couch(url, { auth: of({ bearer: token }) });
    await expect(soon(couch.version())).rejects.toBeInstanceOf(TypeError);
  });
});

describe('credentials', () => {
  it('from a Promise that rejects and that no request waits for end no program', async () => {
    const unhandled: unknown[] = [];
    const record = (error: unknown): void => void unhandled.push(error);
    process.on('unhandledRejection', record);
    cleanUps.push(() => process.off('unhandledRejection', record));
    const auth: Auth = Promise.reject(new RangeError('no login'));
    const couch = new Couch('http://127.0.0.1:1', { auth });
    await pause(20);
    expect(unhandled).toEqual([]);
    await expect(soon(couch.version())).rejects.toThrow('no login');
  });

  it.each([
    ['LegacyAuthSession=other; Path=/, AuthSession=right; Max-Age=600', 'right'],
    ['x="AuthSession=evil"; Path=/, AuthSession=right; Max-Age=600', 'right'],
    ['x="a, AuthSession=evil", AuthSession=right; Max-Age=600', 'right'],
    ['AuthSession=right; Expires=Thu, 26-Nov-2026 03:14:52 GMT; Max-Age=600', 'right'],
  ])('are the cookie AuthSession alone: %s', async (cookie, value) => {
    const stub = await startStub((request, response) => {
      if (request.method === 'POST') response.setHeader('set-cookie', cookie);
      response.end('{"ok":true,"name":"ada","roles":[],"version":"3.5.0"}');
    });
    cleanUps.push(() => stub.close());
    await soon(new Couch(stub.url, { auth: { session: ['ada', 'pw'] } }).version());
    expect(stub.requests[1]?.headers['cookie']).toBe(`AuthSession=${value}`);
  });
});
