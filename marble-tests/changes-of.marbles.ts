import { describe, expect, it } from '@jest/globals';
import { map, timer } from 'rxjs';
import type { Observable } from 'rxjs';
import { Couch, isForbidden, isNotFound, memoryCheckpoint } from 'corduroy';
import type { ChangesOfOptions, DatabaseChanges, DatabaseSelection, FeedState } from 'corduroy';
import { status } from 'corduroy/testing';
import { marbles } from './helpers/run.ts';
import { UpdatesWorld as World } from './helpers/updates-world.ts';

const BACKOFF = { initialDelay: 4, random: () => 0.999 };

const lineOf = ({ database, changes }: DatabaseChanges): string =>
  `${database}: ${changes.map(({ id }) => id).join()}`;

/** What a feed emitted, with the time; its states; and the error that ended it. */
interface Recorded {
  readonly lines: string[];
  readonly states: string[];
  error?: unknown;
}

/** Subscribes in virtual time, runs the steps at their times, and unsubscribes at `end`. */
function record(
  world: World,
  databases: DatabaseSelection,
  options: ChangesOfOptions,
  steps: Readonly<Record<number, () => void>> = {},
  end = 10_000,
): Recorded {
  const recorded: Recorded = { lines: [], states: [] };
  const test = marbles((_helpers, scheduler) => {
    const feed = world.server.couch().changesOf$(databases, { backoff: BACKOFF, ...options });
    feed.state$.subscribe(({ status: name }: FeedState) => recorded.states.push(name));
    const subscription = feed.subscribe({
      next: (batch) => recorded.lines.push(`${scheduler.now()} ${lineOf(batch)}`),
      error: (error: unknown) => (recorded.error = error),
    });
    for (const [time, step] of Object.entries(steps)) timer(Number(time)).subscribe(step);
    timer(end).subscribe(() => subscription.unsubscribe());
  });
  test();
  return recorded;
}

const POLL = { updates: { poll: 100 } } as const;

describe('changesOf$ with updates', () => {
  it('emits the changes of each database that has an update', () => {
    const world = new World({ a: 2, b: 1, c: 1 });
    const { lines, states } = record(
      world,
      ['a', 'b'],
      {},
      {
        1000: () => world.write('a', 'x'),
        1100: () => world.announce('a'),
        2000: () => {
          world.write('b', 'y');
          world.write('c', 'z');
          world.write('a', 'z');
        },
        2100: () => {
          for (const name of ['c', 'b', 'a', 'b']) world.announce(name);
        },
      },
    );
    expect(lines).toEqual(['1101 a: x', '2102 b: y', '2102 a: z']);
    expect(states).toEqual(['idle', 'connecting', 'live', 'idle']);
    // Each database once, although the updates came one by one.
    expect(world.requests(/_changes/)).toHaveLength(3);
  });

  it('joins databases that are created, drops those that are deleted, and starts over', () => {
    const world = new World({ 'x-1': 1, other: 1 });
    const databases = world.server.couch();
    const { lines } = record(
      world,
      /^x-/g,
      {},
      {
        1000: () => databases.create('x-2').subscribe(),
        1050: () => world.write('x-2', 'early'),
        // The server's updates come late, and in another order.
        1500: () => {
          world.announce('x-2', 'updated');
          world.announce('x-2', 'created');
        },
        2000: () => world.server.replaceDatabase('x-1', [{ _id: 'new-1' }, { _id: 'new-2' }]),
        2500: () => {
          world.announce('x-1', 'created');
          world.announce('x-1', 'deleted');
        },
        3000: () => databases.delete('x-2').subscribe(),
        3100: () => world.announce('x-2', 'deleted'),
        4000: () => world.announce('other'),
      },
    );
    expect(lines).toEqual(['1502 x-2: early', '2502 x-1: new-1,new-2']);
    expect(world.requests(/other/)).toEqual([]);
    expect(world.requests(/_changes/)).toHaveLength(2);
  });

  it('lists the databases again when the updates are live again, because some may be lost', () => {
    const world = new World({ a: 1, b: 1 });
    const { lines, states } = record(
      world,
      /./,
      {},
      {
        1000: () => {
          world.server.offline$.next(true);
        },
        1001: () => {
          world.server.offline$.next(false);
          world.write('b', 'lost');
          world.server.couch().create('c').subscribe();
        },
      },
    );
    expect(lines).toEqual(['1258 b: lost']);
    expect(states).toEqual(['idle', 'connecting', 'live', 'waiting', 'connecting', 'live', 'idle']);
  });

  it('names the remedy if the server has no updates', () => {
    const world = new World({ a: 1 }, false);
    const { error, states } = record(world, ['a'], {});
    expect(isNotFound(error)).toBe(true);
    expect(String(error)).toContain(
      "changesOf$ needs the updates of the server: create the database '_global_changes', or pass updates: { poll: 5000 }",
    );
    expect(states.at(-1)).toBe('failed');
  });

  it('starts where the options say', () => {
    const world = new World({ a: 3, b: 2, c: 2 });
    expect(record(world, /./, { since: 0 }).lines.map((line) => line.split(' ')[1])).toEqual([
      'a:',
      'b:',
      'c:',
    ]);
    const since = { a: '2-memory', b: 'now', c: 0 } as const;
    const { lines } = record(new World({ a: 3, b: 2, c: 2, d: 1 }), /./, { since });
    expect(lines.map((line) => line.replace(/^\d+ /, ''))).toEqual(['a: a3', 'c: c1,c2', 'd: d1']);
  });

  it('reads large databases in several requests, and none of them starves', () => {
    const world = new World({ a: 250, b: 1 });
    const { lines } = record(world, /./, { since: 0, concurrency: 1 });
    expect(lines.map((line) => line.split(' ')[1])).toEqual(['a:', 'b:', 'a:', 'a:']);
    expect(lines.map((line) => line.split(',').length)).toEqual([100, 1, 100, 50]);
    for (const request of world.requests(/_changes/)) expect(request).toContain('limit=100');
  });

  it('sends as many requests at a time as `concurrency` allows', () => {
    const names = Array.from({ length: 20 }, (_, i) => `db-${i}`);
    const world = new World(Object.fromEntries(names.map((name) => [name, 1])));
    let running = 0;
    let peak = 0;
    world.server.on('GET /:db/_changes', () => {
      running += 1;
      peak = Math.max(peak, running);
      return timer(100).pipe(
        map(() => {
          running -= 1;
          return { results: [], last_seq: '1-memory', pending: 0 };
        }),
      );
    });
    record(world, names, { since: 0, concurrency: 3 });
    expect([peak, running]).toEqual([3, 0]);
    expect(world.requests(/_changes/)).toHaveLength(20);
  });

  it('waits `latency` before it reads a database again', () => {
    const world = new World({ a: 1 });
    const write = (id: string): void => {
      world.write('a', id);
      timer(10).subscribe(() => world.announce('a'));
    };
    const { lines } = record(
      world,
      ['a'],
      { latency: 500 },
      { 1000: () => write('1'), 1100: () => write('2'), 1200: () => write('3') },
    );
    expect(lines).toEqual(['1011 a: 1', '1512 a: 2,3']);
  });
});

describe('changesOf$ with lists of databases', () => {
  it('compares the sequences of the databases', () => {
    const world = new World({ a: 1, b: 1, _users: 0 }, false);
    const couch = world.server.couch();
    const { lines, states } = record(
      world,
      (name) => name !== 'b',
      POLL,
      {
        1000: () => world.write('a', 'x'),
        1010: () => world.write('b', 'y'),
        2000: () => couch.create('c').subscribe(),
        2010: () => world.write('c', 'z'),
        3000: () => world.server.replaceDatabase('a', [{ _id: 'new' }]),
        4000: () => couch.delete('c').subscribe(),
      },
      5000,
    );
    expect(lines.map((line) => line.replace(/^\d+ /, ''))).toEqual(['a: x', 'c: z', 'a: new']);
    expect(states).toEqual(['idle', 'connecting', 'live', 'idle']);
    expect(world.requests(/_users/)).toEqual([]);
    expect(world.requests(/_db_updates/)).toEqual([]);
    // Nothing else is read.
    expect(world.requests(/_changes/)).toHaveLength(3);
  });

  it('looks at each database if the server does not tell their states together', () => {
    const world = new World({ a: 1, b: 1 }, false);
    world.server.on('POST /_dbs_info', status(403));
    const { lines, states } = record(
      world,
      ['a', 'b', 'c'],
      POLL,
      {
        1000: () => world.write('a', 'x'),
        2000: () => world.server.couch().create('c').subscribe(),
        2010: () => world.write('c', 'z'),
      },
      3000,
    );
    expect(lines.map((line) => line.replace(/^\d+ /, ''))).toEqual(['a: x', 'c: z']);
    expect(states).toEqual(['idle', 'connecting', 'live', 'idle']);
    expect(world.requests(/_all_dbs/)).toEqual([]);
  });

  it('shows that a list is retried', () => {
    const world = new World({ a: 1 }, false);
    const { lines, states } = record(
      world,
      ['a'],
      POLL,
      {
        1000: () => world.server.offline$.next(true),
        1200: () => {
          world.server.offline$.next(false);
          world.write('a', 'x');
        },
      },
      5000,
    );
    expect(lines.map((line) => line.replace(/^\d+ /, ''))).toEqual(['a: x']);
    expect(new Set(states)).toEqual(new Set(['idle', 'connecting', 'live', 'waiting']));
    expect(states.slice(-2)).toEqual(['live', 'idle']);
  });
});

describe('the error of one database', () => {
  const refuseA = (world: World, code: number): { end: () => void } => {
    let isRefused = true;
    world.server.on('GET /a/_changes', (_params, { query }) =>
      isRefused
        ? status(code)
        : { results: [{ seq: '9', id: 'late', changes: [] }], last_seq: '9', pending: 0, query },
    );
    return { end: () => (isRefused = false) };
  };

  it('goes to onError once, and the others continue', () => {
    const world = new World({ a: 1, b: 1 });
    const refusal = refuseA(world, 403);
    const errors: string[] = [];
    const { lines, states } = record(
      world,
      /./,
      {
        onError: (database, error) => errors.push(`${database} ${isForbidden(error)}`),
      },
      {
        1000: () => world.announce('a'),
        2000: () => world.announce('a'),
        3000: () => world.write('b', 'x'),
        3100: () => world.announce('b'),
        4000: refusal.end,
        4100: () => world.announce('a'),
      },
    );
    expect(errors).toEqual(['a true']);
    expect(lines).toEqual(['3101 b: x', '4101 a: late']);
    expect(states).toEqual(['idle', 'connecting', 'live', 'idle']);
  });

  it('ends the feed without onError', () => {
    const world = new World({ a: 1, b: 1 });
    refuseA(world, 403);
    const { error, states } = record(world, /./, {}, { 1000: () => world.announce('a') });
    expect(isForbidden(error)).toBe(true);
    expect(states.at(-1)).toBe('failed');
  });

  it('is retried if it is transient, visibly, while the others continue', () => {
    const world = new World({ a: 1, b: 1 });
    const refusal = refuseA(world, 503);
    const { lines, states } = record(
      world,
      /./,
      { concurrency: 1 },
      {
        1000: () => world.announce('a'),
        1005: () => world.write('b', 'x'),
        1010: () => world.announce('b'),
        1020: refusal.end,
      },
    );
    expect(lines).toEqual(['1011 b: x', '1032 a: late']);
    expect(states.slice(0, 3)).toEqual(['idle', 'connecting', 'live']);
    expect(states.slice(3)).toEqual(['waiting', 'waiting', 'waiting', 'live', 'idle']);
  });

  it('goes to onError after `errorTolerance`', () => {
    const world = new World({ a: 1, b: 1 });
    refuseA(world, 503);
    const errors: string[] = [];
    const { states } = record(
      world,
      ['a', 'b'],
      {
        errorTolerance: 100,
        onError: (database, error) => errors.push(`${database} ${String(error)}`),
      },
      { 1000: () => world.announce('a') },
    );
    expect(errors).toHaveLength(1);
    expect(errors[0]).toMatch(/^a ServerError: .*503/);
    expect(states.slice(-2)).toEqual(['live', 'idle']);
  });

  it('that something else than the database is missing is no reason to leave it', () => {
    const world = new World({ a: 1 });
    refuseA(world, 404);
    const errors: string[] = [];
    record(
      world,
      ['a'],
      {
        filter: 'missing/filter',
        onError: (database, error) => errors.push(`${database} ${String(error)}`),
      },
      { 1000: () => world.announce('a') },
    );
    expect(errors).toEqual([expect.stringContaining('a NotFound')]);
    // A database that was deleted and created again looks the same at first.
    expect(world.requests(/^GET \/a$/)).toHaveLength(3);
  });

  it('is none if a database is found again, in the second in which it was created', () => {
    const world = new World({ a: 1 });
    world.server.once('GET /a/_changes', status(404));
    const { lines, error } = record(
      world,
      ['a'],
      {},
      { 1000: () => world.write('a', 'x'), 1010: () => world.announce('a') },
    );
    expect(error).toBeUndefined();
    expect(lines).toEqual(['1013 a: x']);
  });

  it('is forgotten when the database is gone', () => {
    const world = new World({ a: 1 });
    world.server.once('GET /x', status(403));
    const errors: string[] = [];
    record(
      world,
      /./,
      { onError: (database) => errors.push(database) },
      {
        1000: () => world.announce('x', 'created'),
        2000: () => world.announce('x', 'deleted'),
        3000: () => world.server.cut(),
        5000: () => world.server.cut(),
      },
    );
    expect(errors).toEqual(['x']);
    expect(world.requests(/^GET \/x$/)).toHaveLength(2);
    expect(world.requests(/_all_dbs/)).toHaveLength(3);
  });

  it('that a handler of errors throws ends the feed', () => {
    const world = new World({ a: 1 });
    refuseA(world, 403);
    const thrown = new Error('thrown');
    const onError = (): never => {
      throw thrown;
    };
    expect(record(world, ['a'], { onError }, { 1000: () => world.announce('a') }).error).toBe(
      thrown,
    );
  });
});

describe('the checkpoints of many databases', () => {
  it('let a feed resume, start over for a new database, and miss nothing', () => {
    const world = new World({ a: 1, b: 1 });
    const stores = new Map<string, ReturnType<typeof memoryCheckpoint>>();
    const checkpoint = (name: string): ReturnType<typeof memoryCheckpoint> => {
      const store = stores.get(name) ?? memoryCheckpoint();
      stores.set(name, store);
      return store;
    };
    const first = record(
      world,
      /./,
      { checkpoint },
      { 1000: () => world.write('a', 'x'), 1100: () => world.announce('a') },
    );
    expect(first.lines).toEqual(['1101 a: x']);
    // That of `now` is stored too.
    expect([...stores].map(([name, store]) => [name, store.read()])).toEqual([
      ['a', '2-memory'],
      ['b', '1-memory'],
    ]);
    const second = record(
      world,
      /./,
      { checkpoint },
      {
        // Before the feed has listed the databases.
        10: () => world.write('b', 'meanwhile'),
        1000: () => world.server.couch().delete('a').subscribe(),
        1100: () => world.announce('a', 'deleted'),
        5000: () => world.server.couch().create('a').subscribe(),
        5100: () => world.write('a', 'again'),
        5200: () => world.announce('a', 'created'),
      },
    );
    expect(second.lines.map((line) => line.replace(/^\d+ /, ''))).toEqual([
      'b: meanwhile',
      'a: again',
    ]);
    expect(stores.get('a')?.read()).toBe('1-memory');
  });

  it('write one after the other', () => {
    const names = Array.from({ length: 10 }, (_, i) => `db-${i}`);
    const world = new World(Object.fromEntries(names.map((name) => [name, 1])));
    let running = 0;
    let peak = 0;
    const stored: string[] = [];
    const checkpoint = (name: string): { read: () => null; write: () => Observable<unknown> } => ({
      read: () => null,
      write: () => {
        running += 1;
        peak = Math.max(peak, running);
        return timer(5).pipe(
          map(() => {
            running -= 1;
            stored.push(name);
          }),
        );
      },
    });
    record(world, /./, { checkpoint, since: 0 });
    expect(peak).toBe(1);
    expect(stored.sort()).toEqual(names);
  });
});

it('a filter that passes nothing for long does not end the reading', () => {
  const world = new World({ a: 3 });
  const last = (seq: number): object => ({
    results: seq === 3 ? [{ seq: '3', id: 'a3', changes: [] }] : [],
    last_seq: String(seq),
    pending: 3 - seq,
  });
  world.server.on('GET /a/_changes', (_params, { query }) => last(Number(query['since']) + 1));
  const { lines } = record(world, ['a'], { since: 0, filter: 'd/f' });
  expect(lines.map((line) => line.replace(/^\d+ /, ''))).toEqual(['a: a3']);
  expect(world.requests(/_changes/)).toHaveLength(3);
});

it('a checkpoint that is no store ends the feed with a TypeError', () => {
  const checkpoint = (): never => undefined as never;
  const { error } = record(new World({ a: 1 }), ['a'], { checkpoint });
  expect(error).toEqual(
    new TypeError(
      'checkpoint: its result must be a store with read and write (received undefined)',
    ),
  );
});

describe('the arguments of changesOf$', () => {
  const couch = new Couch();

  it.each<[databases: unknown, options: unknown, message: string]>([
    ['pets', {}, 'databases must be names, a RegExp or a function (received "pets")'],
    [[], {}, 'databases must be names, a RegExp or a function (received "[]")'],
    [['Pets'], {}, 'The name of a database must begin with a lower-case letter'],
    [/a/, { concurency: 1 }, "unknown option 'concurency'; did you mean 'concurrency'?"],
    [/a/, { concurrency: 0 }, 'concurrency must be a whole number from 1 (received 0)'],
    [/a/, { batchSize: 1.5 }, 'batchSize must be a whole number from 1 (received 1.5)'],
    [
      /a/,
      { since: '5-a' },
      "since must be 'now', 0 or an object with a sequence for each database",
    ],
    [/a/, { since: { a: 5 } }, "since['a'] must be a sequence that CouchDB gave, 'now' or 0"],
    [/a/, { updates: 5 }, 'updates: options must be an object (received 5)'],
    [/a/, { updates: { poll: 0 } }, 'updates.poll must be milliseconds from 1 (received 0)'],
    [/a/, { updates: { pol: 5 } }, "updates: unknown option 'pol'; did you mean 'poll'?"],
    [/a/, { checkpoint: {} }, 'checkpoint must be a function (received an object)'],
    [/a/, { onError: 1 }, 'onError must be a function (received 1)'],
    [/a/, { latency: -1 }, 'latency must be milliseconds from 0 (received -1)'],
    [/a/, { heartbeat: 0 }, 'heartbeat must be whole milliseconds from 1 to 60000 (received 0)'],
    [/a/, { filter: 'a/b', view: 'c/d' }, 'view and filter exclude each other'],
    [/a/, { selector: undefined }, 'selector must not be undefined'],
  ])('%p and %j are refused', (databases, options, message) => {
    expect(() => couch.changesOf$(databases as never, options as never)).toThrow(message);
  });
});
