import { afterAll, beforeAll, describe, expect, it, jest } from '@jest/globals';
import type * as Corduroy from 'corduroy';
import { build } from 'esbuild';
import { fileURLToPath } from 'node:url';
import type { Browser, Page } from 'playwright-core';
import { hasChromium, launchChromium } from './helpers/chromium.ts';
import { type FaultyProxy, startFaultyProxy } from './helpers/faulty-proxy.ts';
import type { RunningServer } from './helpers/running-server.ts';
import { server as shared } from './helpers/server.ts';
import { startServerForPages } from './helpers/servers.ts';
import { type StubServer, startStub } from './helpers/stub-server.ts';

// A page of one origin, a CouchDB of another, and a session with a cookie that scripts cannot read.

jest.setTimeout(60_000);

const entryPoint = fileURLToPath(new URL('../src/index.browser.ts', import.meta.url));

/** The same page under a name that a browser takes for another site. */
const ofOtherSite = (url: string): string => url.replace('127.0.0.1', 'localhost');

const describeIf = hasChromium && shared.kind !== 'given' ? describe : describe.skip;

describeIf('a session of a page', () => {
  let server: RunningServer;
  let pages: StubServer;
  let proxy: FaultyProxy;
  let browser: Browser;
  let bundle: string;

  beforeAll(async () => {
    pages = await startStub((_request, response) => {
      response.setHeader('content-type', 'text/html').end('<!doctype html><title>page</title>');
    });
    server = await startServerForPages([pages.url, ofOtherSite(pages.url)]);
    proxy = await startFaultyProxy(server.url);
    browser = await launchChromium();
    const options = { bundle: true, write: false, format: 'iife', globalName: 'corduroy' } as const;
    const { outputFiles } = await build({ entryPoints: [entryPoint], ...options });
    bundle = outputFiles[0]?.text ?? '';
  });
  afterAll(async () => {
    await browser?.close();
    await proxy?.close();
    await server?.stop();
    await pages?.close();
  });

  /** Opens a page with Corduroy, and with a `Couch` for the server of another origin. */
  async function open(page: Page, address = pages.url): Promise<void> {
    await page.goto(address);
    await page.addScriptTag({ content: bundle });
    await page.evaluate(
      ([url, username, password]) => {
        const { Couch, fetchTransport } = corduroy;
        const promised = (source: Subscribable): Promise<unknown> =>
          new Promise((resolve, reject) => {
            source.subscribe({ next: resolve, error: (error) => reject(new Error(error.message)) });
          });
        const session = { username, password };
        const inSession = new Couch(url, { auth: { session, loginInterval: 0 } });
        const later = new Couch(url, { transport: fetchTransport({ credentials: 'include' }) });
        const anonymous = new Couch(url);
        const failure = (source: Subscribable): Promise<unknown> =>
          promised(source).then(
            () => 'no failure',
            (error: Error) => error.message,
          );
        const globals = { promised, failure, inSession, later, anonymous, session };
        Object.assign(globalThis, globals);
      },
      [proxy.url, server.username, server.password] as const,
    );
  }

  /** Evaluates code in the page, and resolves to its result. */
  const run = (page: Page, code: string): Promise<unknown> => page.evaluate(code);
  const logins = (): number =>
    proxy.requests.filter(({ method, url }) => method === 'POST' && url === '/_session').length;

  it('has a cookie that the browser keeps and sends, and hides from scripts', async () => {
    const context = await browser.newContext();
    const page = await context.newPage();
    await open(page);
    const before = proxy.requests.length;
    expect(await run(page, 'promised(inSession.session())')).toMatchObject({
      name: 'admin',
      authenticated: 'cookie',
    });
    expect(await run(page, 'promised(inSession.allDbs())')).toEqual(expect.any(Array));
    expect(await run(page, 'document.cookie')).toBe('');
    const asked = proxy.requests.slice(before).filter(({ method }) => method !== 'OPTIONS');
    expect(asked.map(({ method, url }) => `${method} ${url}`)).toEqual([
      'POST /_session',
      'GET /_session',
      'GET /_all_dbs',
    ]);
    for (const { headers } of asked) expect(headers['authorization']).toBeUndefined();
    for (const { headers } of asked.slice(1)) {
      expect(headers['cookie']).toMatch(/^AuthSession=./);
    }
    // A `Couch` without a session does not send its cookie.
    expect(await run(page, 'promised(anonymous.session())')).toMatchObject({ name: null });
    await context.close();
  });

  it('survives a reload of the page, and ends with a logout', async () => {
    const context = await browser.newContext();
    const page = await context.newPage();
    await open(page);
    const login = 'promised(anonymous.login(session.username, session.password))';
    expect(await run(page, login)).toMatchObject({ name: 'admin' });
    expect(await run(page, 'promised(anonymous.session())')).toMatchObject({ name: 'admin' });
    await open(page);
    const before = logins();
    expect(await run(page, 'promised(later.session())')).toMatchObject({ name: 'admin' });
    expect(logins()).toBe(before);
    expect(await run(page, 'promised(later.logout())')).toEqual({ ok: true });
    await open(page);
    expect(await run(page, 'promised(later.session())')).toMatchObject({ name: null });
    await context.close();
  });

  it('survives a refused login, for all tabs', async () => {
    const context = await browser.newContext();
    const page = await context.newPage();
    await open(page);
    const login = 'login(session.username, session.password)';
    await run(page, `promised(anonymous.${login})`);
    await run(
      page,
      'globalThis.users = []; anonymous.session$.subscribe((s) => users.push(s.name))',
    );
    expect(await run(page, "failure(anonymous.login(session.username, 'bad'))")).toMatch(/ 401 /);
    expect(await run(page, 'promised(anonymous.session())')).toMatchObject({ name: 'admin' });
    expect(await run(page, 'promised(anonymous.allDbs())')).toEqual(expect.any(Array));
    const tab = await context.newPage();
    await open(tab);
    expect(await run(tab, 'promised(later.session())')).toMatchObject({ name: 'admin' });
    expect(await run(page, 'users')).toEqual(['admin']);
    await context.close();
  });

  it('of an earlier page ends with a refused login, which `session$` tells', async () => {
    const context = await browser.newContext();
    const page = await context.newPage();
    await open(page);
    await run(page, 'promised(anonymous.login(session.username, session.password))');
    await open(page);
    await run(page, 'globalThis.users = []; later.session$.subscribe((s) => users.push(s.name))');
    await page.waitForFunction('users.length === 1');
    expect(await run(page, "failure(later.login(session.username, 'bad'))")).toMatch(/ 401 /);
    await page.waitForFunction('users.length === 2');
    expect(await run(page, 'users')).toEqual(['admin', null]);
    await context.close();
  });

  it('fails to begin if the browser drops its cookie, with the likely cause', async () => {
    const context = await browser.newContext();
    const page = await context.newPage();
    await open(page, ofOtherSite(pages.url));
    const login = 'failure(anonymous.login(session.username, session.password))';
    const message = await run(page, login);
    expect(message).toMatch(/did not keep the session's cookie/);
    expect(message).toMatch(/same_site = none.*third-party cookies.*own origin/);
    await context.close();
  });

  it('is renewed once if its cookie is missing', async () => {
    const context = await browser.newContext();
    const page = await context.newPage();
    await open(page);
    await run(page, 'promised(inSession.session())');
    await context.clearCookies();
    const before = logins();
    expect(await run(page, 'promised(inSession.allDbs())')).toEqual(expect.any(Array));
    expect(logins()).toBe(before + 1);
    await context.close();
  });
});

interface Subscribable {
  subscribe(observer: { next: (value: unknown) => void; error: (error: Error) => void }): unknown;
}

/** The globals that the bundle defines in the page. */
declare const corduroy: typeof Corduroy;
