import { describe, expect, it } from '@jest/globals';
import {
  VirtualTimeScheduler,
  catchError,
  map,
  merge,
  mergeMap,
  of,
  throwError,
  timer,
} from 'rxjs';
import type { Observable, SchedulerLike } from 'rxjs';
import { Couch } from 'corduroy';
import type { Auth, HTTPError, TransportRequest, TransportResponse } from 'corduroy';
import type { Authorization } from '../src/http/auth.ts';
import { createIdentity } from '../src/http/cookie-session.ts';
import type { CookieSession } from '../src/http/cookie-session.ts';
import type { Channel } from '../src/http/identity.ts';
import { bytes, marbleTransport, response } from './helpers/marble-transport.ts';
import { marbles } from './helpers/run.ts';

const body = (text: string): Observable<Uint8Array> => of(bytes(text));
const loggedIn = (token: string, seconds = 600): TransportResponse =>
  response(body('{"ok":true,"name":"ada","roles":[]}'), 200, {
    'set-cookie': `AuthSession=${token}; Version=1; Expires=Tue, 24-Nov-2026 06:00:00 GMT; Max-Age=${seconds}; Path=/; HttpOnly`,
  });
const refused = (status = 401): TransportResponse =>
  response(body('{"error":"unauthorized","reason":"Name or password is incorrect."}'), status);
const version = (headers: Record<string, string> = {}): TransportResponse =>
  response(body('{"version":"3.5.0"}'), 200, headers);

/** The label of a request: `l` for a login, else the cookie, `+` for the browser's, `b` for Basic. */
function labelOf(request: TransportRequest): string {
  if (request.url.endsWith('/_session')) return 'l';
  const { cookie, authorization } = request.headers;
  if (authorization !== undefined) return 'b';
  return cookie?.replace('AuthSession=', '') ?? (request.cookies ? '+' : '-');
}

interface Server {
  /** Answers the login of this number. */
  readonly login: (count: number) => Observable<TransportResponse>;
  /** Answers a request with this cookie. */
  readonly answer?: (cookie: string) => Observable<TransportResponse>;
}

function couchOf(
  scheduler: SchedulerLike,
  { login, answer = () => of(version()) }: Server,
  auth: Auth = { session: { username: 'ada', password: 'secret' } },
): { readonly couch: Couch; readonly sent: string[] } {
  const sent: string[] = [];
  let logins = 0;
  const transport = marbleTransport((request) => {
    const label = labelOf(request);
    sent.push(`${scheduler.now()} ${label}`);
    return label === 'l' ? login((logins += 1)) : answer(label);
  });
  return { couch: new Couch(undefined, { transport, scheduler, auth, retry: false }), sent };
}

/** Sends a request at each of these times; emits `v`, or the status of the failure. */
function requestsAt(couch: Couch, times: number[], scheduler: SchedulerLike): Observable<string> {
  const request = couch.version().pipe(
    map(() => 'v'),
    catchError((error: HTTPError) => of(String(error.status))),
  );
  return merge(...times.map((time) => timer(time, scheduler).pipe(mergeMap(() => request))));
}

describe('a cookie session', () => {
  it(
    'logs in once for all waiting requests, and not before the first request',
    marbles(({ cold, expectObservable, flush }, scheduler) => {
      const { couch, sent } = couchOf(scheduler, {
        login: () => cold('---l', { l: loggedIn('A') }),
      });
      const expected = '  ---(vvv)-(v|)';
      expectObservable(requestsAt(couch, [0, 1, 2, 9], scheduler)).toBe(expected);
      flush();
      expect(sent).toEqual(['0 l', '3 A', '3 A', '3 A', '9 A']);
    }),
  );

  it(
    'cancels the login when the last waiting request is unsubscribed',
    marbles(({ cold, expectObservable, expectSubscriptions }, scheduler) => {
      const login = cold('-----------l', { l: loggedIn('A') });
      const { couch } = couchOf(scheduler, { login: () => login });
      expectObservable(couch.version(), '       ^--!').toBe('-------------');
      expectObservable(couch.allDbs(), '        --^----!').toBe('---------');
      expectSubscriptions(login.subscriptions).toBe('^------!');
    }),
  );

  it(
    'renews its cookie with the first request after nine tenths of its lifetime',
    marbles(({ expectObservable, flush }, scheduler) => {
      const { couch, sent } = couchOf(scheduler, {
        login: (count) => of(loggedIn(`${count}`, 10)),
      });
      const times = [0, 8_999, 9_000, 17_999, 30_000];
      expectObservable(requestsAt(couch, times, scheduler)).toBe(
        'v 8998ms v v 8998ms v 12000ms (v|)',
      );
      flush();
      expect(sent).toEqual([
        '0 l',
        '0 1',
        '8999 1',
        '9000 l',
        '9000 2',
        '17999 2',
        '30000 l',
        '30000 3',
      ]);
    }),
  );

  it(
    'keeps a valid cookie if the renewal fails, but not an expired one',
    marbles(({ expectObservable, flush }, scheduler) => {
      const { couch, sent } = couchOf(scheduler, {
        login: (count) => of(count === 1 ? loggedIn('A', 10) : refused(503)),
      });
      expectObservable(requestsAt(couch, [0, 9_500, 10_000], scheduler)).toBe(
        'v 9499ms v 499ms (x|)',
        {
          v: 'v',
          x: '503',
        },
      );
      flush();
      expect(sent).toEqual(['0 l', '0 A', '9500 l', '9500 A', '10000 l']);
    }),
  );

  it(
    'accepts a cookie that the server renews, with its remaining lifetime',
    marbles(({ expectObservable, flush }, scheduler) => {
      const renewed = { 'set-cookie': 'AuthSession=B; Version=1; Max-Age=10; Path=/' };
      const { couch, sent } = couchOf(scheduler, {
        login: () => of(loggedIn('A', 10)),
        answer: (cookie) => of(version(cookie === 'A' && scheduler.now() > 0 ? renewed : {})),
      });
      expectObservable(requestsAt(couch, [0, 5_000, 13_000], scheduler)).toBe(
        'v 4999ms v 7999ms (v|)',
      );
      flush();
      expect(sent).toEqual(['0 l', '0 A', '5000 A', '13000 B']);
    }),
  );

  it(
    'ignores the renewal of a cookie that has been replaced meanwhile',
    marbles(({ cold, expectObservable, flush }, scheduler) => {
      const late = { 'set-cookie': 'AuthSession=late; Version=1; Max-Age=10; Path=/' };
      const { couch, sent } = couchOf(scheduler, {
        login: (count) => of(loggedIn(`${count}`, 10)),
        // The answer to a request with the first cookie arrives after the second login.
        answer: () =>
          scheduler.now() === 8_000 ? cold('2000ms v', { v: version(late) }) : of(version()),
      });
      expectObservable(requestsAt(couch, [0, 8_000, 9_000, 11_000], scheduler)).toBe(
        'v 8999ms v 999ms v 999ms (v|)',
      );
      flush();
      expect(sent).toEqual(['0 l', '0 1', '8000 1', '9000 l', '9000 2', '11000 2']);
    }),
  );

  it(
    'logs in once after a 401 of several requests, and retries each once',
    marbles(({ cold, expectObservable, flush }, scheduler) => {
      const { couch, sent } = couchOf(scheduler, {
        login: (count) => cold('--l', { l: loggedIn(`${count}`) }),
        answer: (cookie) =>
          scheduler.now() < 10_000 || cookie !== '1' ? of(version()) : cold('-x', { x: refused() }),
      });
      expectObservable(requestsAt(couch, [0, 10_000, 10_000, 10_002], scheduler)).toBe(
        '--v 10000ms (vvv|)',
      );
      flush();
      expect(sent).toEqual([
        '0 l',
        '2 1',
        '10000 1',
        '10000 1',
        '10001 l',
        // It waits for the login in flight, and is not refused first.
        '10003 2',
        '10003 2',
        '10003 2',
      ]);
    }),
  );

  it(
    'retries a request at once if its refused cookie has been replaced meanwhile',
    marbles(({ cold, expectObservable, flush }, scheduler) => {
      const { couch, sent } = couchOf(
        scheduler,
        {
          login: (count) => of(loggedIn(`${count}`)),
          answer: (cookie) =>
            cookie === '1'
              ? cold(sent.length < 4 ? '----x' : '-x', { x: refused() })
              : of(version()),
        },
        { session: ['ada', 'secret'], loginInterval: 0 },
      );
      expectObservable(requestsAt(couch, [0, 0, 1], scheduler)).toBe('--v-(vv|)');
      flush();
      expect(sent).toEqual(['0 l', '0 1', '0 1', '1 1', '2 l', '2 2', '4 2', '4 2']);
    }),
  );

  it(
    'does not replace a cookie that is refused within loginInterval',
    marbles(({ expectObservable, flush }, scheduler) => {
      const { couch, sent } = couchOf(scheduler, {
        login: (count) => of(loggedIn(`${count}`)),
        answer: () => of(refused()),
      });
      expectObservable(requestsAt(couch, [0, 4_999, 5_000, 5_001], scheduler)).toBe(
        'x 4998ms x x (x|)',
        { x: '401' },
      );
      flush();
      expect(sent).toEqual(['0 l', '0 1', '4999 1', '5000 1', '5000 l', '5000 2', '5001 2']);
    }),
  );

  it.each([401, 403])(
    'retries a login that was refused with %i after 90 seconds, not before',
    (status) =>
      marbles(({ expectObservable, flush }, scheduler) => {
        const { couch, sent } = couchOf(scheduler, {
          login: (count) => of(count < 3 ? refused(status) : loggedIn('A')),
        });
        const times = [0, 1, 89_999, 90_000, 180_000];
        expectObservable(requestsAt(couch, times, scheduler)).toBe('xx 89997ms xx 89999ms (v|)', {
          x: String(status),
          v: 'v',
        });
        flush();
        expect(sent).toEqual(['0 l', '90000 l', '180000 l', '180000 A']);
      })(),
  );

  it(
    'sends the name and password with each request if the server has no sessions',
    marbles(({ expectObservable, flush }, scheduler) => {
      const { couch, sent } = couchOf(scheduler, { login: () => of(refused(404)) });
      expectObservable(requestsAt(couch, [0, 3_600_000], scheduler)).toBe('v 3599999ms (v|)');
      flush();
      expect(sent).toEqual(['0 l', '0 b', '3600000 b']);
    }),
  );

  it(
    'assumes a lifetime of ten minutes for a cookie that the browser hides',
    marbles(({ expectObservable, flush }, scheduler) => {
      const { couch, sent } = couchOf(scheduler, {
        login: () => of(response(body('{"ok":true,"name":"ada","roles":[]}'))),
      });
      expectObservable(requestsAt(couch, [0, 539_999, 540_000], scheduler)).toBe(
        'v 539998ms v (v|)',
      );
      flush();
      expect(sent).toEqual(['0 l', '0 +', '539999 +', '540000 l', '540000 +']);
    }),
  );

  it.each<[header: string | undefined, cookie: string, lifetime: number]>([
    ['AuthSession=abc', 'abc', 600],
    ['AuthSession=abc; Max-Age=100', 'abc', 100],
    ['AuthSession=abc;max-age=100; Path=/', 'abc', 100],
    ['other=1; Max-Age=50, AuthSession=abc; Max-Age=100', 'abc', 100],
    ['AuthSession=abc; Expires=Tue, 24-Nov-2026 06:00:00 GMT; Max-Age=100', 'abc', 100],
    ['AuthSession=abc, other=1; Max-Age=50', 'abc', 600],
    ['AuthSession=abc,  other-name=1; Max-Age=50', 'abc', 600],
    ['other="x, AuthSession=no; Max-Age=5", AuthSession=abc', 'abc', 600],
    ['XAuthSession=no, AuthSession=abc', 'abc', 600],
    ['AuthSession=, other=1', '+', 600],
    ['XAuthSession=no', '+', 600],
    [undefined, '+', 600],
  ])('reads the cookie and its lifetime in %p', (header, cookie, lifetime) => {
    marbles(({ flush }, scheduler) => {
      const headers = header === undefined ? {} : { 'set-cookie': header };
      const login = (): Observable<TransportResponse> =>
        of(response(body('{"ok":true,"name":"ada","roles":[]}'), 200, headers));
      const { couch, sent } = couchOf(scheduler, { login });
      // A cookie is renewed after nine tenths of its lifetime.
      const renewal = lifetime * 900;
      requestsAt(couch, [0, renewal - 1, renewal], scheduler).subscribe();
      flush();
      expect(sent).toEqual([
        '0 l',
        `0 ${cookie}`,
        `${renewal - 1} ${cookie}`,
        `${renewal} l`,
        `${renewal} ${cookie}`,
      ]);
    })();
  });
});

describe('the authorization of a cookie session', () => {
  /** A session whose logins are answered in turn; records what it hides from errors. */
  function session(...answers: readonly Observable<TransportResponse>[]) {
    const hidden: string[] = [];
    const scheduler = new VirtualTimeScheduler();
    const given: Authorization[] = [];
    let logins = 0;
    const channel = {
      scheduler,
      hide: (secrets: readonly string[]) => hidden.push(...secrets),
      send: (_spec: unknown, authorization: Authorization) => {
        given.push(authorization);
        return (answers[logins++] as Observable<TransportResponse>).pipe(
          map((answer) => {
            authorization.onCookie?.(answer.headers['set-cookie'] ?? '');
            return { ...answer, request: {}, redact: (text: string) => text, maxBodySize: 1e6 };
          }),
        );
      },
    } as unknown as Channel;
    const one = createIdentity({ session: ['ada', 'secret'] }, channel) as CookieSession;
    const authorize = (): Authorization | null => {
      let last: Authorization | null = null;
      one.authorize().subscribe((value) => (last = value));
      return last;
    };
    return { one, authorize, hidden, given, scheduler };
  }

  it('is the cookie, with the name and password for replications', () => {
    const { one, authorize, hidden, given } = session(of(loggedIn('A')));
    expect(one.cookie).toBeNull();
    expect(one.isKeptByBrowser).toBe(false);
    const cookie = authorize();
    expect(cookie).toMatchObject({
      headers: { cookie: 'AuthSession=A' },
      basic: { username: 'ada', password: 'secret' },
      secrets: expect.arrayContaining(['secret', 'A']),
    });
    expect(cookie).toBe(one.cookie);
    expect(one.isKeptByBrowser).toBe(false);
    expect(hidden).toEqual(expect.arrayContaining(['secret', 'A']));
    expect(given[0]).toMatchObject({ headers: {}, cookies: true });
  });

  it('is that of the browser if it hides the cookie, and is restored when it is lost', () => {
    const hiding = response(body('{"ok":true}'), 200, {});
    const { one, authorize, given } = session(of(hiding), of(hiding));
    const kept = authorize();
    expect(kept).toMatchObject({ headers: {}, cookies: true, basic: { username: 'ada' } });
    expect(kept?.secrets).toContain('secret');
    expect(one.isKeptByBrowser).toBe(true);
    const ends: string[] = [];
    one.restore().subscribe({ complete: () => ends.push('restored') });
    expect([ends, given.length]).toEqual([['restored'], 2]);
    expect(one.isKeptByBrowser).toBe(true);
  });

  it('is not restored if Corduroy has the cookie, and a failure to restore is no error', () => {
    const { one, authorize, given } = session(of(loggedIn('A')));
    authorize();
    const ends: string[] = [];
    one.restore().subscribe({ complete: () => ends.push('nothing to do') });
    expect([ends, given.length, one.cookie?.headers['cookie']]).toEqual([
      ['nothing to do'],
      1,
      'AuthSession=A',
    ]);
    const lost = session(
      of(response(body('{}'), 200, {})),
      throwError(() => new Error('offline')),
    );
    lost.authorize();
    lost.one.restore().subscribe({ complete: () => ends.push('failed') });
    expect(ends.at(-1)).toBe('failed');
    expect(lost.one.cookie).toBeNull();
  });

  it('follows the renewals of its own cookie alone', () => {
    const { one, authorize } = session(of(loggedIn('A')));
    const first = authorize();
    first?.onCookie?.('AuthSession=; Max-Age=0');
    first?.onCookie?.('other=1');
    expect(one.cookie).toBe(first);
    first?.onCookie?.('AuthSession=B; Max-Age=600');
    expect(one.cookie?.headers).toEqual({ cookie: 'AuthSession=B' });
    first?.onCookie?.('AuthSession=C; Max-Age=600');
    expect(one.cookie?.headers).toEqual({ cookie: 'AuthSession=B' });
  });

  it('is none for credentials of another kind than an object', () => {
    const channel = { hide: () => {} } as unknown as Channel;
    expect(() => createIdentity('ada:secret' as never, channel)).toThrow(
      'auth must be credentials, a Promise, a function or an Observable (received string)',
    );
  });
});
