import { afterAll, afterEach, beforeAll, describe, expect, it, jest } from '@jest/globals';
import type * as Corduroy from 'corduroy';
import type { RelayOptions } from 'corduroy/relay';
import { readFile } from 'node:fs/promises';
import type { Browser, BrowserContext, Page } from 'playwright-core';
import { hasChromium, launchChromium } from './helpers/chromium.ts';
import { type FaultyProxy, type SeenRequest, startFaultyProxy } from './helpers/faulty-proxy.ts';
import { type RunningRelay, serve, startRelay } from './helpers/relay.ts';
import { basicAuth, type RunningServer } from './helpers/running-server.ts';
import { server as shared, uniqueName } from './helpers/server.ts';
import { startServerForPages } from './helpers/servers.ts';
import { type Site, startSite } from './helpers/site.ts';

// A page of one origin, a CouchDB of another, and a relay of a third one, all over HTTP/1.1: a browser opens
// six connections to each, for all tabs together.

jest.setTimeout(120_000);

const DATABASES = 20;

/** The globals of a page. */
interface Tab {
  readonly corduroy: typeof Corduroy;
  readonly promised: <T>(source: Corduroy.Operation<T>) => Promise<T>;
  couch: Corduroy.Couch;
  states: Record<string, Corduroy.FeedState>;
  /** The last error of each feed that has waited. */
  errors: Record<string, string>;
  /** When the page has got which number of a document, in milliseconds since 1970. */
  arrivals: Record<string, number>;
}
declare const self: Tab;

/** The same clock as that of pages. */
const now = (): number => performance.timeOrigin + performance.now();

/** Polls by time, because tabs in the background paint no frames. */
async function until<Given>(
  page: Page,
  condition: (given: Given) => boolean,
  given: Given,
): Promise<void> {
  await page.waitForFunction(condition as never, given, { polling: 20, timeout: 30_000 });
}

const title = 'the feeds of a page with a relay';
const canRun = hasChromium && shared.kind !== 'given';
const reason = hasChromium
  ? 'needs a server whose CORS settings it may change'
  : 'needs Chromium, which is not installed';

(canRun ? describe : describe.skip)(canRun ? title : `${title} (skipped: ${reason})`, () => {
  let site: Site;
  let couchdb: RunningServer;
  let browser: Browser;
  let names: string[];
  const cleanUps: (() => unknown)[] = [];

  beforeAll(async () => {
    site = await startSite('http://127.0.0.1:1');
    couchdb = await startServerForPages([site.url]);
    browser = await launchChromium();
    names = Array.from({ length: DATABASES }, () => uniqueName());
    for (const name of names) await send('PUT', `/${name}`);
  });
  afterEach(async () => {
    for (let last = cleanUps.pop(); last; last = cleanUps.pop()) await last();
  });
  afterAll(async () => {
    await browser?.close();
    await couchdb?.stop();
    await site?.close();
  });

  async function send(method: string, path: string, body?: object): Promise<void> {
    const authorization = basicAuth(couchdb.username, couchdb.password);
    const headers = { authorization, 'content-type': 'application/json' };
    const init =
      body === undefined ? { method, headers } : { method, headers, body: JSON.stringify(body) };
    const response = await fetch(couchdb.url + path, init);
    await response.arrayBuffer();
    if (!response.ok) throw new Error(`${method} ${path}: ${response.status}`);
  }

  /** Writes a document, and returns when the server has acknowledged it. */
  async function write(name: string, id: string): Promise<number> {
    await send('PUT', `/${name}/${id}`, {});
    return now();
  }

  interface Relayed {
    readonly relay: RunningRelay;
    readonly proxy: FaultyProxy;
    readonly context: BrowserContext;
  }

  /** Starts a relay behind a proxy that counts its connections. */
  async function relayed(options: RelayOptions = {}): Promise<Relayed> {
    const running = await startRelay(options, couchdb.url, couchdb);
    const proxy = await startFaultyProxy(running.url);
    const context = await browser.newContext({ ignoreHTTPSErrors: true });
    cleanUps.push(
      running.close,
      () => proxy.close(),
      () => context.close(),
    );
    return { relay: running, proxy, context };
  }

  interface Opened {
    readonly changesUrl: string;
    /** @defaultValue CouchDB itself */
    readonly url?: string;
    readonly crossTab?: boolean;
    /** Whether the page logs in, and has a cookie. */
    readonly session?: boolean;
  }

  /** Opens a tab that follows all databases. */
  async function open(
    context: BrowserContext,
    { changesUrl, url = couchdb.url, crossTab = false, session = false }: Opened,
  ): Promise<Page> {
    const page = await context.newPage();
    await page.goto(site.url);
    await until(page, () => self.corduroy !== undefined, null);
    const { username, password } = couchdb;
    await page.evaluate(
      async ([options, databases, name, secret]) => {
        const { Couch, fetchTransport } = self.corduroy;
        self.states = {};
        self.errors = {};
        self.arrivals = {};
        self.couch = new Couch(options.url, {
          changesUrl: options.changesUrl,
          timeout: 10_000,
          ...(options.session
            ? { transport: fetchTransport({ credentials: 'include' }) }
            : { auth: [name, secret] }),
        });
        if (options.session) await self.promised(self.couch.login(name, secret));
        const backoff = { initialDelay: 100, maxDelay: 500 };
        for (const database of databases) {
          const feed = self.couch
            .use(database)
            .changes$({ latency: 0, heartbeat: 5000, backoff, crossTab: options.crossTab });
          feed.state$.subscribe((state) => {
            self.states[database] = state;
            if (state.status === 'waiting') self.errors[database] = state.error.name;
          });
          feed.subscribe(({ changes }) => {
            for (const { id } of changes)
              self.arrivals[`${database} ${id}`] ??= performance.timeOrigin + performance.now();
          });
        }
      },
      [{ changesUrl, url, crossTab, session }, names, username, password] as const,
    );
    return page;
  }

  /** Opens tabs, one after the other. */
  async function openTabs(
    count: number,
    context: BrowserContext,
    options: Opened,
  ): Promise<Page[]> {
    const pages: Page[] = [];
    for (let tab = 0; tab < count; tab += 1) {
      const page = await open(context, options);
      await areLive(page);
      pages.push(page);
    }
    return pages;
  }

  const areLive = (page: Page): Promise<void> =>
    until(
      page,
      (count) =>
        Object.values(self.states).filter(({ status }) => status === 'live').length === count,
      DATABASES,
    );

  /** Waits until each feed has waited for the relay, and returns why. */
  async function errors(page: Page): Promise<readonly string[]> {
    await until(page, (count) => Object.keys(self.errors).length === count, DATABASES);
    return page.evaluate(() => [...new Set(Object.values(self.errors))]);
  }

  /**
   * Writes a document to each database. Returns how long the changes took from the acknowledgement of the
   * write to each page, in milliseconds, in ascending order.
   */
  async function lags(pages: readonly Page[], id: string): Promise<number[]> {
    const written: [key: string, at: number][] = [];
    for (const name of names) written.push([`${name} ${id}`, await write(name, id)]);
    const all: number[] = [];
    for (const page of pages) {
      await until(
        page,
        (keys) => keys.every((key) => key in self.arrivals),
        written.map(([key]) => key),
      );
      const arrivals = await page.evaluate(() => self.arrivals);
      for (const [key, at] of written) all.push((arrivals[key] ?? Infinity) - at);
    }
    return all.sort((a, b) => a - b);
  }

  function report(what: string, values: readonly number[]): void {
    const sorted = [...values].sort((a, b) => a - b);
    const at = (share: number): string =>
      `${sorted[Math.floor((sorted.length - 1) * share)]?.toFixed(1)} ms`;
    console.log(`${what}: lag ${at(0.5)} at the median, ${at(0.95)} at 95 %, ${at(1)} at most`);
  }

  const isStream = ({ method, url }: SeenRequest): boolean =>
    method === 'POST' && url.endsWith('/_relay/streams');
  const isFeed = (request: SeenRequest): boolean =>
    isStream(request) || request.url.includes('/_changes');

  /** Counts the documents of a database in the page. */
  const read = (page: Page): Promise<number> =>
    page.evaluate(
      async (name) => (await self.promised(self.couch.use(name).info())).docCount,
      names[0] ?? '',
    );

  /** Counts the tabs that have a stream. */
  async function streaming(pages: readonly Page[]): Promise<number> {
    const counts = pages.map((page) =>
      page.evaluate(() => {
        const states = Object.values(self.states);
        return states.every((state) => state.status === 'live' && state.protocol === 'continuous');
      }),
    );
    return (await Promise.all(counts)).filter(Boolean).length;
  }

  for (const [user, session] of [
    ['a password', false],
    ['a session', true],
  ] as const) {
    it(`share one connection, with ${user}, and reads are answered meanwhile`, async () => {
      const { proxy, context } = await relayed();
      const page = await open(context, { changesUrl: proxy.url, session });
      await areLive(page);
      const before = await read(page);
      const all: number[] = [];
      for (let round = 1; round <= 5; round += 1) {
        all.push(...(await lags([page], uniqueName())));
        expect(await read(page)).toBe(before + round);
      }
      report(`one tab with ${user}`, all);
      expect(proxy.inFlight(isFeed)).toBe(1);
      expect(proxy.requests.filter(isFeed)).toHaveLength(1);
      expect(await streaming([page])).toBe(1);
    });
  }

  it('have a connection in each of four tabs', async () => {
    const { proxy, context } = await relayed();
    const pages = await openTabs(4, context, { changesUrl: proxy.url });
    report('four tabs', await lags(pages, uniqueName()));
    expect(proxy.inFlight(isFeed)).toBe(4);
    const counts = await Promise.all(pages.map(read));
    expect(new Set(counts).size).toBe(1);
  });

  it('leave connections to other requests in eight tabs: some poll', async () => {
    const { proxy, context } = await relayed();
    const pages = await openTabs(8, context, { changesUrl: proxy.url });
    report('eight tabs', await lags(pages, uniqueName()));
    expect(proxy.inFlight(isStream)).toBe(4);
    expect(await streaming(pages)).toBe(4);
    await pages.shift()?.close();
    // Another tab takes the connection over.
    while ((await streaming(pages)) < 4) await lags(pages, uniqueName());
    expect(proxy.inFlight(isStream)).toBe(4);
    // A further feed needs a request beside the streams.
    await pages[0]?.evaluate((name) => {
      const feed = self.couch.use(name).changes$({ docIds: ['other'] });
      feed.state$.subscribe((state) => (self.states[name] = state));
      feed.subscribe();
    }, names[0] ?? '');
    await Promise.all(pages.map(areLive));
  });

  it('leave more connections to other requests if these go to the relay too', async () => {
    const { proxy, context } = await relayed({ forward: true });
    const pages = await openTabs(4, context, { changesUrl: proxy.url, url: proxy.url });
    await lags(pages, uniqueName());
    expect(proxy.inFlight(isStream)).toBe(2);
    const counts = await Promise.all(pages.map(read));
    expect(new Set(counts).size).toBe(1);
  });

  it('share one connection for all tabs, with crossTab', async () => {
    const { proxy, context } = await relayed();
    const pages = await openTabs(4, context, { changesUrl: proxy.url, crossTab: true });
    report('four tabs with crossTab', await lags(pages, uniqueName()));
    expect(proxy.inFlight(isFeed)).toBe(1);
    await pages.shift()?.close();
    await lags(pages, uniqueName());
  });

  it('have a connection in each of eight tabs over HTTP/2', async () => {
    const certificate = (name: string): Promise<Buffer> =>
      readFile(new URL(`helpers/certificates/${name}`, import.meta.url));
    const [cert, key] = [await certificate('server.pem'), await certificate('server-key.pem')];
    const { proxy, context } = await relayed();
    const secure = await startSite(proxy.url, {}, { cert, key });
    cleanUps.push(() => secure.close());
    const pages = await openTabs(8, context, { changesUrl: secure.url });
    while ((await streaming(pages)) < 8) await lags(pages, uniqueName());
    report('eight tabs over HTTP/2', await lags(pages, uniqueName()));
    expect(proxy.inFlight(isStream)).toBe(8);
  });

  it('wait for a relay that is away, and lose nothing when it comes', async () => {
    const { proxy, context } = await relayed();
    proxy.refuse();
    const page = await open(context, { changesUrl: proxy.url });
    expect(await errors(page)).toEqual(['ConnectionError']);
    expect(await read(page)).toBeGreaterThanOrEqual(0);
    await proxy.accept();
    await areLive(page);
    await lags([page], uniqueName());
    expect(proxy.inFlight(isFeed)).toBe(1);
  });

  it('lose nothing while a relay is stopped and another one started', async () => {
    let running: RunningRelay | null = await startRelay({}, couchdb.url, couchdb);
    const address = await serve((request, response) => {
      if (running === null) request.socket.destroy();
      else running.relay(request, response);
    });
    const proxy = await startFaultyProxy(address.url);
    const context = await browser.newContext();
    cleanUps.push(
      address.close,
      () => proxy.close(),
      () => context.close(),
    );
    const page = await open(context, { changesUrl: proxy.url });
    await areLive(page);
    const first = running;
    running = null;
    await first.close();
    expect(await errors(page)).toEqual(['ConnectionError']);
    const missed = uniqueName();
    for (const name of names) await write(name, missed);
    running = await startRelay({}, couchdb.url, couchdb);
    cleanUps.push(running.close);
    await areLive(page);
    await until(
      page,
      ([databases, id]) => databases.every((name) => `${name} ${id}` in self.arrivals),
      [names, missed] as const,
    );
    await lags([page], uniqueName());
    expect(proxy.inFlight(isFeed)).toBe(1);
  });
});
