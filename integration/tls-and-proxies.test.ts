// The compiler must be imported first, because Angular's packages are compiled as they load.
import '@angular/compiler';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { Agent as HttpAgent } from 'node:http';
import { Agent as HttpsAgent, createServer } from 'node:https';
import type { Server, ServerOptions } from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TLSSocket } from 'node:tls';
import { fileURLToPath } from 'node:url';
import { inspect, promisify } from 'node:util';
import { Couch, fetchTransport, gotTransport } from 'corduroy';
import type { CorduroyError, GotTransportOptions, Transport } from 'corduroy';
import { httpClientTransport } from 'corduroy/angular';
import { undiciTransport } from 'corduroy/undici';
import { build } from 'esbuild';
import { firstValueFrom } from 'rxjs';
import { Agent } from 'undici';
import { startConnectProxy } from './helpers/connect-proxy.ts';
import type { ConnectProxy } from './helpers/connect-proxy.ts';
import { json, startStub } from './helpers/stub-server.ts';
import type { StubServer } from './helpers/stub-server.ts';

// Connections of the transports in Node: certificates of servers and clients, proxies, and clients of
// the user.

const pem = (name: string): string =>
  readFileSync(new URL(`helpers/certificates/${name}.pem`, import.meta.url), 'utf8');
const ca = pem('ca');
const cert = pem('client');
const key = pem('client-key');

type NodeTransport = (options?: Omit<GotTransportOptions, 'agent'>) => Transport;
const transports: [string, NodeTransport][] = [
  ['gotTransport', gotTransport],
  ['undiciTransport', undiciTransport],
];

/** A server over TLS, which answers with the name in the certificate of its client. */
async function startTls(options: ServerOptions = {}): Promise<{ url: string; server: Server }> {
  const identity = { cert: pem('server'), key: pem('server-key') };
  const server = createServer({ ...identity, ...options }, (request, response) => {
    const { subject } = (request.socket as TLSSocket).getPeerCertificate();
    response.setHeader('content-type', 'application/json');
    response.end(JSON.stringify({ version: subject?.CN ?? 'anonymous' }));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return { url: `https://localhost:${(server.address() as AddressInfo).port}`, server };
}

async function close(server: Server): Promise<void> {
  const ended = once(server, 'close');
  server.close();
  server.closeAllConnections();
  await ended;
}

const version = (url: string, transport: Transport): Promise<string> =>
  firstValueFrom(new Couch(url, { transport }).version());
const failureOf = (url: string, transport: Transport): Promise<CorduroyError> =>
  version(url, transport).then(
    (value) => {
      throw new Error(`it did not fail, but emitted ${value}`);
    },
    (error: unknown) => error as CorduroyError,
  );

let plain: StubServer;
let secure: { url: string; server: Server };
let strict: { url: string; server: Server };
beforeAll(async () => {
  plain = await startStub(json({ version: 'plain' }));
  secure = await startTls();
  strict = await startTls({ ca, requestCert: true, rejectUnauthorized: true });
});
afterAll(async () => {
  await plain.close();
  await close(secure.server);
  await close(strict.server);
});

describe.each(transports)('%s', (kind, make) => {
  describe('certificates', () => {
    it('accepts a server whose authority is in ca, alone or among others', async () => {
      expect(await version(secure.url, make({ ca }))).toBe('anonymous');
      expect(await version(secure.url, make({ ca: Buffer.from(ca) }))).toBe('anonymous');
      expect(await version(secure.url, make({ ca: [pem('other-ca'), ca] }))).toBe('anonymous');
    });

    it.each([
      ['without ca', {}],
      ['with another ca', { ca: pem('other-ca') }],
    ])('refuses a server %s, and says what to do', async (_, options) => {
      const error = await failureOf(secure.url, make(options));
      expect(error).toMatchObject({ name: 'ConnectionError', transient: false });
      expect(error.message).toMatch(/^GET https:\/\/localhost:\d+\/: no connection: .*certificate/);
      expect(error.message).toContain('pass the certificate of the authority');
    });

    it('accepts any server with rejectUnauthorized: false', async () => {
      expect(await version(secure.url, make({ rejectUnauthorized: false }))).toBe('anonymous');
    });

    it.each(['TLSv1.2', 'TLSv1.3'] as const)('shows its certificate over %s', async (max) => {
      const tls = await startTls({ ca, requestCert: true, maxVersion: max });
      try {
        expect(await version(tls.url, make({ ca, cert, key }))).toBe('client');
        const refused = await failureOf(tls.url, make({ ca }));
        expect(refused).toMatchObject({ name: 'ConnectionError' });
        expect(refused.message).toContain('pass cert and key');
        const encrypted = { key: pem('client-key-encrypted'), passphrase: 'opensesame' };
        expect(await version(tls.url, make({ ca, cert, ...encrypted }))).toBe('client');
      } finally {
        await close(tls.server);
      }
    });

    it('refuses certificates and keys that are none, without showing them', () => {
      const secret = '-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----';
      const wrong: [GotTransportOptions, RegExp][] = [
        [{ ca: 'secret' }, /ca must be certificates as PEM/],
        [{ ca: [] }, /ca must be certificates as PEM/],
        [{ ca: [ca, key] }, /ca must be certificates as PEM/],
        [{ ca: 5 as never }, /ca must be certificates as PEM/],
        [{ cert }, /cert and key need each other/],
        [{ key }, /cert and key need each other/],
        [{ passphrase: 'secret' }, /passphrase needs key/],
        [{ cert: 'secret', key: secret }, /cert must be a certificate, and key its private key/],
        [{ cert, key: secret }, /cert must be a certificate, and key its private key/],
        [{ cert, key: pem('server-key') }, /cert must be a certificate, and key its private key/],
        [
          { cert, key: pem('client-key-encrypted'), passphrase: 'secret' },
          /an encrypted key needs the right passphrase/,
        ],
        [{ cert, key: 5 as never }, /key must be a text or bytes, as PEM \(received number\)/],
      ];
      for (const [options, message] of wrong) {
        let thrown: unknown;
        try {
          make(options);
        } catch (error) {
          thrown = error;
        }
        expect(thrown).toBeInstanceOf(TypeError);
        expect(String(thrown)).toMatch(message);
        expect(inspect(thrown, { depth: 9 })).not.toMatch(/secret|c2VjcmV0/);
      }
    });
  });

  describe('proxies', () => {
    let proxy: ConnectProxy;
    const names = ['HTTP_PROXY', 'HTTPS_PROXY', 'NO_PROXY'].flatMap((name) => [
      name,
      name.toLowerCase(),
    ]);
    const before = names.map((name) => process.env[name]);
    const setEnvironment = (values: Readonly<Record<string, string | undefined>>): void => {
      for (const name of names) {
        const value = values[name];
        if (value === undefined) delete process.env[name];
        else process.env[name] = value;
      }
    };
    beforeEach(async () => {
      proxy = await startConnectProxy();
      setEnvironment({});
    });
    afterEach(async () => {
      setEnvironment(Object.fromEntries(names.map((name, i) => [name, before[i]])));
      await proxy.close();
    });
    const hostOf = (url: string): string => new URL(url).host;

    it('tunnels requests to http and https servers, with the certificate of the client', async () => {
      const transport = make({ proxy: proxy.url, ca, cert, key });
      expect(await version(plain.url, transport)).toBe('plain');
      expect(await version(secure.url, transport)).toBe('anonymous');
      expect(await version(strict.url, transport)).toBe('client');
      expect(proxy.tunnels).toEqual([plain.url, secure.url, strict.url].map(hostOf));
    });

    it('keeps a tunnel for further requests', async () => {
      const transport = make({ proxy: proxy.url, ca, maxSockets: 1 });
      for (let i = 0; i < 3; i++) expect(await version(secure.url, transport)).toBe('anonymous');
      expect(proxy.tunnels).toHaveLength(1);
    });

    it('verifies the server behind the proxy', async () => {
      const error = await failureOf(secure.url, make({ proxy: proxy.url }));
      expect(error).toMatchObject({ name: 'ConnectionError', transient: false });
      expect(error.message).toContain('pass the certificate of the authority');
    });

    it('logs in to the proxy, and shows its user and password in no error', async () => {
      const password = 'päss/wörd';
      proxy.authorization = `Basic ${Buffer.from(`ada:${password}`).toString('base64')}`;
      const withUser = (secret: string): Transport =>
        make({ proxy: proxy.url.replace('//', `//ada:${encodeURIComponent(secret)}@`), ca });
      expect(await version(secure.url, withUser(password))).toBe('anonymous');
      for (const transport of [withUser('wrong-secret'), make({ proxy: proxy.url, ca })]) {
        const error = await failureOf(secure.url, transport);
        expect(error.message).toContain(
          `the proxy ${proxy.url} requires a user and a password (status 407)`,
        );
        expect(inspect(error, { depth: 9, showHidden: true })).not.toMatch(
          /wrong-secret|ada:|d3Jvbmct/,
        );
      }
    });

    it('names the proxy if it opens no tunnel, is down or unknown', async () => {
      proxy.refusal = 403;
      expect((await failureOf(secure.url, make({ proxy: proxy.url }))).message).toContain(
        `the proxy ${proxy.url} opens no tunnel to the server (status 403)`,
      );
      const gone = await startStub();
      await gone.close();
      const down = make({ proxy: gone.url.replace('//', '//ada:secret@') });
      const refused = await failureOf(secure.url, down);
      expect(refused).toMatchObject({ code: 'ECONNREFUSED', transient: true });
      expect(refused.message).toContain(`no connection: the proxy ${gone.url}: `);
      const unknown = make({ proxy: 'http://ada:secret@proxy.invalid:3128' });
      const error = await failureOf(secure.url, unknown);
      expect(error.message).toContain('the proxy http://proxy.invalid:3128: getaddrinfo');
      expect(error.message + refused.message).not.toContain('secret');
    });

    if (kind === 'gotTransport') {
      it('closes the connection to a silent proxy when the subscriber leaves', async () => {
        proxy.isSilent = true;
        for (const url of [plain.url, secure.url]) {
          const requested = proxy.requested();
          const couch = new Couch(url, { transport: make({ proxy: proxy.url }) });
          const subscription = couch.version().subscribe();
          const closed = once(await requested, 'close');
          subscription.unsubscribe();
          await closed;
        }
      });
    }

    it('ignores the environment by default', async () => {
      setEnvironment({ HTTP_PROXY: proxy.url, HTTPS_PROXY: proxy.url });
      expect(await version(secure.url, make({ ca }))).toBe('anonymous');
      expect(proxy.tunnels).toEqual([]);
    });

    const port = (): string => new URL(plain.url).port;
    it.each([
      ['HTTP_PROXY', () => ({ HTTP_PROXY: proxy.url }), ['plain']],
      ['http_proxy', () => ({ http_proxy: proxy.url, HTTP_PROXY: 'http://x.invalid' }), ['plain']],
      ['HTTPS_PROXY', () => ({ HTTPS_PROXY: proxy.url }), ['secure']],
      ['https_proxy', () => ({ https_proxy: proxy.url }), ['secure']],
      ['no scheme', () => ({ https_proxy: hostOf(proxy.url) }), ['secure']],
      ['NO_PROXY', () => ({ NO_PROXY: 'x, localhost' }), ['plain']],
      ['no_proxy', () => ({ no_proxy: 'localhost x', NO_PROXY: '*' }), ['plain']],
      ['NO_PROXY *', () => ({ NO_PROXY: '*' }), []],
      ['a domain', () => ({ NO_PROXY: '.localhost,*.0.0.1' }), []],
      ['a port', () => ({ NO_PROXY: `127.0.0.1:${port()},localhost:1` }), ['secure']],
      ['a suffix', () => ({ NO_PROXY: 'calhost,7.0.0.1,[::1],::1' }), ['plain', 'secure']],
      ['an empty value', () => ({ HTTP_PROXY: '', NO_PROXY: '' }), ['secure']],
    ])("follows the environment with 'environment': %s", async (_, values, expected) => {
      const given: Readonly<Record<string, string | undefined>> = values();
      const isAboutExceptions = Object.keys(given).some((name) => /^no_proxy$/i.test(name));
      const all = { HTTP_PROXY: proxy.url, HTTPS_PROXY: proxy.url };
      setEnvironment(isAboutExceptions ? { ...all, ...given } : given);
      const transport = make({ proxy: 'environment', ca });
      expect(await version(plain.url, transport)).toBe('plain');
      expect(await version(secure.url, transport)).toBe('anonymous');
      const urls: Readonly<Record<string, string>> = { plain: plain.url, secure: secure.url };
      expect(proxy.tunnels).toEqual(expected.map((name) => hostOf(urls[name] ?? '')));
    });

    it('refuses what is no proxy, also in the environment, without showing it', () => {
      const wrong = ['', 'proxy:3128', 'socks5://ada:secret@proxy', 'http://ada:se cret@[', true];
      for (const value of wrong) {
        const create = (): Transport => make({ proxy: value as string });
        expect(create).toThrow(
          `${kind}: proxy must be the URL of an HTTP proxy, such as http://proxy.example:3128, ` +
            `or 'environment'`,
        );
      }
      expect(() => make({ proxy: 'http://ada:%E0%A4%A@proxy' })).toThrow(
        `${kind}: proxy: its password must be percent-encoded; use encodeURIComponent`,
      );
      setEnvironment({ HTTPS_PROXY: 'socks5://ada:secret@proxy' });
      expect(() => make({ proxy: 'environment' })).toThrow(
        new TypeError(
          `${kind}: HTTPS_PROXY must be the URL of an HTTP proxy, such as http://proxy.example:3128`,
        ),
      );
    });
  });
});

describe('gotTransport', () => {
  it('uses the agents of the user as they are', async () => {
    const agent = { http: new HttpAgent({ keepAlive: true }), https: new HttpsAgent({ ca }) };
    const transport = gotTransport({ agent });
    expect(await version(plain.url, transport)).toBe('plain');
    expect(Object.keys(agent.http.freeSockets)).toHaveLength(1);
    expect(await version(secure.url, transport)).toBe('anonymous');
    agent.http.destroy();
    const strictAgent = { https: new HttpsAgent({ ca, cert, key }) };
    expect(await version(strict.url, gotTransport({ agent: strictAgent }))).toBe('client');
  });

  it('refuses agents that are none, and options that contradict them', () => {
    const wrong: [GotTransportOptions, string][] = [
      [{ agent: new HttpAgent() as never }, 'agent must be { http, https }'],
      [{ agent: { htp: new HttpAgent() } as never }, "agent: unknown protocol 'htp'"],
      [{ agent: { http: {} } }, 'agent.http must be an Agent of Node (received an object)'],
      [{ agent: {}, ca }, 'agent excludes ca; set ca on your agent'],
      [{ agent: {}, proxy: 'http://p' }, 'agent excludes proxy; set proxy on your agent'],
      [{ agent: {}, maxSockets: 2 }, 'agent excludes maxSockets; set maxSockets on your agent'],
    ];
    for (const [options, message] of wrong)
      expect(() => gotTransport(options)).toThrow(new RegExp(`^gotTransport: ${escape(message)}`));
  });

  it('names the package that a proxy needs, if it is missing', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'corduroy-proxy-'));
    try {
      const outfile = join(folder, 'program.mjs');
      const source = fileURLToPath(new URL('../src/http/got-transport.ts', import.meta.url));
      await build({
        stdin: {
          contents: `import { gotTransport } from ${JSON.stringify(source)};
            gotTransport({ proxy: 'environment' });
            try { gotTransport({ proxy: 'http://proxy' }) } catch (error) { console.log(String(error)) }`,
          resolveDir: fileURLToPath(new URL('..', import.meta.url)),
        },
        bundle: true,
        platform: 'node',
        format: 'esm',
        outfile,
        banner: {
          js: `import { createRequire as makeRequire } from 'node:module'; const require = makeRequire(import.meta.url);`,
        },
      });
      const { NODE_PATH: _, HTTP_PROXY: _h, HTTPS_PROXY: _s, ...env } = process.env;
      const { stdout } = await promisify(execFile)(process.execPath, [outfile], { env });
      expect(stdout.trim()).toBe(
        'TypeError: gotTransport: proxy needs the package hpagent; run npm install hpagent',
      );
    } finally {
      await rm(folder, { recursive: true });
    }
  });
});

const escape = (text: string): string => text.replace(/[.*+?^${}()|[\]\\]/g, String.raw`\$&`);

describe('undiciTransport', () => {
  it('uses the dispatcher of the user as it is', async () => {
    const dispatcher = new Agent({ connect: { ca, cert, key }, bodyTimeout: 1 });
    const transport = undiciTransport({ dispatcher });
    expect(await version(plain.url, transport)).toBe('plain');
    expect(await version(strict.url, transport)).toBe('client');
    await dispatcher.close();
    expect(await failureOf(plain.url, transport)).toMatchObject({ name: 'ConnectionError' });
  });

  it('refuses a dispatcher that is none, and options that contradict it', () => {
    const dispatcher = new Agent();
    expect(() => undiciTransport({ dispatcher: {} as never })).toThrow(
      'undiciTransport: dispatcher must be a Dispatcher of undici 7 (received an object)',
    );
    expect(() => undiciTransport({ dispatcher, maxSockets: 2 })).toThrow(
      'undiciTransport: dispatcher excludes maxSockets; set maxSockets on your dispatcher',
    );
  });
});

describe('unknown and invalid options of transports', () => {
  const all: Readonly<Record<string, (options: object) => Transport>> = {
    gotTransport,
    undiciTransport,
    fetchTransport,
    httpClientTransport,
  };

  it.each([
    ['gotTransport', 'maxsockets', 'maxSockets'],
    ['gotTransport', 'reject_unauthorized', 'rejectUnauthorized'],
    ['gotTransport', 'Agent', 'agent'],
    ['undiciTransport', 'Dispatcher', 'dispatcher'],
    ['undiciTransport', 'CA', 'ca'],
    ['fetchTransport', 'Credentials', 'credentials'],
    ['httpClientTransport', 'Feeds', 'feeds'],
  ])('%s: %s', (kind, name, meant) => {
    const make = all[kind] as (options: object) => Transport;
    expect(() => make({ [name]: 1 })).toThrow(
      new TypeError(`${kind}: unknown option '${name}'; did you mean '${meant}'?`),
    );
    expect(() => make({ keepalive: true })).toThrow(
      new TypeError(`${kind}: unknown option 'keepalive'`),
    );
  });

  it.each(transports)('%s: maxSockets, rejectUnauthorized', (kind, make) => {
    expect(() => make({ maxSockets: 0 })).toThrow(
      new RangeError(`${kind}: maxSockets must be a whole number from 1 (received 0)`),
    );
    expect(() => make({ maxSockets: '2' as never })).toThrow(TypeError);
    expect(() => make({ rejectUnauthorized: 0 as never })).toThrow(
      `${kind}: rejectUnauthorized must be true or false (received 0)`,
    );
    expect(() => make({ maxSockets: Infinity, ca: undefined })).not.toThrow();
  });

  it('fetchTransport: fetch, credentials; httpClientTransport: http, feeds', () => {
    expect(() => fetchTransport({ fetch: 'x' as never })).toThrow(
      'fetchTransport: fetch must be a function (received "x")',
    );
    expect(() => fetchTransport({ credentials: 'all' as never })).toThrow(
      "fetchTransport: credentials must be one of 'include', 'same-origin', 'omit'",
    );
    expect(() => httpClientTransport({ http: 5 as never })).toThrow(
      'httpClientTransport: http must be an HttpClient (received 5)',
    );
    expect(() => httpClientTransport({ feeds: {} as never })).toThrow(
      'httpClientTransport: feeds must be a Transport (received an object)',
    );
  });
});

describe('https:// at a port without TLS', () => {
  let stub: StubServer;
  beforeAll(async () => {
    stub = await startStub(json({ version: '3.5.0' }));
  });
  afterAll(() => stub.close());

  it.each<[string, () => Transport]>([...transports, ['fetchTransport', fetchTransport]])(
    'fails at once over %s, and says so',
    async (_, makeTransport) => {
      const url = stub.url.replace('http://', 'https://');
      const couch = new Couch(url, { transport: makeTransport() });
      // Without `retry: false`: a transient error would be repeated until the time-out of the test.
      const failures = [couch.version(), couch.use('a').save({ _id: 'b' })].map((call) =>
        firstValueFrom<unknown>(call).catch((error: CorduroyError) => error),
      );
      const [read, write] = (await Promise.all(failures)) as [CorduroyError, CorduroyError];
      const cause =
        'no connection: the server did not answer with TLS. ' +
        'The server has no TLS at this port: begin its URL with http://';
      expect(read).toMatchObject({
        name: 'ConnectionError',
        code: 'ERR_SSL_WRONG_VERSION_NUMBER',
        transient: false,
        message: `GET ${url}/: ${cause}`,
      });
      // Nothing was sent, so nothing can have been written.
      expect(write).toMatchObject({ message: `PUT ${url}/a/b: ${cause}`, resolution: null });
      expect(stub.requests).toEqual([]);
    },
  );
});
