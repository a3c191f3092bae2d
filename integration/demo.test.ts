import { describe, expect, it } from '@jest/globals';
import { readdirSync } from 'node:fs';
import type { RequestEvent } from 'corduroy';
import type { Page } from 'playwright-core';
import { withRequest } from '../examples/dashboard/page/request-log.ts';
import { hasChromium, launchChromium } from './helpers/chromium.ts';
import { Demo, waitFor, temporary } from './helpers/demo.ts';

/** The first test may have to build the package. */
const PATIENCE = 90_000;

interface Stats {
  openFeeds: number;
  ownFeeds: number;
  cuts: number;
  cutLeft: number;
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
        /^([\d,]+) documents loaded, ([\d,]+) updates? written, ([\d,]+) changes received in (\d+) batch(?:es)?, (\d+) reconnections?; (.*)$/
          .exec(summary)
          ?.slice(1);
      const [loaded, written, seen, batches, reconnections] = (numbers ?? []).map((text) =>
        Number(text.replaceAll(',', '')),
      );
      expect(summary).toMatch(
        /; nothing lost: the feed emitted the last revision of every document$/,
      );
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

  it.each([
    ['at CouchDB', []],
    ['at the relay', ['--relay']],
  ] as const)(
    'measures listeners %s',
    async (where, args) => {
      const run = demo('--once', '--listeners', '20', ...args);
      const code = await run.ended();
      const cost = /^Cost: (.*)$/m.exec(run.output)?.[1] ?? run.output;
      const cpu = String.raw`(?:\d+ % of a core|unknown)`;
      const relay = where === 'at the relay' ? `, relay ${cpu}` : '';
      expect(cost).toMatch(
        new RegExp(
          String.raw`^20 listeners ${where}; CPU: CouchDB ${cpu}${relay}; ` +
            String.raw`lag: \d+ ms at the median, \d+ ms at 95 %$`,
        ),
      );
      expect(run.output).toMatch(/; nothing lost: /);
      expect(run.output).not.toMatch(/Warning/);
      expect(code).toBe(0);
      expect(readdirSync(temporary)).toEqual([]);
    },
    PATIENCE,
  );

  (process.platform === 'win32' ? it.skip : it)(
    'says that a process may open too few files',
    async () => {
      const limited = 'ulimit -n 1000 && exec "$0" examples/dashboard/demo.mjs --listeners 900';
      const run = new Demo('sh', ['-c', limited, process.execPath]);
      expect(await run.ended()).toBe(2);
      expect(run.output).toMatch(
        /^--listeners 900 needs 1100 open files, and this system allows a process 1000: run .*\n$/,
      );
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
      expect(await waitFor(async () => !(await answers(page)))).toBe(true);
      expect(await waitFor(async () => !(await answers(database)))).toBe(true);
      expect(await waitFor(async () => readdirSync(temporary).length === 0)).toBe(true);
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
    [['--port', 'x'], 2, /^--port must be a number from 0 to 65535.*\n$/],
    [['http://a:secret@b'], 2, /^An argument has no option before it.*\n$/],
    [['--url', 'ftp://a:secret@b'], 2, /^--url must be a server URL.*\n$/],
    [['--listeners', 'many'], 2, /^--listeners must be a whole number from 1 to 20000.*\n$/],
    [['--listeners', '0'], 2, /^--listeners must be a whole number from 1 to 20000.*\n$/],
    [['--relay', '7'], 2, /^An argument has no option before it.*\n$/],
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

/** Opens the demo's page in a phone-sized browser. `errors` collects its console's complaints. */
async function browse(url: string, use: (page: Page, errors: string[]) => Promise<void>) {
  const browser = await launchChromium();
  try {
    const page = await browser.newPage({ viewport: { width: 390, height: 844 } });
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

/** Reads the page as its user does. */
class Reader {
  readonly page: Page;

  constructor(page: Page) {
    this.page = page;
  }

  text(id: string): Promise<string> {
    return this.page.locator(`#${id}`).innerText();
  }

  async number(id: string): Promise<number> {
    return Number((await this.text(id)).replaceAll(',', ''));
  }

  /** The four counters of one moment. */
  counters(): Promise<{ written: number; arrived: number; onTheWay: number; lost: number }> {
    return this.page.evaluate(() => {
      const read = (id: string): number =>
        Number(document.getElementById(id)?.textContent?.replaceAll(',', ''));
      const [written, arrived] = [read('written'), read('arrived')];
      return { written, arrived, onTheWay: read('on-the-way'), lost: read('lost') };
    });
  }

  badge(status: string): Promise<unknown> {
    return this.page.waitForSelector(`#badge[data-status=${status}]`, { timeout: 15_000 });
  }

  /** Reads the moving layer of the map: how many pixels it has drawn, and a number for its content. */
  drawing(): Promise<{ pixels: number; hash: number }> {
    return this.page.evaluate(() => {
      const canvas = document.querySelectorAll<HTMLCanvasElement>('#map canvas')[1];
      if (canvas === undefined) return { pixels: 0, hash: 0 };
      const { width, height } = canvas;
      const copy = new OffscreenCanvas(width, height).getContext('2d', {
        willReadFrequently: true,
      });
      copy?.drawImage(canvas, 0, 0);
      let [pixels, hash] = [0, 0];
      copy?.getImageData(0, 0, width, height).data.forEach((value, index) => {
        if (index % 4 === 3 && value > 0) pixels += 1;
        hash = (hash * 31 + value) % 1_000_003;
      });
      return { pixels, hash };
    });
  }

  async drawnPixels(): Promise<number> {
    return (await this.drawing()).pixels;
  }

  /** Tells whether the map does not change for a while. */
  async standsStill(): Promise<boolean> {
    const { hash } = await this.drawing();
    await this.page.waitForTimeout(300);
    return (await this.drawing()).hash === hash;
  }

  /** The texts of the elements that are wider or higher than the place they have. */
  cutTexts(selector: string): Promise<string[]> {
    return this.page.evaluate(
      (cells) =>
        [...document.querySelectorAll<HTMLElement>(cells)]
          .filter(({ scrollWidth, clientWidth }) => scrollWidth > clientWidth)
          .map(({ innerText }) => innerText),
      selector,
    );
  }

  /** Elements that are wider than the window, if the page can be scrolled sideways. */
  wide(): Promise<string[]> {
    return this.page.evaluate(() =>
      document.body.scrollWidth <= innerWidth
        ? []
        : [...document.querySelectorAll('*')]
            .map((element) => [element, Math.round(element.getBoundingClientRect().right)] as const)
            .filter(([, right]) => right > innerWidth)
            .map(([{ localName, id }, right]) => `${localName}#${id} ends at ${right}`),
    );
  }
}

/** Runs a test against the demo's page, in a phone-sized Chromium. */
function pageTest(
  title: string,
  use: (reader: Reader, url: string, errors: string[]) => Promise<void>,
  args: readonly string[] = [],
): void {
  if (!hasChromium) {
    it.skip(`${title} (skipped: needs Chromium, which is not installed)`, () => {});
    return;
  }
  it(
    title,
    async () => {
      const run = demo(...args);
      const url = await run.page();
      await browse(url, async (page, errors) => use(new Reader(page), url, errors));
      run.child.kill('SIGINT');
      expect(await run.ended()).toBe(0);
    },
    PATIENCE,
  );
}

describe('the page', () => {
  pageTest(
    'draws the flights, on one connection for two subscribers',
    async (reader, url, errors) => {
      const { page } = reader;
      await reader.badge('live');
      expect(await reader.text('badge-word')).toBe('Live');
      await page.waitForFunction(() =>
        /^Map of the United States with \d+ airports in use\. The busiest are .* with \d+ flights/.test(
          document.querySelector('#map')?.getAttribute('aria-label') ?? '',
        ),
      );
      expect(await waitFor(async () => (await reader.counters()).arrived > 20)).toBe(true);
      expect(await reader.drawnPixels()).toBeGreaterThan(100);
      expect(await waitFor(async () => !(await reader.standsStill()))).toBe(true);
      expect(await reader.text('totals')).toMatch(/^[\d,]+ changes? in (1 batch|[\d,]+ batches)$/);
      expect(await reader.wide()).toEqual([]);
      expect(await reader.cutTexts('dt, dd, button, h2')).toEqual([]);

      // One for the terminal, one for the page: with one subscriber, and with two.
      expect(await statsOf(url)).toMatchObject({ openFeeds: 2, cuts: 0 });
      await page.click('#second');
      await page.waitForFunction(() =>
        /^[\d,]+ changes? in (1 batch|[\d,]+ batches)$/.test(
          document.querySelector('#second-text')?.textContent ?? '',
        ),
      );
      expect((await statsOf(url)).openFeeds).toBe(2);
      expect(await reader.text('own-feeds')).toBe('1');
      await page.click('#second');
      expect(await reader.text('second-text')).toBe('off');
      expect((await statsOf(url)).openFeeds).toBe(2);
      expect(errors).toEqual([]);
    },
  );

  pageTest(
    'has its feed through a relay, and shows what listeners cost',
    async (reader, url, errors) => {
      await reader.badge('live');
      expect(await waitFor(async () => (await reader.counters()).arrived > 20)).toBe(true);
      const listeners = async (): Promise<boolean> =>
        (await reader.text('listeners')) === '20 of 20';
      expect(await waitFor(listeners, 15_000)).toBe(true);
      const measured = async (): Promise<boolean> =>
        /^\d+ ms, \d+ ms$/.test(await reader.text('lag')) &&
        /^(\d+ % of a core|unknown)$/.test(await reader.text('relay-cpu'));
      expect(await waitFor(measured, 15_000)).toBe(true);
      expect(await reader.cutTexts('dt, dd, button, h2')).toEqual([]);
      expect(await reader.wide()).toEqual([]);
      expect(await statsOf(url)).toMatchObject({ openFeeds: 2 });
      await reader.page.click('#cut');
      await reader.badge('waiting');
      await reader.badge('live');
      expect((await reader.counters()).lost).toBe(0);
      const logged = 'Failed to load resource: net::ERR_';
      expect(errors.filter((line) => !line.startsWith(logged))).toEqual([]);
    },
    ['--relay', '--listeners', '20'],
  );

  pageTest('survives a cut, and receives every flight of it', async (reader, url, errors) => {
    const { page } = reader;
    await reader.badge('live');
    expect(await waitFor(async () => (await reader.counters()).arrived > 10)).toBe(true);
    expect(errors).toEqual([]);

    await page.click('#cut');
    // The first waits are short: one evaluation must read everything.
    await page.waitForFunction(() => {
      const text = (id: string): string => document.getElementById(id)?.textContent ?? '';
      const left = Number.parseFloat(text('left'));
      return (
        text('badge-word') === 'Waiting' &&
        text('retry-title') === 'The feed retries' &&
        /^\d+$/.test(text('attempt')) &&
        /^\d\.\d s$/.test(text('delay')) &&
        left > 0 &&
        left <= Number.parseFloat(text('delay')) &&
        text('last-error').endsWith('Error') &&
        document.querySelector<HTMLButtonElement>('#retry')?.disabled === false
      );
    });
    expect(await statsOf(url)).toMatchObject({ openFeeds: 0, cuts: 1 });

    // An immediate attempt does not wait for the time that is left.
    await reader.badge('waiting');
    const title = await page.evaluate(() => {
      document.querySelector<HTMLButtonElement>('#retry')?.click();
      return document.querySelector('#retry-title')?.textContent;
    });
    expect(title).toMatch(/^Attempt \d+ is running$/);

    // The demo goes on writing, and the map stands still once its last arcs have faded.
    expect(await waitFor(async () => (await reader.counters()).onTheWay > 30)).toBe(true);
    const { arrived } = await reader.counters();
    expect(await waitFor(() => reader.standsStill())).toBe(true);
    expect((await statsOf(url)).openFeeds).toBe(0);
    expect(await reader.counters()).toMatchObject({ arrived, lost: 0 });
    expect(await reader.text('map-message')).toMatch(/^Connection cut: \d+ flights wait$/);

    // The feed does not finish its wait: it retries as soon as the cut ends.
    expect(await waitFor(async () => (await statsOf(url)).cutLeft === 0)).toBe(true);
    const restored = Date.now();
    await reader.badge('live');
    expect(Date.now() - restored).toBeLessThan(1_000);
    await page.waitForFunction(() =>
      /^Restored: \d+ missed flights arrived, 0 lost$/.test(
        document.querySelector('#map-message')?.textContent ?? '',
      ),
    );
    const message = await reader.text('map-message');
    expect(Number(/\d+/.exec(message)?.[0])).toBeGreaterThan(30);
    // The sweep: at one moment, the map shows far more than the flights of a usual batch.
    const usual = await reader.drawnPixels();
    expect(await waitFor(async () => (await reader.drawnPixels()) > usual * 1.5, 3_000)).toBe(true);
    expect(await reader.text('retry-title')).toBe('Nothing to retry: reconnected 1 time');

    // Now and then nothing is on the way: then both counts must be equal.
    const equal = await waitFor(async () => {
      const counters = await reader.counters();
      expect(counters.written).toBe(counters.arrived + counters.onTheWay + counters.lost);
      return counters.lost === 0 && counters.written === counters.arrived;
    }, 15_000);
    expect(equal).toBe(true);
    expect((await reader.counters()).arrived).toBeGreaterThan(arrived + 30);
    expect(await waitFor(async () => (await statsOf(url)).openFeeds === 2)).toBe(true);
    // Chromium itself logs each request that failed, whether or not the page handles the error.
    const logged = 'Failed to load resource: net::ERR_';
    expect(errors.filter((line) => !line.startsWith(logged))).toEqual([]);
  });

  pageTest(
    'shows the same figures as a table, without cutting one',
    async (reader, url, errors) => {
      const { page } = reader;
      await reader.badge('live');
      await page.locator('#map-tab').focus();
      await page.keyboard.press('ArrowRight');
      expect(await page.locator('#table-tab').getAttribute('aria-selected')).toBe('true');
      expect(await page.evaluate(() => document.activeElement?.id)).toBe('table-tab');
      expect(await page.locator('#map-panel').isVisible()).toBe(false);
      expect(await page.getByRole('tabpanel', { name: 'Table' }).isVisible()).toBe(true);

      expect(await waitFor(async () => (await reader.text('airport-count')) === '3,376')).toBe(
        true,
      );
      expect(await waitFor(async () => (await page.locator('#airports tr').count()) === 15)).toBe(
        true,
      );
      const [code = '', , flights = ''] = await page
        .locator('#airports tr')
        .first()
        .locator('th, td')
        .allInnerTexts();
      expect(code).toMatch(/^[A-Z]{3}$/);
      const airport = (await (await fetch(new URL(`couch/airports/${code}`, url))).json()) as {
        departures: number;
        arrivals: number;
      };
      expect(Number(flights)).toBeGreaterThan(0);
      expect(Number(flights)).toBeLessThanOrEqual(airport.departures + airport.arrivals);
      // Busy moments change most rows: marking them all would say nothing.
      expect(await page.locator('#airports tr.last').count()).toBeLessThanOrEqual(1);

      for (const width of [390, 1280]) {
        await page.setViewportSize({ width, height: 844 });
        expect(await reader.cutTexts('#table-panel th, #table-panel td')).toEqual([]);
        expect(await reader.wide()).toEqual([]);
      }
      await page.keyboard.press('Home');
      expect(await page.locator('#map-panel').isVisible()).toBe(true);
      expect(errors).toEqual([]);
    },
  );

  pageTest('logs its requests, newest first, without cutting one', async (reader, _url, errors) => {
    const { page } = reader;
    const log = (): Promise<string[]> =>
      page.evaluate(() =>
        [...document.querySelectorAll<HTMLTableRowElement>('#requests tr')].map((row) =>
          [...row.cells].map(({ textContent }) => textContent).join(' '),
        ),
      );
    const logged = (pattern: RegExp): Promise<boolean> =>
      waitFor(async () => (await log()).some((line) => pattern.test(line)), 15_000);
    await reader.badge('live');
    await page.locator('#map-tab').focus();
    await page.keyboard.press('End');
    expect(await page.getByRole('tabpanel', { name: 'Requests' }).isVisible()).toBe(true);
    expect(await page.locator('#map-panel').isVisible()).toBe(false);
    expect(await logged(/^GET \/\{db\}\/_changes 200, open – 0$/)).toBe(true);
    expect(await logged(/^GET \/\{db\}\/_all_docs 200 (\d+ ms|\d+\.\d s) 0$/)).toBe(true);
    expect(errors).toEqual([]);

    await page.click('#cut');
    expect(await logged(/^GET \/\{db\}\/_changes no answer (\d+ ms|\d+\.\d s) 0$/)).toBe(true);
    expect(await logged(/^GET \/\{db\}\/_changes 200, open – 0$/)).toBe(true);
    const lines = await log();
    const at = (text: string): number => lines.findIndex((line) => line.includes(text));
    expect(at('200, open')).toBeGreaterThanOrEqual(0);
    expect(at('200, open')).toBeLessThan(at('no answer'));
    expect(at('no answer')).toBeLessThan(at('200, cut'));
    // The row tells why on demand.
    const why = page.locator('#requests tr[data-outcome=failed]').first();
    expect(await why.getAttribute('title')).toMatch(/no connection/);

    for (const width of [390, 1280]) {
      await page.setViewportSize({ width, height: 844 });
      expect(await reader.cutTexts('#requests-panel :is(caption, th, td), #clock')).toEqual([]);
      expect(await reader.wide()).toEqual([]);
    }
  });

  it('logs the last 15 requests only, each with its last event', () => {
    const event = (id: number, type: RequestEvent['type']): RequestEvent =>
      ({ id, type }) as RequestEvent;
    const numbers = Array.from({ length: 40 }, (_, i) => i + 1);
    const log = numbers
      .flatMap((id) => [event(id, 'start'), event(id, 'response'), event(id, 'end')])
      .concat(event(41, 'start'), event(30, 'abort'), event(1, 'end'))
      .reduce(withRequest, []);
    expect(log.map(({ id }) => id)).toEqual(Array.from({ length: 15 }, (_, i) => 41 - i));
    expect(log.map(({ type }) => type)).toEqual(
      log.map(({ id }) => (id === 41 ? 'start' : id === 30 ? 'abort' : 'end')),
    );
  });

  pageTest('has everything above the fold on a laptop', async ({ page }) => {
    await page.setViewportSize({ width: 1280, height: 800 });
    expect(
      await page.evaluate(() =>
        [...document.querySelectorAll('section')].map((section) => {
          const { bottom, height } = section.getBoundingClientRect();
          return height > 0 && bottom <= innerHeight;
        }),
      ),
    ).toEqual([true, true, true, true, true]);
  });

  pageTest('draws no arc for people who prefer reduced motion', async (reader) => {
    const { page } = reader;
    await page.emulateMedia({ reducedMotion: 'reduce' });
    await page.reload();
    await reader.badge('live');
    expect(await waitFor(async () => (await reader.counters()).arrived > 40)).toBe(true);
    const still = await reader.drawnPixels();
    expect(still).toBeGreaterThan(100);
    await page.emulateMedia({ reducedMotion: 'no-preference' });
    expect(await waitFor(async () => (await reader.drawnPixels()) > still * 1.3)).toBe(true);
  });
});
