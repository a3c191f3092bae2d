import { afterEach, describe, expect, it, jest } from '@jest/globals';
import { Couch, TimeoutError, fetchTransport, gotTransport } from 'corduroy';
import { undiciTransport } from 'corduroy/undici';
import { asyncScheduler, firstValueFrom, timeout } from 'rxjs';
import type { Observable, SchedulerAction, SchedulerLike, Subscription } from 'rxjs';
import { json, type StubServer, startStub } from './helpers/stub-server.ts';

// Durations of any length, on a clock that never goes back.

jest.setTimeout(20_000);

const soon = <T>(source: Observable<T>): Promise<T> =>
  firstValueFrom(source.pipe(timeout({ first: 10_000 })));
const failure = (source: Observable<unknown>): Promise<unknown> =>
  soon(source).then(
    (value) => ({ unexpected: value }),
    (error: unknown) => error,
  );
const pause = (milliseconds: number): Promise<void> =>
  new Promise((resolve) => {
    setTimeout(resolve, milliseconds);
  });

const cleanUps: (() => unknown)[] = [];
afterEach(async () => {
  jest.restoreAllMocks();
  for (let last = cleanUps.pop(); last; last = cleanUps.pop()) await last();
});

async function stubbed(): Promise<StubServer> {
  const stub = await startStub();
  cleanUps.push(() => stub.close());
  return stub;
}

/** A scheduler of real time that records the delays of its timers. */
class Recorder implements SchedulerLike {
  readonly delays: number[] = [];
  now(): number {
    return asyncScheduler.now();
  }
  schedule<S>(
    work: (this: SchedulerAction<S>, state?: S) => void,
    delay?: number,
    state?: S,
  ): Subscription {
    this.delays.push(delay ?? 0);
    return asyncScheduler.schedule(work, delay, state);
  }
}

describe('a duration', () => {
  const db = new Couch('http://127.0.0.1:1').use('db');
  const calls: readonly (readonly [string, (value: never) => unknown])[] = [
    ['timeout', (value) => new Couch('http://127.0.0.1:1', { timeout: value })],
    ['request: timeout', (value) => db.request({ path: '/', timeout: value })],
    [
      'putAttachment: timeout',
      (value) => db.putAttachment({ _id: 'a' }, 'x', 'x', { timeout: value }),
    ],
    ['changes$: latency', (value) => db.changes$({ latency: value })],
    ['changes$: linger', (value) => db.changes$({ linger: value })],
    [
      'changes$: backoff.initialDelay',
      (value) => db.changes$({ backoff: { initialDelay: value } }),
    ],
    ['changes$: backoff.maxDelay', (value) => db.changes$({ backoff: { maxDelay: value } })],
    ['allDocs$: latency', (value) => db.allDocs$({ latency: value })],
    ['view$: latency', (value) => db.view$('a/b', { latency: value })],
    ['find$: latency', (value) => db.find$({ selector: {}, latency: value })],
    ['edit$: debounce', (value) => db.edit$('a', { debounce: value })],
    [
      'coalesce: maxWait',
      (value) => new Couch('http://127.0.0.1:1', { coalesce: { maxWait: value } }),
    ],
    [
      'auth.loginInterval',
      (value) =>
        new Couch('http://127.0.0.1:1', { auth: { session: ['a', 'b'], loginInterval: value } }),
    ],
    [
      'nodeBackoff.maxDelay',
      (value) =>
        new Couch(['http://127.0.0.1:1', 'http://127.0.0.1:2'], {
          nodeBackoff: { maxDelay: value },
        }),
    ],
  ];

  it.each(calls)('is refused as %s if it is negative, NaN or no number', (name, create) => {
    for (const [value, shown] of [
      [-1, '-1'],
      [NaN, 'NaN'],
      // A text may be a password in the wrong place.
      ['5', name.startsWith('auth.') ? 'string' : '"5"'],
    ] as const) {
      expect(() => create(value as never)).toThrow(
        `${name} must be milliseconds from 0 (received ${shown})`,
      );
    }
  });

  it.each(calls)('can be Infinity or very long as %s', (_, create) => {
    for (const value of [Infinity, 3e9, 0]) expect(() => create(value as never)).not.toThrow();
  });

  it.each([3e9, Infinity])('of %d ms as timeout sets no short timer', async (length) => {
    const stub = await stubbed();
    stub.answer((_request, response) => {
      setTimeout(() => response.end('{"version":"3.5.0"}'), 100);
    });
    const scheduler = new Recorder();
    const couch = new Couch(stub.url, { timeout: length, scheduler });
    expect(await soon(couch.version())).toBe('3.5.0');
    expect(scheduler.delays.length).toBeLessThan(4);
    for (const delay of scheduler.delays) expect(delay).toBe(2 ** 31 - 1);
  });

  it.each([3e9, Infinity])('of %d ms as latency or linger does not end at once', async (length) => {
    const stub = await stubbed();
    stub.answer((request, response) => {
      if (!request.url.includes('feed=continuous'))
        return json({ last_seq: '0' })(request, response);
      response.write('{"seq":"1","id":"a","changes":[]}\n');
      return undefined;
    });
    const feed = new Couch(stub.url)
      .use('db')
      .changes$({ since: 0, latency: length, linger: length, errorTolerance: 0 });
    const batches: unknown[] = [];
    const subscription = feed.subscribe((batch) => batches.push(batch));
    await pause(200);
    expect(batches).toEqual([]);
    subscription.unsubscribe();
    await pause(100);
    expect(await stub.connections()).toBeGreaterThan(0);
  });
});

describe('the clock', () => {
  it('of a timeout does not go back with the clock of the computer', async () => {
    const stub = await stubbed();
    stub.answer(() => {});
    const failed = failure(new Couch(stub.url, { timeout: 300 }).version());
    const real = Date.now.bind(Date);
    jest.spyOn(Date, 'now').mockImplementation(() => real() - 3_600_000);
    const begin = performance.now();
    expect(await failed).toBeInstanceOf(TimeoutError);
    expect(performance.now() - begin).toBeLessThan(2000);
  });

  it('of a silent feed does not go back either', async () => {
    const stub = await stubbed();
    stub.answer((request, response) => {
      if (!request.url.includes('feed=continuous'))
        return json({ last_seq: '0' })(request, response);
      response.write('\n');
      return undefined;
    });
    const feed = new Couch(stub.url)
      .use('db')
      .changes$({ since: 0, heartbeat: 150, errorTolerance: 0 });
    const failed = failure(feed);
    await stub.seen('/db');
    const real = Date.now.bind(Date);
    jest.spyOn(Date, 'now').mockImplementation(() => real() - 3_600_000);
    expect(await failed).toBeInstanceOf(TimeoutError);
  });
});

describe.each([
  ['gotTransport', gotTransport],
  ['undiciTransport', undiciTransport],
  ['fetchTransport', fetchTransport],
])('an upload over %s', (_, transport) => {
  async function* slowly(chunks: number): AsyncGenerator<Uint8Array> {
    for (let i = 0; i < chunks; i++) {
      await pause(100);
      yield new Uint8Array(1000);
    }
  }

  it('may last longer than the timeout while bytes flow', async () => {
    const stub = await stubbed();
    stub.answer(json({ ok: true, id: 'a', rev: '1-a' }, 201));
    const couch = new Couch(stub.url, { transport: transport(), timeout: 400 });
    const written = await soon(couch.use('db').putAttachment({ _id: 'a' }, slowly(8), 'x.bin'));
    expect(written.rev).toBe('1-a');
    const answer = await soon(couch.request({ method: 'PUT', path: '/x', body: slowly(8) }));
    expect(answer).toMatchObject({ ok: true });
  });

  it('errors if its stream is silent for longer than the timeout', async () => {
    const stub = await stubbed();
    const couch = new Couch(stub.url, { transport: transport() });
    async function* silent(): AsyncGenerator<Uint8Array> {
      yield new Uint8Array(10);
      await pause(2000);
    }
    const options = { timeout: 200 };
    const upload = couch.use('db').putAttachment({ _id: 'a' }, silent(), 'x.bin', options);
    expect(await failure(upload)).toMatchObject({ name: 'TimeoutError', timeout: 200 });
  });
});
