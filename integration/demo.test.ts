import { describe, expect, it } from '@jest/globals';
import { readdirSync } from 'node:fs';
import type { Page } from 'playwright-core';
import { hasChromium, launchChromium } from './helpers/chromium.ts';
import { Demo, waitUntil, temporary } from './helpers/demo.ts';

/** The first of them may have to build the package. */
const PATIENCE = 90_000;

interface Stats {
  openFeeds: number;
  ownFeeds: number;
  cuts: number;
}

const demo = (...args: string[]): Demo =>
  new Demo(process.execPath, ['examples/dashboard/demo.mjs', ...args]);

const answers = (url: string): Promise<boolean> =>
  fetch(url).then(
    () => true,
    () => false,
  );

const given = JSON.parse(process.env['CORDUROY_TEST_SERVER'] ?? '{}') as {
  url: string;
  username: string;
  password: string;
};
const authorization = `Basic ${Buffer.from(`${given.username}:${given.password}`).toString('base64')}`;

function givenUrl(password = given.password): string {
  const url = new URL(given.url);
  url.username = encodeURIComponent(given.username);
  url.password = encodeURIComponent(password);
  return url.href;
}

describe('npm run demo', () => {
  it(
    'goes through once, survives a cut, and loses nothing',
    async () => {
      const run = demo('--once');
      const code = await run.ended();
      const summary = /^Summary: (.*)$/m.exec(run.output)?.[1] ?? run.output;
      const numbers =
        /^([\d,]+) documents loaded, ([\d,]+) updates? written, ([\d,]+) changes seen in (\d+) batch(?:es)?, (\d+) reconnections?; (.*)$/
          .exec(summary)
          ?.slice(1);
      const [loaded, written, seen, batches, reconnections] = (numbers ?? []).map((text) =>
        Number(text.replaceAll(',', '')),
      );
      expect(summary).toMatch(/; every document was seen in its last revision: nothing lost$/);
      expect(loaded).toBe(3376);
      expect(written).toBeGreaterThan(20);
      expect(seen).toBeGreaterThan(3376);
      expect(batches).toBeGreaterThan(2);
      expect(reconnections).toBeGreaterThanOrEqual(1);
      expect(run.output).toMatch(/feed waiting [\d.]+ s before attempt 1/);
      expect(code).toBe(0);
      expect(readdirSync(temporary)).toEqual([]);
    },
    PATIENCE,
  );

  it.each(['SIGINT', 'SIGTERM'] as const)(
    'leaves nothing behind after %s',
    async (signal) => {
      const run = demo();
      const [page, database] = [await run.page(), await run.database()];
      expect([await answers(page), await answers(database)]).toEqual([true, true]);
      run.child.kill(signal);
      expect(await run.ended()).toBe(0);
      expect([await answers(page), await answers(database)]).toEqual([false, false]);
      expect(readdirSync(temporary)).toEqual([]);
      expect(run.output).toMatch(/^Stopped: [\d,]+ changes? in /m);
    },
    PATIENCE,
  );

  it.each(['SIGKILL', 'SIGTERM'] as const)(
    'ends when npm is ended with %s',
    async (signal) => {
      const run = new Demo('npm', ['run', 'demo']);
      const [page, database] = [await run.page(), await run.database()];
      run.child.kill(signal);
      expect(await waitUntil(async () => !(await answers(page)))).toBe(true);
      expect(await waitUntil(async () => !(await answers(database)))).toBe(true);
      expect(await waitUntil(async () => readdirSync(temporary).length === 0)).toBe(true);
    },
    PATIENCE,
  );

  it(
    'uses a server that it is given, and deletes its database there',
    async () => {
      const run = demo('--url', givenUrl());
      await run.page();
      const database = await run.database();
      const status = async (): Promise<number> =>
        (await fetch(database, { headers: { authorization } })).status;
      expect(database.startsWith(`${given.url}/corduroy-demo-`)).toBe(true);
      expect(await status()).toBe(200);
      run.child.kill('SIGINT');
      expect(await run.ended()).toBe(0);
      expect(await status()).toBe(404);
      expect(run.output).not.toContain(given.password);
    },
    PATIENCE,
  );

  it(
    'lets the page read its database, and nothing else',
    async () => {
      const run = demo();
      const page = await run.page();
      const status = async (path: string, options: RequestInit = {}): Promise<number> =>
        (await fetch(new URL(path, page), options)).status;
      expect(await status('couch/airports/JFK')).toBe(200);
      expect(await status('couch/_all_dbs')).toBe(404);
      expect(await status('couch/airports%2f..%2f_all_dbs')).toBe(404);
      expect(await status('couch/airports/JFK', { method: 'DELETE' })).toBe(405);
      const { headers } = await fetch(new URL('couch/airports', page));
      expect(headers.get('access-control-allow-origin')).toBeNull();
    },
    PATIENCE,
  );

  it.each([
    [['--frobnicate'], 2, /^Unknown option '--frobnicate'.*\n$/],
    [['--port', 'x'], 2, /^--port takes a number from 0 to 65535.*\n$/],
    [['http://a:secret@b'], 2, /^An argument stands without its option.*\n$/],
    [['--url', 'ftp://a:secret@b'], 2, /^--url takes the URL of a server.*\n$/],
    [['--help'], 0, /^Usage: npm run demo/],
    [['--url', 'http://127.0.0.1:1'], 1, /^ConnectionError: .*ECONNREFUSED.*\n$/m],
  ])(
    'answers %j with exit code %i and one line',
    async (args, code, line) => {
      const run = demo(...args);
      expect(await run.ended()).toBe(code);
      expect(run.output).toMatch(line);
      expect(run.output).not.toContain('secret');
    },
    PATIENCE,
  );

  it(
    'says that a password is wrong, and that a port is taken',
    async () => {
      const wrong = demo('--url', givenUrl('no-such-password'));
      expect(await wrong.ended()).toBe(1);
      expect(wrong.output).toMatch(/^Unauthorized: .*\n$/m);
      expect(wrong.output).not.toContain('no-such-password');
      const { port } = new URL(given.url);
      const taken = demo('--port', port);
      expect(await taken.ended()).toBe(1);
      expect(taken.output).toMatch(new RegExp(`^Port ${port} is in use: .*\n$`, 'm'));
    },
    PATIENCE,
  );
});

async function statsOf(url: string): Promise<Stats> {
  return (await (await fetch(new URL('stats', url))).json()) as Stats;
}

/** Opens the demo's page in a browser; `errors` gathers what its console complains of. */
async function browse(url: string, use: (page: Page, errors: string[]) => Promise<void>) {
  const browser = await launchChromium();
  try {
    const page = await browser.newPage({ viewport: { width: 380, height: 800 } });
    const errors: string[] = [];
    page.on('console', (message) => {
      if (message.type() === 'error' || message.type() === 'warning') errors.push(message.text());
    });
    page.on('pageerror', (error) => errors.push(String(error)));
    await page.goto(url);
    await use(page, errors);
  } finally {
    await browser.close();
  }
}

describe('the page', () => {
  const title = 'shows the feed, its break and its recovery, on one connection';
  if (!hasChromium) {
    it.skip(`${title} (skipped: needs Chromium, which is not installed)`, () => {});
    return;
  }

  it(
    title,
    async () => {
      const run = demo();
      const url = await run.page();
      await browse(url, async (page, errors) => {
        const text = (id: string): Promise<string> => page.locator(`#${id}`).innerText();
        const changes = async (): Promise<number> =>
          Number((await text('changes')).replaceAll(',', ''));
        const stats = (): Promise<Stats> => statsOf(url);
        const badge = (status: string) =>
          page.waitForSelector(`#badge[data-status=${status}]`, { timeout: 15_000 });

        await badge('live');
        expect(await text('badge-word')).toBe('Live');
        const row = page.locator('#airports tr').first();
        await row.waitFor();
        expect(await row.locator('th').innerText()).toMatch(/^[A-Z]{3}$/);
        expect(await waitUntil(async () => (await text('documents')) === '3,376')).toBe(true);
        const early = await changes();
        expect(await waitUntil(async () => (await changes()) > early + 20)).toBe(true);
        expect(await page.evaluate(() => document.body.scrollWidth <= innerWidth)).toBe(true);

        // One for the terminal, one for the page: with one subscriber, and with two.
        expect(await stats()).toMatchObject({ openFeeds: 2, cuts: 0 });
        await page.click('#second');
        await page.waitForFunction(() =>
          /on: \d+ changes/.test(document.querySelector('#second-text')?.textContent ?? ''),
        );
        expect((await stats()).openFeeds).toBe(2);
        expect(await text('own-feeds')).toBe('1');
        await page.click('#second');
        expect(await text('second-text')).toBe('off');
        expect((await stats()).openFeeds).toBe(2);
        expect(errors).toEqual([]);

        await page.click('#cut');
        // The first waits are short: what stands there is looked at in one go.
        await page.waitForFunction(() =>
          /Waiting\s+attempt \d+ in \d\.\d s/.test(
            document.querySelector('#badge')?.textContent ?? '',
          ),
        );
        expect(await stats()).toMatchObject({ openFeeds: 0, cuts: 1 });
        const atCut = await changes();
        await badge('live');
        expect(await text('reconnections')).toBe('1');
        expect(await waitUntil(async () => (await changes()) > atCut + 20)).toBe(true);
        expect(await waitUntil(async () => (await stats()).openFeeds === 2)).toBe(true);
        // The browser itself notes each request that failed, whoever handles it.
        const noted = 'Failed to load resource: net::ERR_';
        expect(errors.filter((line) => !line.startsWith(noted))).toEqual([]);
      });
      run.child.kill('SIGINT');
      expect(await run.ended()).toBe(0);
    },
    PATIENCE,
  );
});
