import { describe, expect, it } from '@jest/globals';
import { catchError, concatMap, map, of, range, retry, takeUntil, timer, toArray } from 'rxjs';
import type { Observable } from 'rxjs';
import type { ConnectionError, CorduroyError, Couch, CouchOptions, Link } from 'corduroy';
import { faults, memoryServer, raw } from 'corduroy/testing';
import type { ConnectionFault, FaultsOptions, MarbleServer } from 'corduroy/testing';
import { marbles } from './helpers/run.ts';

const order = { _id: 'a', _rev: '1-a', total: 3 };
const random = (): number => 0.5;

/** The name of the error, or `v` for a value. */
const outcome = (work: Observable<unknown>): Observable<string> =>
  work.pipe(
    map(() => 'v'),
    catchError((error: CorduroyError) => of(error.name)),
  );

/** The outcomes of reads that follow each other: a dot for a success, an x for a failure. */
const reads = (couch: Couch, n: number): Observable<string> =>
  range(n).pipe(
    concatMap(() => outcome(couch.use('orders').get('a'))),
    map((name) => (name === 'v' ? '.' : 'x')),
    toArray(),
    map((all) => all.join('')),
  );

/** A server with one order, and a link that injects faults. */
function failing(
  server: MarbleServer,
  options: FaultsOptions,
  where: 'links' | 'networkLinks' = 'links',
  more: CouchOptions = {},
): Couch {
  server.on('GET /orders/:id', order);
  server.on('PUT /orders/_local/a', { ok: true, id: '_local/a', rev: '0-1' });
  return server.couch({ [where]: [faults(options)], ...more });
}

const PLACES = ['links', 'networkLinks'] as const;

describe('faults() chooses', () => {
  it.each<[string, FaultsOptions, string]>([
    ['each request', { status: 503 }, 'xxxxxx'],
    ['the first ones', { status: 503, times: 2 }, 'xx....'],
    ['every third one', { status: 503, every: 3 }, '..x..x'],
    ['those after some', { status: 503, after: 2 }, '..xxxx'],
    ['one after some', { status: 503, after: 2, times: 1 }, '..x...'],
    ['every second one after some', { status: 503, after: 1, every: 2 }, '..x.x.'],
    ['none with times 0', { status: 503, times: 0 }, '......'],
    ['none with rate 0', { status: 503, rate: 0 }, '......'],
    ['all with rate 1', { status: 503, rate: 1 }, 'xxxxxx'],
    ['those below the rate', { status: 503, rate: 0.5, random: alternating() }, 'x.x.x.'],
    ['no reads', { status: 503, reads: false }, '......'],
    ['reads', { status: 503, writes: false }, 'xxxxxx'],
    ['those that match', { status: 503, match: ({ path }) => path === '/orders/a' }, 'xxxxxx'],
    ['not those that do not', { status: 503, match: ({ path }) => path === '/orders/b' }, '......'],
  ])('%s: %j', (_, options, expected) => {
    marbles(({ server, expectObservable }) => {
      expectObservable(reads(failing(server, options), 6)).toBe('(a|)', { a: expected });
    })();
  });

  it('the same requests in each run, with a rate', () => {
    marbles(({ server, expectObservable }) => {
      const rare = { fail: 'reset', rate: 0.25 } as const;
      const expected = 'x...x...x.....x.....xxx.';
      expectObservable(reads(failing(server, rare), 24)).toBe('(a|)', { a: expected });
      expectObservable(reads(failing(server, rare), 24)).toBe('(a|)', { a: expected });
    })();
  });

  it('writes, and counts its faults', () => {
    marbles(({ server, expectObservable, flush }) => {
      const link = faults({ status: 503, reads: false });
      server.on('GET /orders/:id', order);
      const db = server.couch({ links: [link] }).use('orders');
      expectObservable(outcome(db.get('a'))).toBe('(v|)');
      expectObservable(outcome(db.local.save({ _id: '_local/a' }))).toBe('(v|)', {
        v: 'ServerError',
      });
      flush();
      expect(link.injected).toBe(1);
      expect(server.requests.map(({ method }) => method)).toEqual(['GET']);
    })();
  });

  it('at each subscription, so that a retry is another request', () => {
    marbles(({ server, expectObservable, flush }) => {
      const link = faults({ status: 503, times: 2 });
      server.on('GET /orders/:id', order);
      const read = server
        .couch({ links: [link] })
        .use('orders')
        .get('a');
      expect(link.injected).toBe(0);
      expectObservable(outcome(read.pipe(retry({ delay: () => timer(10) })))).toBe('20ms (v|)');
      flush();
      expect(link.injected).toBe(2);
    })();
  });

  it('nothing if match throws: the error is the result', () => {
    marbles(({ server, expectObservable }) => {
      const mine = new RangeError('mine');
      const match = (): boolean => {
        throw mine;
      };
      const couch = failing(server, { status: 503, match });
      expectObservable(couch.use('orders').get('a')).toBe('#', undefined, mine);
    })();
  });
});

function alternating(): () => number {
  let n = 0;
  return () => (n++ % 2 === 0 ? 0.49 : 0.5);
}

describe('faults() injects', () => {
  it('a status, with the error and reason of CouchDB or of the test', () => {
    marbles(({ server, expectObservable, flush }) => {
      const described = (options: FaultsOptions): Observable<unknown> =>
        failing(server, options)
          .use('orders')
          .get('a')
          .pipe(
            catchError((failure: CorduroyError & Record<string, unknown>) =>
              of([failure.name, failure['status'], failure['error'], failure['reason']]),
            ),
          );
      expectObservable(described({ status: 429 })).toBe('(a|)', {
        a: ['TooManyRequests', 429, 'too_many_requests', 'Too many requests.'],
      });
      const timeout = { status: 500, error: 'timeout', reason: 'slow' };
      expectObservable(described(timeout)).toBe('(a|)', {
        a: ['ServerError', 500, 'timeout', 'slow'],
      });
      flush();
      expect(server.requests).toEqual([]);
    })();
  });

  it.each<[ConnectionFault, string, boolean, number]>([
    ['refused', 'ECONNREFUSED', false, 0],
    ['reset', 'ECONNRESET', false, 0],
    ['stale', 'ECONNRESET', true, 0],
    ['lost', 'ECONNRESET', false, 1],
  ])('%s: the code %s, reusedSocket %s, and the server sees %i', (fail, expected, reused, seen) => {
    marbles(({ server, expectObservable, flush }) => {
      for (const where of PLACES) {
        const couch = failing(server, { fail }, where);
        const failure = couch
          .use('orders')
          .local.save({ _id: '_local/a' })
          .pipe(
            catchError(({ name, code, reusedSocket }: ConnectionError) =>
              of([name, code, reusedSocket]),
            ),
          );
        expectObservable(failure).toBe('(a|)', { a: ['ConnectionError', expected, reused] });
        const before = server.requests.length;
        flush();
        expect(server.requests.length - before).toBe(seen);
      }
    })();
  });

  it('a body that ends early, whether Corduroy reads it at once or row by row', () => {
    marbles(({ server, expectObservable }) => {
      const lines = ['{"docs":[', '{"_id":"a"},', '{"_id":"b"}', '],"bookmark":"c"}', ''];
      server.on('POST /orders/_find', raw(lines.join('\n')));
      for (const where of PLACES) {
        for (const truncate of [0, 5, 1_000_000]) {
          const db = failing(server, { truncate }, where).use('orders');
          expectObservable(outcome(db.get('a'))).toBe('(a|)', { a: 'ProtocolError' });
        }
        const rows = failing(server, { truncate: 30 }, where)
          .use('orders')
          .findRows({ selector: {} });
        expectObservable(outcome(rows)).toBe('(va|)', { v: 'v', a: 'ProtocolError' });
      }
    })();
  });

  it('a cut of a feed, which resumes', () => {
    marbles(({ server, hot, expectObservable }) => {
      server.feed('orders', hot('-a-b', { a: 'a', b: 'b' }));
      const link = faults({ truncate: 1, times: 1, match: ({ endless }) => endless });
      const feed = server
        .couch({ networkLinks: [link] })
        .use('orders')
        .changes$({ latency: 0, feed: 'continuous', backoff: { random } });
      const ids = feed.pipe(map(({ changes }) => changes.map(({ id }) => id).join()));
      expectObservable(ids, '1s !').toBe('51ms (ab)');
    })();
  });

  it('a delay, also before another fault, and in virtual time', () => {
    marbles(({ server, expectObservable }, scheduler) => {
      const slow = failing(server, { delay: 20, scheduler });
      expectObservable(outcome(slow.use('orders').get('a'))).toBe('20ms (v|)');
      const both = failing(server, { delay: 30, fail: 'reset' });
      expectObservable(outcome(both.use('orders').get('a'))).toBe('30ms (a|)', {
        a: 'ConnectionError',
      });
      const endless = { delay: Infinity };
      const never = failing(server, endless, 'networkLinks', { timeout: 40 });
      expectObservable(outcome(never.use('orders').get('a'))).toBe('40ms (a|)', {
        a: 'TimeoutError',
      });
    })();
  });

  it('nothing after its subscriber has left', () => {
    marbles(({ server, expectObservable, flush }) => {
      const couch = failing(server, { delay: 20 });
      const read = couch.use('orders').get('a');
      expectObservable(read.pipe(takeUntil(timer(10)))).toBe('10ms |');
      flush();
      expect(server.requests).toEqual([]);
    })();
  });
});

describe('faults() tests retries', () => {
  it.each<[string, FaultsOptions, string]>([
    ['503', { status: 503, times: 2 }, '152ms (v|)'],
    ['a reset', { fail: 'reset', times: 2 }, '152ms (v|)'],
    ['a lost response', { fail: 'lost', times: 2 }, '152ms (v|)'],
    ['a stale connection', { fail: 'stale', times: 1 }, '(v|)'],
    ['a truncated body', { truncate: 5, times: 2 }, '152ms (v|)'],
    ['429 with Retry-After', { status: 429, retryAfter: 2, times: 1 }, '2250ms (v|)'],
  ])('of Corduroy, as a network link: %s', (_, options, expected) => {
    marbles(({ server, expectObservable }) => {
      const couch = failing(server, options, 'networkLinks', { retry: { random } });
      expectObservable(outcome(couch.use('orders').get('a'))).toBe(expected);
    })();
  });

  it('of the program, as a link: Corduroy does not retry them', () => {
    marbles(({ server, expectObservable }) => {
      const couch = failing(server, { status: 503, times: 1 }, 'links', { retry: { random } });
      const read = couch.use('orders').get('a');
      expectObservable(outcome(read)).toBe('(a|)', { a: 'ServerError' });
      expectObservable(outcome(read)).toBe('(v|)');
    })();
  });

  it('with several links, of which each counts for itself', () => {
    marbles(({ server, expectObservable }) => {
      const links: Link[] = [
        faults({ status: 429, times: 1 }),
        faults({ fail: 'reset', times: 1 }),
      ];
      server.on('GET /orders/:id', order);
      const couch = server.couch({ links });
      expectObservable(reads(couch, 3)).toBe('(a|)', { a: 'xx.' });
    })();
  });

  it('of a save whose response is lost: it is written once', () => {
    marbles(({ expectObservable, flush }) => {
      const memory = memoryServer({ latency: 0, databases: { orders: [] } });
      const link = faults({ fail: 'lost', reads: false, times: 1 });
      const lines: string[] = [];
      memory.requestLines$.subscribe((line) => lines.push(line));
      const db = memory.couch({ networkLinks: [link] }).use('orders');
      expectObservable(outcome(db.save({ _id: 'a', total: 1 }))).toBe('(v|)');
      flush();
      expect(link.injected).toBe(1);
      expect(lines).toEqual(['PUT /orders/a', expect.stringMatching(/^POST \/orders\/_bulk_get/)]);
    })();
  });
});

describe('faults() refuses', () => {
  it.each<[unknown, RegExp]>([
    [undefined, /^faults: options must be an object \(received undefined\)/],
    [{}, /^faults: no fault is set: add status, fail, truncate or delay/],
    [{ times: 1 }, /^faults: no fault is set/],
    [
      { status: 503, retry_after: 1 },
      /^faults: unknown option 'retry_after'; did you mean 'retryAfter'/,
    ],
    [{ status: 503, fail: 'reset' }, /^faults: status and fail exclude each other/],
    [{ status: 503, truncate: 1 }, /^faults: status and truncate exclude each other/],
    [{ fail: 'reset', truncate: 1 }, /^faults: fail and truncate exclude each other/],
    [{ status: 503, rate: 0.1, every: 2 }, /^faults: rate and every exclude each other/],
    [{ fail: 'reset', error: 'a' }, /^faults: error has no effect without status/],
    [{ fail: 'reset', reason: 'a' }, /^faults: reason has no effect without status/],
    [{ fail: 'reset', retryAfter: 1 }, /^faults: retryAfter has no effect without status/],
    [{ fail: 'reset', random }, /^faults: random has no effect without rate/],
    [{ fail: 'reset', scheduler: {} }, /^faults: scheduler must be a scheduler/],
    [{ status: 503, reads: false, writes: false }, /^faults: reads and writes are both false/],
    [{ status: 200 }, /^faults: status must be an HTTP status from 400 to 599 \(received 200\)/],
    [{ status: '503' }, /^faults: status must be an HTTP status/],
    [{ fail: 'cut' }, /^faults: fail must be one of 'refused', 'reset', 'stale', 'lost'/],
    [{ truncate: -1 }, /^faults: truncate must be a whole number from 0/],
    [{ delay: -1 }, /^faults: delay must be milliseconds/],
    [{ delay: NaN }, /^faults: delay must be milliseconds/],
    [{ delay: 2 ** 31 }, /^faults: delay must be milliseconds/],
    [{ status: 503, rate: 2 }, /^faults: rate must be a number from 0 to 1/],
    [{ status: 503, every: 0 }, /^faults: every must be a whole number from 1/],
    [{ status: 503, times: 1.5 }, /^faults: times must be a whole number from 0/],
    [{ status: 503, after: -1 }, /^faults: after must be a whole number from 0/],
    [{ status: 503, match: 'a' }, /^faults: match must be a function/],
    [{ status: 503, rate: 0.5, random: 0.5 }, /^faults: random must be a function/],
    [{ status: 503, reads: 'no' }, /^faults: reads must be true or false/],
    [{ status: 503, retryAfter: 0.5 }, /^faults: retryAfter must be a whole number/],
  ])('%j', (options, message) => {
    expect(() => faults(options as FaultsOptions)).toThrow(message);
  });
});
