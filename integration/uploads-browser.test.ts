import { afterAll, beforeAll, describe, expect, it, jest } from '@jest/globals';
import type * as Corduroy from 'corduroy';
import type { Browser, Page } from 'playwright-core';
import { hasChromium, launchChromium } from './helpers/chromium.ts';
import { createDatabase, rawFetch, server } from './helpers/server.ts';
import { type Site, startSite } from './helpers/site.ts';
import { json, startStub } from './helpers/stub-server.ts';
import type { StubServer } from './helpers/stub-server.ts';

// Uploads from a page: how long they block it, and what CouchDB stores.

jest.setTimeout(120_000);

declare const self: {
  readonly corduroy: typeof Corduroy;
  readonly promised: (source: object) => Promise<unknown>;
};

const title = 'an upload from a browser';

(hasChromium ? describe : describe.skip)(
  hasChromium ? title : `${title} (skipped: needs Chromium, which is not installed)`,
  () => {
    let site: Site;
    let stubSite: Site;
    let stub: StubServer;
    let browser: Browser;
    let db: string;

    const open = async ({ url }: Site): Promise<Page> => {
      const page = await browser.newPage();
      await page.goto(url);
      await page.waitForFunction(() => self.corduroy !== undefined);
      return page;
    };

    beforeAll(async () => {
      db = await createDatabase();
      stub = await startStub(json({ ok: true, id: 'a', rev: '1-x' }, 201));
      site = await startSite(server.url);
      stubSite = await startSite(stub.url);
      browser = await launchChromium();
    });
    afterAll(async () => {
      await browser?.close();
      await site?.close();
      await stubSite?.close();
      await stub?.close();
    });

    it('blocks the page about as long as fetch with a Blob does', async () => {
      const page = await open(stubSite);
      const blocks = await page.evaluate(async (url) => {
        const size = 50_000_000;
        const bytes = new Uint8Array(size).fill(120);
        const file = new File([bytes], 'film.bin');
        const database = new self.corduroy.Database(`${url}/db`);
        const put = (body: BodyInit): Promise<unknown> =>
          fetch(`${url}/db/bare`, { method: 'PUT', body }).then((response) => response.text());
        const upload = (content: Corduroy.AttachmentContent): Promise<unknown> =>
          self.promised(database.putAttachment({ _id: 'a' }, content, 'film.bin'));
        /** Returns the longest time in which no other task ran, in milliseconds. */
        const longestBlock = async (work: () => Promise<unknown>): Promise<number> => {
          let last = performance.now();
          let longest = 0;
          let running = true;
          const { port1, port2 } = new MessageChannel();
          port1.addEventListener('message', () => {
            const now = performance.now();
            longest = Math.max(longest, now - last);
            last = now;
            if (running) port2.postMessage(null);
          });
          port1.start();
          port2.postMessage(null);
          await work();
          await new Promise((resolve) => setTimeout(resolve));
          running = false;
          return longest;
        };
        const works = {
          bareBlob: () => put(file),
          bareBytes: () => put(bytes),
          file: () => upload(file),
          bytes: () => upload(bytes),
        };
        const shortest: Record<string, number> = {};
        // The machine may be busy, so the best of two rounds counts.
        for (let round = 0; round < 2; round++) {
          for (const [name, work] of Object.entries(works))
            shortest[name] = Math.min(shortest[name] ?? Infinity, await longestBlock(work));
        }
        return shortest;
      }, stubSite.url);
      const { bareBlob = 0, bareBytes = 0, file = Infinity, bytes = Infinity } = blocks;
      // Nearer to the Blob, which is not copied, than to the bytes, which are.
      const middle = (bareBlob + bareBytes) / 2;
      expect(file).toBeLessThan(middle);
      expect(bytes).toBeLessThan(middle);
      expect(stub.requests.map(({ body }) => body.length)).toEqual(Array(8).fill(50_000_000));
      await page.close();
    });

    it('takes the type from the name, for bytes and for a File without a type', async () => {
      const page = await open(site);
      await page.evaluate(
        async ([url, auth]) => {
          const pets = new self.corduroy.Database(url, { auth });
          const doc = { _id: 'typed' };
          const bytes = new Uint8Array([1, 2, 3]);
          const put = (content: Corduroy.AttachmentContent, name?: string): Promise<unknown> =>
            self.promised(pets.putAttachment(doc, content, name));
          await put(bytes, 'u8.png');
          await put(new File([bytes], 'scan.pdf'));
          await put(new File([bytes], 'x.bin', { type: 'image/x-pet' }));
          await put('hello', 'page.html');
        },
        [`${site.url}/${db}`, [server.username, server.password]] as const,
      );
      const stored = await rawFetch(`/${db}/typed`);
      const { _attachments: stubs } = (await stored.json()) as {
        readonly _attachments: Readonly<Record<string, { content_type: string; length: number }>>;
      };
      const types = Object.entries(stubs).map(([name, stubOf]) => [name, stubOf.content_type]);
      expect(Object.fromEntries(types)).toEqual({
        'u8.png': 'image/png',
        'scan.pdf': 'application/pdf',
        'x.bin': 'image/x-pet',
        'page.html': 'text/html;charset=utf-8',
      });
      await page.close();
    });

    it('errors with the error of a File that cannot be read, instead of blaming the network', async () => {
      const page = await open(stubSite);
      const outcome = await page.evaluate(async (url) => {
        const database = new self.corduroy.Database(`${url}/db`);
        class Unreadable extends Blob {
          override get size(): number {
            return 3;
          }
          override slice(): Blob {
            return this;
          }
          override arrayBuffer(): Promise<ArrayBuffer> {
            return Promise.reject(new DOMException('It has changed', 'NotReadableError'));
          }
        }
        // A page cannot change a file, so the request fails for another reason.
        const transport = self.corduroy.fetchTransport({
          fetch: () => Promise.reject(new TypeError('Failed to fetch')),
        });
        const failing = new self.corduroy.Database(`${url}/db`, { transport });
        const nameOf = (from: typeof database, content: Blob): Promise<string> =>
          self.promised(from.putAttachment({ _id: 'a' }, content, 'a.bin')).then(
            () => 'stored',
            ({ name }) => name as string,
          );
        return [
          await nameOf(failing, new Unreadable()),
          await nameOf(failing, new Blob(['abc'])),
          await nameOf(database, new Blob(['abc'])),
        ];
      }, stubSite.url);
      expect(outcome).toEqual(['NotReadableError', 'ConnectionError', 'stored']);
      await page.close();
    });
  },
);
