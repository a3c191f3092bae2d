import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals';
import { Readable } from 'node:stream';
import { firstValueFrom, forkJoin, mergeMap, toArray } from 'rxjs';
import type { Observable } from 'rxjs';
import type * as Corduroy from 'corduroy';
import type { Transport, TransportRequest } from 'corduroy';
import { json, startStub } from './helpers/stub-server.ts';
import type { StubServer } from './helpers/stub-server.ts';

// The first request loads got, and the first attachment that needs them the media types. Each test
// loads Corduroy again, so that its first request does.

let stub: StubServer;
let corduroy: typeof Corduroy;
let transport: Transport;
beforeEach(async () => {
  stub = await startStub(json({ ok: true, id: 'a', rev: '1-x' }));
  jest.resetModules();
  corduroy = await import('corduroy');
  transport = corduroy.gotTransport();
});
afterEach(() => stub.close());

const get = (path: string): TransportRequest => ({
  method: 'GET',
  url: stub.url + path,
  headers: {},
});
const read = (request: TransportRequest): Observable<Uint8Array[]> =>
  transport.send(request).pipe(mergeMap(({ body }) => body.pipe(toArray())));

/** A request that records when the transport reads its URL: it does so when it sends the request. */
function observedRequest(path: string): { request: TransportRequest; isSent: () => boolean } {
  let sent = false;
  const { url, ...rest } = get(path);
  const request = {
    ...rest,
    get url() {
      sent = true;
      return url;
    },
  };
  return { request, isSent: () => sent };
}

describe('the first request', () => {
  it('is sent after the subscription only', async () => {
    const exchange$ = read(get('/cold'));
    await import('got');
    expect(stub.requests).toHaveLength(0);
    await firstValueFrom(exchange$);
    expect(stub.requests.map(({ url }) => url)).toEqual(['/cold']);
  });

  it('waits for got, together with the requests beside it', async () => {
    const requests = ['/one', '/two', '/three'].map(observedRequest);
    const answers = firstValueFrom(forkJoin(requests.map(({ request }) => read(request))));
    expect(requests.map(({ isSent }) => isSent())).toEqual([false, false, false]);
    expect(await answers).toHaveLength(3);
    expect(stub.requests.map(({ url }) => url).sort()).toEqual(['/one', '/three', '/two']);
  });

  it('is not sent if it is unsubscribed while got is loaded', async () => {
    const aborted = observedRequest('/aborted');
    const emitted: unknown[] = [];
    const note = (value?: unknown): unknown => emitted.push(value);
    read(aborted.request).subscribe({ next: note, error: note, complete: note }).unsubscribe();
    await firstValueFrom(read(get('/next')));
    expect(stub.requests.map(({ url }) => url)).toEqual(['/next']);
    expect([aborted.isSent(), emitted]).toEqual([false, []]);
  });

  it('closes its body if it is unsubscribed while got is loaded', async () => {
    const body = new Readable({ read: () => {} });
    const subscription = read({ ...get('/upload'), method: 'PUT', body }).subscribe();
    expect(body.destroyed).toBe(false);
    subscription.unsubscribe();
    expect(body.destroyed).toBe(true);
  });

  it('keeps its body open when it is sent', async () => {
    const body = Readable.from([Buffer.from('a'), Buffer.from('b')]);
    await firstValueFrom(read({ ...get('/upload'), method: 'PUT', body }));
    expect(stub.requests[0]?.body.toString()).toBe('ab');
  });
});

describe('a later request', () => {
  it('is sent at the subscription', async () => {
    await firstValueFrom(read(get('/first')));
    const { request, isSent } = observedRequest('/second');
    const answer = firstValueFrom(read(request));
    expect(isSent()).toBe(true);
    await answer;
  });

  it('of another transport is sent at the subscription, too', async () => {
    await firstValueFrom(read(get('/first')));
    transport = corduroy.gotTransport({ maxSockets: 1 });
    const { request, isSent } = observedRequest('/second');
    const answer = firstValueFrom(read(request));
    expect(isSent()).toBe(true);
    await answer;
  });
});

describe('the first attachment with a type by its name', () => {
  const put = (name: string): Observable<unknown> =>
    new corduroy.Couch(stub.url).use('db').putAttachment({ _id: 'a' }, new Uint8Array(1), name);

  it('has the type of its extension, as the next ones have', async () => {
    await firstValueFrom(put('a.woff2'));
    await firstValueFrom(put('b.7z'));
    const types = stub.requests.map(({ headers }) => headers['content-type']);
    expect(types).toEqual(['font/woff2', 'application/x-7z-compressed']);
  });

  it('is not sent if it is unsubscribed while the types are loaded', async () => {
    // got is loaded before, so that only the types are missing.
    await firstValueFrom(read(get('/first')));
    put('aborted.woff2').subscribe().unsubscribe();
    await firstValueFrom(put('next.woff2'));
    expect(stub.requests.map(({ url }) => url)).toEqual(['/first', '/db/a/next.woff2']);
  });
});
