// Angular's packages are compiled when they are loaded, so the compiler must be imported first.
import '@angular/compiler';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { brotliCompressSync, deflateSync, gzipSync } from 'node:zlib';
import { HttpClient, provideHttpClient, withFetch } from '@angular/common/http';
import { TestBed } from '@angular/core/testing';
import { Couch, fetchTransport, gotTransport, isRedirectRefused } from 'corduroy';
import type { Transport, TransportRequest, TransportResponse } from 'corduroy';
import { httpClientTransport } from 'corduroy/angular';
import { undiciTransport } from 'corduroy/undici';
import { defer, firstValueFrom, forkJoin, map, mergeMap, reduce } from 'rxjs';
import type { Observable } from 'rxjs';
import { testBed } from './helpers/angular.ts';
import { startStub } from './helpers/stub-server.ts';
import type { StubServer } from './helpers/stub-server.ts';
import { redirectLink } from '../src/http/redirect.ts';

let stub: StubServer;
let other: StubServer;
beforeAll(async () => {
  stub = await startStub();
  other = await startStub();
});
afterAll(async () => {
  await stub.close();
  await other.close();
});
beforeEach(() => {
  stub.requests.length = 0;
  other.requests.length = 0;
  testBed(provideHttpClient(withFetch()));
});

/** Looks `HttpClient` up at each request, because each test has another application. */
function overHttpClient(): Transport {
  const send = (request: TransportRequest): Observable<TransportResponse> =>
    httpClientTransport({ http: TestBed.inject(HttpClient) }).send(request);
  return { send: (request) => defer(() => send(request)) };
}

const transports: [string, () => Transport][] = [
  ['gotTransport', gotTransport],
  ['fetchTransport', fetchTransport],
  ['undiciTransport', undiciTransport],
  ['httpClientTransport', overHttpClient],
];

/** Follows redirects as a connection does. */
function withRedirects(transport: Transport): Transport {
  return {
    send: (request) => {
      const { origin, href } = new URL(request.url);
      const isAnswer = request.followRedirects === false ? () => true : undefined;
      const context = { spec: { isAnswer } };
      const link = { ...request, server: origin, path: href.slice(origin.length), context };
      return redirectLink(link as never, ({ method, server, path, headers, body }) =>
        transport.send({ ...request, method, url: server + path, headers, body }),
      );
    },
  };
}

describe.each(transports)('%s', (kind, make) => {
  const transport = withRedirects(make());
  // `HttpClient` buffers responses, so its transport sends endless requests by another one.
  const endless = kind === 'httpClientTransport';

  const get = (path: string, headers: Record<string, string> = {}): TransportRequest => ({
    method: 'GET',
    url: stub.url + path,
    headers,
  });
  const read = (response: TransportResponse): Observable<Buffer> =>
    response.body.pipe(
      reduce((parts, chunk) => [...parts, chunk], [] as Uint8Array[]),
      map((parts) => Buffer.concat(parts)),
    );
  const exchange = (request: TransportRequest): Promise<TransportResponse & { bytes: Buffer }> =>
    firstValueFrom(
      transport
        .send(request)
        .pipe(
          mergeMap((response) => read(response).pipe(map((bytes) => ({ ...response, bytes })))),
        ),
    );

  it('sends nothing before the subscription, then one request for each subscription', async () => {
    stub.answer((_, response) => response.end('x'));
    const exchange$ = transport.send(get('/cold')).pipe(mergeMap(read));
    expect(stub.requests).toHaveLength(0);
    await firstValueFrom(exchange$);
    await firstValueFrom(exchange$);
    expect(stub.requests.map(({ url }) => url)).toEqual(['/cold', '/cold']);
  });

  it.each([200, 201, 202, 304, 400, 404, 409, 412, 500, 503])('emits status %d', async (status) => {
    stub.answer((_, response) => response.writeHead(status).end());
    expect((await exchange(get('/status'))).status).toBe(status);
  });

  it('emits headers by lower-case name', async () => {
    stub.answer((_, response) => response.setHeader('X-Couch-Request-ID', 'abc').end());
    expect((await exchange(get('/headers'))).headers).toMatchObject({
      'x-couch-request-id': 'abc',
    });
  });

  it('sends method, path, query and headers unchanged', async () => {
    stub.answer((_, response) => response.end());
    const path = '/a%2Fb/%2B%25%3F%23?key=%22x%20y%22&r=1%2B1';
    await exchange({ ...get(path, { 'x-one': '1' }), method: 'DELETE' });
    expect(stub.requests[0]).toMatchObject({
      method: 'DELETE',
      url: path,
      headers: { 'x-one': '1' },
    });
  });

  // Angular's `HttpClient` follows redirects, or refuses them.
  if (kind !== 'httpClientTransport') {
    it('emits a redirect if followRedirects is false', async () => {
      stub.answer((_, response) => response.writeHead(302, { location: '/other' }).end('moved'));
      const redirect = await exchange({ ...get('/redirect'), followRedirects: false });
      expect(redirect).toMatchObject({ status: 302, headers: { location: '/other' } });
      expect(redirect.bytes.toString()).toBe('moved');
      expect(stub.requests.map(({ url }) => url)).toEqual(['/redirect']);
    });
  }

  it('sends COPY', async () => {
    stub.answer((_, response) => response.end());
    await exchange({ ...get('/db/one', { destination: 'two' }), method: 'COPY' });
    expect(stub.requests[0]).toMatchObject({ method: 'COPY', headers: { destination: 'two' } });
  });

  it('reads bytes unchanged', async () => {
    const bytes = Buffer.from(Array.from({ length: 70_000 }, (_, i) => (i * 7) % 256));
    stub.answer((_, response) => response.end(bytes));
    expect((await exchange(get('/bytes'))).bytes.equals(bytes)).toBe(true);
  });

  it('reads an empty body, and a HEAD response without a body', async () => {
    stub.answer((_, response) => response.setHeader('content-length', 0).end());
    expect((await exchange(get('/empty'))).bytes).toHaveLength(0);
    stub.answer((_, response) => response.setHeader('content-length', 17).end());
    expect((await exchange({ ...get('/head'), method: 'HEAD' })).bytes).toHaveLength(0);
  });

  it('decompresses gzip', async () => {
    stub.answer((_, response) =>
      response.setHeader('content-encoding', 'gzip').end(gzipSync('{"zipped":"yes"}')),
    );
    expect((await exchange(get('/gzip'))).bytes.toString()).toBe('{"zipped":"yes"}');
  });

  it.each([
    ['br', brotliCompressSync],
    ['deflate', deflateSync],
  ])('decompresses %s', async (encoding, compress) => {
    const bytes = Buffer.from('{"zipped":"yes"}'.repeat(20_000));
    stub.answer((_, response) =>
      response.setHeader('content-encoding', encoding).end(compress(bytes)),
    );
    expect((await exchange(get('/zipped'))).bytes.equals(bytes)).toBe(true);
  });

  it('emits chunks when they arrive, before the body is complete', async () => {
    let goOn = (): void => {};
    stub.answer((_, response) => {
      response.write('first');
      goOn = () => response.end('second');
    });
    const chunks: string[] = [];
    await new Promise<void>((resolve, reject) => {
      transport
        .send({ ...get('/chunks'), endless })
        .pipe(mergeMap(({ body }) => body))
        .subscribe({
          next: (chunk) => {
            chunks.push(Buffer.from(chunk).toString());
            goOn();
          },
          error: reject,
          complete: resolve,
        });
    });
    expect(chunks).toEqual(['first', 'second']);
  });

  describe('uploads', () => {
    const text = '{"grüße":"世界 🌍"}';
    async function* inPieces(): AsyncGenerator<Uint8Array> {
      const bytes = Buffer.from(text);
      for (let i = 0; i < bytes.length; i += 3) yield bytes.subarray(i, i + 3);
    }
    it.each([
      ['a string', (): TransportRequest['body'] => text],
      ['bytes', (): TransportRequest['body'] => new TextEncoder().encode(text)],
      ['a stream', (): TransportRequest['body'] => inPieces()],
    ])('%s', async (_, body) => {
      stub.answer((__, response) => response.writeHead(201).end());
      const response = await exchange({ ...get('/up'), method: 'PUT', body: body() });
      expect(response.status).toBe(201);
      expect(stub.requests[0]?.body.toString()).toBe(text);
    });

    it.each(['PUT', 'POST', 'DELETE', 'COPY'])(
      '%s without a body does not hang',
      async (method) => {
        stub.answer((_, response) => response.end('{}'));
        expect((await exchange({ ...get('/bare'), method })).status).toBe(200);
      },
    );

    it('errors if the source of an upload fails', async () => {
      async function* failing(): AsyncGenerator<Uint8Array> {
        yield Buffer.from('a');
        throw new Error('disk gone');
      }
      stub.answer((_, response) => response.end());
      const upload = exchange({ ...get('/failing'), method: 'PUT', body: failing() });
      await expect(upload).rejects.toMatchObject({ message: expect.stringContaining('disk gone') });
    });
  });

  describe('redirects', () => {
    const redirect = (location: string, status: number): void => {
      stub.answer((request, response) => {
        if (request.url === '/from') response.writeHead(status, { location }).end();
        else response.end('there');
      });
    };

    it.each([301, 302, 307, 308])(
      'follows %d within the origin, with credentials',
      async (status) => {
        redirect('/to', status);
        const response = await exchange(get('/from', { authorization: 'Basic c2VjcmV0' }));
        expect(response.bytes.toString()).toBe('there');
        expect(stub.requests[1]).toMatchObject({
          url: '/to',
          headers: { authorization: 'Basic c2VjcmV0' },
        });
      },
    );

    it.each([301, 302, 303, 307, 308])(
      'refuses %d to another origin, and sends it nothing of the user',
      async (status) => {
        redirect(`${other.url}/away`, status);
        other.answer((_, response) => {
          response.writeHead(200, { 'set-cookie': 'AuthSession=evil' }).end('elsewhere');
        });
        const secrets = { authorization: 'Basic c2VjcmV0', 'x-auth-couchdb-token': 'secret' };
        for (const request of [
          get('/from'),
          get('/from', { authorization: 'Basic c2VjcmV0' }),
          get('/from', { ...secrets, 'x-own': 'c2VjcmV0' }),
          { ...get('/from'), cookies: true },
          { ...get('/from', secrets), method: 'PUT', body: 'private' },
        ]) {
          const error: unknown = await exchange(request).catch((thrown: unknown) => thrown);
          expect(isRedirectRefused(error)).toBe(true);
          expect(error).toMatchObject({ from: stub.url, to: other.url, transient: false });
          expect(String(error)).toContain(other.url);
        }
        const seen = JSON.stringify(
          other.requests.map(({ headers, body }) => [headers, String(body)]),
        );
        expect(seen).not.toMatch(/secret|c2VjcmV0|private/);
      },
    );

    it.each([
      ['http://[', 'not a URL'],
      ['ftp://other/x', 'not an http or https URL'],
      ['file:///etc/passwd', 'not an http or https URL'],
    ])('refuses a redirect to %s', async (location, problem) => {
      redirect(location, 302);
      const error: unknown = await exchange(get('/from')).catch((thrown: unknown) => thrown);
      // Node's fetch follows for `HttpClient`, and refuses these itself.
      if (kind === 'httpClientTransport') return expect(error).toBeInstanceOf(Error);
      expect(error).toMatchObject({ name: 'RedirectRefused', to: null, transient: false });
      return expect(String(error)).toContain(problem);
    });

    it('refuses to send a stream twice, and follows 303 after it', async () => {
      async function* stream(): AsyncGenerator<Uint8Array> {
        yield Buffer.from('once');
      }
      redirect('/to', 303);
      const request = { ...get('/from'), method: 'POST' };
      expect((await exchange({ ...request, body: stream() })).bytes.toString()).toBe('there');
      redirect('/to', 307);
      await expect(exchange({ ...request, body: stream() })).rejects.toThrow(
        'cannot be sent twice',
      );
    });

    it.each([301, 302, 307, 308])('keeps method and body of a PUT on %d', async (status) => {
      redirect('/to', status);
      await exchange({ ...get('/from'), method: 'PUT', body: 'kept' });
      expect(stub.requests).toHaveLength(2);
      expect(stub.requests[1]).toMatchObject({
        method: 'PUT',
        url: '/to',
        body: Buffer.from('kept'),
      });
    });
  });

  // Node's fetch follows for `HttpClient`.
  if (kind !== 'httpClientTransport') {
    it.each(['identity', 'gzip'])(
      'follows a redirect whose body does not end, with content-encoding %s',
      async (encoding) => {
        const closed: string[] = [];
        stub.answer((request, response) => {
          if (request.url === '/to') {
            response.end('there');
            return;
          }
          const location = request.url === '/from' ? '/between' : '/to';
          response.writeHead(302, { location, 'content-encoding': encoding }).write('moved');
          const timer = setInterval(() => response.write('moved'), 10);
          response.on('close', () => {
            clearInterval(timer);
            closed.push(request.url);
          });
        });
        expect((await exchange(get('/from'))).bytes.toString()).toBe('there');
        expect(stub.requests.map(({ url }) => url)).toEqual(['/from', '/between', '/to']);
        // The downloads of both redirects are cancelled.
        while (closed.length < 2) await new Promise((resolve) => setTimeout(resolve));
      },
    );
  }

  if (kind === 'undiciTransport') {
    it('follows such a redirect with a single socket', async () => {
      stub.answer((request, response) => {
        if (request.url === '/to') response.end('there');
        else response.writeHead(302, { location: '/to' }).write('moved');
      });
      const single = withRedirects(undiciTransport({ maxSockets: 1 }));
      const answers = await firstValueFrom(
        forkJoin([1, 2, 3].map(() => single.send(get('/from')).pipe(mergeMap(read)))),
      );
      expect(answers.map(String)).toEqual(['there', 'there', 'there']);
    });
  }

  it('errors after too many redirects', async () => {
    stub.answer((_, response) => response.writeHead(302, { location: '/round' }).end());
    await expect(exchange(get('/round'))).rejects.toHaveProperty('message');
    expect(stub.requests.length).toBeLessThan(25);
  });

  it('follows 303 with GET and without the body', async () => {
    stub.answer((request, response) => {
      if (request.url === '/from') response.writeHead(303, { location: '/other' }).end();
      else response.end('there');
    });
    await exchange({ ...get('/from'), method: 'POST', body: 'sent once' });
    expect(
      stub.requests.map(({ method, url, body }) => `${method} ${url} ${String(body)}`),
    ).toEqual(['POST /from sent once', 'GET /other ']);
  });

  describe('failures', () => {
    const failure = (request: TransportRequest): Promise<unknown> =>
      exchange(request).then(
        () => 'no failure',
        (error: unknown) => error,
      );

    // Node's fetch reports no error here.
    if (kind !== 'fetchTransport' && kind !== 'httpClientTransport') {
      it('errors if a compressed body ends early', async () => {
        const whole = gzipSync('{"zipped":"yes"}'.repeat(1000));
        stub.answer((_, response) =>
          response.setHeader('content-encoding', 'gzip').end(whole.subarray(0, whole.length / 2)),
        );
        expect(await failure(get('/half'))).toHaveProperty('message');
      });
    }

    it('errors if a body ends early, with and without a length', async () => {
      for (const length of [{}, { 'content-length': '100' }]) {
        stub.answer((_, response) => {
          response.writeHead(200, length);
          response.write('half');
          setImmediate(() => response.destroy());
        });
        expect(await failure(get('/cut'))).toHaveProperty('message');
      }
    });

    it('errors in the body after the head, and in the request before it', async () => {
      const couch = new Couch(stub.url, { transport });
      const name = (): Promise<string> =>
        firstValueFrom(couch.version()).catch((error: Error) => error.name);
      stub.answer((_, response) => {
        response.writeHead(200, { 'content-length': '100' });
        response.write('{');
        setTimeout(() => response.destroy(), 20);
      });
      // `HttpClient` has no status then, so the two cannot be distinguished.
      expect(await name()).toBe(endless ? 'ConnectionError' : 'ProtocolError');
      stub.answer((_, response) => response.destroy());
      expect(await name()).toBe('ConnectionError');
    });

    it('errors if the connection is refused', async () => {
      const gone = await startStub();
      await gone.close();
      expect(await failure({ ...get('/'), url: gone.url })).toHaveProperty('message');
    });

    it('errors for an unknown host', async () => {
      expect(await failure({ ...get('/'), url: 'http://no-such-host.invalid/' })).toHaveProperty(
        'message',
      );
    });

    it('errors if the response is not HTTP', async () => {
      stub.answer((_, response) => response.socket?.end('not http at all\r\n\r\n'));
      expect(await failure(get('/garbage'))).toHaveProperty('message');
    });
  });

  describe('unsubscribe', () => {
    it('before the head closes the socket at once', async () => {
      stub.answer(() => {});
      const closed = stub.aborted();
      const subscription = transport.send(get(`/never/${kind}`)).subscribe();
      await stub.seen(`/never/${kind}`);
      subscription.unsubscribe();
      await closed;
      expect(stub.requests).toHaveLength(1);
    });

    it('in the middle of the body closes the socket at once, and nothing is emitted afterwards', async () => {
      stub.answer((_, response) => {
        response.write('one');
        const more = setInterval(() => response.write('more'), 1);
        response.on('close', () => clearInterval(more));
      });
      const closed = stub.aborted();
      const events: string[] = [];
      await new Promise<void>((resolve) => {
        const subscription = transport
          .send({ ...get('/endless'), endless })
          .pipe(mergeMap(({ body }) => body))
          .subscribe({
            next: () => {
              events.push('chunk');
              subscription.unsubscribe();
              resolve();
            },
            error: () => events.push('error'),
            complete: () => events.push('complete'),
          });
      });
      await closed;
      expect(events).toEqual(['chunk']);
    });

    it('in the turn of the subscription sends no request, or aborts it', async () => {
      stub.answer((_, response) => response.end());
      const errors: unknown[] = [];
      transport
        .send(get('/hasty'))
        .subscribe({ error: (error) => errors.push(error) })
        .unsubscribe();
      stub.answer((_, response) => response.end('next'));
      expect((await exchange(get('/after'))).bytes.toString()).toBe('next');
      expect(errors).toEqual([]);
    });

    it('during an upload releases its source', async () => {
      let begun = (): void => {};
      let released = (): void => {};
      const startSequence = new Promise<void>((resolve) => (begun = resolve));
      const release = new Promise<void>((resolve) => (released = resolve));
      async function* unending(): AsyncGenerator<Uint8Array> {
        try {
          for (;;) {
            await new Promise((resolve) => setImmediate(resolve));
            yield Buffer.alloc(1024);
            begun();
          }
        } finally {
          released();
        }
      }
      const request = { ...get('/up'), method: 'PUT', body: unending() };
      const subscription = transport.send(request).subscribe();
      await startSequence;
      subscription.unsubscribe();
      await release;
      expect(stub.requests).toHaveLength(0);
    });
  });

  it('sends 100 requests at the same time', async () => {
    stub.answer((request, response) => {
      setTimeout(() => response.end(request.url), 5);
    });
    const bodies = await firstValueFrom(
      forkJoin(
        Array.from({ length: 100 }, (_, i) =>
          transport.send(get(`/many/${i}`)).pipe(mergeMap(read)),
        ),
      ),
    );
    expect(bodies.map(String)).toEqual(Array.from({ length: 100 }, (_, i) => `/many/${i}`));
  });
});

describe('fetchTransport', () => {
  it('aborts a request in flight, but not one that has ended', async () => {
    const signals: (AbortSignal | null | undefined)[] = [];
    const fetch: typeof globalThis.fetch = (_url, init) => {
      signals.push(init?.signal);
      return Promise.resolve(new Response('{"version":"3.5.0"}'));
    };
    const couch = new Couch('http://couch.test', { transport: fetchTransport({ fetch }) });
    expect(await firstValueFrom(couch.version())).toBe('3.5.0');
    couch.version().subscribe().unsubscribe();
    expect(signals.map((signal) => signal?.aborted)).toEqual([false, true]);
  });
});
