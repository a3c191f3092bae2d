/* oxlint-disable unicorn/require-post-message-target-origin -- workers have no origin to name */
import { afterAll, beforeAll, describe, expect, it, jest } from '@jest/globals';
import type * as Corduroy from 'corduroy';
import type { Browser, Page } from 'playwright-core';
import { hasChromium, launchChromium } from './helpers/chromium.ts';
import { createDatabase, rawFetch, server } from './helpers/server.ts';
import { type Site, PAGE, startSite } from './helpers/site.ts';

// Behaviour that only a browser shows: CORS, object URLs, workers and service workers.

jest.setTimeout(60_000);

declare const self: {
  readonly corduroy: typeof Corduroy;
  readonly promised: (source: object) => Promise<unknown>;
};

type Given = readonly [url: string, auth: readonly [string, string]];

/** A module that reads a document, and answers with its content. */
const READ = `
  import { Database } from '/corduroy/index.browser.js';
  const read = (url, auth, answer) => new Database(url, { auth }).get('ada').subscribe({
    next: (doc) => answer(doc.legs),
    error: (error) => answer(String(error)),
  });
`;
const SCRIPTS = {
  '/worker.js': `${READ} onmessage = ({ data }) => read(...data, (legs) => postMessage(legs));`,
  '/service-worker.js': `${READ}
    onmessage = (event) => event.waitUntil(new Promise((resolve) =>
      read(...event.data, (legs) => resolve(event.source.postMessage(legs)))));`,
};

const title = 'in a browser';

(hasChromium ? describe : describe.skip)(
  hasChromium ? title : `${title} (skipped: needs Chromium, which is not installed)`,
  () => {
    let site: Site;
    let browser: Browser;
    let page: Page;
    let db: string;
    let given: Given;

    beforeAll(async () => {
      db = await createDatabase();
      await rawFetch(`/${db}/ada`, { method: 'PUT', body: { legs: 4 } });
      const files = Object.entries(SCRIPTS).map(
        ([path, text]) => [path, { type: 'text/javascript', text }] as const,
      );
      const policy = `<meta http-equiv="Content-Security-Policy" content="connect-src 'self'">`;
      const strict = { type: 'text/html', text: policy + PAGE };
      site = await startSite(server.url, { ...Object.fromEntries(files), '/strict': strict });
      given = [`${site.url}/${db}`, [server.username, server.password]];
      browser = await launchChromium();
      page = await browser.newPage();
      await page.goto(site.url);
      await page.waitForFunction(() => self.corduroy !== undefined);
    });
    afterAll(async () => {
      await browser?.close();
      await site?.close();
    });

    it('hints at CORS if a request to another origin fails', async () => {
      // The same server under another origin, which allows no other origin.
      const error = await page.evaluate(
        ([url, auth]) =>
          self.promised(new self.corduroy.Couch(url, { auth }).use('pets').get('ada')).then(
            () => null,
            ({ name, message, hint, code, transient }) => ({
              name,
              message,
              hint,
              code,
              transient,
            }),
          ),
        [server.url, given[1]] as const,
      );
      expect(error).toMatchObject({ name: 'ConnectionError', code: null, transient: true });
      expect(error?.message).toContain(
        `GET ${server.url}/pets/ada: no connection: Failed to fetch. If the server is there`,
      );
      expect(error?.hint).toContain(`[chttpd] enable_cors = true and [cors] origins = ${site.url}`);
      expect(error?.message).not.toContain(server.password);
    });

    it('names the policy of the page if that refuses a request, at once', async () => {
      const strict = await browser.newPage();
      await strict.goto(`${site.url}/strict`);
      await strict.waitForFunction(() => self.corduroy !== undefined);
      const error = await strict.evaluate(
        ([url]) =>
          self.promised(new self.corduroy.Couch(url).use('pets').get('ada')).then(
            () => null,
            ({ message, transient }) => ({ message, transient }),
          ),
        [server.url],
      );
      await strict.close();
      expect(error?.transient).toBe(false);
      expect(error?.message).toContain(
        `The Content-Security-Policy of the page allows no requests to this server: add ${server.url} to`,
      );
    });

    it('gives no hint at CORS if the server has the origin of the page', async () => {
      await page.context().setOffline(true);
      const hint = await page.evaluate(
        ([url, auth]) =>
          self.promised(new self.corduroy.Database(url, { auth }).get('ada')).then(
            () => 'it was read',
            (error) => error.hint as string | null,
          ),
        given,
      );
      await page.context().setOffline(false);
      expect(hint).toBeNull();
    });

    it('uploads a File and shows it, both with progress, until it is unsubscribed', async () => {
      const result = await page.evaluate(async ([url, auth]) => {
        const pets = new self.corduroy.Database(url, { auth });
        const bytes = new Uint8Array(300_000).map((_, i) => i % 251);
        const file = new File([bytes], 'portrait.bin', { type: 'image/x-pet' });
        const doc = { _id: 'bob' };
        const sent: number[] = [];
        const read: { done: number; total: number | null }[] = [];
        const progress = { next: ({ done }: { done: number }) => sent.push(done) };
        await self.promised(pets.putAttachment(doc, file, undefined, { progress }));
        const urls: string[] = [];
        const subscription = pets
          .attachmentUrl(doc, 'portrait.bin', { progress: { next: (now) => read.push(now) } })
          .subscribe((shown) => urls.push(shown));
        while (urls.length === 0) await new Promise((resolve) => setTimeout(resolve, 10));
        const shown = urls[0] ?? '';
        const answer = await fetch(shown);
        const type = answer.headers.get('content-type');
        const same = new Uint8Array(await answer.arrayBuffer()).every((one, i) => one === bytes[i]);
        const closed = subscription.closed;
        subscription.unsubscribe();
        const revoked = await fetch(shown).then(
          () => false,
          () => true,
        );
        return {
          sent: sent.at(-1),
          read: read.at(-1),
          pieces: sent.length,
          type,
          same,
          closed,
          revoked,
        };
      }, given);
      expect(result).toEqual({
        sent: 300_000,
        // The browser takes the File as a whole.
        pieces: 1,
        read: { done: 300_000, total: 300_000 },
        type: 'image/x-pet',
        same: true,
        closed: false,
        revoked: true,
      });
    });

    it('works in a worker', async () => {
      const legs = await page.evaluate(
        (message) =>
          new Promise((resolve) => {
            const worker = new Worker('/worker.js', { type: 'module' });
            worker.addEventListener('message', ({ data }) => resolve(data));
            worker.addEventListener('error', (error) => resolve(error.message));
            worker.postMessage(message);
          }),
        given,
      );
      expect(legs).toBe(4);
    });

    it('works in a service worker', async () => {
      const legs = await page.evaluate(async (message) => {
        const { serviceWorker } = navigator;
        await serviceWorker.register('/service-worker.js', { type: 'module' });
        const { active } = await serviceWorker.ready;
        return new Promise((resolve) => {
          serviceWorker.addEventListener('message', ({ data }) => resolve(data));
          serviceWorker.startMessages();
          active?.postMessage(message);
        });
      }, given);
      expect(legs).toBe(4);
    });
  },
);
