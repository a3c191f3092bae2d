// The compiler must be imported first, because Angular's packages are compiled as they load.
import '@angular/compiler';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { HttpClient, provideHttpClient } from '@angular/common/http';
import { HttpTestingController, provideHttpClientTesting } from '@angular/common/http/testing';
import { TestBed } from '@angular/core/testing';
import { Couch, fetchTransport } from 'corduroy';
import type { AttachmentContent } from 'corduroy';
import { httpClientTransport } from 'corduroy/angular';
import { firstValueFrom } from 'rxjs';
import { fetch as undiciFetch } from 'undici';
import { testBed } from './helpers/angular.ts';
import { json, startStub } from './helpers/stub-server.ts';
import type { StubServer } from './helpers/stub-server.ts';

// The bodies and headers that fetch and HttpClient receive.

let stub: StubServer;
beforeAll(async () => {
  stub = await startStub(json({ ok: true, id: 'a', rev: '1-x' }, 201));
});
beforeEach(() => {
  stub.requests.length = 0;
});
afterAll(() => stub.close());

const LARGE = 1_048_576;
type Body = string | ArrayBuffer | Blob | null | undefined;

/** Uploads an attachment, and returns what fetch received. */
async function upload(
  content: AttachmentContent,
  headers: Record<string, string> = {},
): Promise<{ body: Body; headers: Record<string, string>; progress: unknown[] }> {
  const seen: { body: Body; headers: Record<string, string> }[] = [];
  const fetch: typeof globalThis.fetch = (url, init) => {
    const { body, headers: sent } = init ?? {};
    seen.push({ body: body as Body, headers: { ...(sent as Record<string, string>) } });
    return globalThis.fetch(url, init);
  };
  const progress: unknown[] = [];
  const db = new Couch(stub.url, { transport: fetchTransport({ fetch }), headers }).use('db');
  await firstValueFrom(
    db.putAttachment({ _id: 'a' }, content, 'a.bin', {
      progress: {
        next: (value) => progress.push(value),
        complete: () => progress.push('complete'),
      },
    }),
  );
  const [first = { body: null, headers: {} }] = seen;
  return { ...first, progress };
}

const received = (): Buffer => stub.requests[0]?.body ?? Buffer.alloc(0);

describe('fetchTransport gives to fetch', () => {
  it.each([10, 3 * LARGE])('a Blob of %d bytes as it is', async (size) => {
    const blob = new Blob([Buffer.alloc(size, 'x')]);
    const { body, progress } = await upload(blob);
    expect(body).toBe(blob);
    expect(progress).toEqual([{ done: size, total: size }, 'complete']);
    expect(received().equals(Buffer.alloc(size, 'x'))).toBe(true);
  });

  it('a File as it is, with its type in a header', async () => {
    const file = new File(['abc'], 'a.bin', { type: 'image/x-pet' });
    const { body, headers } = await upload(file);
    expect(body).toBe(file);
    expect(headers['content-type']).toBe('image/x-pet');
  });

  it('large bytes and texts as Blobs, and small ones as they are', async () => {
    const transport = (seen: Body[]): typeof globalThis.fetch => {
      return (url, init) => {
        seen.push(init?.body as Body);
        return globalThis.fetch(url, init);
      };
    };
    const bodies: Body[] = [];
    const couch = new Couch(stub.url, { transport: fetchTransport({ fetch: transport(bodies) }) });
    const bytes = Buffer.alloc(LARGE, 'ä');
    const text = 'ä'.repeat(LARGE);
    const contents = ['small', text, bytes.subarray(1), bytes];
    for (const body of contents) {
      stub.requests.length = 0;
      await firstValueFrom(couch.request({ method: 'PUT', path: '/x', body }));
      expect(received().equals(Buffer.from(body as string))).toBe(true);
    }
    expect(bodies.map((body) => body instanceof Blob)).toEqual([false, true, false, true]);
    expect(stub.requests[0]?.headers).not.toHaveProperty('content-type');
    await firstValueFrom(couch.request({ method: 'PUT', path: '/x', body: text }));
    await firstValueFrom(couch.request({ method: 'PUT', path: '/x', body: 'small' }));
    const types = stub.requests
      .slice(-2)
      .map(({ headers }) => headers['content-type']?.toUpperCase());
    expect(types).toEqual(['TEXT/PLAIN;CHARSET=UTF-8', 'TEXT/PLAIN;CHARSET=UTF-8']);
  });

  it.each([307, 308])('a Blob again after a redirect with %d', async (status) => {
    stub.answer((request, response) => {
      if (request.url.includes('again')) json({ ok: true, id: 'a', rev: '1-x' })(request, response);
      else response.writeHead(status, { location: '/again' }).end();
    });
    await upload(new Blob(['abc']));
    expect(stub.requests.map(({ body }) => String(body))).toEqual(['abc', 'abc']);
    stub.answer(json({ ok: true, id: 'a', rev: '1-x' }, 201));
  });

  it('no header that fetch computes or forbids', async () => {
    const names = ['connection', 'expect', 'host', 'keep-alive', 'te', 'transfer-encoding'];
    const own = Object.fromEntries(names.map((name) => [name, 'x']));
    const { headers } = await upload('text', { ...own, 'x-own': 'kept' });
    expect(Object.keys(headers).sort()).toEqual(['accept', 'content-type', 'x-own']);
  });

  it.each<[string, () => AttachmentContent]>([
    ['a text', () => 'abc'],
    ['bytes', () => Buffer.from('abc')],
    ['a Blob', () => new Blob(['abc'])],
    [
      'a stream',
      async function* () {
        yield Buffer.from('abc');
      },
    ],
  ])('%s that the fetch of npm accepts', async (_, content) => {
    const transport = fetchTransport({ fetch: undiciFetch as never });
    const db = new Couch(stub.url, { transport }).use('db');
    await firstValueFrom(db.putAttachment({ _id: 'a' }, content(), 'a.bin'));
    expect(stub.requests[0]).toMatchObject({
      body: Buffer.from('abc'),
      headers: { 'content-length': '3' },
    });
  });
});

describe('httpClientTransport gives to HttpClient', () => {
  const request = globalThis.XMLHttpRequest;
  afterEach(() => {
    globalThis.XMLHttpRequest = request;
  });

  const bodyOf = async (
    content: AttachmentContent,
  ): Promise<{ body: unknown; names: string[] }> => {
    testBed(provideHttpClient(), provideHttpClientTesting());
    const controller = TestBed.inject(HttpTestingController);
    const transport = httpClientTransport({ http: TestBed.inject(HttpClient) });
    const db = new Couch(stub.url, { transport }).use('db');
    const result = firstValueFrom(db.putAttachment({ _id: 'a' }, content, 'a.bin'));
    let open = controller.match(() => true);
    while (open.length === 0) {
      await new Promise((resolve) => setImmediate(resolve));
      open = controller.match(() => true);
    }
    open[0]?.flush('{"ok":true,"id":"a","rev":"1-x"}');
    await result;
    const { body, headers } = open[0]?.request ?? {};
    return { body, names: headers?.keys() ?? [] };
  };

  it('a Blob as it is, and no header that a browser forbids', async () => {
    // A browser has this class, and Node does not.
    globalThis.XMLHttpRequest = Object as never;
    const blob = new Blob(['abc']);
    const { body, names } = await bodyOf(blob);
    expect(body).toBe(blob);
    expect(names).not.toContain('content-length');
    expect((await bodyOf(Buffer.alloc(LARGE))).body).toBeInstanceOf(Blob);
  });

  it('bytes on a server', async () => {
    const { body } = await bodyOf(new Blob(['abc']));
    expect(Buffer.from(body as ArrayBuffer).toString()).toBe('abc');
  });
});
