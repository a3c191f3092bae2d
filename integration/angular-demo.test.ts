import { describe, expect, it } from '@jest/globals';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Couch } from 'corduroy';
import type { Database } from 'corduroy';
import { firstValueFrom } from 'rxjs';
import type { Browser, Page } from 'playwright-core';
import { hasChromium, launchChromium } from './helpers/chromium.ts';
import { Demo, temporary } from './helpers/demo.ts';
import { server } from './helpers/server.ts';
import { openGate } from './helpers/gate.ts';
import type { Gate } from './helpers/gate.ts';
import { startIsolatedServer } from './helpers/servers.ts';
import type { RunningServer } from './helpers/servers.ts';

const root = fileURLToPath(new URL('..', import.meta.url));
/** The time limit of `npm ci` and `ng build`: the packages of Angular's CLI are many. */
const BUILD_TIMEOUT = 240_000;
const TIMEOUT = 180_000;

/** The folder for screenshots; undefined takes none. */
const shots = process.env['CORDUROY_SCREENSHOTS'];

async function shoot(page: Page, name: string): Promise<void> {
  if (shots === undefined) return;
  mkdirSync(shots, { recursive: true });
  await page.screenshot({ path: join(shots, `${name}.png`) });
}

interface Order {
  readonly note: string;
  readonly placed: string;
  readonly status: string;
  readonly total: number;
}

interface User {
  readonly name: string;
  readonly password: string;
}

/** Opens a page, and collects the errors and warnings of its console. */
async function open(browser: Browser, url: string, width = 380): Promise<[Page, string[]]> {
  const context = await browser.newContext({ viewport: { width, height: 800 } });
  const page = await context.newPage();
  page.setDefaultTimeout(20_000);
  const errors: string[] = [];
  page.on('console', (message) => {
    if (message.type() === 'error' || message.type() === 'warning') errors.push(message.text());
  });
  page.on('pageerror', (error) => errors.push(String(error)));
  await page.goto(url);
  return [page, errors];
}

async function logIn(page: Page, { name, password }: User): Promise<void> {
  await page.fill('[name=name]', name);
  await page.fill('[name=password]', password);
  await page.click('button[type=submit]');
  await page.waitForSelector('.badge[data-status=live]');
}

/** The text of the first order. The list can load after the login. */
const first = (page: Page): Promise<string> => page.locator('.orders li a').first().innerText();
const row = (page: Page, id: string): Promise<string> =>
  page.locator(`.orders a[href$="${id}"]`).innerText();
const note = (page: Page): Promise<string> => page.inputValue('[name=note]');
const total = (page: Page): Promise<string> => page.inputValue('[name=total]');
/** Waits until an input has the value. Returns false after the timeout. */
const hasValue = (page: Page, name: string, value: string, timeout = 5_000): Promise<boolean> =>
  page
    .waitForFunction(
      ([selector, text]) => document.querySelector<HTMLInputElement>(selector)?.value === text,
      [`[name=${name}]`, value] as const,
      { timeout },
    )
    .then(
      () => true,
      () => false,
    );
const revision = (page: Page): Promise<string> => page.locator('p.meta').innerText();
const isSaved = (page: Page): Promise<void> =>
  page.locator('.saved:text-is("Saved")').waitFor({ timeout: 5_000 });
const hasDialog = (page: Page): Promise<boolean> => page.locator('dialog[open]').isVisible();

/** A server that can be stopped and started: a separate CouchDB, or a gate before the shared server. */
class Upstream {
  readonly url: string;
  readonly #server: RunningServer | null;
  readonly #gate: Gate | null;

  private constructor(own: RunningServer | null, gate: Gate | null) {
    const { username, password } = own ?? server;
    const url = new URL(own?.url ?? gate?.url ?? '');
    url.username = encodeURIComponent(username);
    url.password = encodeURIComponent(password);
    this.url = url.href;
    this.#server = own;
    this.#gate = gate;
  }

  static async start(): Promise<Upstream> {
    if (server.kind === 'installed') return new Upstream(await startIsolatedServer(), null);
    return new Upstream(null, await openGate(server.url));
  }

  async stop(): Promise<void> {
    await this.#server?.kill('SIGKILL');
    await this.#gate?.shut();
  }

  async restart(): Promise<void> {
    await this.#server?.restart?.();
    await this.#gate?.open();
  }

  async close(): Promise<void> {
    await this.#server?.stop();
    await this.#gate?.shut();
  }
}

/** Installs and builds the example. Returns the output if that fails, else null. */
async function prepare(): Promise<string | null> {
  const args = ['examples/angular/demo.mjs', '--build'];
  const build = spawn(process.execPath, args, { cwd: root, timeout: BUILD_TIMEOUT });
  let output = '';
  build.stdout.on('data', (chunk) => (output += chunk));
  build.stderr.on('data', (chunk) => (output += chunk));
  const [code] = (await once(build, 'close')) as [number | null];
  return code === 0 ? null : output || 'The build timed out.';
}

const failure = hasChromium ? await prepare() : null;
const missing = !hasChromium
  ? 'needs Chromium, which is not installed'
  : failure !== null && /npm ci.* failed/.test(failure) && !failure.includes('EUSAGE')
    ? "needs the packages of Angular's CLI, which could not be installed"
    : null;
const run = missing === null ? it : it.skip;
const named = (title: string): string =>
  missing === null ? title : `${title} (skipped: ${missing})`;

interface Example {
  readonly demo: Demo;
  readonly upstream: Upstream;
  readonly browser: Browser;
  readonly url: string;
  readonly kitchen: User;
  readonly counter: User;
  readonly orders: Database<Order>;
}

/** Starts the example, runs the test, and checks that the example leaves no files behind. */
function withExample(
  test: (example: Example) => Promise<void>,
  options: readonly string[] = [],
): () => Promise<void> {
  return async () => {
    const upstream = await Upstream.start();
    const browser = await launchChromium();
    try {
      const args = ['examples/angular/demo.mjs', '--url', upstream.url, ...options];
      const demo = new Demo(process.execPath, args);
      const url = await demo.page();
      const users = [...demo.output.matchAll(/^Log in {4}(\S+) \/ (\S+)$/gm)].map(
        ([, name = '', password = '']): User => ({ name, password }),
      );
      const [kitchen, counter] = users as [User, User];
      const name = new URL(await demo.database()).pathname.slice(1);
      const orders = new Couch(upstream.url).use<Order>(name);
      await test({ demo, upstream, browser, url, kitchen, counter, orders });
      demo.child.kill('SIGINT');
      expect(await demo.ended()).toBe(0);
      expect(readdirSync(temporary)).toEqual([]);
    } finally {
      await browser.close();
      await upstream.close();
    }
  };
}

describe('the example in Angular', () => {
  run(named('builds, within its budget'), () => expect(failure).toBeNull());

  run(
    named('lists and edits orders, resolves conflicts, and catches up after an outage'),
    withExample(async ({ upstream, browser, url, kitchen, counter, orders }) => {
      const [page, errors] = await open(browser, url);

      // The page shows no order before the login.
      await page.waitForSelector('.login');
      await shoot(page, 'login');
      await page.fill('[name=name]', kitchen.name);
      await page.fill('[name=password]', 'wrong');
      await page.click('button[type=submit]');
      await page.waitForSelector('.error');
      // The browser logs each refused request, even if the page handles the error.
      expect(errors.splice(0)).toEqual([expect.stringMatching(/^Failed to load .* 401/)]);
      await logIn(page, kitchen);
      expect(await first(page)).toMatch(/Table 1\b/);
      expect(await page.locator('.orders li').count()).toBe(6);
      expect(await page.evaluate(() => document.body.scrollWidth <= innerWidth)).toBe(true);
      await shoot(page, 'list');

      // Another client pays an order, and the list of open orders updates within a second.
      const before = performance.now();
      await firstValueFrom(
        orders.upsert('order-012', (order) => order && { ...order, status: 'paid' }),
      );
      await page.waitForFunction(() => document.querySelectorAll('.orders li').length === 5);
      const elapsed = performance.now() - before;
      process.stdout.write(`angular: a change was on the page after ${Math.round(elapsed)} ms\n`);
      await page.click('.filter button:text-is("paid")');
      await page.waitForFunction(() => document.querySelectorAll('.orders li').length === 4);

      // Two users open the same order and write into the same field.
      await page.click('.filter button:text-is("open")');
      await page.waitForFunction(() => document.querySelectorAll('.orders li').length === 5);
      await page.click('.orders a >> nth=0');
      await page.waitForSelector('form.card');
      const [other, complaints] = await open(browser, page.url(), 900);
      await logIn(other, counter);
      await other.waitForSelector('form.card');
      await page.fill('[name=note]', 'By the');
      await other.fill('[name=note]', 'On the terrace');
      await other.fill('[name=dishes]', 'Espresso');
      await shoot(page, 'detail');
      await other.click('button[type=submit]');
      await page.waitForSelector('p.meta:has-text("revision 2")');

      // The page shows a notice and does not interrupt the typing.
      await page.locator('[name=note]').pressSequentially(' window', { delay: 30 });
      await page.waitForSelector('.conflict');
      expect(await hasDialog(page)).toBe(false);
      expect(await note(page)).toBe('By the window');
      await page.click('.conflict button:text-is("Review changes")');
      await page.waitForSelector('dialog[open]');
      // Only one user changed the dishes, so they need no decision.
      expect(await page.inputValue('[name=dishes]')).not.toBe('Espresso');
      expect(await page.locator('dialog fieldset').count()).toBe(1);
      expect(await page.locator('dialog fieldset').innerText()).toMatch(
        /By the window\s+Theirs\s+On the terrace/,
      );
      await shoot(page, 'conflict');
      await page.click('dialog label:has-text("Theirs")');
      await page.click('dialog button:text-is("Keep this")');
      await page.waitForSelector('dialog:not([open])', { state: 'attached' });
      expect(await hasValue(page, 'note', 'On the terrace')).toBe(true);
      expect(await page.inputValue('[name=dishes]')).toBe('Espresso');
      await isSaved(page);

      // In the next conflict the user keeps the own value, and the page saves it.
      await page.fill('[name=note]', 'Under the tree');
      await other.fill('[name=note]', 'At the bar');
      await other.click('button[type=submit]');
      await page.click('.conflict button:text-is("Review changes")');
      await page.click('dialog button:text-is("Keep this")');
      await isSaved(page);
      expect(await hasValue(other, 'note', 'Under the tree')).toBe(true);

      // Save opens the dialogue too. The user goes back, types on, and decides later.
      await page.fill('[name=note]', 'In the garden');
      await other.fill('[name=note]', 'In the hall');
      await other.click('button[type=submit]');
      await page.waitForSelector('.conflict');
      expect(await hasDialog(page)).toBe(false);
      await page.click('button[type=submit]');
      await page.waitForSelector('dialog[open]');
      await page.keyboard.press('Escape');
      await page.waitForSelector('dialog:not([open])', { state: 'attached' });
      await page.fill('[name=note]', 'In the old garden');
      await page.click('.conflict button:text-is("Review changes")');
      await page.click('dialog button:text-is("Keep this")');
      await isSaved(page);
      expect(await hasDialog(page)).toBe(false);
      expect(await hasValue(other, 'note', 'In the old garden')).toBe(true);
      expect(await revision(page)).toMatch(/revision [4-9]/);
      expect([...errors, ...complaints]).toEqual([]);
      await other.emulateMedia({ colorScheme: 'dark' });
      await shoot(other, 'detail-dark');

      // Edits during an outage stay on the page, which saves them after the outage.
      await upstream.stop();
      await page.waitForSelector('.badge[data-status=waiting]', { timeout: 40_000 });
      await page.waitForSelector('.outage');
      await page.fill('[name=note]', 'Written offline');
      await page.click('button[type=submit]');
      await shoot(page, 'offline');
      await upstream.restart();
      await firstValueFrom(
        orders.upsert('order-001', (order) => order && { ...order, note: 'Meanwhile' }),
      );
      await page.waitForSelector('.badge[data-status=live]', { timeout: 40_000 });
      expect(await hasValue(other, 'note', 'Written offline', 40_000)).toBe(true);
      await other.click('.back');
      await other.click('.filter button:text-is("all")');
      await other.click('.orders li:last-child a');
      expect(await hasValue(other, 'note', 'Meanwhile')).toBe(true);
      await shoot(other, 'caught-up');
      const expected = /^Failed to load resource: |net::ERR_/;
      expect([...errors, ...complaints].filter((line) => !expected.test(line))).toEqual([]);

      await page.click('text=Log out');
      await page.waitForSelector('.login');
    }),
    TIMEOUT,
  );

  run(
    named('shows money with two decimals in the list and in the form'),
    withExample(async ({ browser, url, kitchen, orders }) => {
      const [page, errors] = await open(browser, url);
      await logIn(page, kitchen);
      expect(await row(page, 'order-012')).toContain('€11.40');
      await page.click('.orders a[href$=order-012]');
      await page.waitForSelector('form.card');
      expect(await total(page)).toBe('11.40');

      // The form keeps the typed text, and formats it when the user leaves the field.
      await page.fill('[name=total]', '');
      await page.locator('[name=total]').pressSequentially('12.5');
      expect(await total(page)).toBe('12.5');
      await page.focus('[name=note]');
      expect(await total(page)).toBe('12.50');
      await page.click('button[type=submit]');
      await isSaved(page);
      expect((await firstValueFrom(orders.get('order-012'))).total).toBe(12.5);

      // The change of another client has two decimals too, and so has the conflict dialogue.
      await firstValueFrom(orders.upsert('order-012', (order) => order && { ...order, total: 9 }));
      expect(await hasValue(page, 'total', '9.00')).toBe(true);
      await page.fill('[name=total]', '8.8');
      await firstValueFrom(orders.upsert('order-012', (order) => order && { ...order, total: 7 }));
      await page.click('.conflict button');
      expect(await page.locator('dialog fieldset').innerText()).toMatch(/€8\.80\s+Theirs\s+€7\.00/);
      await page.click('dialog button:text-is("Keep this")');
      await isSaved(page);
      await page.click('.back');
      await page.waitForFunction(() => /€8\.80/.test(document.body.innerText));
      expect(errors).toEqual([]);
    }),
    TIMEOUT,
  );

  run(
    named('renders only the rows in view of a long list, and keeps them in place'),
    withExample(
      async ({ browser, url, kitchen, orders }) => {
        const [page, errors] = await open(browser, url);
        await logIn(page, kitchen);
        await page.click('.filter button:text-is("all")');
        await page.waitForSelector('.count:has-text("3,000 orders")');
        expect(await page.locator('.orders li').count()).toBeLessThan(60);
        expect(await first(page)).toMatch(/Table 1\b/);

        // The last rows are there after a scroll to the end.
        await page.evaluate(() => scrollTo(0, document.body.scrollHeight));
        await page.waitForSelector('.orders a[href$="/order-001"]');
        expect(await page.locator('.orders li').count()).toBeLessThan(60);

        // An order enters at the top, and the rows in view stay in their place.
        await page.evaluate(() => scrollBy(0, -5_000));
        await page.waitForSelector('.orders a[href$="/order-001"]', { state: 'detached' });
        const place = (): Promise<string> =>
          page.evaluate(() => {
            const link = document.elementFromPoint(190, 400)?.closest('a');
            return `${link?.href} at ${Math.round(link?.getBoundingClientRect().top ?? 0)}`;
          });
        const before = await place();
        const order = await firstValueFrom(orders.get('order-001'));
        const { _rev: _, ...fields } = order;
        const late = { ...fields, _id: 'late', placed: new Date().toISOString() };
        await firstValueFrom(orders.save(late));
        await page.waitForSelector('.count:has-text("3,001 orders")');
        await page.evaluate(() => new Promise(requestAnimationFrame));
        expect(before).toMatch(/order-\d+ at \d+/);
        expect(await place()).toBe(before);
        expect(errors).toEqual([]);
      },
      ['--orders', '3000'],
    ),
    TIMEOUT,
  );

  run(
    named('shows the date of an order that is not from today'),
    withExample(async ({ browser, url, kitchen, orders }) => {
      const place = (id: string, placed: Date): Promise<unknown> =>
        firstValueFrom(
          orders.upsert(id, (order) => order && { ...order, placed: placed.toISOString() }),
        );
      const [page] = await open(browser, url);
      // The clock of the page stands at noon, so that the test may run at midnight.
      const noon = new Date(2026, 2, 4, 12);
      await page.clock.setFixedTime(noon);
      await place('order-012', new Date(2026, 2, 4, 0, 5));
      await place('order-009', new Date(2026, 2, 3, 23, 55));
      await logIn(page, kitchen);
      expect(await row(page, 'order-012')).toMatch(/^00:05$/m);
      expect(await row(page, 'order-009')).toMatch(/^3 Mar, 23:55$/m);
      await page.click('.orders a[href$=order-009]');
      await page.waitForSelector('p.meta:has-text("3 Mar, 23:55")');
    }),
    TIMEOUT,
  );
});
