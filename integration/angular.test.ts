// The compiler must be imported first, because Angular's packages are compiled as they load.
import '@angular/compiler';
import { describe, expect, it } from '@jest/globals';
import { HttpResponse, provideHttpClient, withInterceptors } from '@angular/common/http';
import type { HttpInterceptorFn } from '@angular/common/http';
import { HttpTestingController, provideHttpClientTesting } from '@angular/common/http/testing';
import type { TestRequest } from '@angular/common/http/testing';
import {
  ApplicationRef,
  InjectionToken,
  Injector,
  PLATFORM_ID,
  inject,
  signal,
} from '@angular/core';
import { TestBed } from '@angular/core/testing';
import { Couch, isConflict, isConnectionError, isNotFound } from 'corduroy';
import type { Transport, TransportRequest } from 'corduroy';
import {
  databaseToken,
  httpClientTransport,
  injectCouch,
  injectDatabase,
  liveResource,
  liveSignal,
  provideCorduroy,
} from 'corduroy/angular';
import { memoryServer } from 'corduroy/testing';
import {
  NEVER,
  Subject,
  catchError,
  filter,
  firstValueFrom,
  interval,
  lastValueFrom,
  map,
  mergeMap,
  of,
  tap,
  throwError,
  toArray,
} from 'rxjs';
import { component, render, testBed } from './helpers/angular.ts';

interface Order {
  total: number;
}

const ORDERS = databaseToken<Order>('orders');

/** Waits until the responses are processed. */
const settled = (): Promise<void> => TestBed.inject(ApplicationRef).whenStable();

describe('provideCorduroy', () => {
  const server = memoryServer({ databases: { orders: [{ _id: 'a', total: 1 }] } });
  const options = { url: 'http://couch.test', transport: server.transport };

  it('provides a Couch and its databases, by name and by token, and sends nothing', () => {
    const asked: string[] = [];
    const watching = server.requestLines$.subscribe((line) => asked.push(line));
    testBed(provideCorduroy(options));
    TestBed.runInInjectionContext(() => {
      expect(injectCouch()).toBe(inject(Couch));
      expect(injectCouch().url).toBe('http://couch.test');
      expect(injectDatabase('orders').name).toBe('orders');
      expect(injectDatabase(ORDERS)).toBe(inject(ORDERS));
    });
    expect(asked).toEqual([]);
    watching.unsubscribe();
  });

  it('accepts a function that may inject dependencies', () => {
    const URL_OF_COUCH = new InjectionToken<string>('where the server is');
    testBed(
      { provide: URL_OF_COUCH, useValue: 'http://elsewhere.test' },
      provideCorduroy(() => ({ url: inject(URL_OF_COUCH) })),
    );
    expect(TestBed.inject(Couch).url).toBe('http://elsewhere.test');
  });

  it('provides several servers, each with its token', () => {
    const ARCHIVE = new InjectionToken<Couch>('the archive');
    const OLD_ORDERS = databaseToken<Order>('orders', ARCHIVE);
    testBed(
      provideCorduroy(options),
      provideCorduroy({ token: ARCHIVE, url: 'http://archive.test' }),
    );
    TestBed.runInInjectionContext(() => {
      expect(injectCouch(ARCHIVE).url).toBe('http://archive.test');
      expect(injectDatabase(OLD_ORDERS).url).toBe('http://archive.test/orders');
      expect(injectDatabase(ORDERS).url).toBe('http://couch.test/orders');
    });
  });

  it('throws an error that names the missing provider', () => {
    testBed();
    const inContext = (work: () => unknown) => () => TestBed.runInInjectionContext(work);
    expect(inContext(() => injectCouch())).toThrow(/No Couch is provided: add provideCorduroy\(\)/);
    const OTHER = new InjectionToken<Couch>('the other one');
    expect(inContext(() => injectCouch(OTHER))).toThrow(/for InjectionToken the other one/);
  });

  it('throws for invalid options when the Couch is injected', () => {
    testBed(provideCorduroy({ ...options, transfer: 'some' as 'all' }));
    expect(() => TestBed.inject(Couch)).toThrow(
      `provideCorduroy: transfer must be 'public', 'all' or 'none' (received "some")`,
    );
  });

  it('keeps the application unstable during a read, but not during a feed', async () => {
    testBed(provideCorduroy(options));
    const { isStable } = TestBed.inject(ApplicationRef);
    let total: number | undefined;
    TestBed.inject(ORDERS)
      .get('a')
      .subscribe((order) => (total = order.total));
    expect(await firstValueFrom(isStable)).toBe(false);
    await settled();
    expect(total).toBe(1);
    const changes = TestBed.inject(ORDERS).changes$({ since: 0, latency: 0 });
    const first = firstValueFrom(changes);
    const feed = changes.subscribe();
    await first;
    await settled();
    expect(feed.closed).toBe(false);
    feed.unsubscribe();
  });
});

describe('the application is stable', () => {
  it('when a live signal has its first value, or is destroyed before', async () => {
    testBed();
    const injector = TestBed.inject(Injector);
    const { isStable } = TestBed.inject(ApplicationRef);
    const source = signal<Subject<number> | null>(new Subject());
    const live = liveSignal(() => source(), { injector });
    TestBed.tick();
    expect(await firstValueFrom(isStable)).toBe(false);
    source()?.next(1);
    await settled();
    expect(live()).toBe(1);
    source.set(new Subject());
    TestBed.tick();
    expect(await firstValueFrom(isStable)).toBe(false);
    source.set(null);
    await settled();
    expect(live()).toBeUndefined();
  });

  it('in SSR, although CouchDB does not answer', async () => {
    testBed(
      { provide: PLATFORM_ID, useValue: 'server' },
      provideCorduroy({ url: 'http://couch.test', transport: { send: () => NEVER } }),
    );
    const db = TestBed.inject(ORDERS);
    const injector = TestBed.inject(Injector);
    const live = liveSignal(() => db.doc$('a'), { injector, renderTimeout: 20 });
    TestBed.tick();
    await settled();
    expect(live.error()).toMatchObject({ name: 'RenderTimeout', timeout: 20 });
    expect([live.isLoading(), live.stale()]).toEqual([false, true]);
  });
});

describe('liveResource', () => {
  it('follows its parameters and the stream that they select', async () => {
    const server = memoryServer({
      databases: {
        orders: [
          { _id: 'a', total: 1 },
          { _id: 'b', total: 2 },
        ],
      },
    });
    testBed(provideCorduroy({ url: 'http://couch.test', transport: server.transport }));
    const db = TestBed.inject(ORDERS);
    const id = signal<string | undefined>('a');
    const Page = component(
      '@if (order.hasValue()) { {{ order.value()?.total }} } @else { {{ order.status() }} }',
      class {
        readonly order = liveResource({ params: id, stream: ({ params }) => db.doc$(params) });
      },
    );
    const page = render(Page);
    const read = async (): Promise<string> => {
      await page.whenStable();
      page.detectChanges();
      return page.text().trim();
    };
    expect(page.text().trim()).toBe('loading');
    expect(await read()).toBe('1');
    await firstValueFrom(db.upsert('a', (order) => ({ ...order, total: 3 })));
    expect(await read()).toBe('3');
    id.set('b');
    page.detectChanges();
    expect(await read()).toBe('2');
    id.set(undefined);
    page.detectChanges();
    expect(await read()).toBe('idle');
    expect(page.componentInstance.order.stale()).toBe(false);
    page.destroy();
  });

  it('has an error, and is then stale', async () => {
    testBed();
    const injector = TestBed.inject(Injector);
    const failed = new Error('gone');
    const resource = liveResource({ stream: () => throwError(() => failed), injector });
    TestBed.tick();
    await settled();
    expect(resource.error()).toBe(failed);
    expect([resource.status(), resource.stale()]).toEqual(['error', true]);
  });

  it('keeps its value while a live query retries, and shows the error in retryError', async () => {
    const server = memoryServer({ databases: { orders: [{ _id: 'a', total: 1 }] } });
    let isDown = true;
    const transport: Transport = {
      send: (request) =>
        isDown ? throwError(() => new Error('refused')) : server.transport.send(request),
    };
    testBed(
      provideCorduroy({
        url: 'http://couch.test',
        transport,
        live: { backoff: { initialDelay: 1, maxDelay: 1 } },
        retry: false,
      }),
    );
    const db = TestBed.inject(ORDERS);
    const injector = TestBed.inject(Injector);
    const order = liveResource({ stream: () => db.doc$('a'), injector });
    const until = (status: string, error?: string): Promise<unknown> =>
      firstValueFrom(
        interval(1).pipe(
          tap(() => TestBed.tick()),
          filter(() => order.status() === status && order.retryError()?.name === error),
        ),
      );
    await until('loading', 'ConnectionError');
    expect(order.stale()).toBe(true);
    isDown = false;
    await until('resolved');
    expect([order.value()?.total, order.stale()]).toEqual([1, false]);
    TestBed.resetTestingModule();
  });

  it('has an error in SSR if no value arrives within renderTimeout', async () => {
    testBed({ provide: PLATFORM_ID, useValue: 'server' });
    const injector = TestBed.inject(Injector);
    const resource = liveResource({ stream: () => NEVER, injector, renderTimeout: 20 });
    TestBed.tick();
    await settled();
    expect(resource.error()).toMatchObject({ name: 'RenderTimeout', timeout: 20 });
    const limit = { stream: () => NEVER, injector, renderTimeout: -1 };
    expect(() => liveResource(limit)).toThrow(RangeError);
    expect(() => liveSignal(() => NEVER, { injector, renderTimeout: NaN })).toThrow(RangeError);
  });
});

describe('httpClientTransport', () => {
  /** The event with which browsers report a broken connection. Node has no such class. */
  const broke = new Event('error') as ProgressEvent;
  const get = (path: string): TransportRequest => ({
    method: 'GET',
    url: `http://couch.test${path}`,
    headers: { accept: 'application/json' },
  });
  const overHttpClient = (feeds?: Transport): (() => { transport: Transport; url: string }) => {
    return () => ({ url: 'http://couch.test', transport: httpClientTransport({ feeds }) });
  };

  it('sends through HttpClient, so that HttpTestingController answers', async () => {
    testBed(provideHttpClient(), provideHttpClientTesting(), provideCorduroy(overHttpClient()));
    const http = TestBed.inject(HttpTestingController);
    const order = firstValueFrom(TestBed.inject(ORDERS).get('a'));
    const asked = http.expectOne('http://couch.test/orders/a');
    expect(asked.request.method).toBe('GET');
    asked.flush({ _id: 'a', _rev: '1-a', total: 1 });
    expect(await order).toEqual({ _id: 'a', _rev: '1-a', total: 1 });

    const saved = firstValueFrom(TestBed.inject(ORDERS).save({ _id: 'a', total: 2 }));
    const put = http.expectOne({ method: 'PUT', url: 'http://couch.test/orders/a' });
    expect(JSON.parse(put.request.body as string)).toEqual({ _id: 'a', total: 2 });
    put.flush({ error: 'conflict', reason: 'x' }, { status: 409, statusText: 'Conflict' });
    expect(isConflict(await saved.catch((error: unknown) => error))).toBe(true);
    http.verify();
  });

  it('distinguishes error responses from connection errors', async () => {
    testBed(
      provideHttpClient(),
      provideHttpClientTesting(),
      provideCorduroy(() => ({ ...overHttpClient()(), retry: false })),
    );
    const http = TestBed.inject(HttpTestingController);
    const failure = (): Promise<unknown> =>
      lastValueFrom(
        TestBed.inject(ORDERS)
          .get('a')
          .pipe(catchError((error: unknown) => of(error))),
      );
    const missing = failure();
    http
      .expectOne(() => true)
      .flush({ error: 'not_found', reason: 'deleted' }, { status: 404, statusText: 'x' });
    const notFound = await missing;
    expect(isNotFound(notFound) && notFound.deleted).toBe(true);
    const broken = failure();
    http.expectOne(() => true).error(broke);
    expect(isConnectionError(await broken)).toBe(true);
    // The head has status 200, but the body is not usable.
    const cut = failure();
    http.expectOne(() => true).error(broke, { status: 200 });
    expect(await cut).toMatchObject({ name: 'ProtocolError', transient: true });
  });

  it('cancels the request on unsubscribe', () => {
    testBed(provideHttpClient(), provideHttpClientTesting(), provideCorduroy(overHttpClient()));
    const http = TestBed.inject(HttpTestingController);
    const leaving = TestBed.inject(ORDERS).get('a').subscribe();
    const asked = http.expectOne('http://couch.test/orders/a');
    leaving.unsubscribe();
    expect(asked.cancelled).toBe(true);
  });

  it('lets interceptors read and change requests and responses', async () => {
    const seen: string[] = [];
    const interceptor: HttpInterceptorFn = (request, next) => {
      seen.push(`${request.method} ${request.urlWithParams}`);
      return next(request.clone({ setHeaders: { 'x-tenant': 'blue' } }));
    };
    testBed(
      provideHttpClient(withInterceptors([interceptor])),
      provideHttpClientTesting(),
      provideCorduroy(overHttpClient()),
    );
    const version = firstValueFrom(TestBed.inject(Couch).version());
    const { request, flush } = bound(TestBed.inject(HttpTestingController).expectOne(() => true));
    expect(request.headers.get('x-tenant')).toBe('blue');
    flush({ couchdb: 'Welcome', version: '3.5.0' });
    expect(await version).toBe('3.5.0');
    expect(seen).toEqual(['GET http://couch.test/']);
  });

  it('sends feeds over the other transport', async () => {
    const server = memoryServer({ databases: { orders: [{ _id: 'a', total: 1 }] } });
    const feeds: string[] = [];
    const carrier: Transport = {
      send: (request) => {
        feeds.push(request.url);
        return server.transport.send(request);
      },
    };
    const toServer: HttpInterceptorFn = (request) =>
      server.transport
        .send({ method: request.method, url: request.urlWithParams, headers: {} })
        .pipe(
          mergeMap((response) =>
            response.body.pipe(
              map(
                (bytes) =>
                  new HttpResponse({
                    status: response.status,
                    body: Buffer.from(bytes).toString(),
                  }),
              ),
            ),
          ),
        );
    testBed(
      provideHttpClient(withInterceptors([toServer])),
      provideCorduroy(overHttpClient(carrier)),
    );
    const feed = TestBed.inject(ORDERS).changes$({ since: 0, latency: 0 });
    const { changes } = await firstValueFrom(feed);
    expect(changes.map(({ id }) => id)).toEqual(['a']);
    expect(feeds.length).toBeGreaterThan(0);
    expect(feeds.every((url) => url.includes('/_changes?'))).toBe(true);
  });

  it('accepts a body of any type from an interceptor', async () => {
    const bodies: unknown[] = ['{"a":1}', { a: 1 }, null, new TextEncoder().encode('{"a":1}')];
    const answers: HttpInterceptorFn = () =>
      of(new HttpResponse({ status: 200, body: bodies.shift() }));
    testBed(provideHttpClient(withInterceptors([answers])), provideCorduroy(overHttpClient()));
    const transport = TestBed.runInInjectionContext(() => httpClientTransport());
    const texts: string[] = [];
    for (let i = 0; i < 4; i += 1) {
      const { body } = await firstValueFrom(transport.send(get('/')));
      const parts = await lastValueFrom(body.pipe(toArray()));
      texts.push(Buffer.concat(parts).toString());
    }
    expect(texts).toEqual(['{"a":1}', '{"a":1}', '', '{"a":1}']);
  });
});

/** A function type that allows destructuring. */
function bound(asked: TestRequest): Pick<TestRequest, 'request' | 'flush'> {
  return { request: asked.request, flush: asked.flush.bind(asked) };
}
