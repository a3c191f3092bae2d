import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { inspect } from 'node:util';
import { gzipSync } from 'node:zlib';
import {
  Couch,
  fetchTransport,
  gotTransport,
  isNotFound,
  isProtocolError,
  isRedirectRefused,
  isTransient,
} from 'corduroy';
import type { CorduroyError, ConnectionOptions, Transport, TransportRequest } from 'corduroy';
import { undiciTransport } from 'corduroy/undici';
import { firstValueFrom, lastValueFrom, of, toArray } from 'rxjs';
import type { Observable } from 'rxjs';
import { Redactor } from '../src/errors/redact.ts';
import { startStub } from './helpers/stub-server.ts';
import type { StubHandler, StubServer } from './helpers/stub-server.ts';

// What a server may make of a client: errors that show no secret, decisions that no mask changes,
// bounded time and memory, and no secret at another origin.

let stub: StubServer;
beforeAll(async () => {
  stub = await startStub();
});
beforeEach(() => {
  stub.requests.length = 0;
});
afterAll(() => stub.close());

const transports: [string, () => Transport][] = [
  ['gotTransport', gotTransport],
  ['fetchTransport', fetchTransport],
  ['undiciTransport', undiciTransport],
];

const failureOf = (source: Observable<unknown>): Promise<CorduroyError> =>
  lastValueFrom(source, { defaultValue: null }).then(
    (value) => {
      throw new Error(`it did not fail, but emitted ${inspect(value)}`);
    },
    (error: unknown) => error as CorduroyError,
  );

/** All that an error shows. */
function shown(error: unknown): string {
  const parts: string[] = [];
  for (let one = error; one instanceof Error; one = one.cause)
    parts.push(String(one), one.stack ?? '', inspect(one, { depth: 9, showHidden: true }));
  return parts.join('\n');
}

const answer =
  (status: number, body: string | Buffer, headers: Record<string, string> = {}): StubHandler =>
  (_, response) => {
    response.writeHead(status, { 'content-type': 'application/json', ...headers }).end(body);
  };

const connect = (options: ConnectionOptions = {}): Couch =>
  new Couch(stub.url, { retry: false, ...options });

describe('a URL that its password breaks', () => {
  it.each([
    'http://admin:g[?6asdwrF@localhost:5984',
    'http://admin:12/34asdwrF@localhost:5984',
    'http://admin:80?asdwrF@localhost:5984',
    'http://admin:80#asdwrF@localhost:5984',
    'http:\\\\admin:1/asdwrF@localhost:5984',
    'admin:asdwrF@localhost:5984',
    'ftp://admin:1/asdwrF@localhost:5984',
    `http://admin:1/asdwrF${'x'.repeat(100)}@localhost:5984`,
  ])('is refused without a part of it: %s', (url) => {
    for (const attempt of [
      () => new Couch(url),
      () => new Couch(['http://localhost:5984', url]),
      () => new Couch().use(url),
      () => new Couch().replicate(url, 'db').subscribe(),
    ]) {
      let thrown: unknown;
      try {
        attempt();
      } catch (error) {
        thrown = error;
      }
      expect(thrown).toBeInstanceOf(TypeError);
      expect(shown(thrown)).not.toMatch(/asdwrF|admin:/);
    }
  });

  it('advises to encode the password, or to use `auth`', () => {
    expect(() => new Couch('http://admin:12/34secret@localhost:5984')).toThrow(
      'http://***@localhost:5984"); percent-encode the name and the password with ' +
        'encodeURIComponent, or pass them as `auth`',
    );
  });
});

describe('an invalid argument', () => {
  it.each([
    ['admin:sec//ret@host:5984', '"***@host:5984"'],
    ['http:admin:pa//ss@host', '"***@host"'],
    ['tok//en@host', '"***@host"'],
    ['//admin:pass@host', '"//***@host"'],
    ['http://admin:pa//ss@host:99999', '"http://***@host:99999"'],
  ])('shows no part of a password: %s', (url, received) => {
    expect(() => new Couch(url)).toThrow(received);
  });

  it.each([
    { proxy: 'hunter22' },
    { proxy: { username: 'a', roles: 'hunter22' } },
    { session: ['a', 'bcde'], loginInterval: 'hunter22' },
  ])('of `auth` shows the type alone: %j', (auth) => {
    const make = (): Couch => connect({ auth: auth as unknown as { bearer: string } });
    expect(make).toThrow(/^auth\..*received string/);
  });

  it.each([null, [], true, '5', {}, NaN, -1])('maxBodySize: %j is refused', (maxBodySize) => {
    expect(() => connect({ maxBodySize } as ConnectionOptions)).toThrow(
      'maxBodySize must be a number of bytes from 0',
    );
  });
});

describe('a mask', () => {
  const echo = (text: string): StubHandler =>
    answer(500, JSON.stringify({ error: 'echo', reason: text }));
  const password = `s3"c<r&e'tß /+%世🌍`;
  const json = JSON.stringify(password).slice(1, -1);
  const ascii = json.replace(
    /[^ -~]/g,
    (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
  const percent = encodeURIComponent(password);
  const forms: Record<string, string> = {
    plain: password,
    percent,
    'percent, lower-case': percent.toLowerCase(),
    'percent, twice': encodeURIComponent(percent),
    form: new URLSearchParams([['', password]]).toString().slice(1),
    'base64 of the pair': Buffer.from(`ada:${password}`).toString('base64'),
    base64url: Buffer.from(password).toString('base64url'),
    'base64 at an offset of 1': Buffer.from(`x${password}`).toString('base64').slice(2),
    'base64 at an offset of 2': Buffer.from(`xx${password}`).toString('base64').slice(3),
    'HTML, named': password
      .replace(/&/g, '&amp;')
      .replace(/</g, '&lt;')
      .replace(/"/g, '&quot;')
      .replace(/ß/g, '&szlig;'),
    'HTML, decimal': Array.from(password, (char) => `&#${char.codePointAt(0)};`).join(''),
    'HTML, hex': Array.from(password, (c) => `&#x${c.codePointAt(0)?.toString(16)};`).join(''),
    JSON: json,
    'JSON in ASCII, upper-case': ascii.replace(
      /\\u[\da-f]+/g,
      (e) => `\\u${e.slice(2).toUpperCase()}`,
    ),
    'JSON in JSON': JSON.stringify(ascii).slice(1, -1),
    'JSON with escaped slashes': json.replaceAll('/', '\\/'),
    'JSON in a query': encodeURIComponent(json),
    'UTF-8 read as Latin-1': Buffer.from(password).toString('latin1'),
    mixed: Array.from(password, (c, i) => (i % 2 ? c : `&#${c.codePointAt(0)};`)).join(''),
  };

  it.each(Object.entries(forms))('covers a password as %s', async (_, form) => {
    const couch = connect({ auth: ['ada', password] });
    for (const body of [
      `{"error":"e","reason":${JSON.stringify(`you sent ${form}!`)}}`,
      `<p>you sent ${form}!</p>`,
    ]) {
      stub.answer(answer(500, body, { 'x-echo': 'none' }));
      const error = await failureOf(couch.version());
      expect(error.message).toMatch(/500 .*you sent \S*\*\*\*\S*!$/);
    }
  });

  it('covers a password that a page would cut', async () => {
    const basic = Buffer.from(`ada:${'p'.repeat(40)}`).toString('base64');
    stub.answer(answer(500, `${'x'.repeat(280)} ${basic} tail`));
    const error = await failureOf(connect({ auth: ['ada', 'p'.repeat(40)] }).version());
    expect(shown(error)).not.toContain(basic.slice(8, 16));
  });

  it('covers credentials in use after many secrets of single requests, and the reverse', async () => {
    const couch = connect({ auth: ['ada', 'hunter22'] });
    stub.answer(echo('you sent hunter22'));
    for (let i = 0; i < 150; i++)
      await failureOf(couch.request({ path: '/', headers: { 'x-key': `key-of-${i}-request` } }));
    await Promise.all(
      Array.from({ length: 150 }, (_, i) => failureOf(couch.users.create('bob', `password-${i}`))),
    );
    expect(shown(await failureOf(couch.version()))).not.toContain('hunter22');
    // Once the password is accepted, requests no longer wait for each other.
    stub.answer(answer(200, '{"version":"3.5.0"}'));
    await firstValueFrom(couch.version());
    // More requests at the same time than are remembered.
    stub.answer((request, response) => {
      const text = JSON.stringify({ error: 'echo', reason: String(request.body) });
      setTimeout(() => response.writeHead(500).end(text), 50);
    });
    const errors = await Promise.all(
      Array.from({ length: 150 }, (_, i) => failureOf(couch.users.create('bob', `password-${i}`))),
    );
    expect(errors.map(shown).join()).not.toContain('password-');
  }, 60_000);

  it.each<[string, (couch: Couch) => Observable<unknown>]>([
    ['config', (couch) => couch.config('admins/bob', 'topsecret1')],
    ['config of a section', (couch) => couch.config('admins', { bob: 'topsecret1' })],
    ['a secret of another section', (couch) => couch.config('chttpd_auth/secret', 'topsecret1')],
    ['replicate', (couch) => couch.replicate('http://b:topsecret1@h/db', 'db')],
    [
      'replicate with a document',
      (couch) => couch.replicate('db', 'http://b:topsecret1@h/db', { _id: 'r' }),
    ],
    ['a proxy', (couch) => couch.replicate('db', 'other', { proxy: 'http://b:topsecret1@h' })],
    [
      'push',
      (couch) =>
        couch.use('db').push(new Couch('http://h', { auth: ['b', 'topsecret1'] }).use('db')),
    ],
    [
      'pull',
      (couch) =>
        couch.use('db').pull(new Couch('http://h', { auth: { bearer: 'topsecret1' } }).use('db')),
    ],
    [
      'users.save',
      (couch) => couch.users.save({ name: 'b', roles: [], type: 'user', password: 'topsecret1' }),
    ],
  ])('covers the secrets of %s', async (_, ask) => {
    stub.answer((request, response) => {
      const reason = `${String(request.body)} topsecret1 ${btoa('b:topsecret1')}`;
      response.writeHead(500).end(JSON.stringify({ error: 'echo', reason }));
    });
    const text = shown(await failureOf(ask(connect())));
    expect(text).toContain('echo');
    expect(text).not.toMatch(/topsecret1|OnRvcHNlY3JldD/);
  });

  it('covers the headers of a status, and a reported URL among the results of a bulk write', async () => {
    const couch = connect({ auth: ['ada', 'hunter22'] });
    const headers = { 'x-echo': 'ada:hunter22', 'set-cookie': 'a=b', authorization: 'Basic x' };
    stub.answer(answer(200, '{"version":"3.5.0"}', headers));
    const status = await firstValueFrom(couch.version().status());
    expect(status.headers['x-echo']).toBe('ada:***');
    expect(status.headers).not.toHaveProperty('set-cookie');
    expect(status.headers).not.toHaveProperty('authorization');
    const reason = 'could not open http://bob:topsecret1@other:5984/x';
    stub.answer(answer(201, JSON.stringify([{ id: 'a', error: 'forbidden', reason }])));
    const saved = await firstValueFrom(couch.use('db').save([{ _id: 'a' }]));
    expect(inspect([...saved.pending.values()])).toContain('http://***@other:5984/x');
  });

  it.each<[string, number, string]>([
    ['a status', 200, '{"version":"3.5.0"}'],
    ['an error', 500, '{"error":"e","reason":"r"}'],
    ['an error with a page', 502, '<h1>Bad gateway</h1>'],
  ])('covers the headers of %s, also if a transport passes all on', async (_, code, body) => {
    const secret = {
      'set-cookie': 'AuthSession=c00kieC00kie; Path=/',
      cookie: 'AuthSession=c00kieC00kie',
      authorization: 'Bearer tok3nT0k3n',
      'x-auth-couchdb-token': 'tok3nT0k3n',
    };
    const headers = { ...secret, server: 'CouchDB', 'x-echo': 'ada:hunter22' };
    const transport: Transport = {
      send: () => of({ status: code, headers, body: of(new TextEncoder().encode(body)) }),
    };
    const couch = connect({ auth: ['ada', 'hunter22'], transport });
    const status = await firstValueFrom(couch.version().status());
    expect(status.code).toBe(code);
    const clean = { server: 'CouchDB', 'x-echo': 'ada:***' };
    expect(status.headers).toEqual(clean);
    if (code !== 200) expect(status.exception?.headers).toEqual(clean);
    expect(shown(status.exception)).not.toMatch(/c00kie|tok3n|hunter22/);
  });

  it('remembers a credential in use, however many others follow', () => {
    const redactor = new Redactor([]);
    for (let i = 0; i < 150; i++) {
      redactor.hide(['hunter22', `cookie-number-${i}`]);
      expect(redactor.text(`you sent hunter22 and cookie-number-${i}`)).toBe(
        'you sent *** and ***',
      );
    }
    expect(redactor.path('/db/hunter22')).toBe('/db/***');
  });

  it('leaves no part of a text that is not JSON in the causes', async () => {
    const couch = connect({ auth: ['ada', 'hunter22hunter22hunter22'] });
    stub.answer(answer(200, `{"a":hunter22hunter22hunter22`));
    const error = await failureOf(couch.version());
    expect(error.message).toContain('it begins with "{\\"a\\":***"');
    expect(shown(error)).not.toContain('hunter');
  });

  const pair = Buffer.from('ada:töpsecret1').toString('base64');
  it.each<[string, ConnectionOptions, string[]]>([
    ['Bearer', { headers: { authorization: 'Bearer tok3nT0k3n' } }, ['tok3nT0k3n']],
    ['Basic', { headers: { Authorization: `basic ${pair}` } }, [pair, 'töpsecret1']],
    ['a malformed Basic', { headers: { authorization: 'Basic %%tok3n' } }, ['%%tok3n']],
    ['a proxy', { headers: { 'proxy-authorization': `Basic ${pair}` } }, [pair, 'töpsecret1']],
    [
      'cookies',
      { headers: { cookie: 'AuthSession=c00kieC00kie; x="qu0ted"' } },
      ['c00kieC00kie', 'qu0ted'],
    ],
    ['a custom scheme', { headers: { 'x-api-auth': 'Token tok3nT0k3n' } }, ['tok3nT0k3n']],
    ['a short key', { headers: { 'x-key': 'k3y5' } }, ['k3y5']],
  ])('covers each part of a header with %s', async (_, { headers = {} }, secrets) => {
    stub.answer(echo(`you sent ${secrets.join(' and ')}!`));
    const errors = [await failureOf(connect({ headers }).version())];
    if (Object.keys(headers).some((name) => name.startsWith('x-')))
      errors.push(await failureOf(connect().request({ path: '/', headers })));
    for (const error of errors) {
      const text = shown(error);
      expect(text).toContain('you sent ***');
      for (const secret of secrets) expect(text).not.toContain(secret);
    }
  });

  it.each([
    ['Hunter2Secret!x', '<p>you sent Hunter2<wbr>Secret!x</p>'],
    ['Hunter2Secret!x', '<p>you sent Hunter2\n  Secret!x</p>'],
    ['Hunter2Secret!x', '<p>you sent <b>H</b>unter2&#83;ecret<i>&excl;</i>x</p>'],
    ['correct horse', '<p>you sent cor<wbr>rect<br>horse</p>'],
    ['a@b.Secret', '<p>you sent a@<wbr>b.Secret</p>'],
    ['Hunter2Secret!x', '<p>Hunter2Secret!x, you sent Hunter2<wbr>Secret!x</p>'],
  ])('hides a page that tags or blanks split a password in: %s %s', async (secret, page) => {
    stub.answer(answer(502, page));
    const error = await failureOf(connect({ auth: ['ada', secret] }).version());
    expect(shown(error)).not.toMatch(/Hunter|ecret|rect|horse/);
    expect(error.message).toMatch(/: 502 \S*\*\*\*$/);
  });

  it('shows a page with an address and no password', async () => {
    stub.answer(answer(502, '<p>Proxy at http://proxy <br> ask admin@example.org</p>'));
    const error = await failureOf(connect({ auth: ['ada', 'hunter22'] }).version());
    expect(error.message).toContain('Proxy at http://proxy ask admin@example.org');
  });

  it.each([
    'http://user:pa# secw0rd@proxy:1',
    'http://user:1234#abc secw0rd@proxy',
    'http://user:pa%zz secw0rd@proxy',
    'socks5://user:pa secw0rd@proxy',
    'http://us er:x y secw0rd@pro xy',
    'http://secw0rd token%zz@proxy',
    'user:secw0rd@proxy:8080',
  ])('covers the password of a proxy whose URL is malformed: %s', async (proxy) => {
    stub.answer((request, response) => {
      const { proxy: sent } = JSON.parse(String(request.body)) as { proxy: string };
      const reason = `bad proxy ${sent} ${sent.replace(/%20/g, ' ')} ${encodeURIComponent(sent)}`;
      response.writeHead(500).end(JSON.stringify({ error: 'echo', reason }));
    });
    const text = shown(await failureOf(connect().replicate('a', 'b', { proxy })));
    expect(text).toContain('bad proxy');
    expect(text).not.toContain('secw0rd');
  });

  it('covers a password in its longest encoding at the end of a long text', async () => {
    const sent = '&amp;amp;amp;#x0000000041;'.repeat(200);
    stub.answer(echo(`${'x '.repeat(900)}${sent}`));
    const error = await failureOf(connect({ auth: { bearer: 'A'.repeat(200) } }).version());
    expect(shown(error)).not.toContain('#x0000');
  });

  it('of a header leaves paths alone, and a credential in a path does not show', async () => {
    const headers = { 'x-tenant': 'customers' };
    const couch = connect({ headers, auth: ['ada', 'hunter22'] });
    stub.answer(answer(404, '{"error":"not_found","reason":"missing"}'));
    const error = await failureOf(couch.use('customers').get('a'));
    expect(error.request?.url).toBe(`${stub.url}/customers/a`);
    const other = await failureOf(couch.request({ path: '/db/hunter22?a=%68unter22' }));
    expect(other.request?.url).toBe(`${stub.url}/db/***?a=***`);
  });
});

describe('a decision', () => {
  it.each(['deleted', 'nodedown', '3600', 'maintenance', 'partition'])(
    'does not depend on a mask: %s',
    async (word) => {
      const couch = connect({ auth: ['ada', word], headers: { 'x-word': `${word}-12` } });
      stub.answer(answer(404, '{"error":"not_found","reason":"deleted"}'));
      const missing = await failureOf(couch.use('db').get('a'));
      expect(isNotFound(missing) && missing.deleted).toBe(true);
      stub.answer(answer(412, '{"error":"nodedown","reason":"progress not possible"}'));
      expect(isTransient(await failureOf(couch.version()))).toBe(true);
    },
  );

  it('of when to retry reads the header as it came', async () => {
    const started = Date.now();
    stub.answer((_, response) => {
      if (stub.requests.length === 1) response.writeHead(503, { 'retry-after': '0001' }).end();
      else response.writeHead(404).end();
    });
    const feed = connect({ auth: ['ada', '0001'] })
      .use('db')
      .changes$({ backoff: { initialDelay: 1 } });
    await failureOf(feed);
    expect(Date.now() - started).toBeGreaterThan(900);
  });
});

describe('an error page', () => {
  it.each<[string, string | Buffer]>([
    ['blanks', ' '.repeat(8_000_000)],
    ['tags', '<b>'.repeat(2_000_000)],
    ['open brackets', '<'.repeat(100_000)],
    ['almost an address', JSON.stringify({ error: 'e', reason: `${'a.'.repeat(50_000)}@` })],
    ['schemes', `{"error":"e","reason":"${'x://'.repeat(15_000)}"}`],
    ['percent signs', '%25'.repeat(30_000)],
    ['backslashes', '\\'.repeat(60_000)],
    ['deep nesting', `{"error":${'['.repeat(30_000)}${']'.repeat(30_000)}}`],
    ['the cookie again and again', 'a'.repeat(60_000)],
  ])('of %s is an error at once, and a short one', async (_, body) => {
    const couch = connect({ auth: { bearer: `${'a'.repeat(4000)}b` } });
    await failureOf(new Couch('http://127.0.0.1:1').version());
    stub.answer(answer(502, gzipSync(body), { 'content-encoding': 'gzip' }));
    let longest = 0;
    let last = performance.now();
    const watch = setInterval(() => {
      longest = Math.max(longest, performance.now() - last);
      last = performance.now();
    }, 5);
    const error = await failureOf(couch.version());
    clearInterval(watch);
    expect(error.name).toBe('ServerError');
    expect(error.message.length).toBeLessThan(3000);
    expect(longest).toBeLessThan(500);
  });
});

describe.each(transports)('the limits over %s', (kind, make) => {
  const transport = make();
  const maxBodySize = 100_000;
  const couch = (): Couch => connect({ transport, maxBodySize });
  const db = (): ReturnType<Couch['use']> => couch().use('db');

  /** Writes for as long as the client reads. */
  const endless =
    (head: string, piece: string, status = 200): StubHandler =>
    (_, response) => {
      response.writeHead(status, { 'content-type': 'application/json' }).write(head);
      const more = (): void => {
        while (!response.destroyed && response.write(piece));
      };
      response.on('drain', more);
      more();
    };

  it.each<[string, () => Observable<unknown>]>([
    ['a document', () => db().get('a')],
    ['a view', () => db().view('a/b')],
    ['an attachment', () => db().getAttachment('a', 'b')],
    ['request', () => couch().request({ path: '/x' })],
    ['a row', () => db().changeRows()],
    ['a row of a view', () => db().viewRows('a/b')],
    ['a line of a feed', () => db().changes$({ since: '0' })],
    ['a longpoll', () => db().changes$({ since: '0', feed: 'longpoll' })],
  ])('end %s that does not end', async (_, ask) => {
    stub.answer((request, response) => {
      if (request.url === '/db') response.end('{"instance_start_time":"0"}');
      else {
        const head = request.url?.includes('continuous') ? '' : '{"results":[\n';
        endless(`${head}{"a":"`, 'x'.repeat(10_000))(request, response);
      }
    });
    const error = await failureOf(ask());
    expect(isProtocolError(error) && error.limit).toBe(maxBodySize);
    expect(error.message).toContain(`longer than maxBodySize (100000 bytes)`);
    expect(error.transient).toBe(false);
  });

  it('count bytes after decompression', async () => {
    const bomb = gzipSync(Buffer.alloc(50_000_000));
    stub.answer(answer(200, bomb, { 'content-encoding': 'gzip' }));
    expect(await failureOf(db().get('a'))).toMatchObject({ limit: maxBodySize });
  });

  it('allow many rows, and what is just within', async () => {
    const rows = Array.from({ length: 20_000 }, (_, i) => `{"seq":"${i}","id":"a","changes":[]}`);
    stub.answer(
      answer(200, `{"results":[\n${rows.join(',\n')}\n],\n"last_seq":"9","pending":0}\n`),
    );
    expect(await firstValueFrom(db().changeRows().pipe(toArray()))).toHaveLength(20_000);
    const text = JSON.stringify({ _id: 'a', _rev: '1-a', text: 'x'.repeat(99_966) });
    expect(text.length).toBe(maxBodySize);
    stub.answer(answer(200, text));
    expect(await firstValueFrom(db().get('a'))).toHaveProperty('_id', 'a');
  });

  it('read 64 kB of an endless error', async () => {
    stub.answer(endless('<p>Bad gateway</p>', '<p>'.repeat(5000), 502));
    const error = await failureOf(couch().version());
    expect(error).toMatchObject({ name: 'ServerError', reason: 'Bad gateway' });
  });

  it('give a truncated compressed body, or one that ends by a reset, as an error', async () => {
    const zipped = gzipSync('x'.repeat(5000) + Math.random());
    const cut = zipped.subarray(0, -12);
    const reset: StubHandler = (_, response) => {
      response.socket?.write('HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nhalf');
      // `resetAndDestroy` would send FIN first, and that ends a body without a length.
      setTimeout(
        () => Object.assign(Object(response.socket), { resetAndClosing: true }).destroy(),
        50,
      );
    };
    const short: StubHandler = (_, response) => {
      response.writeHead(200, { 'content-length': '100' }).write('half');
      setTimeout(() => response.destroy(), 20);
    };
    const cases: [StubHandler, boolean][] = [
      [short, true],
      // fetch hides these two.
      [answer(200, cut, { 'content-encoding': 'gzip' }), kind !== 'fetchTransport'],
      [reset, kind !== 'fetchTransport'],
    ];
    for (const [handler, isSeen] of cases) {
      stub.answer(handler);
      const read = db().getAttachment('a', 'b');
      if (isSeen) expect(await failureOf(read)).toMatchObject({ name: 'ProtocolError' });
    }
  });

  it('request attachments uncompressed where a cut would be hidden', async () => {
    stub.answer(answer(200, 'bytes'));
    await firstValueFrom(db().getAttachment('a', 'b'));
    const { 'accept-encoding': accepted } = stub.requests[0]?.headers ?? {};
    expect(accepted === 'identity').toBe(kind === 'fetchTransport');
  });

  it('understand encodings in any case, and unknown ones', async () => {
    const body = '{"version":"3.5.0"}';
    stub.answer(answer(200, gzipSync(body), { 'content-encoding': 'GZIP' }));
    expect(await firstValueFrom(couch().version())).toBe('3.5.0');
    for (const encoding of ['__proto__', 'constructor', 'toString']) {
      stub.answer(answer(200, body, { 'content-encoding': encoding }));
      expect(await firstValueFrom(couch().version())).toBe('3.5.0');
    }
  });

  it.each(['', 'connection: upgrade\r\nupgrade: websocket\r\n'])(
    'end a request that the server upgrades (%j)',
    async (headers) => {
      stub.answer((_, response) => {
        response.socket?.write(`HTTP/1.1 101 Switching Protocols\r\n${headers}\r\n`);
      });
      const error = await failureOf(connect({ transport, timeout: 500 }).version());
      // Node's fetch shows nothing of a 101 that names no protocol.
      if (kind !== 'fetchTransport' || headers !== '') expect(error.name).toBe('ConnectionError');
    },
  );

  it('leave the error of the source of an upload as it is', async () => {
    const failure = new Error('disk gone');
    async function* failing(): AsyncGenerator<Uint8Array> {
      yield Buffer.from('a');
      throw failure;
    }
    stub.answer(answer(201, '{"ok":true,"id":"a","rev":"1-a"}'));
    const put = (progress: () => void, content: AsyncIterable<Uint8Array>): Observable<unknown> =>
      db().putAttachment({ _id: 'a', _rev: '1-a' }, content, 'b', { progress: { next: progress } });
    expect(await failureOf(put(() => {}, failing()))).toBe(failure);
    async function* fine(): AsyncGenerator<Uint8Array> {
      yield Buffer.from('a');
    }
    const thrower = (): never => {
      throw failure;
    };
    expect(await failureOf(put(thrower, fine()))).toBe(failure);
    stub.answer((_, response) => response.destroy());
    expect(await failureOf(put(() => {}, fine()))).toHaveProperty('name', 'ConnectionError');
  });

  it('follow no redirect to another origin with a login or a new password', async () => {
    const other = await startStub();
    other.answer(
      answer(200, '{"ok":true,"name":"evil","roles":[]}', { 'set-cookie': 'AuthSession=evil' }),
    );
    for (const status of [301, 302, 303, 307, 308]) {
      stub.answer(answer(status, '', { location: `${other.url.replace('//', '//u:p@')}/x` }));
      const session = connect({ transport, auth: { session: ['ada', 'hunter22'] } });
      const errors = [
        await failureOf(session.login('ada', 'hunter22')),
        await failureOf(session.version()),
        await failureOf(connect({ transport }).users.create('bob', 'hunter22')),
      ];
      for (const error of errors) {
        expect(isRedirectRefused(error)).toBe(true);
        expect(error).toMatchObject({ from: stub.url, to: other.url, transient: false });
        expect(shown(error)).not.toMatch(/hunter22|u:p/);
      }
      stub.requests.length = 0;
    }
    expect(other.requests).toEqual([]);
    await other.close();
  });
});

describe('what an internal callback throws', () => {
  const body = '{"total_rows":1,"offset":0,"rows":[\n{"id":"a","key":1,"value":null}\n]}\n';
  const failure = new RangeError('too long');
  const codec = {
    parse: (): never => {
      throw failure;
    },
    stringify: JSON.stringify,
  };

  it.each<[string, (couch: Couch) => Observable<unknown>]>([
    ['get', (couch) => couch.use('db').get('a')],
    ['viewRows', (couch) => couch.use('db').viewRows('a/b')],
    ['changeRows', (couch) => couch.use('db').changeRows()],
    ['changes$', (couch) => couch.use('db').changes$({ errorTolerance: 0, since: '0' })],
    ['request', (couch) => couch.request({ path: '/x' })],
    ['viewPages', (couch) => couch.use('db').viewPages('a/b', { limit: 1 })],
  ])('reaches the subscriber of %s', async (_, ask) => {
    stub.answer(answer(200, body));
    const error = await failureOf(ask(connect({ codec })));
    expect(error.name).toMatch(/ProtocolError|RangeError/);
  });

  it('reaches the subscriber if a body cannot be decoded, and if `when` throws', async () => {
    const broken = {
      get length(): never {
        throw failure;
      },
    } as unknown as Uint8Array;
    const transport: Transport = {
      send: () => of({ status: 200, headers: {}, body: of(broken) }),
    };
    const error = await failureOf(connect({ transport, maxBodySize: Infinity }).version());
    expect(error.message).toContain('too long');
    stub.answer(answer(200, body));
    const when = (): never => {
      throw failure;
    };
    const pages = connect()
      .use('db')
      .viewPages('a/b', { limit: 0, when } as { limit: number });
    await lastValueFrom(pages, { defaultValue: null }).catch((thrown: unknown) =>
      expect(thrown).toBe(failure),
    );
  });
});

describe('explicit credentials over fetch', () => {
  it('are sent without the cookies of the browser', async () => {
    const sent: RequestInit[] = [];
    const fetch: typeof globalThis.fetch = (_, init) => {
      sent.push(init ?? {});
      return Promise.resolve(new Response('{"version":"3.5.0"}'));
    };
    const transport = fetchTransport({ fetch, credentials: 'include' });
    const auths: ConnectionOptions[] = [
      { auth: ['ada', 'hunter22'] },
      { auth: { bearer: 'token' } },
      { auth: { proxy: { username: 'ada', token: 'abcdef' } } },
      { headers: { authorization: 'Basic x' } },
      {},
    ];
    for (const options of auths) await firstValueFrom(connect({ transport, ...options }).version());
    expect(sent.map(({ credentials }) => credentials)).toEqual([
      'omit',
      'omit',
      'omit',
      'omit',
      'include',
    ]);
  });
});

describe('a browser, which hides redirects', () => {
  const browser = (calls: string[], url: string): typeof globalThis.fetch =>
    ((_: string, init: RequestInit) => {
      calls.push(`${init.redirect}`);
      const response = new Response(init.redirect === 'manual' ? null : '{"version":"3.5.0"}');
      const facts = init.redirect === 'manual' ? { type: 'opaqueredirect', status: 0 } : { url };
      for (const [name, value] of Object.entries(facts))
        Object.defineProperty(response, name, { value });
      return Promise.resolve(response);
    }) as typeof globalThis.fetch;

  it('follows for a request that shows nothing to another origin', async () => {
    const calls: string[] = [];
    const transport = fetchTransport({ fetch: browser(calls, `${stub.url}/there`) });
    expect(await firstValueFrom(connect({ transport }).version())).toBe('3.5.0');
    expect(calls).toEqual(['manual', 'follow']);
  });

  it('refuses the answer of another origin', async () => {
    const transport = fetchTransport({ fetch: browser([], 'http://evil.test/') });
    const error = await failureOf(connect({ transport }).version());
    expect(error).toMatchObject({ name: 'RedirectRefused', to: 'http://evil.test' });
  });

  it.each<[string, ConnectionOptions, (couch: Couch) => Observable<unknown>]>([
    ['a body', {}, (couch) => couch.use('db').save({ _id: 'a' })],
    ['an own header', { headers: { 'x-own': '1' } }, (couch) => couch.version()],
    ['a session', { auth: { session: ['a', 'bcde'] } }, (couch) => couch.version()],
    ['a proxy header', { auth: { proxy: { username: 'a' } } }, (couch) => couch.version()],
  ])('does not follow for %s', async (_, options, ask) => {
    const calls: string[] = [];
    const transport = fetchTransport({ fetch: browser(calls, stub.url) });
    const error = await failureOf(ask(connect({ transport, ...options })));
    expect(isRedirectRefused(error)).toBe(true);
    expect(calls).toEqual(['manual']);
  });
});

it('a transport sees no secret of the connection but its headers', async () => {
  const seen: TransportRequest[] = [];
  const transport: Transport = {
    send: (request) => {
      seen.push(request);
      return of({ status: 500, headers: {}, body: of() });
    },
  };
  await failureOf(connect({ transport }).users.create('bob', 'hunter22'));
  expect(Object.keys(seen[0] ?? {})).not.toContain('secrets');
});

describe.each(transports)('a refused login over %s', (_, make) => {
  const body = '{"error":"unauthorized","reason":"Name or password is incorrect."}\n';
  const head = (more: string): string =>
    `HTTP/1.1 401 Unauthorized\r\ncontent-type: application/json\r\n${more}\r\n`;
  const damages: [string, StubHandler][] = [
    [
      'is cut off',
      (_request, response) => {
        response.socket?.end(head(`content-length: ${body.length + 10}\r\n`) + body);
      },
    ],
    [
      'is cut off within the reason',
      (_request, response) => {
        response.socket?.end(head('content-length: 100\r\n') + body.slice(0, 40));
      },
    ],
    [
      'stops',
      (_request, response) => {
        response.socket?.write(`${head('content-length: 100\r\n')}{"error":`);
      },
    ],
    ['is not compressed as its header tells', answer(401, body, { 'content-encoding': 'gzip' })],
  ];

  it.each(damages)('is not repeated if the body of the answer %s', async (_case, handler) => {
    stub.answer(handler);
    const options = { transport: make(), timeout: 200 };
    const session = connect({ ...options, auth: { session: ['ada', 'hunter22'] } });
    for (let i = 0; i < 6; i++)
      expect(await failureOf(session.version())).toMatchObject({ name: 'Unauthorized' });
    expect(stub.requests).toHaveLength(1);
    stub.requests.length = 0;
    const basic = connect({ ...options, auth: ['ada', 'hunter22'] });
    for (let i = 0; i < 8; i++)
      expect(await failureOf(basic.version())).toMatchObject({ name: 'Unauthorized' });
    // CouchDB locks the account at the fifth.
    expect(stub.requests).toHaveLength(4);
    stub.requests.length = 0;
    const errors = await Promise.all(
      Array.from({ length: 5 }, () =>
        failureOf(
          connect({ ...options, auth: ['ada', 'hunter22'] })
            .use('db')
            .changes$({ heartbeat: 100 }),
        ),
      ),
    );
    expect(errors.map(({ name }) => name)).toEqual(Array(5).fill('Unauthorized'));
    expect(stub.requests).toHaveLength(5);
  });

  it('fails all requests that wait for the first one, if the body of its answer is cut off', async () => {
    stub.answer((_request, response) => {
      response.socket?.end(head('content-length: 100\r\n') + body.slice(0, 40));
    });
    const basic = connect({ transport: make(), auth: ['ada', 'hunter22'] });
    const errors = await Promise.all(
      Array.from({ length: 5 }, (_one, i) => failureOf(basic.request({ path: `/${i}` }))),
    );
    expect(errors.map(({ name }) => name)).toEqual(Array(5).fill('Unauthorized'));
    expect(stub.requests).toHaveLength(1);
  });

  it.each([
    [403, 'Forbidden'],
    [404, 'NotFound'],
    [409, 'Conflict'],
    [412, 'PreconditionFailed'],
    [413, 'PayloadTooLarge'],
    [500, 'ServerError'],
  ])('has a status that decides, as %d does with a damaged body', async (status, name) => {
    stub.answer((_request, response) => {
      response.socket?.end(`HTTP/1.1 ${status} X\r\ncontent-length: 100\r\n\r\n{"error":"x"`);
    });
    expect(await failureOf(connect({ transport: make() }).version())).toMatchObject({
      name,
      status,
    });
  });

  it('does not count refusals of a right password without a body', async () => {
    stub.answer((_request, response) => response.writeHead(401).end());
    const couch = connect({ transport: make(), auth: ['ada', 'hunter22'] });
    for (let i = 0; i < 6; i++) await failureOf(couch.request({ method: 'HEAD', path: '/x' }));
    expect(stub.requests).toHaveLength(6);
  });
});

describe.each(transports)('empty lines over %s', (_, make) => {
  const db = (maxBodySize: number): ReturnType<Couch['use']> =>
    connect({ transport: make(), maxBodySize, timeout: 2000 }).use('db');
  const view = '{"total_rows":1,"offset":0,"rows":[\n]\n';

  it.each<[string, string, (maxBodySize: number) => Observable<unknown>]>([
    ['the end of a view', view, (max) => db(max).viewRows('a/b')],
    ['a view in another layout', '{\n', (max) => db(max).viewRows('a/b')],
    ['the end of changes', '{"results":[\n]\n', (max) => db(max).changeRows()],
    [
      'the end of a poll',
      '{"results":[\n],\n',
      (max) => db(max).changes$({ since: '0', feed: 'longpoll' }),
    ],
    ['the start of a poll', '\n', (max) => db(max).changes$({ since: '0', feed: 'longpoll' })],
  ])('count towards the limit in %s', async (_case, head, ask) => {
    stub.answer((request, response) => {
      if (request.url === '/db') {
        response.end('{"instance_start_time":"0"}');
        return;
      }
      response.writeHead(200, { 'content-type': 'application/json' }).write(head);
      const more = (): void => {
        while (!response.destroyed && response.write('\n'.repeat(10_000)));
      };
      response.on('drain', more);
      more();
    });
    const error = await failureOf(ask(100_000));
    expect(isProtocolError(error) && error.limit).toBe(100_000);
  });

  it('count only up to the last line end of an answer that is just within', async () => {
    const rest = '{\n\n"rows":[{"id":"a","key":1,"value":null}]\n\n}';
    stub.answer(answer(200, rest));
    expect(await lastValueFrom(db(rest.length).viewRows('a/b'))).toHaveProperty('id', 'a');
    expect(await failureOf(db(rest.length - 1).viewRows('a/b'))).toHaveProperty(
      'limit',
      rest.length - 1,
    );
  });
});

describe.each(transports)('the cookie of a session over %s', (_, make) => {
  const session = 'AuthSession=abc123; Version=1; Max-Age=600; Path=/; HttpOnly';
  const balancer = 'AWSALB=x; Expires=Thu, 26 Nov 2099 10:00:00 GMT; Path=/';

  it.each([
    ['before', [session, balancer]],
    ['after', [balancer, session]],
  ])('is used if it comes %s the cookie of a load balancer', async (_case, cookies) => {
    stub.answer((request, response) => {
      if (request.method === 'POST') response.setHeader('set-cookie', cookies);
      response.end('{"ok":true,"name":"ada","roles":[],"version":"3.5.0"}');
    });
    const couch = connect({ transport: make(), auth: { session: ['ada', 'hunter22'] } });
    for (let i = 0; i < 2; i++) await firstValueFrom(couch.version());
    expect(stub.requests.map(({ method }) => method)).toEqual(['POST', 'GET', 'GET']);
    for (const { headers } of stub.requests.slice(1))
      expect(headers.cookie).toBe('AuthSession=abc123');
  });
});
