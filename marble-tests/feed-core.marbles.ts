import { describe, expect, it } from '@jest/globals';
import { readFile } from 'node:fs/promises';
import { isOverdue } from '../src/changes/feed-pace.ts';
import type { CoreOptions } from '../src/changes/feed-model.ts';
import { FeedWorld, randomNumbers } from './helpers/feed-world.ts';

// CORDUROY_SEQUENCES  the number of random sequences of events (100000 in all)
// CORDUROY_SEED       the seed of the first sequence (random; a failure prints its own)

const { env } = process;
const sequences = Number(env['CORDUROY_SEQUENCES'] ?? 100_000);
const firstSeed = Number(env['CORDUROY_SEED'] ?? Math.floor(Math.random() * 2 ** 31));
const kinds = ['continuous', 'eventsource', 'longpoll', 'auto', 'consume'] as const;

function optionsOf(kind: (typeof kinds)[number]): CoreOptions {
  const isConsumer = kind === 'consume';
  return {
    kind: isConsumer ? 'longpoll' : kind,
    heartbeat: 30_000,
    backoff: {},
    tolerance: Infinity,
    pollLimit: isConsumer ? 10 : 1000,
    filtered: false,
    onDemand: isConsumer,
  };
}

/** The longest time until a feed is live again, in milliseconds: a silent poll is waited for, then backoff. */
const RECOVERY = 600_000 + 60_000;

describe.each(kinds)('the decisions of a feed: %s', (kind) => {
  it('lose no change, hold one connection, and are live again after any trouble', () => {
    const transitions = new Set<string>();
    for (let i = 0; i < sequences / kinds.length; i++) {
      const seed = firstSeed + i;
      const random = randomNumbers(seed);
      const world = new FeedWorld(optionsOf(kind), random, random() < 0.5 ? 'now' : 0);
      const events = 10 + Math.floor(random() * 50);
      for (let n = 0; n < events && world.outcome === null; n++) world.misfortune();
      world.calm(RECOVERY);
      if (!world.isUpToDate()) world.problems.push(`is ${world.core.phase} after the trouble`);
      if (world.problems.length > 0) {
        throw new Error(`CORDUROY_SEED=${seed}: ${world.problems.slice(0, 3).join('; ')}`);
      }
      for (const transition of world.transitions) transitions.add(transition);
    }
    expect(transitions.size).toBeGreaterThan(30);
  }, 300_000);
});

describe('the decisions of a feed', () => {
  it.each(kinds)('survive a month of a bad network, and lose no change: %s', (kind) => {
    const world = new FeedWorld(optionsOf(kind), randomNumbers(firstSeed), 0);
    const month = 30 * 24 * 3_600_000;
    while (world.now < month) world.misfortune();
    world.calm(RECOVERY);
    expect(world.problems).toEqual([]);
    expect(world.isUpToDate()).toBe(true);
    expect(world.history).toBeGreaterThan(10_000);
    // At least once, and not much more often: a lost connection repeats what it had under way.
    expect(world.deliveries).toBeLessThan(world.history * 1.5);
  });

  it.each(['longpoll', 'continuous', 'eventsource', 'consume'] as const)(
    'request at most four connections a second of a server that ends each one at once: %s',
    (kind) => {
      const world = new FeedWorld(optionsOf(kind), randomNumbers(1), 0);
      while (world.now < 20_000) {
        if (world.now % 50 === 0) world.history += 1;
        world.endAtOnce();
        world.demand();
        world.pass(1);
      }
      expect(world.problems).toEqual([]);
      // A burst of ten at the start, and then one in 250 ms.
      expect(world.mostOpens(1000)).toBeLessThanOrEqual(16);
      expect(world.opens.length).toBeLessThan(100);
      expect(world.opens.length).toBeGreaterThan(60);
    },
  );
});

it.each(['longpoll', 'continuous', 'eventsource', 'consume'] as const)(
  'the decisions of a feed do not wait between connections that bring many changes: %s',
  (kind) => {
    const options = optionsOf(kind);
    const world = new FeedWorld(options, randomNumbers(1), 0);
    const full = Math.min(100, options.pollLimit);
    /** The server ends each connection after so many changes. Returns how many connections have opened. */
    const follow = (connections: number, changes: number): number => {
      const before = world.opens.length;
      for (let n = 0; n < connections; n++) {
        world.history += changes;
        world.endAtOnce();
        world.demand();
      }
      return world.opens.length - before;
    };
    // A small one after many full ones does not wait either.
    expect([follow(30, full), follow(1, 1), world.now]).toEqual([30, 1, 0]);
    // After a burst of small ones the next one waits, but not after a full one.
    expect(follow(20, 1)).toBeLessThan(20);
    world.pass(250);
    expect(follow(1, full)).toBe(1);
    expect(world.problems).toEqual([]);
  },
);

it('the phases of a feed are those that docs/architecture.md lists', async () => {
  const moves = new Set<string>();
  const seen = (world: FeedWorld): void => world.moves.forEach((move) => moves.add(move));
  for (let i = 0; i < 2000; i++) {
    const random = randomNumbers(i);
    const world = new FeedWorld(optionsOf(kinds[i % kinds.length] ?? 'auto'), random, 0);
    for (let n = 0; n < 20; n++) world.misfortune();
    if (i % 3 === 0) world.refuse();
    if (i % 3 === 1) world.identity = 'two';
    for (let n = 0; n < 10; n++) world.misfortune();
    if (i % 2 === 0) for (let n = 0; n < 3; n++) world.misfortune();
    if (i % 5 === 0) world.history += 1;
    world.send({ type: 'stopped' });
    seen(world);
  }
  for (const value of [true, false]) {
    const world = new FeedWorld(optionsOf('auto'), randomNumbers(1), 0, value);
    seen(world);
  }
  const page = await readFile(new URL('../docs/architecture.md', import.meta.url), 'utf8');
  const [, table = ''] = page.split('| From ');
  const [rows = ''] = table.split('\n\n');
  const listed = Array.from(
    rows.matchAll(/^\| `(\w+)` +\| `(\w+)`/gm),
    ([, from, to]) => `${from} ${to}`,
  );
  expect([...moves].sort()).toEqual(listed.sort());
});

describe('the decisions of a feed that polls or streams', () => {
  const start = (change: Partial<CoreOptions>): FeedWorld =>
    new FeedWorld({ ...optionsOf('auto'), ...change }, randomNumbers(1), 0);
  const protocols = ({ reports }: FeedWorld): string[] =>
    reports.flatMap(({ state }) => (state.status === 'live' ? [state.protocol] : [state.status]));

  it('race a poll if the head of a stream is late, keep what delivers first, and try a stream again', () => {
    const world = start({});
    world.history = 3;
    world.pass(999);
    expect(world.opens).toEqual([0]);
    world.pass(1);
    expect(world.opens).toEqual([0, 1000]);
    // The stream stays silent, and the poll is answered.
    world.serve('longpoll');
    world.serve('longpoll');
    expect(world.delivered).toBe(3);
    expect(protocols(world)).toEqual(['connecting', 'longpoll']);
    // Ten minutes later the stream passes.
    for (let poll = 0; poll < 33; poll++) {
      world.pass(20_000);
      world.history += 1;
      world.serve('longpoll');
      world.serve('longpoll');
      // Its head, and then its change.
      world.serve('continuous');
      world.serve('continuous');
    }
    expect(protocols(world).at(-1)).toBe('continuous');
    expect(world.problems).toEqual([]);
  });

  it.each(['auto', 'continuous', 'longpoll', 'eventsource'] as const)(
    'poll every two seconds if no connection is left, say so, and wait for changes once there is one: %s',
    (kind) => {
      const world = start({ kind });
      world.crowd(true);
      const polls = world.opens.length;
      for (let poll = 1; poll <= 10; poll++) {
        world.serve('longpoll');
        // Not even the end of an answer without a change.
        while (world.core.main !== null) world.serve('longpoll');
        world.pass(1999);
        expect(world.core.main).toBeNull();
        if (poll === 5) world.history += 1;
        world.pass(1);
        expect(world.opens).toHaveLength(polls + poll);
      }
      expect(world.delivered).toBe(1);
      expect(world.reports.map(({ state }) => state)).toEqual([
        { status: 'connecting', attempt: 0 },
        { status: 'connecting', attempt: 0 },
        { status: 'live', connections: 1, protocol: 'longpoll', pollInterval: 2000 },
      ]);
      world.crowd(false);
      const protocol = kind === 'auto' ? 'continuous' : kind;
      world.serve(protocol);
      const states = world.reports.slice(3).map(({ state }) => state);
      expect(states).toEqual([{ status: 'live', connections: 1, protocol }]);
      expect(world.problems).toEqual([]);
    },
  );

  it('do not wait between two polls that bring many changes, also if no connection is left', () => {
    const world = start({});
    world.crowd(true);
    world.history = 250;
    for (let n = 0; n < 6; n++) world.serve('longpoll');
    expect(world.delivered).toBeGreaterThanOrEqual(200);
    expect(world.now).toBe(0);
  });

  it('shorten the heartbeat after two connections that died of silence, down to 5 s', () => {
    const world = start({ kind: 'continuous' });
    for (const heartbeat of [30_000, 30_000, 10_000, 10_000, 5000, 5000, 5000]) {
      expect(world.core.heartbeat).toBe(heartbeat);
      world.serve('continuous');
      world.serve('continuous');
      // A balancer that ends what is silent for 20 s, or sooner than the next heartbeat.
      world.pass(Math.min(20_000, heartbeat - 1));
      world.cut();
      world.pass(30_000);
    }
    expect(world.core.heartbeat).toBe(5000);
  });

  it('keep the heartbeat after deaths that follow no rule', () => {
    const world = start({ kind: 'continuous' });
    for (const silence of [20_000, 29_000, 16_000, 24_000, 18_000]) {
      world.serve('continuous');
      world.serve('continuous');
      world.pass(silence);
      world.cut();
      world.pass(30_000);
    }
    expect(world.core.heartbeat).toBe(30_000);
  });

  it('poll if a stream that was opened twice holds back changes', () => {
    const world = start({});
    world.serve('continuous');
    world.history = 1;
    world.pass(500);
    world.answerAll();
    expect(world.opens).toHaveLength(1);
    world.pass(100);
    expect(world.opens).toHaveLength(2);
    world.open();
    world.pass(500);
    world.answerAll();
    world.pass(100);
    expect(world.core.main?.protocol).toBe('longpoll');
    world.serve('longpoll');
    world.serve('longpoll');
    expect(world.delivered).toBe(1);
  });

  it.each(['continuous', 'eventsource'] as const)(
    'reopen a stream only once for changes that the server reports and never sends: %s',
    (kind) => {
      const world = start({ kind });
      world.open();
      world.history = 1;
      for (let n = 0; n < 20; n++) {
        world.pass(500);
        world.answerAll();
        world.pass(100);
        world.open();
      }
      expect([world.opens, world.delivered]).toEqual([[0, 600], 0]);
      world.serve(kind);
      // A change that arrives permits another look.
      expect([world.delivered, world.core.reopened]).toEqual([1, 0]);
      expect(world.problems).toEqual([]);
    },
  );

  it('race a poll also if a later stream is late, as after a proxy has come between', () => {
    const world = start({});
    world.serve('continuous');
    for (const connection of [2, 3]) {
      world.cut();
      world.pass(1000);
      const opens = world.opens.length;
      world.pass(1000);
      expect(world.opens).toHaveLength(opens + 1);
      expect(world.core.rival).toMatchObject({ protocol: 'longpoll' });
      // The head of the stream arrives in the end.
      world.serve('continuous');
      expect([world.core.rival, world.core.connections]).toEqual([null, connection]);
    }
    expect(world.problems).toEqual([]);
  });

  it('keep a stream whose change was under way while they looked', () => {
    const world = start({});
    world.serve('continuous');
    world.history = 1;
    world.pass(500);
    world.answerAll();
    world.pass(50);
    world.serve('continuous');
    world.pass(1000);
    expect([world.delivered, world.opens.length]).toEqual([1, 1]);
  });

  it('advance behind a filter that passes nothing', () => {
    const world = start({ kind: 'continuous', filtered: true });
    world.serve('continuous');
    for (let i = 0; i < 12; i++) {
      expect(world.core.seq).toBe('0');
      world.pass(25_000);
      // Only heartbeats come.
      if (i < 11) world.serve('continuous');
    }
    world.look('1200');
    expect(world.core.seq).toBe('1200');
    expect(world.core.phase).toBe('live');
  });

  it('wait for other credentials, and give up after the tolerance', () => {
    for (const recovers of [true, false]) {
      const world = start({ kind: 'continuous', tolerance: 60_000 });
      world.refuse();
      expect(world.reports.at(-1)?.state).toMatchObject({ status: 'waiting', delay: Infinity });
      world.pass(59_000);
      if (recovers) world.send({ type: 'credentials' });
      world.pass(1000);
      expect(world.outcome).toBe(recovers ? null : 'fail');
    }
  });

  it('end with a permanent error, and if another database has the name', () => {
    const refused = start({ kind: 'continuous', tolerance: 0 });
    refused.refuse();
    expect(refused.outcome).toBe('fail');
    const replaced = start({ kind: 'continuous' });
    replaced.serve('continuous');
    replaced.cut();
    replaced.pass(1000);
    replaced.identity = 'two';
    replaced.serve('continuous');
    expect(replaced.outcome).toBe('fail');
    expect(replaced.reports.at(-1)?.state).toMatchObject({ status: 'failed', trouble: 'replaced' });
  });

  it('complete a normal feed after the last change', () => {
    const normal = start({ kind: 'normal' });
    normal.history = 2;
    normal.serve('longpoll');
    normal.serve('longpoll');
    expect([normal.outcome, normal.delivered]).toEqual(['complete', 2]);
  });

  it('complete after `limit` changes, and request no more than are left', () => {
    const world = new FeedWorld(optionsOf('longpoll'), randomNumbers(1), 0, false, 3);
    world.history = 5;
    world.serve('longpoll');
    world.serve('longpoll');
    expect([world.outcome, world.delivered]).toEqual(['complete', 3]);
    expect(world.problems).toEqual([]);
  });

  it('complete a normal feed after an answer without changes, if the server tells no number', () => {
    const world = start({ kind: 'normal' });
    const poll = (count: number): void => {
      const { id } = world.core.main ?? { id: 0 };
      world.send({ type: 'opened', id });
      world.answerAll();
      const items = Array.from({ length: count }, (_, n) => n + 1);
      if (count > 0) world.send({ type: 'items', id, items, seq: String(count) });
      world.send({ type: 'ended', id, seq: '2', pending: null });
    };
    poll(2);
    expect([world.outcome, world.opens.length]).toEqual([null, 2]);
    poll(0);
    expect([world.outcome, world.delivered]).toEqual(['complete', 2]);
  });

  it('keep the sequence of changes that have none, and take that of the end of an answer', () => {
    const world = start({ kind: 'longpoll' });
    const { id } = world.core.main ?? { id: 0 };
    world.send({ type: 'opened', id });
    world.answerAll();
    world.send({ type: 'items', id, items: [1, 2], seq: null });
    expect([world.core.seq, world.delivered]).toEqual(['0', 2]);
    world.send({ type: 'ended', id, seq: '2', pending: 0 });
    expect(world.core.seq).toBe('2');
    expect(world.problems).toEqual([]);
  });

  it('ignore the rest of a closed connection, and the end of a pause that was none', () => {
    const world = start({ kind: 'continuous' });
    const { id } = world.core.main ?? { id: 0 };
    world.send({ type: 'credentials' });
    const { core } = world;
    world.send({ type: 'items', id, items: [1], seq: '1' });
    world.send({ type: 'paused', value: false });
    expect(world.core).toEqual(core);
    expect(world.delivered).toBe(0);
  });

  it('are overdue if a poll or the next one is late, as in a page that the browser has frozen', () => {
    const world = start({ kind: 'longpoll', heartbeat: 1000 });
    expect([isOverdue(world.core, 1250), isOverdue(world.core, 1251)]).toEqual([false, true]);
    // A filter may work for as long as the feed is patient.
    const patient = { ...world.core, patience: 1 };
    expect([isOverdue(patient, 4000), isOverdue(patient, 4001)]).toEqual([false, true]);
    world.crowd(true);
    while (world.core.main !== null) world.serve('longpoll');
    const { connectAt } = world.core;
    expect(connectAt).toBeLessThan(Infinity);
    const overdue = [1000, 1001].map((late) => isOverdue(world.core, connectAt + late));
    expect(overdue).toEqual([false, true]);
  });

  it('connect at once when the network is back, and leave a connection alone that was heard just now', () => {
    const world = start({ kind: 'continuous' });
    world.cut();
    const { connectAt } = world.core;
    expect(connectAt).toBeGreaterThan(world.now);
    world.send({ type: 'awake', isNew: true });
    expect(world.opens).toEqual([0, 0]);
    world.serve('continuous');
    world.serve('continuous');
    world.send({ type: 'awake', isNew: false });
    expect(world.opens).toHaveLength(2);
    // The page was frozen, so that no timer ran.
    world.now += 46_000;
    world.send({ type: 'awake', isNew: false });
    expect(world.opens).toHaveLength(3);
  });

  it('close the connection of the last subscriber, and do nothing more', () => {
    const world = start({});
    world.send({ type: 'stopped' });
    world.pass(100_000);
    world.send({ type: 'awake', isNew: true });
    expect([world.core.phase, world.opens.length]).toEqual(['ended', 1]);
    expect(world.problems).toEqual([]);
  });

  it('are patient with a poll whose answer a proxy holds back', () => {
    const world = start({ kind: 'longpoll' });
    world.pass(45_000);
    expect(world.reports.at(-1)?.state).toMatchObject({ status: 'waiting' });
    world.pass(1000);
    const second = world.now;
    world.pass(89_000);
    expect(world.opens).toHaveLength(2);
    expect(second).toBeLessThan(world.now);
    // Answers in time take the patience back, so that a dead connection is noticed again.
    world.serve('longpoll');
    for (let i = 0; i < 4; i++) {
      world.history += 1;
      world.serve('longpoll');
      world.serve('longpoll');
    }
    expect(world.core.patience).toBe(0);
  });
});
