import { describe, expect, it } from '@jest/globals';
import { Subject, catchError, map, mergeMap, of, take, takeUntil, throwError, timer } from 'rxjs';
import type { Observable, SchedulerLike } from 'rxjs';
import { Couch, Database, logRequests, withDefaults } from 'corduroy';
import type {
  CorduroyError,
  CouchOptions,
  Link,
  RequestEvent,
  TransportRequest,
  TransportResponse,
} from 'corduroy';
import { bytes, marbleTransport, response } from './helpers/marble-transport.ts';
import { marbles } from './helpers/run.ts';

const body = (text: string): Observable<Uint8Array> => of(bytes(text));
const FINE =
  '{"version":"3.5.0","ok":true,"_id":"a","id":"a","rev":"1-a","docs":[],"update_seq":"0","sizes":{}}';
const SIZE = FINE.length;
const fine = (): Observable<TransportResponse> => of(response(body(FINE)));
const broken = (code: string, more: object = {}): Observable<TransportResponse> =>
  throwError(() => Object.assign(new Error('broken'), { code, ...more }));
const refused = (
  status: number,
  error = 'error',
  headers: Record<string, string> = {},
): Observable<TransportResponse> =>
  of(response(body(JSON.stringify({ error, reason: 'reason' })), status, headers));
const truncated = (): Observable<TransportResponse> =>
  of(response(throwError(() => new Error('aborted'))));

type Answers = readonly (() => Observable<TransportResponse>)[];

/** A server that gives these answers in order, and then fine ones. Jitter makes half of each delay. */
function server(
  scheduler: SchedulerLike,
  answers: Answers,
  options: CouchOptions = {},
): { readonly couch: Couch; readonly sent: string[]; readonly requests: TransportRequest[] } {
  const sent: string[] = [];
  const transport = marbleTransport((request, count) => {
    sent.push(`${scheduler.now()} ${request.method}`);
    return (answers[count - 1] ?? fine)();
  });
  const retry = { random: () => 0.5 };
  return {
    couch: new Couch('http://couch.test', {
      transport,
      scheduler,
      retry,
      concurrency: Infinity,
      ...options,
    }),
    sent,
    requests: transport.requests,
  };
}

const outcome = (work: Observable<unknown>): Observable<string> =>
  work.pipe(
    map(() => 'v'),
    catchError((error: CorduroyError) => of(error.name)),
  );

const times = (sent: readonly string[]): number[] => sent.map((line) => Number(line.split(' ')[0]));

describe('a read', () => {
  it.each<[string, () => Observable<TransportResponse>]>([
    ['a refused connection', () => broken('ECONNREFUSED')],
    ['a reset', () => broken('ECONNRESET')],
    ['429', () => refused(429)],
    ['502', () => refused(502)],
    ['503', () => refused(503)],
    ['504', () => refused(504)],
    ['412 nodedown', () => refused(412, 'nodedown')],
    ['500 timeout', () => refused(500, 'timeout')],
    ['a truncated body', truncated],
  ])('is sent again after %s, twice at most', (_, fail) => {
    marbles(({ expectObservable, flush }, scheduler) => {
      const healed = server(scheduler, [fail, fail]);
      const failing = server(scheduler, [fail, fail, fail]);
      // Half of 100 ms, then half of 200 ms, each from 1 ms.
      expectObservable(outcome(healed.couch.version())).toBe('152ms (v|)');
      expectObservable(outcome(failing.couch.version()).pipe(map((name) => name !== 'v'))).toBe(
        '152ms (v|)',
        { v: true },
      );
      flush();
      expect(times(healed.sent)).toEqual([0, 51, 152]);
      expect(times(failing.sent)).toEqual([0, 51, 152]);
    })();
  });

  it.each<[string, () => Observable<TransportResponse>]>([
    ['500 without a code of CouchDB', () => refused(500, 'unknown_error')],
    ['404', () => refused(404, 'not_found')],
    ['401', () => refused(401, 'unauthorized')],
    ['501', () => refused(501)],
    ['a bad certificate', () => broken('CERT_HAS_EXPIRED')],
  ])('is sent once after %s', (_, fail) => {
    marbles(({ expectObservable, flush }, scheduler) => {
      const { couch, sent } = server(scheduler, [fail]);
      expectObservable(outcome(couch.version()).pipe(map((name) => name !== 'v'))).toBe('(v|)', {
        v: true,
      });
      flush();
      expect(sent).toHaveLength(1);
    })();
  });

  it('is sent once if retries are off: for the server, the database, and the call', () => {
    marbles(({ flush }, scheduler) => {
      const fail = (): Observable<TransportResponse> => refused(503);
      const off = server(scheduler, [fail], { retry: false });
      off.couch.version().subscribe({ error: () => undefined });
      const used = server(scheduler, [fail]);
      used.couch
        .use('a', { retry: false })
        .info()
        .subscribe({ error: () => undefined });
      const derived = server(scheduler, [fail]);
      const db = derived.couch.use('a');
      withDefaults(db, { retry: false })
        .info()
        .subscribe({ error: () => undefined });
      const single = server(scheduler, [fail]);
      flush();
      expect([off.sent, used.sent, derived.sent].map(({ length }) => length)).toEqual([1, 1, 1]);
      db.info().subscribe();
      single.couch.use('a').info().subscribe();
      flush();
      expect([derived.sent.length, single.sent.length]).toEqual([2, 2]);
    })();
  });

  it('waits as long as the server asks, in seconds or until a date', () => {
    marbles(({ flush }, scheduler) => {
      const seconds = server(scheduler, [() => refused(429, 'slow', { 'retry-after': '2' })]);
      seconds.couch.version().subscribe();
      const date = new Date(scheduler.now() + 4000).toUTCString();
      const until = server(scheduler, [() => refused(503, 'busy', { 'retry-after': date })]);
      until.couch.version().subscribe();
      flush();
      // A quarter more at most, so that clients do not come back at the same moment.
      expect(times(seconds.sent)).toEqual([0, 2250]);
      expect(times(until.sent)).toEqual([0, 4500]);
    })();
  });

  it('errors at once if the server asks for more than maxDelay', () => {
    marbles(({ expectObservable, flush }, scheduler) => {
      const answers: Answers = [() => refused(429, 'slow', { 'retry-after': '31' })];
      const { couch, sent } = server(scheduler, answers);
      expectObservable(outcome(couch.version())).toBe('(v|)', { v: 'TooManyRequests' });
      flush();
      expect(sent).toHaveLength(1);
    })();
  });

  it('ends its waiting when it is unsubscribed', () => {
    marbles(({ expectObservable, flush }, scheduler) => {
      const { couch, sent } = server(scheduler, [() => refused(503)]);
      expectObservable(couch.version().pipe(takeUntil(timer(50, scheduler)))).toBe('50ms |');
      flush();
      expect(times(sent)).toEqual([0]);
    })();
  });

  it('is not sent again when its head has arrived, because its reader has begun', () => {
    marbles(({ expectObservable, flush }, scheduler) => {
      const { couch, sent } = server(scheduler, [
        () => of(response(throwError(() => new Error('aborted')))),
      ]);
      const rows = couch.use('a').findRows({ selector: {} });
      expectObservable(outcome(rows)).toBe('(v|)', { v: 'ProtocolError' });
      flush();
      expect(sent).toHaveLength(1);
    })();
  });
});

describe('a write', () => {
  const save = (couch: Couch): Observable<unknown> => couch.create('a');

  it.each<[string, () => Observable<TransportResponse>]>([
    ['429', () => refused(429)],
    ['503 with Retry-After', () => refused(503, 'busy', { 'retry-after': '0' })],
    ['a refused connection', () => broken('ECONNREFUSED')],
  ])('is sent again after %s, which proves that nothing was done', (_, fail) => {
    marbles(({ flush }, scheduler) => {
      const { couch, sent } = server(scheduler, [fail]);
      save(couch).subscribe();
      flush();
      expect(times(sent)).toEqual([0, 51]);
    })();
  });

  it.each<[string, () => Observable<TransportResponse>]>([
    ['503', () => refused(503)],
    ['502', () => refused(502)],
    ['500 timeout', () => refused(500, 'timeout')],
    ['a reset', () => broken('ECONNRESET')],
    ['a reset of a reused connection', () => broken('ECONNRESET', { reusedSocket: true })],
    ['a truncated body', truncated],
  ])('is sent once after %s, and the error says that it may be written', (_, fail) => {
    marbles(({ expectObservable, flush }, scheduler) => {
      const { couch, sent } = server(scheduler, [fail]);
      const known = save(couch).pipe(catchError((error: CorduroyError) => of(error.mayBeWritten)));
      expectObservable(known).toBe('(v|)', { v: true });
      flush();
      expect(sent).toHaveLength(1);
    })();
  });

  it('that can be repeated is sent again at once after a reset of a reused connection', () => {
    marbles(({ flush }, scheduler) => {
      const reset = (): Observable<TransportResponse> =>
        broken('ECONNRESET', { reusedSocket: true });
      const { couch, sent } = server(scheduler, [reset]);
      couch.use('a').compact().subscribe();
      flush();
      expect(times(sent)).toEqual([0, 0]);
    })();
  });

  it('of a document is sent again after such a reset, if a read finds nothing', () => {
    marbles(({ expectObservable, flush }, scheduler) => {
      const reset = (): Observable<TransportResponse> =>
        broken('ECONNRESET', { reusedSocket: true });
      const absent = '{"results":[{"docs":[{"error":{"error":"not_found"}}]}]}';
      const { couch, requests } = server(scheduler, [reset, () => of(response(body(absent)))]);
      expectObservable(outcome(couch.use('a').save({ _id: 'a' }))).toBe('(v|)');
      flush();
      expect(requests.map(({ method, url }) => `${method} ${new URL(url).pathname}`)).toEqual([
        'PUT /a/a',
        'POST /a/_bulk_get',
        'PUT /a/a',
      ]);
    })();
  });

  it('whose body is a stream is sent once', () => {
    marbles(({ expectObservable, flush }, scheduler) => {
      const { couch, sent } = server(scheduler, [() => refused(429)]);
      const stream = (async function* () {
        yield bytes('text');
      })();
      const upload = couch.use('a').putAttachment({ _id: 'a', _rev: '1-a' }, stream, 'a.txt');
      expectObservable(outcome(upload)).toBe('(v|)', { v: 'TooManyRequests' });
      flush();
      expect(sent).toHaveLength(1);
    })();
  });
});

describe('the option retry', () => {
  it.each<[unknown, RegExp]>([
    [true, /^retry must be false, or options/],
    [{ attempts: 0 }, /^retry: attempts/],
    [{ attempts: 1.5 }, /^retry: attempts/],
    [{ initialDelay: -1 }, /initialDelay/],
    [{ attempt: 2 }, /^retry: unknown option 'attempt'/],
  ])('%j is refused, with its name', (retry, message) => {
    expect(() => new Couch('http://couch.test', { retry: retry as never })).toThrow(message);
    expect(() => new Couch().use('a', { retry: retry as never })).toThrow(message);
    expect(() => withDefaults(new Database('a'), { retry: retry as never })).toThrow(message);
  });

  it('is taken of the call, the database and the server, in this order', () => {
    marbles(({ flush }, scheduler) => {
      const fail = (): Observable<TransportResponse> => refused(503);
      const { couch, sent } = server(scheduler, [fail, fail, fail, fail, fail]);
      const db = couch.use('a', { retry: { attempts: 5, random: () => 0.5 } });
      withDefaults(db, { timeout: 1000 })
        .info()
        .subscribe({ error: () => undefined });
      flush();
      expect(sent).toHaveLength(5);
    })();
  });
});

describe('a link', () => {
  it('sees each request once, and each attempt as a network link', () => {
    marbles(({ flush }, scheduler) => {
      const seen: string[] = [];
      const log =
        (name: string): Link =>
        (request, next) => {
          seen.push(`${name} ${request.method} ${request.route} ${request.attempt}`);
          return next(request);
        };
      const { couch } = server(scheduler, [() => refused(503)], {
        links: [log('a'), log('b')],
        networkLinks: [log('c')],
        auth: ['ada', 'secret'],
        retry: { random: () => 0.5 },
      });
      couch
        .use('a')
        .get('b')
        .subscribe({ error: () => undefined });
      flush();
      const route = 'GET /{db}/{docid}';
      expect(seen).toEqual([`a ${route} 1`, `b ${route} 1`, `c ${route} 1`, `c ${route} 2`]);
    })();
  });

  it('changes requests, answers by itself, and fails by itself', () => {
    marbles(({ expectObservable, flush }, scheduler) => {
      const tenant: Link = (request, next) =>
        next({ ...request, headers: { ...request.headers, 'x-tenant': 'a' } });
      const { couch, requests } = server(scheduler, [], { links: [tenant] });
      couch.version().subscribe();
      const answer =
        (status: number, text: string): Link =>
        () =>
          of({ status, headers: {}, body: body(text) });
      const links = (...all: Link[]): Couch => server(scheduler, [], { links: all }).couch;
      expectObservable(links(answer(200, '{"version":"9"}')).version()).toBe('(v|)', { v: '9' });
      const missing = links(answer(404, '{"error":"not_found","reason":"missing"}'));
      expectObservable(outcome(missing.version())).toBe('(v|)', { v: 'NotFound' });
      const cut = links(() => broken('ECONNRESET'));
      expectObservable(outcome(cut.version())).toBe('(v|)', { v: 'ConnectionError' });
      const mine = new RangeError('mine');
      const own = links(() => throwError(() => mine));
      expectObservable(own.version()).toBe('#', undefined, mine);
      const bad = links(() => {
        throw mine;
      });
      expectObservable(bad.version()).toBe('#', undefined, mine);
      flush();
      expect(requests[0]?.headers).toMatchObject({ 'x-tenant': 'a' });
    })();
  });

  it('sees no credentials, and a network link that fails is retried', () => {
    marbles(({ expectObservable, flush }, scheduler) => {
      const headers: unknown[] = [];
      const spy: Link = (request, next) => {
        headers.push(request.headers);
        return next(request);
      };
      let failures = 2;
      const faulty: Link = (request, next) =>
        failures-- > 0 ? broken('ECONNRESET') : next(request);
      const { couch, requests } = server(scheduler, [], {
        links: [spy],
        networkLinks: [faulty],
        auth: { bearer: 'token-of-ada' },
        retry: { random: () => 0.5 },
      });
      expectObservable(outcome(couch.version())).toBe('152ms (v|)');
      flush();
      expect(JSON.stringify(headers)).not.toContain('token-of-ada');
      expect(requests[0]?.headers['authorization']).toBe('Bearer token-of-ada');
    })();
  });

  it('must be a function in an array', () => {
    expect(() => new Couch('http://a', { links: [1 as never] })).toThrow(/^links: a link/);
    expect(() => new Couch('http://a', { networkLinks: {} as never })).toThrow(/^networkLinks/);
  });
});

describe('requests$', () => {
  const short = ({ type, attempt, status, delay, elapsed }: RequestEvent): string =>
    [type, attempt, status, delay, elapsed].filter((part) => part !== null).join(' ');

  it('reports starts, responses, retries and ends, with times', () => {
    marbles(({ flush }, scheduler) => {
      const { couch } = server(scheduler, [() => refused(503)]);
      const events: RequestEvent[] = [];
      couch.requests$.subscribe((event) => events.push(event));
      couch
        .use('my/db')
        .info()
        .subscribe({ error: () => undefined });
      flush();
      expect(events.map(short)).toEqual([
        'start 1 0',
        'response 1 503 0',
        'retry 1 503 51 0',
        'response 2 200 51',
        'end 2 200 51',
      ]);
      expect(events[0]).toMatchObject({
        method: 'GET',
        route: '/{db}',
        database: 'my/db',
        server: 'http://couch.test',
        error: null,
        sent: 0,
      });
      expect(events.map(({ id }) => id)).toEqual([1, 1, 1, 1, 1]);
      expect(events[2]?.error).toMatchObject({ name: 'ServerError' });
    })();
  });

  it('reports errors, aborts, and the size of what was read', () => {
    marbles(({ flush }, scheduler) => {
      const pending = new Subject<TransportResponse>();
      const { couch } = server(scheduler, [() => refused(404), () => pending, fine]);
      const events: RequestEvent[] = [];
      couch.requests$.subscribe((event) => events.push(event));
      couch.version().subscribe({ error: () => undefined });
      couch
        .version()
        .pipe(takeUntil(timer(7, scheduler)))
        .subscribe();
      couch.version().subscribe();
      flush();
      const last = (id: number): RequestEvent | undefined =>
        events.filter((event) => event.id === id).at(-1);
      expect(last(1)).toMatchObject({ type: 'error', error: { name: 'NotFound' }, status: 404 });
      expect(last(2)).toMatchObject({ type: 'abort', elapsed: 7 });
      expect(last(3)).toMatchObject({ type: 'end', status: 200, received: SIZE, sent: 0 });
    })();
  });

  it('has no secret, and logRequests writes a line for each end', () => {
    marbles(({ flush }, scheduler) => {
      const transport = marbleTransport(() => fine());
      const auth = { username: 'ada', password: 'secret-of-ada' };
      const couch = new Couch('http://couch.test', { transport, scheduler, auth });
      const lines: string[] = [];
      const events: RequestEvent[] = [];
      couch.requests$.subscribe(logRequests((line) => lines.push(line)));
      couch.requests$.pipe(take(20)).subscribe((event) => events.push(event));
      couch
        .version()
        .pipe(mergeMap(() => couch.use('a').info()))
        .subscribe();
      flush();
      expect(lines).toEqual([`GET / 200 0 ms ${SIZE} bytes`, `GET /{db} a 200 0 ms ${SIZE} bytes`]);
      expect(JSON.stringify(events)).not.toMatch(/secret-of-ada|YWRh/);
    })();
  });
});
