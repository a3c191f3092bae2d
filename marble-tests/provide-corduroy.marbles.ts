import { describe, expect, it } from '@jest/globals';
import { Injector, PLATFORM_ID, TransferState } from '@angular/core';
import { TestBed } from '@angular/core/testing';
import { databaseToken, liveSignal, provideCorduroy } from 'corduroy/angular';
import type { CorduroyOptions } from 'corduroy/angular';
import { memoryServer } from 'corduroy/testing';
import type { MemoryServer } from 'corduroy/testing';
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
});
