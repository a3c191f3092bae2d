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

/** The feed of a tab. Each tab has another `Couch`. */
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
    'delivers the changes of one connection to all tabs',
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
    'makes another tab the leader when the leader leaves, from its own sequence on',
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
    'starts at the new leader’s own sequence, even if the former leader was ahead',
    marbles(({ server, hot, expectObservable }, scheduler) => {
      asUser(server);
      const feed = server.feed('orders', hot('--a--b----c'));
      const browser = new Browser(scheduler);
      const frozen = browser.tab();
      scheduler.schedule(() => frozen.freeze(), 4);
      scheduler.schedule(() => frozen.thaw(), 7);
      expectObservable(open(server, browser.tab()).pipe(ids), '--------!').toBe('--a--b');
      expectObservable(open(server, frozen).pipe(ids), '-------------!').toBe('--a-----b-c');
      expectObservable(feed.requests$.pipe(since)).toBe('0-------1');
    }),
  );

  it(
    'reads the changes between the sequence of a late tab and the leader’s',
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
      // One connection, and two polls of the late tab, which catches up and then looks again.
      expect(feed.subscriptions).toHaveLength(3);
    }),
  );

  it(
    'reads the changes of a missed message from the server',
    marbles(({ server, hot, expectObservable, expectSubscriptions }, scheduler) => {
      asUser(server);
      const feed = server.feed('orders', hot('--a--b---c-----d'));
      const browser = new Browser(scheduler);
      const frozen = browser.tab();
      scheduler.schedule(() => frozen.freeze(), 4);
      scheduler.schedule(() => frozen.thaw(), 7);
      expectObservable(open(server, browser.tab()).pipe(ids), '2s !').toBe('--a--b---c-----d');
      // The number of the message with c shows that the message with b is missing.
      expectObservable(open(server, frozen).pipe(ids), '1s !').toBe('         --a------(bc)--d', {
        a: 'a',
        b: 'b',
        c: 'c',
        d: 'd',
      });
      // A connection, and two polls of the tab that catches up and then looks again.
      expectSubscriptions(feed.subscriptions).toBe(['^ 1999ms !', '---------(^!)', '509ms (^!)']);
    }),
  );

  it(
    'replaces a silent leader, which follows the new one when it wakes',
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
      // The takeover comes 2.2 heartbeats after the leader’s last message.
      expectSubscriptions(feed.subscriptions).toBe([
        '^ 699ms !',
        '222ms ^ 1277ms !',
        '1500ms ^ 499ms !',
      ]);
      flush();
      expect(browser.names.size).toBe(1);
    }),
  );

  it(
    'keeps a leader without changes as long as it answers',
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
    'emits the state of the leader’s connection in each tab',
    marbles(({ server, hot, expectObservable }, scheduler) => {
      asUser(server);
      server.feed('orders', hot('--a--#'), hot('------------b'));
      const browser = new Browser(scheduler);
      const values = { i: 'idle', c: 'connecting', l: 'live', w: 'waiting ConnectionError' };
      const describeState = map((state: { status: string; error?: Error }) =>
        state.error === undefined ? state.status : `${state.status} ${state.error.name}`,
      );
      const leader = open(server, browser.tab());
      const other = open(server, browser.tab());
      expectObservable(leader, '-----------------!').toBe('--a---------b', {
        a: expect.anything(),
        b: expect.anything(),
      });
      expectObservable(other.pipe(ids), '----------------!').toBe('--a---------b');
      expectObservable(other.state$.pipe(describeState), '----^----------!').toBe(
        '----lw----(cl)',
        {
          ...values,
          w: 'waiting ProtocolError',
        },
      );
    }),
  );

  it(
    'shares a connection only among tabs of the same user',
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
    'opens a connection in each tab if the server does not tell the user',
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
    'errors in a tab whose credentials the server rejects',
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
    'stops sharing when the credentials of a tab change to another user',
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
      const switching = server
        .couch({ auth })
        .use('orders')
        .changes$({ ...options, crossTab: browser.tab() });
      expectObservable(switching.pipe(ids), '----------------!').toBe('--a--b---c---d');
      expectObservable(requests$.pipe(map(() => 's'))).toBe('(ss)---s');
      expectSubscriptions(feed.subscriptions).toBe(['^----------------!', '-------^--------!']);
      flush();
      expect([...browser.names].map((name) => /ada|bob/.exec(name)?.[0])).toEqual(['ada', 'bob']);
    }),
  );

  it(
    'makes another tab the leader when the leader pauses',
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
      // The third one is the poll of a tab that catches up.
      expectSubscriptions(feed.subscriptions).toBe([
        '^---!',
        '----^-------------!',
        '-----------(^!)',
      ]);
    }),
  );

  it(
    'errors in each tab when the database was replaced',
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

  it('throws at the call for invalid options', () => {
    const db = new Couch().use('orders');
    expect(() => db.changes$({ crossTab: 'yes' as never })).toThrow(/crossTab must be true, false/);
    expect(() => db.changes$({ crossTab: true, limit: 3 })).toThrow(/crossTab excludes limit/);
    expect(() => db.changes$({ crossTab: true, feed: 'normal' })).toThrow(/excludes/);
  });
});
