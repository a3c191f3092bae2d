import { describe, expect, it } from '@jest/globals';
import { NEVER, map, throwError, timer } from 'rxjs';
import type { Observable } from 'rxjs';
import { Couch, memoryCheckpoint } from 'corduroy';
import type {
  CheckpointStore,
  ConsumeOfOptions,
  DatabaseChangeHandler,
  DatabaseProgress,
  DatabasesConsumer,
} from 'corduroy';
import { marbles } from './helpers/run.ts';
import { UpdatesWorld as World } from './helpers/updates-world.ts';

const BACKOFF = { initialDelay: 4, random: () => 0.999 };

/** Stores by the names of databases. */
class Stores {
  readonly all = new Map<string, CheckpointStore>();
  readonly of = (database: string): CheckpointStore => {
    const store = this.all.get(database) ?? memoryCheckpoint();
    this.all.set(database, store);
    return store;
  };

  read(): Readonly<Record<string, unknown>> {
    return Object.fromEntries([...this.all].map(([name, store]) => [name, store.read()]));
  }
}

/** What a consumer emitted, with the time, and how it ended. */
interface Recorded {
  readonly progress: string[];
  readonly states: string[];
  end?: unknown;
}

const lineOf = ({ database, seq, handled, failed, pending }: DatabaseProgress): string =>
  `${database}@${Number.parseInt(seq, 10)} ${handled}/${failed}/${pending}`;

/** Consumes in virtual time, runs the steps at their times, and unsubscribes after 20 s. */
function record(
  world: World,
  handler: DatabaseChangeHandler<object>,
  options: Partial<ConsumeOfOptions<object>>,
  steps: Readonly<Record<number, (consumer: DatabasesConsumer<object>) => void>> = {},
): Recorded {
  const recorded: Recorded = { progress: [], states: [] };
  marbles((_helpers, scheduler) => {
    const consumer = world.server
      .couch()
      .consumeOf(/./, handler, { name: 'test', since: 0, backoff: BACKOFF, ...options });
    consumer.state$.subscribe(({ status }) => recorded.states.push(status));
    const subscription = consumer.subscribe({
      next: (progress) => recorded.progress.push(`${scheduler.now()} ${lineOf(progress)}`),
      error: (error: unknown) => (recorded.end = error),
      complete: () => (recorded.end = `completed at ${scheduler.now()}`),
    });
    for (const [time, step] of Object.entries(steps))
      timer(Number(time)).subscribe(() => step(consumer));
    timer(20_000).subscribe(() => subscription.unsubscribe());
  })();
  return recorded;
}

describe('consumeOf', () => {
  it('handles the changes of each database in order, and stores how far it has come', () => {
    const world = new World({ a: 3, b: 2 });
    const stores = new Stores();
    const handled: string[] = [];
    const { progress, states } = record(
      world,
      ({ id }, database) => {
        handled.push(`${database} ${id}`);
        return timer(10);
      },
      { checkpoint: stores.of, batchSize: 2 },
      { 5000: () => world.write('b', 'x'), 5100: () => world.announce('b') },
    );
    expect(handled.filter((line) => line.startsWith('a'))).toEqual(['a a1', 'a a2', 'a a3']);
    expect(handled.filter((line) => line.startsWith('b'))).toEqual(['b b1', 'b b2', 'b x']);
    expect(stores.read()).toEqual({ a: '3-memory', b: '3-memory' });
    expect(progress.map((line) => line.replace(/^\d+ /, ''))).toEqual([
      'a@2 2/0/1',
      'b@2 2/0/0',
      'a@3 3/0/0',
      'b@3 3/0/0',
    ]);
    expect(states).toEqual(['idle', 'connecting', 'live', 'idle']);
    // Another consumer of the name has nothing left to do.
    const again: unknown[] = [];
    record(world, (change) => again.push(change), { checkpoint: stores.of });
    expect(again).toEqual([]);
  });

  it('stores its checkpoints in the databases by default', () => {
    const world = new World({ a: 1 });
    record(world, () => {}, {});
    expect(world.requests(/^PUT/)).toEqual(['PUT /a/_local/corduroy-test']);
  });

  it('reads a database again only after its changes were handled', () => {
    const world = new World({ a: 50, b: 50, c: 50 });
    record(world, () => NEVER, { concurrency: 2, batchSize: 10 });
    expect(world.requests(/_changes/).map((line) => line.split('?')[0])).toEqual([
      'GET /a/_changes',
      'GET /b/_changes',
    ]);
  });

  it('handles as many databases at the same time as `concurrency` allows', () => {
    const names = Array.from({ length: 9 }, (_, i) => `db-${i}`);
    const world = new World(Object.fromEntries(names.map((name) => [name, 3])));
    const running = new Set<string>();
    let peak = 0;
    const handler = (_change: object, database: string): Observable<unknown> => {
      expect(running.has(database)).toBe(false);
      running.add(database);
      peak = Math.max(peak, running.size);
      return timer(7).pipe(map(() => running.delete(database)));
    };
    const { progress } = record(world, handler, { concurrency: 4 });
    expect(peak).toBe(4);
    expect(progress).toHaveLength(9);
  });

  it('retries a handler, and passes a change that always fails to deadLetter', () => {
    const world = new World({ a: 3, b: 1 });
    const attempts: string[] = [];
    const dead: unknown[] = [];
    const { progress } = record(
      world,
      ({ id }, database) => {
        attempts.push(`${database} ${id}`);
        return id === 'a2' ? throwError(() => new Error('poison')) : [];
      },
      {
        attempts: 3,
        deadLetter: ({ id }, error, database) => dead.push([database, id, String(error)]),
      },
    );
    expect(attempts.filter((line) => line === 'a a2')).toHaveLength(3);
    expect(dead).toEqual([['a', 'a2', 'Error: poison']]);
    expect(progress.map((line) => line.replace(/^\d+ /, '')).sort()).toEqual([
      'a@3 2/1/0',
      'b@1 1/0/0',
    ]);
  });

  it('passes the error of a handler to onError, and tries the change again with the next update', () => {
    const world = new World({ a: 3, b: 1 });
    const stores = new Stores();
    let isBroken = true;
    const errors: string[] = [];
    const handled: string[] = [];
    record(
      world,
      ({ id }) => {
        if (id === 'a2' && isBroken) throw new Error('poison');
        handled.push(id);
      },
      {
        attempts: 1,
        checkpoint: stores.of,
        onError: (database, error) => errors.push(`${database} ${String(error)}`),
      },
      {
        4000: () => {
          expect(stores.read()).toEqual({ a: '1-memory', b: '1-memory' });
          isBroken = false;
          world.announce('a');
        },
      },
    );
    expect(errors).toEqual(['a Error: poison']);
    expect(handled.sort()).toEqual(['a1', 'a2', 'a3', 'b1']);
    expect(stores.read()).toEqual({ a: '3-memory', b: '1-memory' });
  });

  it('errors with the error of a handler if nothing takes it', () => {
    const poison = new Error('poison');
    const { end, states } = record(new World({ a: 1 }), () => throwError(() => poison), {
      attempts: 2,
    });
    expect(end).toBe(poison);
    expect(states.at(-1)).toBe('failed');
  });

  it('stops after the change in hand, and stores the place', () => {
    const world = new World({ a: 3, b: 3 });
    const stores = new Stores();
    const handled: string[] = [];
    const handler = ({ id }: { id: string }): Observable<unknown> => {
      handled.push(id);
      return timer(100);
    };
    const { end, progress } = record(
      world,
      handler,
      { checkpoint: stores.of, concurrency: 1 },
      { 300: (consumer) => consumer.stop(), 310: (consumer) => consumer.stop() },
    );
    expect(handled).toEqual(['a1']);
    expect(end).toBe('completed at 355');
    expect(progress).toEqual(['355 a@1 1/0/2']);
    expect(stores.read()).toEqual({ a: '1-memory', b: null });
    // The rest comes after a restart.
    record(world, handler, { checkpoint: stores.of });
    expect(handled.sort()).toEqual(['a1', 'a2', 'a3', 'b1', 'b2', 'b3']);
  });

  it('completes at once if nothing runs', () => {
    const stop = (consumer: DatabasesConsumer<object>): void => consumer.stop();
    expect(record(new World({}), () => {}, {}, { 100: stop }).end).toBe('completed at 100');
    expect(record(new World({ a: 1 }), () => {}, {}, { 5000: stop }).end).toBe('completed at 5000');
  });

  it('completes also if a checkpoint cannot be written', () => {
    const errors: unknown[] = [];
    const broken: CheckpointStore = {
      read: () => null,
      write: () => {
        throw new Error('full');
      },
    };
    const { end } = record(
      new World({ a: 1 }),
      () => timer(1000),
      { checkpoint: () => broken, onError: (_database, error) => errors.push(String(error)) },
      { 500: (consumer) => consumer.stop() },
    );
    expect(errors).toEqual(['Error: full']);
    expect(end).toMatch(/^completed/);
  });

  it('unsubscribes the handlers in flight, and keeps their changes', () => {
    const world = new World({ a: 2 });
    const stores = new Stores();
    let running = 0;
    marbles(() => {
      const consumer = world.server.couch().consumeOf(
        /./,
        () =>
          NEVER.pipe((source) => {
            running += 1;
            return new (source.constructor as typeof Observable)(() => () => (running -= 1));
          }),
        { name: 'test', since: 0, checkpoint: stores.of },
      );
      const subscription = consumer.subscribe();
      timer(1000).subscribe(() => {
        expect(running).toBe(1);
        subscription.unsubscribe();
        expect(running).toBe(0);
      });
    })();
    expect(running).toBe(0);
    expect(stores.read()).toEqual({ a: null });
  });
});

describe('the arguments of consumeOf', () => {
  it.each<[handler: unknown, options: unknown, message: string]>([
    [undefined, { name: 'a' }, 'handler must be a function (received undefined)'],
    [() => {}, undefined, 'options must be an object with the name of the consumer'],
    [() => {}, {}, 'name must be a string that is not empty (received undefined)'],
    [() => {}, { name: 'a', attempts: 0 }, 'attempts must be a whole number from 1 (received 0)'],
    [() => {}, { name: 'a', deadLetter: 1 }, 'deadLetter must be a function (received 1)'],
    [() => {}, { name: 'a', deadletter: 1 }, "'deadletter'; did you mean 'deadLetter'?"],
    [() => {}, { name: 'a', latency: 1 }, "unknown option 'latency'"],
  ])('%p and %j are refused', (handler, options, message) => {
    const couch = new Couch();
    expect(() => couch.consumeOf(['a'], handler as never, options as never)).toThrow(message);
  });
});
