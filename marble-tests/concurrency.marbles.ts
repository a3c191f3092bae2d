import { describe, expect, it } from '@jest/globals';
import {
  NEVER,
  Observable,
  concat,
  concatMap,
  defer,
  finalize,
  from,
  map,
  merge,
  mergeMap,
  of,
  retry,
  take,
  timer,
} from 'rxjs';
import type { SchedulerLike, Subscription } from 'rxjs';
import { httpError } from '../src/errors/from-response.ts';
import { concurrencyLink } from '../src/http/concurrency.ts';
import type { Concurrency, ConcurrencyLink } from '../src/http/concurrency.ts';
import type { Exchange, LinkRequest, Next } from '../src/http/link.ts';
import { bytes } from './helpers/marble-transport.ts';
import { marbles } from './helpers/run.ts';

/** How the server answers a request: times in frames. */
interface Answer {
  /** The time until the head, or until the error. */
  readonly head?: number;
  /** The time from the head to the end of the body. */
  readonly body?: number;
  readonly status?: number;
  readonly retryAfter?: string;
}

/** A server that answers as a function says, and records the requests. */
class Server {
  /** The requests, as `time path`. */
  readonly sent: string[] = [];
  readonly times: number[] = [];
  readonly aborted: string[] = [];
  inFlight = 0;
  peak = 0;
  readonly #scheduler: SchedulerLike;
  readonly #answer: (request: LinkRequest, inFlight: number) => Answer;

  constructor(
    scheduler: SchedulerLike,
    answer: (request: LinkRequest, inFlight: number) => Answer = () => ({}),
  ) {
    this.#scheduler = scheduler;
    this.#answer = answer;
  }

  readonly next: Next = (sent) =>
    new Observable((subscriber) => {
      const now = this.#scheduler.now();
      this.sent.push(`${now} ${sent.path}`);
      this.times.push(now);
      this.inFlight += 1;
      this.peak = Math.max(this.peak, this.inFlight);
      const { head = 10, body = 0, status = 200, retryAfter } = this.#answer(sent, this.inFlight);
      let isOpen = true;
      const end = (): void => {
        if (isOpen) this.inFlight -= 1;
        isOpen = false;
      };
      const headers = retryAfter === undefined ? {} : { 'retry-after': retryAfter };
      const finish = (): void => {
        end();
        subscriber.complete();
      };
      const start = (): void => {
        if (status < 400) {
          subscriber.next(exchange(status, headers));
          if (body === 0) finish();
          else subscriber.add(this.#scheduler.schedule(finish, body));
          return;
        }
        end();
        subscriber.error(refusal(status, headers));
      };
      subscriber.add(this.#scheduler.schedule(start, head));
      return () => {
        if (isOpen) this.aborted.push(`${this.#scheduler.now()} ${sent.path}`);
        end();
      };
    });
}

function exchange(status: number, headers: Record<string, string> = {}): Exchange {
  const summary = { method: 'GET', url: 'http://a/' };
  const redact = (text: string): string => text;
  return { status, headers, body: of(bytes('')), request: summary, redact, maxBodySize: 1 };
}

function refusal(status: number, headers: Record<string, string> = {}): Error {
  const details = {
    error: 'too_many',
    reason: 'slow down',
    request: { method: 'GET', url: 'http://a/' },
  };
  return httpError({ status, headers, ...details });
}

function request(path: string, changes: Partial<LinkRequest> = {}): LinkRequest {
  return {
    method: 'GET',
    route: '/{db}/{docid}',
    server: 'http://a',
    path,
    headers: {},
    body: undefined,
    reads: true,
    repeatable: true,
    endless: false,
    priority: 'normal',
    timeout: 0,
    attempt: 1,
    // The link does not read it.
    context: undefined as never,
    ...changes,
  };
}

const noJitter = (): number => 0;

function adaptive(scheduler: SchedulerLike, max?: number): ConcurrencyLink {
  const option: Concurrency = max === undefined ? 'adaptive' : { limit: 'adaptive', max };
  return concurrencyLink(option, scheduler, noJitter);
}

/** Ignores the error of a request: the test looks at the requests. */
const ignore = { error: () => {} };

/** Subscribes to many requests at once. */
function sendMany(
  link: ConcurrencyLink,
  server: Server,
  count: number,
  changes: Partial<LinkRequest> = {},
): Subscription[] {
  return Array.from({ length: count }, (_, i) =>
    link(request(`${i}`, changes), server.next).subscribe(ignore),
  );
}

/** Runs a function at a time of the scheduler. */
function at(scheduler: SchedulerLike, time: number, work: () => void): void {
  scheduler.schedule(() => work(), time - scheduler.now());
}

const idle = { inFlight: 0, waiting: 0 };

describe('a limit of concurrency', () => {
  it(
    'sends at most so many requests, in the order of their subscriptions',
    marbles(({ expectObservable, flush }, scheduler) => {
      const server = new Server(scheduler);
      const link = concurrencyLink(2, scheduler);
      const all = merge(
        ...['a', 'b', 'c', 'd', 'e'].map((path) =>
          link(request(path), server.next).pipe(map(() => path)),
        ),
      );
      expectObservable(all).toBe('----------(ab)------(cd)------(e|)');
      flush();
      expect(server.sent).toEqual(['0 a', '0 b', '10 c', '10 d', '20 e']);
      expect(server.peak).toBe(2);
      expect(link.state).toMatchObject({ ...idle, limit: 2, rate: Infinity });
    }),
  );

  it(
    'is cold: each subscription is one request',
    marbles(({ flush }, scheduler) => {
      const server = new Server(scheduler);
      const one$ = concurrencyLink(1, scheduler)(request('a'), server.next);
      expect(server.sent).toEqual([]);
      one$.subscribe();
      one$.subscribe();
      flush();
      expect(server.sent).toEqual(['0 a', '10 a']);
    }),
  );

  it(
    'returns a slot when the body has been read, not before',
    marbles(({ flush }, scheduler) => {
      const server = new Server(scheduler, () => ({ head: 10, body: 30 }));
      sendMany(concurrencyLink(1, scheduler), server, 2);
      flush();
      expect(server.sent).toEqual(['0 0', '40 1']);
    }),
  );

  it(
    'returns a slot after an error',
    marbles(({ expectObservable, flush }, scheduler) => {
      const server = new Server(scheduler, ({ path }) => ({ status: path === 'a' ? 404 : 200 }));
      const link = concurrencyLink(1, scheduler);
      const error = refusal(404);
      expectObservable(link(request('a'), server.next)).toBe('----------#', undefined, error);
      expectObservable(link(request('b'), server.next).pipe(map(() => 'v'))).toBe(
        '--------------------(v|)',
      );
      flush();
      expect(link.state).toMatchObject(idle);
    }),
  );

  it(
    'returns a slot when the subscriber leaves: in the queue, before the head, within the body',
    marbles(({ flush }, scheduler) => {
      const server = new Server(scheduler, () => ({ head: 10, body: 30 }));
      const link = concurrencyLink(1, scheduler);
      const [first, second, third] = sendMany(link, server, 5);
      at(scheduler, 5, () => second?.unsubscribe());
      at(scheduler, 8, () => first?.unsubscribe());
      at(scheduler, 28, () => third?.unsubscribe());
      flush();
      expect(server.sent).toEqual(['0 0', '8 2', '28 3', '68 4']);
      expect(server.aborted).toEqual(['8 0', '28 2']);
      expect(server.peak).toBe(1);
      expect(link.state).toMatchObject(idle);
    }),
  );

  it(
    'returns a slot once if the subscriber leaves at the head, as take(1) does',
    marbles(({ flush }, scheduler) => {
      const server = new Server(scheduler, () => ({ head: 10, body: 30 }));
      const link = concurrencyLink(1, scheduler);
      for (const path of ['a', 'b', 'c'])
        link(request(path), server.next).pipe(take(1)).subscribe();
      flush();
      expect(server.sent).toEqual(['0 a', '10 b', '20 c']);
      expect(server.aborted).toEqual(['10 a', '20 b', '30 c']);
      expect(server.peak).toBe(1);
      expect(link.state).toMatchObject(idle);
    }),
  );

  it(
    'aborts a request that waited if its subscriber leaves at a head that comes at once',
    marbles(({ flush }, scheduler) => {
      const link = concurrencyLink(1, scheduler);
      const ended: string[] = [];
      const next: Next = () =>
        concat(of(exchange(200)), NEVER).pipe(finalize(() => ended.push(`${scheduler.now()}`)));
      sendMany(link, new Server(scheduler), 1);
      link(request('a'), next).pipe(take(1)).subscribe();
      flush();
      expect(ended).toEqual(['10']);
      expect(link.state).toMatchObject(idle);
    }),
  );

  it(
    'returns a slot if the next link throws, or ends at once, also for a request that waited',
    marbles(({ flush }, scheduler) => {
      const link = concurrencyLink(1, scheduler);
      const seen: string[] = [];
      const thrown = new Error('no link');
      const breaks: Next = () => {
        throw thrown;
      };
      const observe = (name: string, next: Next): Subscription =>
        link(request(name), next).subscribe({
          next: () => seen.push(`${name} emitted`),
          error: (error) => seen.push(`${name} ${error === thrown ? 'threw' : String(error)}`),
          complete: () => seen.push(`${name} completed`),
        });
      observe('a', breaks);
      observe('b', () => of(exchange(200)));
      observe('c', new Server(scheduler).next);
      observe('d', breaks);
      observe('e', () => of(exchange(200)));
      observe('f', () => concat(of(exchange(200)), new Observable<never>()));
      expect(link.state).toMatchObject({ inFlight: 1, waiting: 3 });
      flush();
      expect(seen).toEqual([
        'a threw',
        'b emitted',
        'b completed',
        'c emitted',
        'c completed',
        'd threw',
        'e emitted',
        'e completed',
        'f emitted',
      ]);
      expect(link.state).toMatchObject({ inFlight: 1, waiting: 0 });
    }),
  );

  it(
    'ends 10,000 waiting requests without recursion, in their order',
    marbles(({ flush }, scheduler) => {
      const link = concurrencyLink(1, scheduler);
      const server = new Server(scheduler);
      link(request('first'), server.next).subscribe();
      const order: number[] = [];
      for (let i = 0; i < 10_000; i++)
        link(request(`${i}`), () => of(exchange(200))).subscribe(() => order.push(i));
      expect(link.state.waiting).toBe(10_000);
      flush();
      expect(order).toEqual(Array.from({ length: 10_000 }, (_, i) => i));
      expect(link.state).toMatchObject(idle);
    }),
  );

  it(
    'removes waiting requests in any order',
    marbles(({ flush }, scheduler) => {
      const link = concurrencyLink(1, scheduler);
      const server = new Server(scheduler);
      const requests = sendMany(link, server, 10_000);
      for (const i of [9999, 1, 5000, 2, 4999, 9998]) requests[i]?.unsubscribe();
      for (let i = 5; i < 9990; i++) requests[i]?.unsubscribe();
      expect(link.state).toMatchObject({ inFlight: 1, waiting: 10 });
      flush();
      const left = [0, 3, 4, 9990, 9991, 9992, 9993, 9994, 9995, 9996, 9997];
      expect(server.sent).toEqual(left.map((path, i) => `${10 * i} ${path}`));
    }),
  );

  it(
    'sends by priority, and retries before first attempts of the same priority',
    marbles(({ flush }, scheduler) => {
      const server = new Server(scheduler);
      const link = concurrencyLink(1, scheduler);
      sendMany(link, server, 1);
      const send = (path: string, changes: Partial<LinkRequest>): Subscription =>
        link(request(path, changes), server.next).subscribe();
      send('low', { priority: 'low' });
      send('low retry', { priority: 'low', attempt: 2 });
      send('normal', {});
      send('normal retry', { attempt: 3 });
      send('high', { priority: 'high' });
      send('high retry', { priority: 'high', attempt: 2 });
      send('second high', { priority: 'high' });
      flush();
      expect(server.sent.map((one) => one.replace(/^\d+ /, ''))).toEqual([
        '0',
        'high retry',
        'high',
        'second high',
        'normal retry',
        'normal',
        'low retry',
        'low',
      ]);
    }),
  );

  it(
    'sends the oldest request of all as every sixteenth, so that none starves',
    marbles(({ flush }, scheduler) => {
      const server = new Server(scheduler);
      const link = concurrencyLink(1, scheduler);
      sendMany(link, server, 1);
      for (const path of ['low 0', 'low 1', 'low 2'])
        link(request(path, { priority: 'low' }), server.next).subscribe();
      sendMany(link, server, 60, { priority: 'high' });
      flush();
      const paths = server.sent.map((one) => one.replace(/^\d+ /, ''));
      const low = paths.flatMap((path, i) => (path.startsWith('low') ? [[i, path]] : []));
      expect(low).toEqual([
        [16, 'low 0'],
        [32, 'low 1'],
        [48, 'low 2'],
      ]);
    }),
  );

  it(
    'lets endless requests pass, without a slot',
    marbles(({ flush }, scheduler) => {
      const server = new Server(scheduler, () => ({ head: 100 }));
      const link = concurrencyLink(1, scheduler);
      sendMany(link, server, 3, { endless: true });
      expect(link.state).toMatchObject(idle);
      sendMany(link, server, 2);
      expect(link.state).toMatchObject({ inFlight: 1, waiting: 1 });
      sendMany(link, server, 1, { endless: true });
      flush();
      expect(server.sent).toEqual(['0 0', '0 1', '0 2', '0 0', '0 0', '100 1']);
    }),
  );
});

describe('a transfer that holds the last slot', () => {
  it(
    'returns it within 1 s to a request that its consumer sends',
    marbles(({ flush }, scheduler) => {
      const link = concurrencyLink(1, scheduler);
      const server = new Server(scheduler);
      const done: string[] = [];
      // It ends when its consumer is done, as with a source that waits for its consumer.
      const rows: Next = () =>
        new Observable((subscriber) => {
          subscriber.next(exchange(200));
          return () => done.push(`${scheduler.now()} rows end`);
        });
      link(request('rows'), rows)
        .pipe(
          mergeMap(() => from(['a', 'b', 'c'])),
          concatMap((id) => link(request(id), server.next).pipe(map(() => id))),
          take(3),
        )
        .subscribe((id) => done.push(`${scheduler.now()} ${id}`));
      flush();
      // One delay for the transfer, not one for each request.
      expect(done).toEqual(['1010 a', '1020 b', '1030 c', '1030 rows end']);
      expect(link.state).toMatchObject(idle);
    }),
  );

  it(
    'returns it within 1 s to a request that the source of an upload sends',
    marbles(({ flush }, scheduler) => {
      const link = concurrencyLink(1, scheduler);
      const server = new Server(scheduler);
      const body: AsyncIterable<Uint8Array> = {
        [Symbol.asyncIterator]: () => ({
          next: () => Promise.resolve({ done: true, value: undefined }),
        }),
      };
      const upload: Next = () =>
        link(request('source'), server.next).pipe(map(() => exchange(201)));
      link(request('upload', { method: 'PUT', body }), upload).subscribe();
      flush();
      expect(server.sent).toEqual(['1000 source']);
      expect(link.state).toMatchObject(idle);
    }),
  );

  it(
    'keeps it below 1 s, and if no request waits, and before the head',
    marbles(({ flush }, scheduler) => {
      const server = new Server(scheduler, ({ path }) =>
        path === 'slow' ? { head: 4000 } : { head: 10, body: 480 },
      );
      const link = concurrencyLink(1, scheduler);
      sendMany(link, server, 3);
      at(scheduler, 2000, () => link(request('slow'), server.next).subscribe());
      at(scheduler, 2000, () => link(request('after'), server.next).subscribe());
      flush();
      expect(server.sent).toEqual(['0 0', '490 1', '980 2', '2000 slow', '6000 after']);
    }),
  );
});

describe('an adaptive limit', () => {
  /** A server that serves at most so many requests at a time, and refuses others after 1 frame. */
  const busy =
    (capacity: number) =>
    (_request: LinkRequest, inFlight: number): Answer =>
      inFlight > capacity ? { head: 1, status: 503 } : { head: 10 };

  it(
    'has no effect below 64 requests in flight',
    marbles(({ flush }, scheduler) => {
      const server = new Server(scheduler);
      const link = adaptive(scheduler);
      sendMany(link, server, 70);
      expect(server.sent).toHaveLength(64);
      expect(link.state).toMatchObject({ limit: 64, rate: Infinity, inFlight: 64, waiting: 6 });
      flush();
      expect(server.peak).toBe(64);
      expect(server.times.filter((time) => time === 10)).toHaveLength(6);
    }),
  );

  it(
    'starts with `max`',
    marbles(({ flush }, scheduler) => {
      const server = new Server(scheduler);
      sendMany(adaptive(scheduler, 100), server, 200);
      flush();
      expect(server.peak).toBe(100);
    }),
  );

  it(
    'falls to 1 at the first refusal, grows with each answer to a half, then with each round',
    marbles(({ flush }, scheduler) => {
      const server = new Server(scheduler, busy(40));
      const link = adaptive(scheduler, 48);
      sendMany(link, server, 400);
      const limits: number[] = [];
      for (const time of [0, 2, 11, 21, 31, 41, 51, 61, 71, 81])
        at(scheduler, time, () => limits.push(link.state.limit));
      flush();
      // 48 were in flight. The answers at 10 are of requests from before the refusal.
      expect(limits).toEqual([48, 1, 1, 2, 4, 8, 16, 24, 25, 26]);
    }),
  );

  it(
    'counts the refusals of one round once, and halves at later ones',
    marbles(({ flush }, scheduler) => {
      const server = new Server(scheduler, busy(20));
      const link = adaptive(scheduler, 48);
      sendMany(link, server, 200);
      const falls: string[] = [];
      let before = 48;
      for (let time = 0; time < 200; time++)
        at(scheduler, time, () => {
          const { limit } = link.state;
          if (limit < before) falls.push(`${time}: ${before} to ${limit}`);
          before = limit;
        });
      flush();
      expect(falls.slice(0, 2)).toEqual(['1: 48 to 1', '62: 24 to 12']);
      expect(link.state).toMatchObject({ ...idle, rate: Infinity });
    }),
  );

  it(
    'does not grow with the answers of requests from before a refusal',
    marbles(({ flush }, scheduler) => {
      const server = new Server(scheduler, ({ path }) =>
        path === '20' ? { head: 1, status: 503 } : { head: 10 + Number(path) },
      );
      const link = adaptive(scheduler, 8);
      sendMany(link, server, 40);
      const seen = new Set<string>();
      let fell = -1;
      for (let time = 0; time < 200; time++)
        at(scheduler, time, () => {
          const { limit, inFlight } = link.state;
          if (limit === 1 && fell < 0) fell = server.sent.length;
          if (fell >= 0 && server.sent.length === fell) seen.add(`${limit} ${inFlight}`);
        });
      flush();
      expect([...seen]).toEqual(['1 7', '1 6', '1 5', '1 4', '1 3', '1 2', '1 1']);
    }),
  );

  it(
    'falls at a 503 too, and learns no rate from it',
    marbles(({ flush }, scheduler) => {
      const server = new Server(scheduler, () => ({ status: 503 }));
      const link = adaptive(scheduler);
      sendMany(link, server, 70);
      flush();
      expect(link.state).toMatchObject({ ...idle, limit: 1, rate: Infinity });
      expect(server.times.slice(64)).toEqual([10, 20, 30, 40, 50, 60]);
    }),
  );

  it(
    'falls at a 429 that a function of the server emits as an answer',
    marbles(({ flush }, scheduler) => {
      const link = adaptive(scheduler);
      link(request('a'), () => of(exchange(429, { 'retry-after': '7' }))).subscribe();
      const server = new Server(scheduler);
      link(request('b'), server.next).subscribe();
      flush();
      expect(server.sent).toEqual(['7000 b']);
    }),
  );

  it(
    'ignores other errors',
    marbles(({ flush }, scheduler) => {
      const statuses = [400, 404, 409, 500, 502];
      const server = new Server(scheduler, ({ path }) => ({
        status: statuses[Number(path) % 5] ?? 0,
      }));
      const link = adaptive(scheduler);
      sendMany(link, server, 50);
      flush();
      expect(link.state).toMatchObject({ ...idle, limit: 64, rate: Infinity });
    }),
  );

  it(
    'sends nothing before the time in retry-after, the latest of all refusals',
    marbles(({ flush }, scheduler) => {
      const after = ['3', '5', '2'];
      const server = new Server(scheduler, ({ path }) => {
        const retryAfter = after[Number(path)];
        return retryAfter === undefined ? {} : { status: 503, retryAfter };
      });
      const link = adaptive(scheduler, 3);
      sendMany(link, server, 5);
      at(scheduler, 100, () => link(request('later'), server.next).subscribe());
      flush();
      expect(server.sent.slice(3)).toEqual(['5010 3', '5020 4', '5020 later']);
    }),
  );

  it(
    'remembers the limit over the longest pause',
    marbles(({ flush }, scheduler) => {
      const server = new Server(scheduler, ({ path }) =>
        path === '0' ? { status: 503, retryAfter: '30' } : {},
      );
      sendMany(adaptive(scheduler, 4), server, 8);
      flush();
      expect(server.times).toEqual([0, 0, 0, 0, 30_010, 30_020, 30_020, 30_030]);
    }),
  );

  it(
    'reads a date in retry-after, and does not wait if it is more than 30 s',
    marbles(({ flush }, scheduler) => {
      const answers: Answer[] = [
        { status: 429, retryAfter: new Date(4000).toUTCString() },
        { status: 429, retryAfter: '86400' },
        {},
      ];
      const server = new Server(scheduler, () => answers.shift() ?? {});
      sendMany(adaptive(scheduler, 1), server, 3);
      flush();
      expect(server.times).toEqual([0, 4000, 8010]);
    }),
  );

  it(
    'prolongs a pause by up to a tenth',
    marbles(({ flush }, scheduler) => {
      const server = new Server(scheduler, ({ path }) =>
        path === '0' ? { status: 429, retryAfter: '10' } : {},
      );
      sendMany(
        concurrencyLink({ limit: 'adaptive', max: 1 }, scheduler, () => 0.5),
        server,
        2,
      );
      flush();
      expect(server.times).toEqual([0, 10_510]);
    }),
  );

  it(
    'paces requests after a 429 with retry-after, evenly and slowly growing, for 30 s',
    marbles(({ flush }, scheduler) => {
      // 50 requests in the first second, then no limit.
      const server = new Server(scheduler, () =>
        server.sent.length > 50 && scheduler.now() < 1000 ? { status: 429, retryAfter: '1' } : {},
      );
      const link = adaptive(scheduler);
      sendMany(link, server, 200);
      const rates: number[] = [];
      for (const time of [500, 1020, 1520]) at(scheduler, time, () => rates.push(link.state.rate));
      flush();
      expect(rates.map((rate) => Math.round(rate * 10) / 10)).toEqual([45, 45, 90]);
      const later = server.times.filter((time) => time > 100);
      const gaps = later.map((time, i) => time - (later[i - 1] ?? 0));
      // 45 requests a second are one each 22 ms; after 500 ms the rate is twice as high.
      expect(gaps.slice(0, 3)).toEqual([1020, 23, 21]);
      expect(later.filter((time) => time < 1520).length).toBe(33);
      expect(link.state).toMatchObject(idle);
      at(scheduler, 32_000, () => sendMany(link, server, 20));
      flush();
      expect(server.times.filter((time) => time === 32_000)).toHaveLength(20);
      expect(link.state.rate).toBe(Infinity);
    }),
  );

  it(
    'corrects the rate at the next 429, without a pause, and raises it slowly from there',
    marbles(({ flush }, scheduler) => {
      const server = new Server(scheduler, () => {
        const { length } = server.sent;
        return length === 21 || length === 100 ? { status: 429 } : {};
      });
      const link = adaptive(scheduler);
      const rates: number[] = [];
      const answers: number[] = [];
      const stop = 23_000;
      // The next request follows each answer: 100 in a second, without a limit.
      const send = (): void => {
        if (scheduler.now() < stop)
          link(request('a'), server.next).subscribe({ error: refused, complete: answered });
      };
      const answered = (): void => {
        answers.push(scheduler.now());
        send();
      };
      const refused = (): void => {
        const now = scheduler.now();
        const { rate, limit } = link.state;
        rates.push(rate, 0.9 * answers.filter((time) => time > now - 1000).length);
        send();
        if (rates.length < 4) return;
        expect(limit).toBeGreaterThan(1);
        for (const after of [5000, 20_000])
          at(scheduler, now + after, () => rates.push(link.state.rate));
      };
      send();
      flush();
      const [first = 0, exact = 0, second = 0, measured = 0, after5 = 0, after20 = 0] = rates;
      expect([first, exact]).toEqual([18, 18]);
      expect(Math.abs(second / measured - 1)).toBeLessThan(0.05);
      expect([after5 / second, after20 / second]).toEqual([
        expect.closeTo(2 ** ((5 / 20) ** 2)),
        expect.closeTo(2),
      ]);
    }),
  );

  it(
    'probes with one request after a pause',
    marbles(({ flush }, scheduler) => {
      const isClosed = (): boolean => scheduler.now() >= 2500 && scheduler.now() < 6000;
      const server = new Server(scheduler, ({ path }) => {
        if (path === '0') return { head: 150, status: 429, retryAfter: '1' };
        return { head: 100, status: isClosed() ? 429 : 200 };
      });
      const link = adaptive(scheduler);
      const limits: number[] = [];
      at(scheduler, 2500, () => limits.push(link.state.limit));
      sendMany(link, server, 600);
      flush();
      expect(limits[0]).toBeGreaterThan(20);
      const gaps = server.times.map((time, i) => time - (server.times[i - 1] ?? 0));
      const probes = gaps.flatMap((gap, i) =>
        (server.times[i] ?? 0) > 2700 && gap > 250 ? [i] : [],
      );
      expect(probes.length).toBeGreaterThan(2);
      // The next request leaves when the probe has been answered, not before.
      for (const i of probes) expect(gaps[i + 1]).toBeGreaterThanOrEqual(100);
    }),
  );

  it(
    'counts answers that come after a 429 to requests from before it',
    marbles(({ flush }, scheduler) => {
      const server = new Server(scheduler, ({ path }) =>
        path === '0' ? { head: 1, status: 429, retryAfter: '1' } : { head: 50 },
      );
      const link = adaptive(scheduler);
      sendMany(link, server, 41);
      const rates: number[] = [];
      for (const time of [2, 60]) at(scheduler, time, () => rates.push(link.state.rate));
      flush();
      // At least 1, and then 90 % of 40.
      expect(rates).toEqual([1, expect.closeTo(1 + 36)]);
    }),
  );

  it(
    'corrects a rate more if it was corrected shortly before, and ends it after 30 s',
    marbles(({ flush }, scheduler) => {
      const server = new Server(scheduler, ({ path }) =>
        path === 'refused' ? { head: 1, status: 429 } : {},
      );
      const link = adaptive(scheduler);
      const answers: number[] = [];
      const shares: number[] = [];
      const send = (time: number): void =>
        at(scheduler, time, () =>
          link(request('a'), server.next).subscribe(() => answers.push(scheduler.now())),
        );
      const refuse = (time: number): void =>
        at(scheduler, time, () =>
          link(request('refused', { priority: 'high' }), server.next).subscribe({
            error: () => {
              const recent = answers.filter((answer) => answer > scheduler.now() - 1000);
              shares.push(link.state.rate / recent.length);
            },
          }),
        );
      for (let time = 0; time < 20_000; time += 20) send(time);
      for (const time of [5025, 8025, 10_025, 17_025]) refuse(time);
      at(scheduler, 49_000, () => sendMany(link, server, 20));
      flush();
      // The first rate is less exact: below the limit the link reads the clock at every 16th answer.
      expect(shares.slice(1).map((share) => share.toFixed(1))).toEqual(['0.9', '0.8', '0.9']);
      expect(server.times.filter((time) => time === 49_000)).toHaveLength(20);
    }),
  );

  it(
    'pauses ever longer if the request after a 429 is refused too',
    marbles(({ flush }, scheduler) => {
      let isOpen = true;
      const server = new Server(scheduler, () => (isOpen ? {} : { head: 1, status: 429 }));
      const link = adaptive(scheduler);
      at(scheduler, 20, () => (isOpen = false));
      at(scheduler, 40_000, () => (isOpen = true));
      sendMany(link, server, 300);
      flush();
      // A pause doubles the time since the first refusal, up to 8 s.
      const probes = server.times.filter((time) => time > 21);
      expect(probes.slice(0, 10)).toEqual([
        272, 525, 1031, 2043, 4067, 8115, 16_116, 24_117, 32_118, 40_119,
      ]);
      expect(link.state).toMatchObject(idle);
    }),
  );

  it(
    'sends first attempts before retries until 16 answers have come after a refusal',
    marbles(({ flush }, scheduler) => {
      const server = new Server(scheduler, ({ path }) => (path === 'x' ? { status: 503 } : {}));
      const link = adaptive(scheduler, 1);
      link(request('x'), server.next).subscribe(ignore);
      for (let i = 0; i < 3; i++)
        link(request(`retry ${i}`, { attempt: 2 }), server.next).subscribe();
      sendMany(link, server, 20);
      flush();
      const paths = server.sent.map((one) => one.replace(/^\d+ /, ''));
      // The sixteenth is the oldest request.
      expect(paths.slice(1, 16)).toEqual(Array.from({ length: 15 }, (_, i) => `${i}`));
      expect(paths.slice(16, 22)).toEqual(['retry 0', 'retry 1', 'retry 2', '15', '16', '17']);
    }),
  );

  it(
    'sends first attempts before retries until a second 429 has corrected the rate',
    marbles(({ flush }, scheduler) => {
      const server = new Server(scheduler, ({ path }) =>
        path === 'x' || path === '36' ? { status: 429 } : {},
      );
      const link = adaptive(scheduler, 1);
      link(request('x'), server.next).subscribe(ignore);
      for (let i = 0; i < 5; i++)
        link(request(`retry ${i}`, { attempt: 2 }), server.next).subscribe();
      sendMany(link, server, 80);
      flush();
      const paths = server.sent.map((one) => one.replace(/^\d+ /, ''));
      const places = paths.flatMap((path, i) => (path.startsWith('retry') ? [i] : []));
      // The oldest request is each sixteenth. The 429 is the 39th, and 16 answers follow it.
      expect(paths[39]).toBe('36');
      expect(places).toEqual([16, 32, 48, 56, 57]);
    }),
  );

  it(
    'returns the slots of slow requests from before a refusal within 1 s',
    marbles(({ flush }, scheduler) => {
      const server = new Server(scheduler, ({ path }) => {
        if (path === 'slow') return { head: 60_000 };
        return path === 'refused' ? { head: 1, status: 503 } : {};
      });
      const link = adaptive(scheduler);
      link(request('slow'), server.next).subscribe();
      link(request('refused'), server.next).subscribe(ignore);
      at(scheduler, 5, () => sendMany(link, server, 1));
      flush();
      expect(server.sent).toEqual(['0 slow', '0 refused', '1005 0']);
    }),
  );

  it(
    'starts again if no request has reached the limit for 60 s',
    marbles(({ flush }, scheduler) => {
      const server = new Server(scheduler, ({ path }) => (path === 'x' ? { status: 503 } : {}));
      const link = adaptive(scheduler);
      link(request('x'), server.next).subscribe(ignore);
      at(scheduler, 59_000, () => sendMany(link, server, 20));
      at(scheduler, 130_000, () => sendMany(link, server, 64));
      flush();
      expect(server.times.filter((time) => time === 59_000)).toHaveLength(1);
      expect(server.times.filter((time) => time === 130_000)).toHaveLength(64);
      expect(link.state.limit).toBe(64);
    }),
  );

  /** Keeps the limit in use with requests of these latencies and routes. */
  function load(
    scheduler: SchedulerLike,
    count: number,
    answer: (index: number, time: number) => { readonly head: number; readonly route: string },
  ): { readonly limits: number[]; readonly link: ConcurrencyLink } {
    const limits: number[] = [];
    const link = adaptive(scheduler);
    const server = new Server(scheduler, ({ path }) => {
      limits.push(link.state.limit);
      return answer(Number(path), scheduler.now());
    });
    for (let i = 0; i < count; i++) {
      const { route } = answer(i, 0);
      link(request(`${i}`, { route }), server.next).subscribe();
    }
    return { limits, link };
  }

  it(
    'decreases by tenths, down to a quarter, if most answers take more than twice their average',
    marbles(({ flush }, scheduler) => {
      const { limits, link } = load(scheduler, 1300, (index) => ({
        route: 'get',
        head: Math.min(300_000, 10 * 3 ** Math.floor(index / 120)),
      }));
      flush();
      expect(limits[0]).toBe(64);
      expect([57, 52, 15].map((limit) => limits.includes(limit))).toEqual([true, true, true]);
      expect(Math.min(...limits)).toBe(15);
      expect(link.state).toMatchObject(idle);
    }),
  );

  it(
    'stays with rare slow requests, and with a slower route',
    marbles(({ flush }, scheduler) => {
      const { limits } = load(scheduler, 6000, (index) => {
        if (index > 3000) return { route: 'view', head: 500 };
        return { route: 'get', head: index % 50 === 0 ? 200 : 10 };
      });
      flush();
      expect(Math.min(...limits)).toBe(64);
    }),
  );

  it(
    'does not collapse if slow requests hold most slots',
    marbles(({ flush }, scheduler) => {
      const { limits } = load(scheduler, 6000, (index) => ({
        route: 'get',
        head: index % 10 === 0 ? 900 : 10,
      }));
      flush();
      expect(Math.min(...limits)).toBeGreaterThanOrEqual(45);
    }),
  );

  it(
    'recovers from a decrease, by 1 with each round',
    marbles(({ flush }, scheduler) => {
      const { limits, link } = load(scheduler, 12_000, (_, time) => ({
        route: 'get',
        head: time > 100 ? 100 : 10,
      }));
      flush();
      expect(Math.min(...limits)).toBeLessThan(64);
      expect(link.state.limit).toBe(64);
    }),
  );

  it(
    'leaves no timer after the last subscriber',
    marbles((_, scheduler) => {
      const server = new Server(scheduler, ({ path }) =>
        path === '0' ? { status: 429, retryAfter: '5' } : { head: 10, body: 5000 },
      );
      const link = adaptive(scheduler, 2);
      const all = sendMany(link, server, 10);
      const left: number[] = [];
      at(scheduler, 700, () => {
        expect(link.state).toMatchObject({ inFlight: 1, waiting: 8 });
        for (const one of all) one.unsubscribe();
        left.push(scheduler.actions.length);
      });
      scheduler.flush();
      expect(left).toEqual([0]);
      expect(link.state).toMatchObject(idle);
    }),
  );
});

describe('the option', () => {
  const make = (option: unknown) => (): unknown =>
    concurrencyLink(option as Concurrency, {
      now: () => 0,
      schedule: () => new Observable().subscribe(),
    });

  it.each<[unknown, string]>([
    [0, 'RangeError: concurrency must be a whole number from 1 (received 0)'],
    [1.5, 'RangeError: concurrency must be a whole number from 1 (received 1.5)'],
    [NaN, 'RangeError: concurrency must be a whole number from 1 (received NaN)'],
    [
      'fast',
      `TypeError: concurrency must be a whole number from 1, 'adaptive', or options (received "fast")`,
    ],
    [
      null,
      `TypeError: concurrency must be a whole number from 1, 'adaptive', or options (received null)`,
    ],
    [
      true,
      `TypeError: concurrency must be a whole number from 1, 'adaptive', or options (received true)`,
    ],
    [{}, `TypeError: concurrency: limit must be 'adaptive' (received undefined)`],
    [{ limit: 5 }, `TypeError: concurrency: limit must be 'adaptive' (received 5)`],
    [
      { limit: 'adaptive', max: 0 },
      'RangeError: concurrency: max must be a whole number from 1 (received 0)',
    ],
    [
      { limit: 'adaptive', max: Infinity },
      'RangeError: concurrency: max must be a whole number from 1 (received Infinity)',
    ],
    [
      { limit: 'adaptive', max: '9' },
      'TypeError: concurrency: max must be a whole number from 1 (received "9")',
    ],
    [{ limit: 'adaptive', most: 9 }, `TypeError: concurrency: unknown option 'most'`],
  ])('%j is refused', (option, message) => {
    let failure = '';
    try {
      make(option)();
    } catch (error) {
      failure = String(error);
    }
    expect(failure).toBe(message);
  });

  it.each([
    [1],
    [64],
    [Infinity],
    ['adaptive'],
    [{ limit: 'adaptive' }],
    [{ limit: 'adaptive', max: 8 }],
  ])('%j is accepted', (option) => {
    expect(make(option)).not.toThrow();
  });
});

// CORDUROY_SEED=1234 CORDUROY_CASES=1 repeats a case.
const seed = Number(process.env['CORDUROY_SEED'] ?? 20_240_607);
const cases = Number(process.env['CORDUROY_CASES'] ?? 150);

/** A generator of pseudo-random numbers from 0 to 1. */
function randomOf(start: number): () => number {
  let state = start >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

describe(`random servers and callers (CORDUROY_SEED=${seed})`, () => {
  /** Runs one case. Returns what must not be. */
  const faultsOf = (
    one: number,
    scheduler: SchedulerLike,
    flush: () => void,
  ): readonly string[] => {
    const random = randomOf(one);
    const pick = <T>(...values: readonly T[]): T =>
      values[Math.floor(random() * values.length)] as T;
    const faults: string[] = [];
    const option = pick<Concurrency>(1, 3, 10, 'adaptive', { limit: 'adaptive', max: 5 });
    const link = concurrencyLink(option, scheduler, random);
    const share = pick(0, 0, 0.1, 0.6);
    const server = new Server(scheduler, () => {
      const retryAfter = pick(undefined, '1', '0', 'soon');
      return {
        head: Math.floor(random() * 20),
        body: pick(0, 0, Math.floor(random() * 300)),
        status: random() < share ? pick(429, 429, 503, 404, 500) : 200,
        ...(retryAfter !== undefined && { retryAfter }),
      };
    });
    const max = typeof option === 'number' ? option : option === 'adaptive' ? 64 : 5;
    const next: Next = (sent) =>
      defer(() => {
        if (server.inFlight >= max || link.state.inFlight > link.state.limit)
          faults.push(`${server.inFlight + 1} in flight under a limit of ${link.state.limit}`);
        return server.next(sent);
      });
    const priority = pick<LinkRequest['priority'] | null>('normal', 'low', null);
    const isOrdered = priority !== null && share === 0;
    const ends = Array.from({ length: 200 }, () => 0);
    const subscribe = (i: number): void => {
      const end = (): void => {
        ends[i] = (ends[i] ?? 0) + 1;
      };
      let attempt = 0;
      const subscription = defer(() => {
        attempt += 1;
        const changes = { priority: priority ?? pick('high', 'normal', 'low'), attempt };
        return link(request(`${i}`, changes), next);
      })
        .pipe(retry({ count: pick(0, 2), delay: () => timer(random() * 100, scheduler) }))
        .subscribe({ error: end, complete: end });
      if (random() >= 0.2) return;
      at(scheduler, scheduler.now() + random() * 400, () => {
        if (!subscription.closed) end();
        subscription.unsubscribe();
      });
    };
    for (let i = 0; i < ends.length; i++) {
      if (isOrdered) subscribe(i);
      else at(scheduler, random() * 200, () => subscribe(i));
    }
    flush();
    ends.forEach((count, i) => {
      if (count !== 1) faults.push(`request ${i} ended ${count} times`);
    });
    const order = server.sent.map((line) => Number(line.split(' ')[1]));
    if (isOrdered && order.some((path, i) => path < (order[i - 1] ?? 0)))
      faults.push(`sent in the order ${order.join(' ')}`);
    const { inFlight, waiting } = link.state;
    if (inFlight + waiting + server.inFlight > 0) faults.push(`${inFlight} + ${waiting} are left`);
    return faults;
  };

  it(`end each of 200 requests once, within the limit and in order, in ${cases} cases`, () => {
    for (let one = seed; one < seed + cases; one++)
      marbles(({ flush }, scheduler) => {
        expect({ seed: one, faults: faultsOf(one, scheduler, flush) }).toEqual({
          seed: one,
          faults: [],
        });
        expect(scheduler.actions).toEqual([]);
      })();
  });
});
