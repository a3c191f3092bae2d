import { describe, expect, it } from '@jest/globals';
import { Injector, PLATFORM_ID, signal } from '@angular/core';
import { TestBed } from '@angular/core/testing';
import { Couch } from 'corduroy';
import type { Transport } from 'corduroy';
import { databaseToken, injectDatabase, liveSignal, provideCorduroy } from 'corduroy/angular';
import { memoryServer, status } from 'corduroy/testing';
import { EMPTY, NEVER, map, of, timer } from 'rxjs';
import type { Observable } from 'rxjs';
import { liveServer } from './helpers/live-server.ts';
import { component, render, testBed } from '../integration/helpers/angular.ts';
import { marbles } from './helpers/run.ts';

interface Order {
  total: number;
}

const ORDERS = databaseToken<Order>('orders');

/** Emits the text of a page at these times. */
function looks(page: { detectChanges(): void; text(): string }, at$: Observable<string>) {
  return at$.pipe(
    map(() => {
      page.detectChanges();
      return page.text();
    }),
  );
}

describe('liveSignal', () => {
  it(
    'shows loading, the document, and that the feed is down in a template',
    marbles(({ server, couch, cold, hot, expectObservable }) => {
      const a = (rev: string, total: number) => ({ _id: 'a', _rev: rev, total });
      // The server is busy from 50 ms until after the end of the test.
      const changes = { b: a('2-b', 2) };
      server.feed('orders', hot('30ms b 19ms #', changes, status(503)), hot('1s b', changes));
      const rows = [{ id: 'a', key: 'a', value: { rev: '1-a' }, doc: a('1-a', 1) }];
      server.on('POST /orders/_all_docs', cold('5ms (a|)', { a: { rows } }));
      testBed({ provide: Couch, useValue: couch });
      const Page = component(
        `@if (order.isLoading()) { loading } @else { {{ order()?.total }} }
         @if (order.stale()) { stale }`,
        class {
          readonly order = liveSignal(() => this.db.doc$('a'));
          readonly db = injectDatabase(ORDERS);
        },
      );
      const page = render(Page);
      hot('90ms x').subscribe(() => page.destroy());
      const times = hot('                 x 19ms x 19ms x 19ms x');
      const read = looks(page, times).pipe(map((text) => text.replaceAll(/\s+/g, ' ').trim()));
      expectObservable(read, '90ms !').toBe('l 19ms 1 19ms 2 19ms s', {
        l: 'loading',
        1: '1',
        2: '2',
        s: '2 stale',
      });
    }),
  );

  it(
    'switches to another stream when a signal that the source reads changes',
    marbles(({ cold, hot, expectObservable, expectSubscriptions }) => {
      testBed();
      const streams = { a: cold('--1--2--3--'), b: cold('--4--') };
      const id = signal<'a' | 'b' | null>('a');
      const Page = component(
        '{{ value() }}',
        class {
          readonly value = liveSignal(() => (id() === null ? null : streams[id() as 'a']), {
            initialValue: '-',
          });
        },
      );
      const page = render(Page);
      hot('      ------b----n').subscribe((next) => id.set(next === 'n' ? null : (next as 'b')));
      const times = hot('x--x--x--x-x');
      //                        Null resets the value.
      expectObservable(looks(page, times)).toBe('i--1--i--4-i', {
        i: '-',
        1: '1',
        4: '4',
      });
      expectSubscriptions(streams.a.subscriptions).toBe('^-----!');
      expectSubscriptions(streams.b.subscriptions).toBe('------^----!');
    }),
  );

  it(
    'unsubscribes when its component is destroyed',
    marbles(({ cold, hot, expectSubscriptions }) => {
      testBed();
      const stream = cold('-a');
      const page = render(
        component(
          '{{ value() }}',
          class {
            readonly value = liveSignal(() => stream);
          },
        ),
      );
      hot('---x').subscribe(() => page.destroy());
      expectSubscriptions(stream.subscriptions).toBe('^--!');
    }),
  );

  it(
    'keeps the previous value until the next one with keepPrevious',
    marbles(({ cold, hot, expectObservable }) => {
      testBed();
      const streams = [cold('-a'), cold('---b')] as const;
      const choice = signal<0 | 1>(0);
      const injector = TestBed.inject(Injector);
      const kept = liveSignal(() => streams[choice()], { injector, keepPrevious: true });
      TestBed.tick();
      hot('--x').subscribe(() => {
        choice.set(1);
        TestBed.tick();
      });
      const read = hot('x-x-x-x').pipe(map(() => [kept(), kept.isLoading()]));
      expectObservable(read).toBe('n-a-a-b', {
        n: [undefined, true],
        a: ['a', true],
        b: ['b', false],
      });
    }),
  );

  it(
    'exposes an error, keeps the last value, and subscribes again on reload',
    marbles(({ cold, hot, expectObservable }) => {
      testBed();
      const stream = cold('-a-#', undefined, new Error('gone'));
      const injector = TestBed.inject(Injector);
      const value = liveSignal(() => stream, { injector });
      TestBed.tick();
      hot('-----x').subscribe(() => {
        value.reload();
        TestBed.tick();
      });
      const read = hot('x-x-xx-x').pipe(
        map(() => [value(), value.error()?.message, value.stale(), value.isLoading()]),
      );
      expectObservable(read).toBe('l-a-er-a', {
        l: [undefined, undefined, false, true],
        a: ['a', undefined, false, false],
        e: ['a', 'gone', true, false],
        r: ['a', undefined, true, true],
      });
    }),
  );

  it(
    'shows the error that a live query waits out, and drops it after the retry',
    marbles(({ hot, expectObservable }, scheduler) => {
      const server = liveServer(scheduler);
      server.put('a', { n: 1 });
      server.cut();
      testBed();
      const injector = TestBed.inject(Injector);
      const value = liveSignal(() => server.db.doc$('a').pipe(map((doc) => doc?.['n'])), {
        injector,
        initialValue: 0,
      });
      TestBed.tick();
      hot('500ms x').subscribe(() => server.restore());
      hot('100s x').subscribe(() => TestBed.resetTestingModule());
      const read = hot('100ms x 5s x').pipe(
        map(() => [value(), value.isLoading(), value.stale(), value.error()?.name]),
      );
      expectObservable(read).toBe('100ms e 5s v', {
        e: [0, true, true, 'ConnectionError'],
        v: [1, false, false, undefined],
      });
    }),
  );

  const unavailable: Record<string, [Transport, string]> = {
    'is down': [
      {
        send: () =>
          timer(1).pipe(
            map(() => {
              throw new Error('refused');
            }),
          ),
      },
      'ConnectionError',
    ],
    'does not answer': [{ send: () => NEVER }, 'RenderTimeout'],
    'answers 503': [
      {
        send: () =>
          of({
            status: 503,
            headers: { 'content-type': 'application/json' },
            body: of(new TextEncoder().encode('{"error":"busy","reason":"Busy"}')),
          }),
      },
      'ServerError',
    ],
  };

  it.each(Object.entries(unavailable))(
    'renders the page in SSR with an error if CouchDB %s',
    (_, [transport, name]) => {
      marbles(({ hot, expectObservable }) => {
        testBed(
          { provide: PLATFORM_ID, useValue: 'server' },
          provideCorduroy({ url: 'http://couch.test', transport }),
        );
        const injector = TestBed.inject(Injector);
        const db = TestBed.inject(ORDERS);
        const value = liveSignal(() => db.doc$('a'), { injector });
        TestBed.tick();
        hot('60s x').subscribe(() => TestBed.resetTestingModule());
        const read = hot('4999ms x 2s x').pipe(
          map(() => [value.isLoading(), value.error()?.name, value.stale()]),
        );
        expectObservable(read).toBe('4999ms l 2s e', {
          l: [true, undefined, false],
          e: [false, name, true],
        });
      })();
    },
  );

  it('exposes an error that the source function throws', () => {
    testBed({ provide: Couch, useValue: memoryServer({ databases: { orders: [] } }).couch() });
    const page = render(
      component(
        '{{ order.error()?.message }}',
        class {
          readonly db = injectDatabase<Order>('orders');
          readonly order = liveSignal(() => this.db.doc$(''));
        },
      ),
    );
    expect(page.text()).toMatch(/id/);
  });

  it('is not loading without a stream, and after the stream has completed', () => {
    testBed();
    const injector = TestBed.inject(Injector);
    const none = liveSignal(() => undefined, { injector, initialValue: 0 });
    const ended = liveSignal(() => EMPTY, { injector, initialValue: 1 });
    TestBed.tick();
    expect([none(), none.isLoading(), ended(), ended.isLoading()]).toEqual([0, false, 1, false]);
  });

  it('throws outside an injection context', () => {
    expect(() => liveSignal(() => NEVER)).toThrow(/injection context/);
  });
});
