import { describe, expect, it } from '@jest/globals';
import { concat, map, of, timer } from 'rxjs';
import { Couch } from 'corduroy';
import type { ChangesFeed, ChangesFeedOptions, CrossTab } from 'corduroy';
import { fault, status } from 'corduroy/testing';
import type { MarbleServer, ServerRequest } from 'corduroy/testing';
import { marbles } from './helpers/run.ts';
import { Browser } from './helpers/tabs.ts';

const options: ChangesFeedOptions = {
  latency: 0,
  heartbeat: 100,
  backoff: { initialDelay: 5, maxDelay: 20, random: () => 0.8 },
};

const ids = map(({ changes }: { changes: readonly { id: string }[] }) =>
  changes.map(({ id }) => id).join(''),
);
const since = map(({ query }: ServerRequest) => query['since']);

/** The feed of a tab, which has a `Couch` of its own. */
function open(
  server: MarbleServer,
  crossTab: CrossTab,
  more: ChangesFeedOptions = {},
): ChangesFeed {
  return server
    .couch()
    .use('orders')
    .changes$({ ...options, ...more, crossTab });
}

function asUser(server: MarbleServer, name: string | null = 'ada'): void {
  server.on('GET /_session', { userCtx: { name, roles: [] } });
}

describe('crossTab', () => {
  it(
    'has all tabs see what comes over the connection of the first',
    marbles(({ server, hot, expectObservable, expectSubscriptions }, scheduler) => {
      asUser(server);
      const feed = server.feed('orders', hot('--a--b---c--d'));
      const browser = new Browser(scheduler);
      const follow = () => open(server, browser.tab()).pipe(ids);
      expectObservable(follow(), '^--------------!').toBe('--a--b---c--d');
      expectObservable(follow(), '^-------------!').toBe(' --a--b---c--d');
      expectObservable(follow(), '------^-------!').toBe(' ---------c--d');
      expectSubscriptions(feed.subscriptions).toBe('   ^--------------!');
    }),
  );

  it(
    'has another take over, where it is, when the leader leaves',
    marbles(({ server, hot, expectObservable, expectSubscriptions }, scheduler) => {
      asUser(server);
      const feed = server.feed('orders', hot('--a--b---c--d'));
      const browser = new Browser(scheduler);
      const follow = () => open(server, browser.tab()).pipe(ids);
      expectObservable(follow(), '^------!').toBe('       --a--b');
      expectObservable(follow(), '^----------!').toBe('   --a--b---c');
      expectObservable(follow(), '^-------------!').toBe('--a--b---c--d');
      expectSubscriptions(feed.subscriptions).toBe([
        '                                 ^------!',
        '                                 -------^---!',
        '                                 -----------^--!',
      ]);
      expectObservable(feed.requests$.pipe(since)).toBe('0------2---3');
    }),
  );

  it(
    'takes over at what it has seen itself, whatever has come since',
    marbles(({ server, hot, expectObservable }, scheduler) => {
      asUser(server);
      const feed = server.feed('orders', hot('--a--b----c'));
      const browser = new Browser(scheduler);
      const deaf = browser.tab();
      scheduler.schedule(() => deaf.freeze(), 4);
      scheduler.schedule(() => deaf.thaw(), 7);
      expectObservable(open(server, browser.tab()).pipe(ids), '--------!').toBe('--a--b');
      expectObservable(open(server, deaf).pipe(ids), '-------------!').toBe('--a-----b-c');
      expectObservable(feed.requests$.pipe(since)).toBe('0-------1');
    }),
  );

  it(
    'asks for what lies between the place of a tab and the leader’s',
    marbles(({ server, hot, expectObservable, flush }, scheduler) => {
      asUser(server);
      const feed = server.feed('orders', hot('--a--b----c--d'));
      const browser = new Browser(scheduler);
      expectObservable(open(server, browser.tab()).pipe(ids), '2s !').toBe('--a--b----c--d');
      const late = open(server, browser.tab(), { since: 0 }).pipe(
        map(({ changes }) => changes.map(({ id }) => id).join('')),
      );
      expectObservable(late, '      ------^- 1s !').toBe('            ------(ab)c--d');
      flush();
      expect(browser.names.size).toBe(1);
      expect(feed.subscriptions).toHaveLength(1);
    }),
  );

  it(
    'asks again where a message was missed',
    marbles(({ server, hot, expectObservable, expectSubscriptions }, scheduler) => {
      asUser(server);
      const feed = server.feed('orders', hot('--a--b---c-----d'));
      const browser = new Browser(scheduler);
      const deaf = browser.tab();
      scheduler.schedule(() => deaf.freeze(), 4);
      scheduler.schedule(() => deaf.thaw(), 7);
      expectObservable(open(server, browser.tab()).pipe(ids), '2s !').toBe('--a--b---c-----d');
      // b comes with c, whose number shows that something is missing.
      expectObservable(open(server, deaf).pipe(ids), '1s !').toBe('         --a------(bc)--d', {
        a: 'a',
        b: 'b',
        c: 'c',
        d: 'd',
      });
      expectSubscriptions(feed.subscriptions).toBe('^ 1999ms !');
    }),
  );

  it(
    'takes the place of a leader that is silent, which follows when it is back',
    marbles(({ server, hot, expectObservable, expectSubscriptions, flush }, scheduler) => {
      asUser(server);
      const feed = server.feed('orders', hot('--a 597ms b 399ms c'));
      const browser = new Browser(scheduler);
      const sleeper = browser.tab();
      scheduler.schedule(() => sleeper.freeze(), 4);
      scheduler.schedule(() => sleeper.thaw(), 700);
      const awake = open(server, browser.tab());
      expectObservable(open(server, sleeper).pipe(ids), '2s !').toBe('--a 597ms b 399ms c');
      expectObservable(awake.pipe(ids), '1500ms !').toBe('           --a 597ms b 399ms c');
      // After 2 heartbeats and 1.8 more, from the last word of the leader.
      expectSubscriptions(feed.subscriptions).toBe([
        '^ 699ms !',
        '382ms ^ 1117ms !',
        '1500ms ^ 499ms !',
      ]);
      flush();
      expect(browser.names.size).toBe(1);
    }),
  );

  it(
    'keeps a leader that has nothing to say, but answers',
    marbles(({ server, hot, expectObservable, expectSubscriptions }, scheduler) => {
      asUser(server);
      const feed = server.feed('orders', hot('-'));
      const browser = new Browser(scheduler);
      expectObservable(open(server, browser.tab()), '20s !').toBe('-');
      expectObservable(open(server, browser.tab()), '10s !').toBe('-');
      expectSubscriptions(feed.subscriptions).toBe('^ 19999ms !');
    }),
  );

  it(
    'shows the state of the leader’s connection in each tab',
    marbles(({ server, hot, expectObservable }, scheduler) => {
      asUser(server);
      server.feed('orders', hot('--a--#'), hot('------------b'));
      const browser = new Browser(scheduler);
      const values = { i: 'idle', c: 'connecting', l: 'live', w: 'waiting ConnectionError' };
      const told = map((state: { status: string; error?: Error }) =>
        state.error === undefined ? state.status : `${state.status} ${state.error.name}`,
      );
      const leader = open(server, browser.tab());
      const other = open(server, browser.tab());
      expectObservable(leader, '-----------------!').toBe('--a---------b', {
        a: expect.anything(),
        b: expect.anything(),
      });
      expectObservable(other.pipe(ids), '----------------!').toBe('--a---------b');
      expectObservable(other.state$.pipe(told), '----^----------!').toBe('----lw----(cl)', {
        ...values,
        w: 'waiting ProtocolError',
      });
    }),
  );

  it(
    'shares among those alone whom the server takes for the same user',
    marbles(({ server, hot, expectObservable, expectSubscriptions, flush }, scheduler) => {
      server.on('GET /_session', (_parts, { nth }) => ({
        userCtx: { name: nth === 2 ? 'bob' : 'ada', roles: [] },
      }));
      const feed = server.feed('orders', hot('--a'));
      const browser = new Browser(scheduler);
      expectObservable(open(server, browser.tab()).pipe(ids), '------!').toBe('--a');
      expectObservable(open(server, browser.tab()).pipe(ids), '-----!').toBe('--a');
      expectObservable(open(server, browser.tab()).pipe(ids), '----!').toBe('--a');
      expectSubscriptions(feed.subscriptions).toBe(['^-----!', '^----!']);
      flush();
      expect([...browser.names].map((name) => /ada|bob/.exec(name)?.[0])).toEqual(['ada', 'bob']);
    }),
  );

  it(
    'has a connection of its own where the server does not say who asks',
    marbles(({ server, hot, expectObservable, expectSubscriptions, flush }, scheduler) => {
      server.on('GET /_session', status(404));
      const feed = server.feed('orders', hot('--a'));
      const browser = new Browser(scheduler);
      expectObservable(open(server, browser.tab()).pipe(ids), '-----!').toBe('--a');
      expectObservable(open(server, browser.tab()).pipe(ids), '-----!').toBe('--a');
      expectSubscriptions(feed.subscriptions).toBe(['^----!', '^----!']);
      flush();
      expect(browser.names.size).toBe(0);
    }),
  );

  it(
    'lets nobody in whom the server refuses',
    marbles(({ server, hot, expectObservable, expectSubscriptions, flush }, scheduler) => {
      server.on('GET /_session', (_parts, { nth }) =>
        nth === 1 ? status(401) : { userCtx: { name: 'ada', roles: [] } },
      );
      const feed = server.feed('orders', hot('--a'));
      const browser = new Browser(scheduler);
      const refused: string[] = [];
      expectObservable(open(server, browser.tab()).pipe(ids), '-----!').toBe('--a');
      const stranger = open(server, browser.tab());
      const states: string[] = [];
      stranger.state$.subscribe(({ status: now }) => states.push(now));
      stranger.subscribe({ error: (error: Error) => refused.push(error.name) });
      expectSubscriptions(feed.subscriptions).toBe(['^----!']);
      flush();
      expect(refused).toEqual(['Unauthorized']);
      expect(states).toEqual(['idle', 'connecting', 'failed']);
    }),
  );

  it(
    'leaves the others when somebody else asks from now on',
    marbles(({ server, hot, cold, expectObservable, expectSubscriptions, flush }, scheduler) => {
      const { requests$ } = server.on('GET /_session', (_parts, { nth }) => ({
        userCtx: { name: nth === 3 ? 'bob' : 'ada', roles: [] },
      }));
      const feed = server.feed('orders', hot('--a--b---c---d'));
      const browser = new Browser(scheduler);
      expectObservable(open(server, browser.tab()).pipe(ids), '-----------------!').toBe(
        '--a--b---c---d',
      );
      const auth = cold('a------b', { a: ['ada', 'first'], b: ['bob', 'second'] } as const);
      const turning = server
        .couch({ auth })
        .use('orders')
        .changes$({ ...options, crossTab: browser.tab() });
      expectObservable(turning.pipe(ids), '----------------!').toBe('--a--b---c---d');
      expectObservable(requests$.pipe(map(() => 's'))).toBe('(ss)---s');
      expectSubscriptions(feed.subscriptions).toBe(['^----------------!', '-------^--------!']);
      flush();
      expect([...browser.names].map((name) => /ada|bob/.exec(name)?.[0])).toEqual(['ada', 'bob']);
    }),
  );

  it(
    'hands the connection on when the leader pauses',
    marbles(({ server, hot, expectObservable, expectSubscriptions }, scheduler) => {
      asUser(server);
      const feed = server.feed('orders', hot('--a--b---c-----d'));
      const browser = new Browser(scheduler);
      const pauseWhile = concat(
        of(false),
        timer(4, scheduler).pipe(map(() => true)),
        timer(7, scheduler).pipe(map(() => false)),
      );
      const pausing = open(server, browser.tab(), { pauseWhile });
      expectObservable(pausing.pipe(ids), '   -----------------!').toBe('--a--------(bc)d', {
        a: 'a',
        b: 'b',
        c: 'c',
        d: 'd',
      });
      expectObservable(open(server, browser.tab()).pipe(ids), '------------------!').toBe(
        '--a--b---c-----d',
      );
      expectSubscriptions(feed.subscriptions).toBe(['^---!', '----^-------------!']);
    }),
  );

  it(
    'notices in each tab that the database was replaced',
    marbles(({ server, hot, expectObservable, flush }, scheduler) => {
      asUser(server);
      server.feed('orders', hot('--a--r', { a: 'a', r: fault.replaced }));
      const browser = new Browser(scheduler);
      const ended: string[] = [];
      for (const tab of [browser.tab(), browser.tab(), browser.tab()]) {
        open(server, tab).subscribe({ error: (error: Error) => ended.push(error.name) });
      }
      expectObservable(of(1)).toBe('(a|)', { a: 1 });
      flush();
      expect(ended).toEqual(['DatabaseReplaced', 'DatabaseReplaced', 'DatabaseReplaced']);
    }),
  );

  it('refuses what makes no sense when it is called', () => {
    const db = new Couch().use('orders');
    expect(() => db.changes$({ crossTab: 'yes' as never })).toThrow(/crossTab must be true, false/);
    expect(() => db.changes$({ crossTab: true, limit: 3 })).toThrow(/crossTab excludes limit/);
    expect(() => db.changes$({ crossTab: true, feed: 'normal' })).toThrow(/excludes/);
  });
});
