import { describe, expect, it } from '@jest/globals';
import { BehaviorSubject, NEVER, Subject, catchError, map, merge, mergeMap, of, timer } from 'rxjs';
import type { Observable, SchedulerLike } from 'rxjs';
import { Couch } from 'corduroy';
import type { Auth, Credentials, FeedState, HTTPError, TransportResponse } from 'corduroy';
import { bytes, marbleTransport, response } from './helpers/marble-transport.ts';
import { marbles } from './helpers/run.ts';

const body = (text: string): Observable<Uint8Array> => of(bytes(text));
const version = (): TransportResponse => response(body('{"version":"3.5.0"}'));
const refused = (): TransportResponse => response(body('{"error":"unauthorized"}'), 401);
const token = (bearer: string): Credentials => ({ bearer });

interface Served {
  readonly couch: Couch;
  /** The time and the token of each request; `-` for none. */
  readonly sent: string[];
}

/** A server that accepts a request with a valid token. */
function couchOf(
  scheduler: SchedulerLike,
  auth: Auth,
  valid: (token: string) => boolean,
  lag?: Observable<unknown>,
): Served {
  const sent: string[] = [];
  const transport = marbleTransport(({ headers }) => {
    const who = headers['authorization']?.replace('Bearer ', '') ?? '-';
    sent.push(`${scheduler.now()} ${who}`);
    const answer = valid(who) ? version() : refused();
    return lag === undefined ? of(answer) : lag.pipe(map(() => answer));
  });
  return { couch: new Couch(undefined, { transport, scheduler, auth }), sent };
}

function requestsAt(couch: Couch, times: number[], scheduler: SchedulerLike): Observable<string> {
  const request = couch.version().pipe(
    map(() => 'v'),
    catchError((error: HTTPError) => of(error.status === 401 ? 'x' : error.name)),
  );
  return merge(...times.map((time) => timer(time, scheduler).pipe(mergeMap(() => request))));
}

describe('credentials', () => {
  it(
    'that arrive later delay the requests until then',
    marbles(({ cold, expectObservable, expectSubscriptions, flush }, scheduler) => {
      const given = cold('---(a|)', { a: token('A') });
      const { couch, sent } = couchOf(scheduler, given, () => true, cold('-(x|)'));
      expectObservable(requestsAt(couch, [0, 1, 9], scheduler)).toBe('----(vv)--(v|)');
      expectSubscriptions(given.subscriptions).toBe('^--!');
      flush();
      expect(sent).toEqual(['3 A', '3 A', '9 A']);
    }),
  );

  it(
    'of a function are requested once, and again once after a 401 of several requests',
    marbles(({ cold, expectObservable, flush }, scheduler) => {
      const answers = ['A', 'B'];
      let sent = 0;
      const auth = (): Observable<Credentials> =>
        cold('-(t|)', { t: token(answers[sent++] ?? '') });
      const valid = (text: string): boolean => text === (scheduler.now() < 10 ? 'A' : 'B');
      const served = couchOf(scheduler, auth, valid);
      expectObservable(requestsAt(served.couch, [0, 0, 5, 10, 10, 15], scheduler)).toBe(
        '-(vv)v-----(vv)(v|)',
      );
      flush();
      expect(served.sent).toEqual(['1 A', '1 A', '5 A', '10 A', '10 A', '11 B', '11 B', '15 B']);
      expect(sent).toBe(2);
    }),
  );

  it(
    'of a function that returns the same again cause no second request after a 401',
    marbles(({ expectObservable, flush }, scheduler) => {
      const { couch, sent } = couchOf(
        scheduler,
        () => token('A'),
        () => false,
      );
      expectObservable(requestsAt(couch, [0, 3], scheduler)).toBe('x--(x|)');
      flush();
      expect(sent).toEqual(['0 A', '3 A']);
    }),
  );

  it(
    'of an Observable are its last value, and Corduroy subscribes to it only during a request',
    marbles(({ hot, expectObservable, flush }, scheduler) => {
      const given = hot('a----b----n---', { a: token('A'), b: token('B'), n: null });
      const known = new BehaviorSubject<Credentials | null>(token('0'));
      given.subscribe(known);
      const { couch, sent } = couchOf(scheduler, known, () => true);
      expectObservable(requestsAt(couch, [1, 6, 11], scheduler)).toBe('-v----v----(v|)');
      flush();
      expect(sent).toEqual(['1 A', '6 B', '11 -']);
      expect(known.observed).toBe(false);
    }),
  );
});

describe('a feed, when credentials change', () => {
  const change = (seq: string): Uint8Array =>
    bytes(`${JSON.stringify({ seq, id: `doc-${seq}`, changes: [{ rev: '1-a' }] })}\n`);
  const wire = { a: change('1'), b: change('2'), c: change('3') };
  const feedOptions = { latency: 0, heartbeat: 1000, since: 0 } as const;

  interface Feed {
    readonly couch: Couch;
    readonly feed: Observable<string>;
    readonly states: string[];
    /** The time, the token and the sequence of each request for a feed. */
    readonly sent: string[];
  }

  function feedOf(
    scheduler: SchedulerLike,
    auth: Auth | undefined,
    serve: (who: string, count: number) => Observable<TransportResponse>,
    options: object = {},
  ): Feed {
    const sent: string[] = [];
    const transport = marbleTransport(({ url, headers, method }) => {
      const { searchParams, pathname } = new URL(url);
      const who =
        headers['authorization']?.replace('Bearer ', '') ??
        headers['cookie']?.replace('AuthSession=', '') ??
        '-';
      if (pathname === '/_session') {
        const cookie: Record<string, string> =
          method === 'POST' ? { 'set-cookie': 'AuthSession=S; Max-Age=600' } : {};
        return of(response(body('{"ok":true,"name":"ada","roles":[]}'), 200, cookie));
      }
      if (searchParams.get('feed') !== 'continuous') {
        return of(response(body('{"results":[],"last_seq":"0","pending":0}')));
      }
      sent.push(`${scheduler.now()} ${who} ${searchParams.get('since')}`);
      return serve(who, sent.length);
    });
    const couch = new Couch(undefined, { transport, scheduler, ...(auth && { auth }) });
    const changes = couch.use('orders').changes$({ ...feedOptions, ...options });
    const states: string[] = [];
    changes.state$.subscribe((state: FeedState) =>
      states.push(
        state.status === 'waiting' ? `waiting ${state.delay}: ${state.error.name}` : state.status,
      ),
    );
    const feed = changes.pipe(map((batch) => batch.changes.map(({ id }) => id.slice(4)).join('')));
    return { couch, feed, states, sent };
  }

  it(
    'resumes at once with the new ones, after the last change',
    marbles(({ cold, hot, expectObservable, expectSubscriptions, flush }, scheduler) => {
      const given = hot('    a----b-------', { a: token('A'), b: token('B') });
      const auth = new BehaviorSubject<Credentials>(token('A'));
      given.subscribe(auth);
      const bodies = [cold('-a---------', wire), cold('--b--------', wire)];
      const { feed, sent } = feedOf(scheduler, auth, (_, count) =>
        of(response(bodies[count - 1] ?? NEVER)),
      );
      expectObservable(feed, '^----------!').toBe('-1-----2----');
      expectSubscriptions(bodies[0]?.subscriptions ?? []).toBe('^----!');
      flush();
      expect(sent).toEqual(['0 A 0', '5 B 1']);
    }),
  );

  it(
    'stays connected if the same credentials are emitted again',
    marbles(({ cold, expectObservable, flush }, scheduler) => {
      const auth = cold('a--a--a---', { a: token('A') });
      const first = cold('-a-----b---', wire);
      const { feed, sent } = feedOf(scheduler, auth, () => of(response(first)));
      expectObservable(feed, '^---------!').toBe('-1-----2---');
      flush();
      expect(sent).toEqual(['0 A 0']);
    }),
  );

  it(
    'waits for others after a 401, and resumes when they arrive',
    marbles(({ cold, hot, expectObservable, flush }, scheduler) => {
      const given = hot('     -----n---b-------', { b: token('B'), n: null });
      const auth = new BehaviorSubject<Credentials | null>(token('A'));
      given.subscribe(auth);
      const bodies: Record<string, Observable<Uint8Array>> = {
        A: cold('-a---------', wire),
        B: cold('--b--------', wire),
      };
      const { feed, sent, states } = feedOf(scheduler, auth, (who) =>
        of(who === '-' ? refused() : response(bodies[who] ?? NEVER)),
      );
      expectObservable(feed, '^-------------!').toBe('-1---------2----');
      flush();
      expect(sent).toEqual(['0 A 0', '5 - 1', '9 B 1']);
      expect(states).toEqual([
        'idle',
        'connecting',
        'live',
        'connecting',
        'waiting Infinity: Unauthorized',
        'connecting',
        'live',
        'idle',
      ]);
    }),
  );

  it(
    'waits no longer than its errorTolerance',
    marbles(({ expectObservable, flush }, scheduler) => {
      for (const [errorTolerance, expected, waits] of [
        [0, 'x', []],
        [7, '-------x', ['waiting Infinity: Unauthorized']],
      ] as const) {
        const auth = new BehaviorSubject<Credentials>(token('A'));
        const { feed, states } = feedOf(scheduler, auth, () => of(refused()), { errorTolerance });
        const failed = feed.pipe(catchError((error: Error) => of(error.name)));
        expectObservable(failed).toBe(expected.replace('x', '(x|)'), { x: 'Unauthorized' });
        flush();
        expect(states).toEqual(['idle', 'connecting', ...waits, 'failed']);
      }
    }),
  );

  it(
    'errors if they are refused and no others can follow',
    marbles(({ expectObservable }, scheduler) => {
      const { feed } = feedOf(scheduler, token('A'), () => of(refused()));
      const failed = feed.pipe(catchError((error: Error) => of(error.name)));
      expectObservable(failed).toBe('(x|)', { x: 'Unauthorized' });
    }),
  );

  it(
    'reconnects after a login and a logout',
    marbles(({ cold, expectObservable, flush }, scheduler) => {
      const serve = (who: string, count: number): Observable<TransportResponse> => {
        if (count === 3) return of(refused());
        const bodies = [cold('-a---', wire), cold('--b----', wire), NEVER, cold('-c', wire)];
        return of(response(who === '-' && count > 1 ? NEVER : (bodies[count - 1] ?? NEVER)));
      };
      const { couch, feed, sent } = feedOf(scheduler, undefined, serve);
      const act = (time: number, what: () => Observable<unknown>): Observable<never> =>
        timer(time, scheduler).pipe(
          mergeMap(what),
          mergeMap(() => []),
        );
      const emitted = merge(
        feed,
        act(4, () => couch.login('ada', 'secret')),
        act(8, () => couch.logout()),
        act(12, () => couch.login('ada', 'secret')),
      );
      expectObservable(emitted, '^---------------!').toBe('-1----2------3---');
      flush();
      expect(sent).toEqual(['0 - 0', '4 S 1', '8 - 2', '12 S 2']);
    }),
  );
});

it('credentials of a Subject without a replay are kept from request to request', () => {
  const given = new Subject<Credentials>();
  const transport = marbleTransport(() => of(version()));
  const couch = new Couch(undefined, { transport, auth: given });
  const versions: string[] = [];
  couch.version().subscribe((number) => versions.push(number));
  expect(transport.requests).toHaveLength(0);
  given.next(token('A'));
  couch.version().subscribe((number) => versions.push(number));
  expect(transport.requests.map(({ headers }) => headers['authorization'])).toEqual([
    'Bearer A',
    'Bearer A',
  ]);
  expect(versions).toEqual(['3.5.0', '3.5.0']);
  expect(given.observed).toBe(false);
});
