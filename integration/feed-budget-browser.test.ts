import { afterAll, beforeAll, describe, expect, it, jest } from '@jest/globals';
import type * as Corduroy from 'corduroy';
import { readFile } from 'node:fs/promises';
import type { Browser, Page } from 'playwright-core';
import { hasChromium, launchChromium } from './helpers/chromium.ts';
import { createDatabase, rawFetch, server } from './helpers/server.ts';
import { type Site, startSite } from './helpers/site.ts';

// Browsers open six connections to an origin over HTTP/1.1, for all tabs together. Feeds must leave some
// of them to other requests.

jest.setTimeout(180_000);

const TABS = 4;
const DATABASES = 20;

/** The globals of a page. */
interface Tab {
  readonly corduroy: typeof Corduroy;
  readonly promised: <T>(source: Corduroy.Operation<T>) => Promise<T>;
  states: Record<string, Corduroy.FeedState>;
  seen: string[];
}
declare const self: Tab;

/** Polls by time, because tabs in the background paint no frames. */
async function until<Given>(
  page: Page,
  condition: (given: Given) => boolean,
  given: Given,
): Promise<void> {
  await page.waitForFunction(condition as never, given, { polling: 50, timeout: 60_000 });
}

const title = 'feeds in a browser';

(hasChromium ? describe : describe.skip)(
  hasChromium ? title : `${title} (skipped: needs Chromium, which is not installed)`,
  () => {
    let site: Site;
    let browser: Browser;
    let names: string[];

    beforeAll(async () => {
      site = await startSite(server.url);
      browser = await launchChromium();
      names = [];
      for (let n = 0; n < DATABASES; n++) names.push(await createDatabase());
    });
    afterAll(async () => {
      await browser?.close();
      await site?.close();
    });

    const auth = [server.username, server.password] as const;

    /** Opens a tab that follows all databases. */
    async function open(context: { newPage(): Promise<Page> }, address = site.url): Promise<Page> {
      const page = await context.newPage();
      await page.goto(address);
      await until(page, () => self.corduroy !== undefined, null);
      await page.evaluate(
        ([url, credentials, databases]) => {
          self.states = {};
          self.seen = [];
          const couch = new self.corduroy.Couch(url, { auth: credentials });
          for (const name of databases) {
            const feed = couch.use(name).changes$({ latency: 0 });
            feed.state$.subscribe((state) => (self.states[name] = state));
            feed.subscribe(({ changes }) =>
              self.seen.push(...changes.map(({ id }) => `${name} ${id}`)),
            );
          }
        },
        [address, auth, names] as const,
      );
      return page;
    }

    const areLive = (page: Page): Promise<void> =>
      until(
        page,
        (count) =>
          Object.values(self.states).filter(({ status }) => status === 'live').length === count,
        DATABASES,
      );

    const write = (id: string): Promise<unknown> =>
      Promise.all(names.map((name) => rawFetch(`/${name}/${id}`, { method: 'PUT', body: {} })));

    const hasSeen = (page: Page, id: string): Promise<void> =>
      until(
        page,
        ([databases, doc]) => databases.every((name) => self.seen.includes(`${name} ${doc}`)),
        [names, id] as const,
      );

    it('leave connections to other requests: twenty databases in each of four tabs', async () => {
      const context = await browser.newContext();
      site.mark();
      const pages: Page[] = [];
      for (let tab = 0; tab < TABS; tab++) pages.push(await open(context));
      await Promise.all(pages.map(areLive));
      expect(site.feeds).toEqual({ open: 2, most: 2 });
      // Without a connection, a read would wait for as long as the feeds are open.
      for (const page of pages) {
        const found = await page.evaluate(
          async ([url, credentials]) => {
            const db = new self.corduroy.Database(url, { auth: credentials, timeout: 5000 });
            return (await self.promised(db.allDocs())).rows.length;
          },
          [`${site.url}/${names[0]}`, auth] as const,
        );
        expect(found).toBe(0);
      }
      await write('first');
      await Promise.all(pages.map((page) => hasSeen(page, 'first')));
      const states = await Promise.all(pages.map((page) => page.evaluate(() => self.states)));
      const all = states.flatMap((tab) => Object.values(tab));
      const kinds = all.map((state) =>
        state.status === 'live' ? `${state.protocol} ${state.pollInterval ?? ''}` : state.status,
      );
      expect(kinds.filter((kind) => kind === 'continuous ')).toHaveLength(2);
      expect(kinds.filter((kind) => kind === 'longpoll 2000')).toHaveLength(78);
      // The other tabs take over the connections of a tab that closes.
      const holder = states.findIndex((tab) =>
        Object.values(tab).some(
          (state) => state.status === 'live' && state.protocol === 'continuous',
        ),
      );
      await pages.splice(holder, 1)[0]?.close();
      const streams = async (): Promise<number> => {
        const counts = pages.map((page) =>
          page.evaluate(
            () =>
              Object.values(self.states).filter(
                (state) => state.status === 'live' && state.protocol === 'continuous',
              ).length,
          ),
        );
        return (await Promise.all(counts)).reduce((sum, count) => sum + count, 0);
      };
      while ((await streams()) < 2) await write(`n-${Math.random()}`);
      await write('last');
      await Promise.all(pages.map((page) => hasSeen(page, 'last')));
      expect(site.feeds.open).toBe(2);
      await context.close();
    });

    it('have a connection each over HTTP/2', async () => {
      const read = (name: string): Promise<Buffer> =>
        readFile(new URL(`helpers/certificates/${name}`, import.meta.url));
      const secrets = { cert: await read('server.pem'), key: await read('server-key.pem') };
      const other = await startSite(server.url, {}, secrets);
      const context = await browser.newContext({ ignoreHTTPSErrors: true });
      const page = await open(context, other.url);
      await until(
        page,
        (count) =>
          Object.values(self.states).filter(
            (state) => state.status === 'live' && state.protocol === 'continuous',
          ).length === count,
        DATABASES,
      );
      expect(other.feeds.open).toBe(DATABASES);
      await context.close();
      await other.close();
    });
  },
);
