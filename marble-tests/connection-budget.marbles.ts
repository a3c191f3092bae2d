import { afterEach, describe, expect, it } from '@jest/globals';
import { NEVER, Observable, concat, of, throwError, timer } from 'rxjs';
import type { Subscription } from 'rxjs';
import { TestScheduler } from 'rxjs/testing';
import { fetchTransport } from '../src/http/fetch-transport.ts';
import {
  LockDenied,
  connectionBudget,
  isBrowser,
  memoryLocks,
  platformBudget,
  platformLocks,
} from '../src/http/connection-budget.ts';
import type {
  ConnectionBudget,
  ConnectionShare,
  RequestLock,
} from '../src/http/connection-budget.ts';

const URL_A = 'http://a.example/path';
const URL_B = 'http://b.example';

/** Runs a test in virtual time, with a function that makes shares of a budget of three connections. */
function run(
  test: (given: {
    readonly share: (url?: string) => ConnectionShare;
    readonly scheduler: TestScheduler;
  }) => void,
  locks: RequestLock = memoryLocks(),
  isMultiplexed = false,
): void {
  const scheduler = new TestScheduler((actual, expected) => expect(actual).toEqual(expected));
  const budget = connectionBudget(3, locks, () => isMultiplexed);
  scheduler.run(() => test({ share: (url = URL_A) => budget.share(url, scheduler), scheduler }));
}

/** Returns what a reservation emits at once. */
function reserve(share: ConnectionShare): boolean[] {
  const emitted: boolean[] = [];
  share.reserve().subscribe((isReserved) => emitted.push(isReserved));
  return emitted;
}

describe('fetchTransport', () => {
  it('has a budget only if it is told to, or in a browser', () => {
    expect(fetchTransport().budget).toBeNull();
    expect(fetchTransport({ feedConnections: Infinity }).budget).toBeNull();
    const { budget } = fetchTransport({ feedConnections: 2 });
    expect(budget).not.toBeNull();
    expect(fetchTransport({ feedConnections: 2 }).budget).toBe(budget);
  });

  it.each([0, -1, 1.5, NaN, '3'])('rejects feedConnections: %p', (feedConnections) => {
    expect(() => fetchTransport({ feedConnections } as never)).toThrow(
      /feedConnections must be a whole number from 1, or Infinity/,
    );
  });
});

describe('the budget of connections', () => {
  it('reserves all but one for each origin, until they are released', () => {
    run(({ share }) => {
      const [one, two, three] = [share(), share(), share()];
      expect([one, two, three].map(reserve)).toEqual([[true], [true], [false]]);
      expect(reserve(share(URL_B))).toEqual([true]);
      // A feed keeps its connection from one request to the next.
      expect(reserve(one)).toEqual([true]);
      expect(reserve(three)).toEqual([false]);
      two.release();
      expect([reserve(three), reserve(two)]).toEqual([[true], [false]]);
    });
  });

  it('reserves one for each feed if an origin multiplexes requests', () => {
    run(
      ({ share }) => {
        const shares = Array.from({ length: 10 }, () => share());
        expect(shares.flatMap(reserve)).toEqual(shares.map(() => true));
      },
      memoryLocks(),
      true,
    );
  });

  it('keeps nothing for a feed that has gone before the lock came', () => {
    const held: Subscription[] = [];
    let open = 0;
    const slow: RequestLock = () =>
      new Observable((subscriber) => {
        open += 1;
        held.push(timer(10).subscribe(() => subscriber.next(true)));
        return () => (open -= 1);
      });
    run(({ share, scheduler }) => {
      const reservation = share().reserve().subscribe();
      reservation.unsubscribe();
      scheduler.flush();
      expect(open).toBe(0);
    }, slow);
  });

  it('lets short requests take turns, in the order of their requests', () => {
    run(({ share, scheduler }) => {
      const log: string[] = [];
      const request = (name: string, duration: number): Observable<number> =>
        new Observable((subscriber) => {
          log.push(`${scheduler.now()} ${name} starts`);
          return timer(duration).subscribe(subscriber);
        });
      share().takeTurn(request('a', 20)).subscribe();
      const b = share().takeTurn(request('b', 20)).subscribe();
      share().takeTurn(request('c', 20)).subscribe();
      timer(5).subscribe(() => b.unsubscribe());
      scheduler.flush();
      expect(log).toEqual(['0 a starts', '20 c starts']);
    });
  });

  it('lets the next request start after 5 s, and the slow one go on', () => {
    run(({ share, scheduler }) => {
      const log: string[] = [];
      const note = (text: string) => () => log.push(`${scheduler.now()} ${text}`);
      share().takeTurn(timer(8000)).subscribe(note('slow'));
      share().takeTurn(timer(10)).subscribe(note('quick'));
      scheduler.flush();
      expect(log).toEqual(['5010 quick', '8000 slow']);
    });
  });

  it('passes a lock whose page the browser has frozen', () => {
    const locks = memoryLocks();
    // A frozen page releases nothing, and none of its timers fires.
    locks('corduroy turn 0 http://a.example', 'wait').subscribe();
    run(({ share, scheduler }) => {
      const log: number[] = [];
      share()
        .takeTurn(timer(10))
        .subscribe(() => log.push(scheduler.now()));
      share()
        .takeTurn(timer(10))
        .subscribe(() => log.push(scheduler.now()));
      scheduler.flush();
      expect(log).toEqual([10_010, 10_020]);
    }, locks);
  });

  it('limits one page by itself if the platform refuses locks', () => {
    run(
      ({ share }) => {
        const shares = [share(), share(), share()];
        expect(shares.map(reserve)).toEqual([[true], [true], [false]]);
        for (const one of shares) one.release();
        const last = share();
        expect(reserve(last)).toEqual([true]);
        // These locks are those of the program: other tests need them.
        last.release();
      },
      () => throwError(() => new LockDenied()),
    );
  });

  it('passes on errors and values of the request', () => {
    run(({ share, scheduler }) => {
      scheduler
        .expectObservable(
          share().takeTurn(
            concat(
              of('x'),
              throwError(() => 'failed'),
            ),
          ),
        )
        .toBe('(x#)', undefined, 'failed');
      // The turn is free again.
      scheduler.expectObservable(share().takeTurn(of('y'))).toBe('(y|)');
      scheduler.expectObservable(share().takeTurn(NEVER), '---!').toBe('----');
    });
  });
});

describe('the locks of a platform', () => {
  interface Asked {
    readonly name: string;
    readonly options: Readonly<Record<string, unknown>> & { readonly signal?: AbortSignal };
  }
  type Hold = (lock: object | null) => Promise<void> | undefined;
  const original = Object.getOwnPropertyDescriptor(globalThis, 'navigator');
  afterEach(() => {
    if (original === undefined) Reflect.deleteProperty(globalThis, 'navigator');
    else Object.defineProperty(globalThis, 'navigator', original);
  });
  const provide = (navigator: object | undefined): void => {
    Object.defineProperty(globalThis, 'navigator', { value: navigator, configurable: true });
  };
  const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

  /** Locks that grant a request as the test says, until its holder returns. */
  function granting(grant: (hold: Hold) => Promise<unknown>): { readonly asked: Asked[] } {
    const asked: Asked[] = [];
    provide({
      locks: {
        request: (name: string, options: Asked['options'], hold: Hold) => {
          asked.push({ name, options });
          return grant(hold);
        },
      },
    });
    return { asked };
  }
  const seen = (mode: 'wait' | 'steal' | 'try'): { events: unknown[]; stop: () => void } => {
    const events: unknown[] = [];
    const held = (platformLocks() as RequestLock)('a', mode).subscribe({
      next: (value) => events.push(value),
      error: (error) => events.push(error),
      complete: () => events.push('complete'),
    });
    return { events, stop: () => held.unsubscribe() };
  };

  it('are missing in old versions of Node, and at insecure origins', () => {
    provide({});
    expect(platformLocks()).toBeNull();
    provide(undefined);
    expect(platformLocks()).toBeNull();
  });

  it('are held until unsubscribed', async () => {
    let released = false;
    const { asked } = granting(async (hold) => {
      await hold({});
      released = true;
    });
    const { events, stop } = seen('wait');
    await turn();
    expect([events, released]).toEqual([[true], false]);
    expect(asked[0]?.options).toEqual({ signal: expect.any(AbortSignal) });
    expect(asked[0]?.options.signal?.aborted).toBe(false);
    stop();
    await turn();
    expect([events, released, asked[0]?.options.signal?.aborted]).toEqual([[true], true, true]);
  });

  it('are stolen, or taken if they are free', async () => {
    const { asked } = granting(async (hold) => hold(null));
    const { events } = seen('try');
    seen('steal');
    await turn();
    expect(events).toEqual([false, 'complete']);
    expect(asked.map(({ options }) => options)).toEqual([{ ifAvailable: true }, { steal: true }]);
  });

  it('complete when another page steals them, and error if the platform refuses', async () => {
    granting(() => Promise.reject(new DOMException('stolen', 'AbortError')));
    const stolen = seen('wait');
    await turn();
    expect(stolen.events).toEqual(['complete']);
    for (const reason of [new DOMException('no', 'SecurityError'), 'no', null, {}]) {
      granting(() => Promise.reject(reason));
      const denied = seen('wait');
      await turn();
      expect(denied.events).toEqual([expect.any(LockDenied)]);
    }
  });
});

describe('the budget of a platform', () => {
  const original = Object.getOwnPropertyDescriptor(globalThis, 'PerformanceObserver');
  afterEach(() => {
    if (original !== undefined) Object.defineProperty(globalThis, 'PerformanceObserver', original);
  });

  /** The program keeps a budget of each size, with the observer of its first use. */
  let size = 20;

  it('does not apply to a server that the browser reaches over HTTP/2 or HTTP/3', () => {
    const observed: unknown[] = [];
    let tell: (entries: readonly object[]) => void = () => {};
    class Observer {
      constructor(callback: (list: { getEntries(): readonly object[] }) => void) {
        tell = (entries) => callback({ getEntries: () => entries });
      }
      observe(options: object): void {
        observed.push(options);
      }
    }
    Object.defineProperty(globalThis, 'PerformanceObserver', {
      value: Observer,
      configurable: true,
    });
    const scheduler = new TestScheduler(() => {});
    size += 1;
    const budget = platformBudget(size) as ConnectionBudget;
    expect(platformBudget(size)).toBe(budget);
    expect(platformBudget(Infinity)).toBeNull();
    expect(observed).toEqual([{ type: 'resource', buffered: true }]);
    tell([
      { name: 'https://two.example/a', nextHopProtocol: 'h2' },
      { name: 'https://three.example/a', nextHopProtocol: 'h3' },
      { name: 'https://one.example/a', nextHopProtocol: 'http/1.1' },
      { name: 'https://hidden.example/a', nextHopProtocol: 'h2' },
      { name: 'https://hidden.example/b', nextHopProtocol: '' },
      { name: 'https://odd.example/b', nextHopProtocol: 'xh2' },
    ]);
    const freeOf = (origin: string): number => {
      const shares = Array.from({ length: size }, () =>
        budget.share(`https://${origin}.example`, scheduler),
      );
      const reserved = shares.filter((one) => reserve(one)[0] === true).length;
      for (const one of shares) one.release();
      return reserved;
    };
    const [all, limited] = [size, size - 1];
    expect(['two', 'three', 'one', 'hidden', 'odd', 'unknown'].map(freeOf)).toEqual([
      all,
      all,
      limited,
      all,
      limited,
      limited,
    ]);
  });

  it('is that of a browser if there is a document, or a worker', () => {
    expect(isBrowser()).toBe(false);
    for (const name of ['document', 'importScripts']) {
      Object.defineProperty(globalThis, name, { value: {}, configurable: true });
      expect(isBrowser()).toBe(true);
      Reflect.deleteProperty(globalThis, name);
    }
  });
});
