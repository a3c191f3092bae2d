import { describe, expect, it } from '@jest/globals';
import { Injector, PLATFORM_ID, TransferState } from '@angular/core';
import { TestBed } from '@angular/core/testing';
import { isHTTPError } from 'corduroy';
import type { Database, Transport } from 'corduroy';
import { databaseToken, liveSignal, provideCorduroy } from 'corduroy/angular';
import type { CorduroyOptions } from 'corduroy/angular';
import { memoryServer } from 'corduroy/testing';
import type { MemoryServer } from 'corduroy/testing';
import { EMPTY, catchError, endWith, ignoreElements, mergeMap, of, throwError } from 'rxjs';
import type { Observable } from 'rxjs';
import type { TestScheduler } from 'rxjs/testing';
import { testBed } from '../integration/helpers/angular.ts';
import { marbles } from './helpers/run.ts';

interface Order {
  total: number;
}

const ORDERS = databaseToken<Order>('orders');

/** A server with one order, and its requests. */
function shop(): { server: MemoryServer; asked: string[] } {
  const server = memoryServer({ databases: { orders: [{ _id: 'a', total: 1 }] }, latency: 1 });
  const asked: string[] = [];
  server.requestLines$.subscribe((line) => asked.push(line));
  return { server, asked };
}

/** An application in SSR or in the browser, with the given transfer state. */
function application(
  server: MemoryServer,
  platform: 'server' | 'browser',
  state: TransferState,
  options: CorduroyOptions = {},
): void {
  testBed(
    { provide: PLATFORM_ID, useValue: platform },
    { provide: TransferState, useValue: state },
    provideCorduroy({ url: 'http://couch.test', transport: server.transport, ...options }),
  );
}

/** The transfer state that the browser reads from the page of the server. */
function sent(state: TransferState): TransferState {
  const received = new TransferState();
  for (const [key, value] of Object.entries(JSON.parse(state.toJson()) as object)) {
    received.set(key as never, value as never);
  }
  return received;
}

const isFeed = (line: string): boolean => /feed=(?:continuous|longpoll)/.test(line);

describe('an application with server-side rendering', () => {
  it(
    'reads in SSR without a feed, and continues in the browser from the responses in the page',
    marbles(({ scheduler }) => {
      const { server, asked } = shop();
      const page = new TransferState();
      application(server, 'server', page);
      const rendered = liveSignal(() => TestBed.inject(ORDERS).doc$('a'), {
        injector: TestBed.inject(Injector),
      });
      TestBed.tick();

      scheduler.schedule(() => {
        expect(rendered()?.total).toBe(1);
        expect(asked.length).toBeGreaterThan(0);
        expect(asked.filter(isFeed)).toEqual([]);
        asked.length = 0;

        // Another client writes after SSR and before the browser starts.
        server
          .couch()
          .use<Order>('orders')
          .upsert('a', (order) => ({ ...order, total: 2 }))
          .subscribe();
      }, 1_000);

      let hydrated: unknown;
      scheduler.schedule(() => {
        asked.length = 0;
        application(server, 'browser', sent(page));
        const live = liveSignal(() => TestBed.inject(ORDERS).doc$('a'), {
          injector: TestBed.inject(Injector),
        });
        TestBed.tick();
        scheduler.schedule(() => (hydrated = live()?.total), 1);
        scheduler.schedule(() => {
          expect(hydrated).toBe(1);
          expect(live()?.total).toBe(2);
          // No response in the page is requested again. The feed continues from the sequence in the
          // page, and reads the identity of the database.
          expect(asked.filter((line) => !isFeed(line))).toEqual(['GET /orders']);
          expect(asked.filter(isFeed)).toHaveLength(1);
          TestBed.resetTestingModule();
        }, 1_000);
      }, 2_000);
      scheduler.flush();
      expect(hydrated).toBe(1);
    }),
  );

  /** Requests that only read. The server of the test refuses some of them. */
  const reads: Record<string, (db: Database<Order>) => Observable<unknown>> = {
    exists: (db) => db.exists(),
    search: (db) => db.search('d/i', { q: 'a' }),
    find: (db) => db.find({ selector: {} }),
    explain: (db) => db.indexes.explain({ selector: {} }),
    'revs.diff': (db) => db.revs.diff({ a: ['1-a'] }),
    'changes by id': (db) => db.changes({ docIds: ['a'] }),
    'a view with keys': (db) => db.view('d/v', { keys: [1] }),
    'a list function with keys': (db) => db.list('d/l', 'v', { keys: [1] }),
    'a streamed read': (db) => db.findRows({ selector: {} }),
    'request with reads': (db) =>
      db.request({ method: 'POST', path: '/_geo', json: {}, reads: true }),
  };
  const writes: Record<string, (db: Database<Order>) => Observable<unknown>> = {
    save: (db) => db.save({ _id: 'b', total: 1 }),
    'save of a list': (db) => db.save([{ _id: 'b', total: 1 }]),
    'indexes.create': (db) => db.indexes.create({ fields: ['total'] }),
    purge: (db) => db.purge([{ _id: 'a', _rev: '1-a' }]),
    'an update function': (db) => db.update('d/u'),
    request: (db) => db.request({ method: 'POST', path: '/_geo', json: {} }),
  };

  /** Reads a document that the page contains, after another request. Returns the requests for it. */
  function requestsAfter(
    scheduler: TestScheduler,
    request: (db: Database<Order>) => Observable<unknown>,
  ): string[] {
    const { server, asked } = shop();
    const page = new TransferState();
    application(server, 'server', page);
    TestBed.inject(ORDERS).get('a').subscribe();
    scheduler.flush();
    application(server, 'browser', sent(page));
    const db = TestBed.inject(ORDERS);
    let total: number | undefined;
    request(db)
      .pipe(
        catchError((error: unknown) => (isHTTPError(error) ? EMPTY : throwError(() => error))),
        ignoreElements(),
        endWith(null),
        mergeMap(() => {
          asked.length = 0;
          return db.get('a');
        }),
      )
      .subscribe((order) => (total = order.total));
    scheduler.flush();
    expect(total).toBe(1);
    TestBed.resetTestingModule();
    return asked;
  }

  it.each(Object.entries(reads))('reads from the page after another read: %s', (_, request) => {
    marbles((_helpers, scheduler) => {
      expect(requestsAfter(scheduler, request)).toEqual([]);
    })();
  });

  it.each(Object.entries(writes))('reads from the server after a write: %s', (_, request) => {
    marbles((_helpers, scheduler) => {
      expect(requestsAfter(scheduler, request)).toEqual(['GET /orders/a']);
    })();
  });

  it(
    'reads the answer to a search from the page',
    marbles((_helpers, scheduler) => {
      const { server } = shop();
      const searches: string[] = [];
      const transport: Transport = {
        send(request) {
          if (!request.url.endsWith('/_search/i')) return server.transport.send(request);
          searches.push(request.url);
          const text = JSON.stringify({ total_rows: searches.length, rows: [] });
          const headers = { 'content-type': 'application/json' };
          return of({ status: 200, headers, body: of(new TextEncoder().encode(text)) });
        },
      };
      const page = new TransferState();
      const totals: number[] = [];
      const search = (): void => {
        TestBed.inject(ORDERS)
          .search('d/i', { q: 'a' })
          .subscribe(({ totalRows }) => totals.push(totalRows));
        scheduler.flush();
      };
      application(server, 'server', page, { transport });
      search();
      application(server, 'browser', sent(page), { transport });
      search();
      expect(totals).toEqual([1, 1]);
      expect(searches).toHaveLength(1);
      TestBed.resetTestingModule();
    }),
  );
});
