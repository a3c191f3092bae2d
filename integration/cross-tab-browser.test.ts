import { afterAll, beforeAll, describe, expect, it, jest } from '@jest/globals';
import type * as Corduroy from 'corduroy';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Browser, BrowserContext, Page } from 'playwright-core';
import { hasChromium, launchChromium } from './helpers/chromium.ts';
import { createDatabase, rawFetch, server } from './helpers/server.ts';
import { type Site, startSite } from './helpers/site.ts';

jest.setTimeout(180_000);

/** The globals of a page. */
interface Tab {
  readonly corduroy: typeof Corduroy;
  seen: string[];
  status: string;
  /** The delay before the next attempt to connect, in milliseconds. */
  delay: number;
}
declare const self: Tab & { readonly navigator: Navigator };

/** Polls by time, because tabs in the background paint no frames. */
async function until(page: Page, condition: (given: string) => boolean, given = ''): Promise<void> {
  await page.waitForFunction(condition, given, { polling: 20 });
}

const title = 'one feed for all tabs';

(hasChromium ? describe : describe.skip)(
  hasChromium ? title : `${title} (skipped: needs Chromium, which is not installed)`,
  () => {
    let site: Site;
    let browser: Browser;
    let context: BrowserContext;
    let db: string;
    let written: string[];
    let writing: Promise<void>;
    let stop: AbortController;

    beforeAll(async () => {
      site = await startSite(server.url);
      browser = await launchChromium();
    });
    afterAll(async () => {
      await browser?.close();
      await site?.close();
    });

    /** Writes documents, one after the other, until `stop` is aborted. */
    async function write(): Promise<void> {
      for (let i = 0; !stop.signal.aborted; i++) {
        const id = `doc-${String(i).padStart(5, '0')}`;
        await rawFetch(`/${db}/${id}`, { method: 'PUT', body: {} });
        written.push(id);
        await sleep(10);
      }
    }

    /** Opens a tab that follows the database, and waits until its feed is live. */
    async function open(crossTab = true): Promise<{ page: Page; since: number }> {
      const page = await context.newPage();
      await page.goto(site.url);
      await until(page, () => self.corduroy !== undefined);
      const url = `${site.url}/${db}`;
      const auth = [server.username, server.password] as const;
      await page.evaluate(
        ([address, credentials, share]) => {
          self.seen = [];
          const feed = new self.corduroy.Database(address, { auth: credentials }).changes$({
            crossTab: share,
            latency: 0,
            heartbeat: 1000,
          });
          feed.state$.subscribe((state) => {
            self.status = state.status;
            self.delay = state.status === 'waiting' ? state.delay : 0;
          });
          feed.subscribe(({ changes }) => self.seen.push(...changes.map(({ id }) => id)));
        },
        [url, auth, crossTab] as const,
      );
      await until(page, () => self.status === 'live');
      return { page, since: written.length };
    }

    const seenBy = ({ page }: { page: Page }): Promise<string[]> => page.evaluate(() => self.seen);

    /** Returns whether a tab holds the lock, according to the browser. */
    async function isLeader({ page }: { page: Page }): Promise<boolean> {
      return page.evaluate(async () => {
        const own = await new Promise<string | undefined>((resolve) => {
          // A lock with another name reveals the client id of this tab.
          const name = `who-${Math.random()}`;
          void self.navigator.locks.request(name, async () => {
            const { held = [] } = await self.navigator.locks.query();
            resolve(held.find((lock) => lock.name === name)?.clientId);
          });
        });
        const { held = [] } = await self.navigator.locks.query();
        return held.some(
          (lock) => lock.clientId === own && lock.name?.startsWith('corduroy') === true,
        );
      });
    }

    it('has one connection for five tabs, and loses no change while ten leaders are closed', async () => {
      db = await createDatabase();
      written = [];
      stop = new AbortController();
      context = await browser.newContext();
      let tabs = await Promise.all([1, 2, 3, 4, 5].map(() => open()));
      expect(site.feeds).toEqual({ open: 1, most: 1 });
      writing = write();
      for (let closed = 0; closed < 10; closed++) {
        const leads = await Promise.all(tabs.map(isLeader));
        expect(leads.filter(Boolean)).toHaveLength(1);
        const leader = tabs[leads.indexOf(true)];
        await leader?.page.close();
        tabs = [...tabs.filter((tab) => tab !== leader), await open()];
        expect(site.feeds.open).toBe(1);
        // The old connection may close after the new one has opened.
        expect(site.feeds.most).toBeLessThanOrEqual(2);
      }
      stop.abort();
      await writing;
      const last = written.at(-1) ?? '';
      for (const { page } of tabs) {
        await until(page, (id) => self.seen.includes(id), last);
      }
      for (const tab of tabs) {
        const seen = new Set(await seenBy(tab));
        expect(written.slice(tab.since).filter((id) => !seen.has(id))).toEqual([]);
      }
      expect(site.feeds.open).toBe(1);
      await context.close();
    });

    /** Opens three tabs. Returns them with the leader first. */
    async function openThree(): Promise<{ page: Page }[]> {
      db = await createDatabase();
      written = [];
      context = await browser.newContext();
      const tabs = [await open(), await open(), await open()];
      const leads = await Promise.all(tabs.map(isLeader));
      return [...tabs.filter((_, i) => leads[i]), ...tabs.filter((_, i) => !leads[i])];
    }

    const put = (id: string): Promise<unknown> =>
      rawFetch(`/${db}/${id}`, { method: 'PUT', body: {} });

    it('replaces a leader that the browser has frozen, and tells it the changes later', async () => {
      const [leader, ...others] = (await openThree()) as [{ page: Page }, ...{ page: Page }[]];
      const session = await context.newCDPSession(leader.page);
      await session.send('Page.setWebLifecycleState', { state: 'frozen' });
      const frozenAt = Date.now();
      // The browser does not tell when it has frozen a page.
      await sleep(500);
      await put('a');
      for (const { page } of others) await until(page, () => self.seen.includes('a'));
      const heartbeats = (Date.now() - frozenAt) / 1000;
      await session.send('Page.setWebLifecycleState', { state: 'active' });
      await until(leader.page, () => self.seen.includes('a'));
      process.stdout.write(
        `cross-tab: a frozen leader was replaced after ${heartbeats} heartbeats\n`,
      );
      await put('b');
      const tabs = [leader, ...others];
      for (const { page } of tabs) await until(page, () => self.seen.includes('b'));
      const seen = await Promise.all(tabs.map(seenBy));
      expect(seen.map((ids) => [...new Set(ids)].sort().join())).toEqual(['a,b', 'a,b', 'a,b']);
      await context.close();
    });

    it('hands on the connection when the leader navigates away', async () => {
      const [leader, ...others] = (await openThree()) as [{ page: Page }, ...{ page: Page }[]];
      await leader.page.goto(`${site.url}/?other`);
      await put('a');
      for (const { page } of others) await until(page, () => self.seen.includes('a'));
      const leads = await Promise.all(others.map(isLeader));
      expect(leads.filter(Boolean)).toHaveLength(1);
      await context.close();
    });

    it('opens its own connection where the browser refuses locks', async () => {
      db = await createDatabase();
      context = await browser.newContext();
      await context.addInitScript(() => {
        const denied = (): Promise<never> =>
          Promise.reject(new DOMException('no', 'SecurityError'));
        Object.defineProperty(self.navigator, 'locks', { value: { request: denied } });
      });
      written = [];
      const tabs = [await open(), await open()];
      // The connections of the tests before may close late.
      while (site.feeds.open > 2) await sleep(20);
      expect(site.feeds.open).toBe(2);
      await put('a');
      for (const { page } of tabs) await until(page, () => self.seen.includes('a'));
      expect(await Promise.all(tabs.map(seenBy))).toEqual([['a'], ['a']]);
      await context.close();
    });

    it('connects at once when the network is back', async () => {
      db = await createDatabase();
      context = await browser.newContext();
      written = [];
      const { page } = await open(false);
      await context.setOffline(true);
      site.cut();
      // Until then the feed would wait for longer than it takes to connect.
      await until(page, () => self.delay > 2000);
      await put('a');
      await context.setOffline(false);
      const backAt = Date.now();
      await until(page, () => self.seen.includes('a'));
      expect(await seenBy({ page })).toEqual(['a']);
      process.stdout.write(`cross-tab: ${Date.now() - backAt} ms from online to the change\n`);
      await context.close();
    });
  },
);
