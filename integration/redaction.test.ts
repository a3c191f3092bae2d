import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { inspect } from 'node:util';
import fc from 'fast-check';
import { Couch, fetchTransport, gotTransport, isCorduroyError } from 'corduroy';
import type {
  Auth,
  CorduroyError,
  Credentials,
  Operation,
  Transport,
  TransportRequest,
} from 'corduroy';
import { BehaviorSubject, firstValueFrom, of, throwError } from 'rxjs';
import { startStub } from './helpers/stub-server.ts';
import type { StubHandler, StubServer } from './helpers/stub-server.ts';

let stub: StubServer;
beforeAll(async () => {
  stub = await startStub();
});
afterAll(() => stub.close());

/** All ways in which a request can fail. Each response echoes the secrets. */
const failures: Record<string, StubHandler> = {
  'an error with the secrets': (request, response) => {
    response.writeHead(500, {
      'content-type': 'application/json',
      'set-cookie': 'AuthSession=cookie-secret',
      'x-echo': latin1(request.headers.authorization ?? ''),
    });
    response.end(JSON.stringify({ error: 'echo', reason: echo(request.headers) }));
  },
  'HTML with the secrets': (request, response) => {
    response.writeHead(502, { 'content-type': 'text/html' });
    response.end(`<h1>Bad gateway</h1> ${echo(request.headers)}`);
  },
  'a 200 that is not JSON': (request, response) => response.end(echo(request.headers)),
  'a 200 that is not in the expected format': (_, response) => response.end('{"wrong":true}'),
  'a body that ends early': (request, response) => {
    response.writeHead(200, { 'content-length': '5000' });
    response.write(echo(request.headers));
    setImmediate(() => response.destroy());
  },
  'no answer': (_, response) => response.socket?.destroy(),
  'no HTTP': (request, response) => response.socket?.end(`${echo(request.headers)}\r\n\r\n`),
  'a redirect to an unknown host': (_, response) =>
    response.writeHead(302, { location: 'http://user:cookie-secret@127.0.0.1:1/' }).end(),
  silence: () => {},
};

const echo = (headers: object): string => {
  const { authorization = '' } = headers as { authorization?: string };
  const decoded = Buffer.from(authorization.replace('Basic ', ''), 'base64').toString();
  return `you sent ${authorization} that is ${decoded} cookie-secret? ${JSON.stringify(headers)}`;
};
const latin1 = (text: string): string => text.replace(/[^\u0020-\u007e]/g, '?');

/** All parts of an error that can be printed or logged. */
function shown(error: unknown): string {
  const parts = [
    String(error),
    inspect(error, { depth: 10, showHidden: true }),
    JSON.stringify(error),
  ];
  for (let one = error; one instanceof Object; one = (one as Error).cause) {
    const { message, stack, name } = one as Error;
    parts.push(`${message} ${stack} ${name} ${JSON.stringify(one)}`);
    for (const key of Object.getOwnPropertyNames(one))
      parts.push(inspect(Reflect.get(one, key), { depth: 10 }));
  }
  return parts.join('\n');
}

/** Secrets that are too long to be found by chance, with characters that URLs and JSON escape. */
const secret = fc
  .string({
    unit: fc.constantFrom(...Array.from('abcXYZ019:/?#[]@!$&\'()*+,;=%" \\ßé世')),
    minLength: 8,
    maxLength: 20,
  })
  .map((text) => `s3${text}t`);

async function failureOf(operation: Operation<unknown>): Promise<CorduroyError> {
  const error: unknown = await firstValueFrom(operation).then(
    () => 'it did not fail',
    (thrown: unknown) => thrown,
  );
  expect(isCorduroyError(error)).toBe(true);
  return error as CorduroyError;
}

function expectHidden(error: unknown, ...secrets: string[]): void {
  const text = shown(error);
  for (const one of secrets) {
    for (const form of [one, encodeURIComponent(one), JSON.stringify(one).slice(1, -1)]) {
      expect(text).not.toContain(form);
    }
  }
}

const transports: [string, Transport][] = [
  ['gotTransport', gotTransport()],
  ['fetchTransport', fetchTransport()],
];

describe.each(transports)('errors over %s contain no credential', (_, transport) => {
  it.each(Object.keys(failures))('of %s', async (kind) => {
    stub.answer(failures[kind] as StubHandler);
    const numRuns = kind === 'silence' ? 3 : 15;
    await fc.assert(
      fc.asyncProperty(secret, fc.boolean(), async (password, inUrl) => {
        const options = {
          transport,
          timeout: kind === 'silence' ? 20 : 2000,
          retry: false,
        } as const;
        const basic = Buffer.from(`ada:${password}`).toString('base64');
        const url = new URL(stub.url);
        if (inUrl) {
          url.username = 'ada';
          url.password = encodeURIComponent(password);
        }
        const auth: Auth = { username: 'ada', password };
        const couch = inUrl
          ? new Couch(url.href, options)
          : new Couch(stub.url, { ...options, auth });
        expectHidden(await failureOf(couch.version()), password, basic);
        expectHidden(await failureOf(couch.use('db').get('id')), password, basic);
        expectHidden(couch, password, basic);
      }),
      { numRuns },
    );
  });

  it('after a refused connection, for an unknown host, and with a bearer token', async () => {
    await fc.assert(
      fc.asyncProperty(secret, async (password) => {
        const token = Buffer.from(password).toString('base64url');
        const auth = { bearer: token };
        const refused = new Couch('http://127.0.0.1:1', { transport, auth, retry: false });
        expectHidden(await failureOf(refused.version()), token);
        const unknown = new Couch('http://no-such-host.invalid', {
          transport,
          auth: ['ada', password],
          retry: false,
        });
        expectHidden(await failureOf(unknown.version()), password);
        stub.answer(failures['an error with the secrets'] as StubHandler);
        const echoed = new Couch(stub.url, { transport, auth, headers: { 'X-Api-Key': token } });
        expectHidden(await failureOf(echoed.version()), token, 'cookie-secret=');
      }),
      { numRuns: 10 },
    );
  });
});

describe('errors contain no credential that changes', () => {
  /** Accepts each login, with a cookie that contains the password, and fails all other requests. */
  const letIn =
    (fail: StubHandler): StubHandler =>
    (request, response) => {
      if (request.url !== '/_session' || request.method !== 'POST') return fail(request, response);
      const { name, password } = JSON.parse(request.body.toString()) as Record<string, string>;
      const cookie = `AuthSession=${cookieOf(password ?? '')}; Version=1; Max-Age=600; Path=/`;
      response.writeHead(200, { 'content-type': 'application/json', 'set-cookie': cookie });
      response.end(JSON.stringify({ ok: true, name, roles: [] }));
      return undefined;
    };
  const cookieOf = (password: string): string => Buffer.from(`c:${password}`).toString('base64url');

  it.each(Object.keys(failures).filter((kind) => kind !== 'silence'))('in %s', async (kind) => {
    const fail = failures[kind] as StubHandler;
    await fc.assert(
      fc.asyncProperty(secret, secret, async (first, second) => {
        const secrets = [first, second].flatMap((password) => [
          password,
          cookieOf(password),
          Buffer.from(`ada:${password}`).toString('base64'),
        ]);
        const given = new BehaviorSubject<Credentials>({ session: ['ada', first] });
        const couch = new Couch(stub.url, { auth: given, retry: false });
        stub.answer(letIn(fail));
        expectHidden(await failureOf(couch.version()), ...secrets);
        given.next(['ada', second]);
        expectHidden(await failureOf(couch.version()), ...secrets);
        given.next({ proxy: { username: 'ada', secret: first, token: cookieOf(second) } });
        expectHidden(await failureOf(couch.version()), ...secrets);
        await firstValueFrom(couch.login('ada', second));
        expectHidden(await failureOf(couch.version()), ...secrets);
        // A failed login and a new password must not appear either.
        stub.answer(fail);
        expectHidden(await failureOf(couch.login('ada', first)), ...secrets);
        expectHidden(await failureOf(couch.users.create('ada', first)), ...secrets);
        expectHidden(await failureOf(couch.users.changePassword('ada', second)), ...secrets);
        expectHidden(couch, ...secrets);
        expectHidden(couch.users, ...secrets);
      }),
      { numRuns: 5 },
    );
  });

  it('if the credentials are invalid', async () => {
    const auths: Auth[] = [
      () => ({ session: ['a:da', 'hunter22'] }),
      () => ({ proxy: { username: 'ada', roles: ['a b'], secret: 'hunter22' } }),
      () => ({ username: '', password: 'hunter22' }),
    ];
    for (const auth of auths) {
      const couch = new Couch(stub.url, { auth, retry: false });
      const error: unknown = await firstValueFrom(couch.version()).catch(
        (thrown: unknown) => thrown,
      );
      expect((error as Error).name).toBe('TypeError');
      expectHidden(error, 'hunter22');
    }
  });
});

it('no credential is shown if a transport throws the whole request', async () => {
  await fc.assert(
    fc.asyncProperty(secret, fc.boolean(), async (password, inBody) => {
      const thrown = (request: TransportRequest): Error =>
        Object.assign(new Error(`could not send ${echo(request.headers)}`), { options: request });
      const transport: Transport = {
        send: (request) => {
          const failing = throwError(() => thrown(request));
          return inBody ? of({ status: 200, headers: {}, body: failing }) : failing;
        },
      };
      const couch = new Couch('http://host', { transport, auth: ['ada', password], retry: false });
      const basic = Buffer.from(`ada:${password}`).toString('base64');
      expectHidden(await failureOf(couch.version()), password, basic);
    }),
    { numRuns: 20 },
  );
});

it('no credential is shown if a server reports a URL that contains some', async () => {
  stub.answer((_, response) => {
    response
      .writeHead(404)
      .end('{"error":"db_not_found","reason":"could not open http://bob:hunter2@other:5984/x/"}');
  });
  const error = await failureOf(new Couch(stub.url, { retry: false }).version());
  expectHidden(error, 'hunter2');
  expect(error.message).toContain('http://***@other:5984/x/');
});

it('errors for an invalid URL or invalid credentials contain no credential', () => {
  const attempts = [
    () => new Couch('http//ada:hunter22@host'),
    () => new Couch('ftp://ada:hunter22@host'),
    () => new Couch('http://ada:hunter22@host/?q=1'),
    () => new Couch('http://ada:hunter22@ho st'),
    () => new Couch('http://host', { auth: ['a:da', 'hunter22'] }),
    () => new Couch('http://host', { auth: ['', 'hunter22'] }),
  ];
  for (const attempt of attempts) {
    let thrown: unknown;
    try {
      attempt();
    } catch (error) {
      thrown = error;
    }
    expect((thrown as Error).name).toBe('TypeError');
    expectHidden(thrown, 'hunter22');
  }
});

describe('a secret of a single request', () => {
  it.each<[name: string, ask: (couch: Couch) => Operation<unknown>]>([
    ['a header', (couch) => couch.request({ path: '/x', headers: { 'x-key': 'secret-of-one' } })],
    [
      'the password of a cluster',
      (couch) =>
        couch.cluster.setup({
          action: 'enable_single_node',
          username: 'ada',
          password: 'secret-of-one',
        }),
    ],
  ])('is not shown: %s', async (_, ask) => {
    stub.answer((request, response) => {
      response.writeHead(500, { 'content-type': 'application/json' });
      const reason = `${JSON.stringify(request.headers)} ${String(request.body)}`;
      response.end(JSON.stringify({ error: 'echo', reason }));
    });
    const failure: unknown = await firstValueFrom(ask(new Couch(stub.url, { retry: false }))).catch(
      (error: unknown) => error,
    );
    expect(isCorduroyError(failure)).toBe(true);
    expect(shown(failure)).not.toContain('secret-of-one');
  });
});
