import { describe, expect, it } from '@jest/globals';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Couch } from 'corduroy';
import { firstValueFrom } from 'rxjs';
import type { Browser, Page } from 'playwright-core';
import { hasChromium, launchChromium } from './helpers/chromium.ts';
import { Demo, waitUntil, temporary } from './helpers/demo.ts';
import { server } from './helpers/server.ts';
import { openGate } from './helpers/gate.ts';
import type { Gate } from './helpers/gate.ts';
import { startIsolatedServer } from './helpers/servers.ts';
import type { RunningServer } from './helpers/servers.ts';

const root = fileURLToPath(new URL('..', import.meta.url));
/** The packages of Angular's CLI are many, and it takes its time. */
const PREPARATION = 240_000;
const PATIENCE = 180_000;

/** Where screenshots go, for those who want to look at them. */
const shots = process.env['CORDUROY_SCREENSHOTS'];

async function shoot(page: Page, name: string): Promise<void> {
  if (shots === undefined) return;
  mkdirSync(shots, { recursive: true });
  await page.screenshot({ path: join(shots, `${name}.png`) });
}

interface User {
  readonly name: string;
  readonly password: string;
}

/** A page of the application, and what its console complains of. */
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

const first = (page: Page): Promise<string> => page.locator('.orders li').first().innerText();
const note = (page: Page): Promise<string> => page.inputValue('[name=note]');
const noteOnServer = (page: Page): Promise<string> => page.locator('p.meta').innerText();

/** A server that can be stopped and started: a real one, or a gate in front of the suite's own. */
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

/** Installs and builds the example; gives back what was printed where that failed. */
async function prepare(): Promise<string | null> {
  const args = ['examples/angular/demo.mjs', '--build'];
  const build = spawn(process.execPath, args, { cwd: root, timeout: PREPARATION });
  let output = '';
  build.stdout.on('data', (chunk) => (output += chunk));
  build.stderr.on('data', (chunk) => (output += chunk));
  const [code] = (await once(build, 'close')) as [number | null];
  return code === 0 ? null : output || 'It took too long.';
}

const failure = hasChromium ? await prepare() : null;
const lack = !hasChromium
  ? 'needs Chromium, which is not installed'
  : failure !== null && /npm ci.* failed/.test(failure) && !failure.includes('EUSAGE')
    ? "needs the packages of Angular's CLI, which could not be installed"
    : null;
const run = lack === null ? it : it.skip;
const named = (title: string): string => (lack === null ? title : `${title} (skipped: ${lack})`);

describe('the example in Angular', () => {
  run(named('builds, within its budget'), () => expect(failure).toBeNull());

  run(
    named('lists, edits, settles a conflict, and catches up when the server is there again'),
    async () => {
      const upstream = await Upstream.start();
      const browser = await launchChromium();
      try {
        const demo = new Demo(process.execPath, [
          'examples/angular/demo.mjs',
          '--url',
          upstream.url,
        ]);
        const url = await demo.page();
        const users = [...demo.output.matchAll(/^Log in {4}(\S+) \/ (\S+)$/gm)].map(
          ([, name = '', password = '']): User => ({ name, password }),
        );
        const [kitchen, counter] = users as [User, User];
        const orders = new Couch(upstream.url).use<{ note: string; status: string }>(
          new URL(await demo.database()).pathname.slice(1),
        );
        const [page, errors] = await open(browser, url);

        // Nobody sees an order who has not logged in.
        await page.waitForSelector('.login');
        await shoot(page, 'login');
        await page.fill('[name=name]', kitchen.name);
        await page.fill('[name=password]', 'wrong');
        await page.click('button[type=submit]');
        await page.waitForSelector('.error');
        // The browser itself notes a request that was refused, whoever handles it.
        expect(errors.splice(0)).toEqual([expect.stringMatching(/^Failed to load .* 401/)]);
        await logIn(page, kitchen);
        expect(await first(page)).toMatch(/Table 1\b/);
        expect(await page.locator('.orders li').count()).toBe(6);
        expect(await page.evaluate(() => document.body.scrollWidth <= innerWidth)).toBe(true);
        await shoot(page, 'list');

        // Another client pays, and the list of what is open is shorter, within a second.
        const before = performance.now();
        await firstValueFrom(
          orders.upsert('order-012', (order) => order && { ...order, status: 'paid' }),
        );
        await page.waitForFunction(() => document.querySelectorAll('.orders li').length === 5);
        const elapsed = performance.now() - before;
        process.stdout.write(`angular: a change was on the page after ${Math.round(elapsed)} ms\n`);
        await page.click('.filter button:text-is("paid")');
        await page.waitForFunction(() => document.querySelectorAll('.orders li').length === 4);

        // Two open the same order, and write into the same field.
        await page.click('.filter button:text-is("open")');
        await page.click('.orders a >> nth=0');
        await page.waitForSelector('form.card');
        const [other, complaints] = await open(browser, page.url(), 900);
        await logIn(other, counter);
        await other.waitForSelector('form.card');
        await page.fill('[name=note]', 'By the window');
        await other.fill('[name=note]', 'On the terrace');
        await other.fill('[name=dishes]', 'Espresso');
        await shoot(page, 'detail');
        await other.click('button[type=submit]');
        await page.waitForSelector('dialog[open]');
        // What only one has changed needs no decision.
        expect(await page.inputValue('[name=dishes]')).not.toBe('Espresso');
        expect(await page.locator('dialog fieldset').count()).toBe(1);
        await shoot(page, 'conflict');
        await page.click('dialog label:has-text("Theirs")');
        await page.click('dialog button');
        await page.waitForSelector('dialog:not([open])', { state: 'attached' });
        expect(await waitUntil(async () => (await note(page)) === 'On the terrace')).toBe(true);
        expect(await page.inputValue('[name=dishes]')).toBe('Espresso');

        // Once more, and this time one's own stays, on both pages.
        await page.fill('[name=note]', 'Under the tree');
        await other.fill('[name=note]', 'At the bar');
        await other.click('button[type=submit]');
        await page.waitForSelector('dialog[open]');
        await page.click('dialog button');
        await page.click('button[type=submit]');
        expect(await waitUntil(async () => (await note(other)) === 'Under the tree')).toBe(true);
        await page.waitForSelector('.saved:text-is("Saved")');
        expect(await noteOnServer(page)).toMatch(/revision [4-9]/);
        expect([...errors, ...complaints]).toEqual([]);
        await other.emulateMedia({ colorScheme: 'dark' });
        await shoot(other, 'detail-dark');

        // The server stops; what is typed meanwhile is kept, and saved when it is there again.
        await upstream.stop();
        await page.waitForSelector('.badge[data-status=waiting]', { timeout: 40_000 });
        await page.fill('[name=note]', 'Written offline');
        await page.click('button[type=submit]');
        await shoot(page, 'offline');
        await upstream.restart();
        await firstValueFrom(
          orders.upsert('order-001', (order) => order && { ...order, note: 'Meanwhile' }),
        );
        await page.waitForSelector('.badge[data-status=live]', { timeout: 40_000 });
        expect(await waitUntil(async () => (await note(other)) === 'Written offline', 40_000)).toBe(
          true,
        );
        await other.click('.back');
        await other.click('.filter button:text-is("all")');
        await other.click('.orders li:last-child a');
        expect(await waitUntil(async () => (await note(other)) === 'Meanwhile')).toBe(true);
        await shoot(other, 'caught-up');
        const noted = /^Failed to load resource: |net::ERR_/;
        expect([...errors, ...complaints].filter((line) => !noted.test(line))).toEqual([]);

        await page.click('text=Log out');
        await page.waitForSelector('.login');
        demo.child.kill('SIGINT');
        expect(await demo.ended()).toBe(0);
        expect(readdirSync(temporary)).toEqual([]);
      } finally {
        await browser.close();
        await upstream.close();
      }
    },
    PATIENCE,
  );
});
