// These imports come first: zone.js patches globals, and Angular's packages are compiled as they
// load.
import 'zone.js';
import '@angular/compiler';
import { describe, expect, it } from '@jest/globals';
import { ApplicationRef, Injector, NgZone, provideZoneChangeDetection } from '@angular/core';
import { TestBed } from '@angular/core/testing';
import type { Transport } from 'corduroy';
import { databaseToken, deliverInZone, liveSignal, provideCorduroy } from 'corduroy/angular';
import { memoryServer } from 'corduroy/testing';
import { Observable, filter, firstValueFrom, take } from 'rxjs';
import type { Subscriber } from 'rxjs';
import { component, render, testBed } from './helpers/angular.ts';

interface Order {
  total: number;
}

const ORDERS = databaseToken<Order>('orders');

/** An application with zone.js. It records the zone of each request. */
function application(): { feedsInside: boolean[] } {
  const server = memoryServer({ databases: { orders: [{ _id: 'a', total: 1 }] } });
  const feedsInside: boolean[] = [];
  const transport: Transport = {
    send: (request) => {
      if (request.endless === true) feedsInside.push(NgZone.isInAngularZone());
      return server.transport.send(request);
    },
  };
  testBed(provideZoneChangeDetection(), provideCorduroy({ url: 'http://couch.test', transport }));
  return { feedsInside };
}

describe('with zone.js', () => {
  it('zone.js is active', () => {
    application();
    expect(TestBed.inject(NgZone).run(() => NgZone.isInAngularZone())).toBe(true);
  });

  it('a live signal runs outside the zone, and the stable page shows its values', async () => {
    const { feedsInside } = application();
    const zone = TestBed.inject(NgZone);
    const page = zone.run(() =>
      render(
        component(
          '{{ order()?.total }}',
          class {
            readonly order = liveSignal(() => TestBed.inject(ORDERS).doc$('a'));
          },
        ),
      ),
    );
    page.autoDetectChanges();
    await page.whenStable();
    expect(page.text()).toBe('1');
    await TestBed.inject(ApplicationRef).whenStable();
    expect(zone.hasPendingMacrotasks).toBe(false);
    await firstValueFrom(TestBed.inject(ORDERS).upsert('a', (order) => ({ ...order, total: 2 })));
    await firstValueFrom(
      TestBed.inject(ORDERS)
        .doc$('a')
        .pipe(filter((doc) => doc?.total === 2)),
    );
    await page.whenStable();
    expect(page.text()).toBe('2');
    expect(feedsInside.length).toBeGreaterThan(0);
    expect(feedsInside).not.toContain(true);
    page.destroy();
  });

  it('a feed runs outside the zone, even with a subscription inside it', async () => {
    const { feedsInside } = application();
    const zone = TestBed.inject(NgZone);
    const feed = TestBed.inject(ORDERS).changes$({ since: 0, latency: 0 });
    const subscription = zone.run(() => feed.subscribe());
    await firstValueFrom(feed);
    await TestBed.inject(ApplicationRef).whenStable();
    expect(feedsInside).not.toContain(true);
    expect(zone.hasPendingMacrotasks).toBe(false);
    subscription.unsubscribe();
  });

  it('the application stays unstable between two reads, of which the second starts a turn later', async () => {
    const server = memoryServer({ databases: { orders: [{ _id: 'a', total: 1 }] } });
    const log: string[] = [];
    server.requests$.subscribe(({ path }) => {
      if (path.endsWith('_all_docs')) log.push('read');
    });
    testBed(
      provideZoneChangeDetection(),
      provideCorduroy({ url: 'http://couch.test', transport: server.transport }),
    );
    const application$ = TestBed.inject(ApplicationRef);
    const subscription = application$.isStable.subscribe((isStable) =>
      log.push(isStable ? 'stable' : 'busy'),
    );
    // The document is read in the turn after the one in which the sequence was read.
    const zone = TestBed.inject(NgZone);
    zone.run(() =>
      subscription.add(
        TestBed.inject(ORDERS)
          .doc$('a')
          .subscribe(() => log.push('value')),
      ),
    );
    await application$.whenStable();
    subscription.unsubscribe();
    expect(log).toEqual(['stable', 'busy', 'read', 'value', 'stable']);
  });

  it('deliverInZone emits inside the zone', async () => {
    application();
    const zone = TestBed.inject(NgZone);
    const order$ = TestBed.inject(ORDERS).doc$('a');
    const injector = TestBed.inject(Injector);
    expect(injector.get(NgZone)).toBe(zone);
    const inside = await new Promise((resolve) => {
      zone.run(() =>
        order$
          .pipe(take(1), deliverInZone(zone))
          .subscribe(() => resolve(NgZone.isInAngularZone())),
      );
    });
    expect(inside).toBe(true);
  });

  it.each(['next', 'error', 'complete'] as const)(
    'deliverInZone subscribes and unsubscribes outside the zone, and passes %s on inside it',
    (kind) => {
      application();
      const zone = TestBed.inject(NgZone);
      const where: string[] = [];
      const log = (event: string) => (): void => {
        where.push(`${event} ${NgZone.isInAngularZone() ? 'inside' : 'outside'}`);
      };
      let source: Subscriber<number> | undefined;
      const source$ = new Observable<number>((subscriber) => {
        log('subscribe')();
        source = subscriber;
        return log('unsubscribe');
      });
      const subscription = zone.run(() =>
        source$
          .pipe(deliverInZone(zone))
          .subscribe({ next: log('next'), error: log('error'), complete: log('complete') }),
      );
      zone.runOutsideAngular(() => source?.[kind](1));
      zone.run(() => subscription.unsubscribe());
      expect(where.sort()).toEqual(
        ['subscribe outside', `${kind} inside`, 'unsubscribe outside'].sort(),
      );
    },
  );
});
