import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { gotTransport } from 'corduroy';
import { Options } from 'got';
import { lastValueFrom, mergeMap } from 'rxjs';
import { startStub } from './helpers/stub-server.ts';
import type { StubServer } from './helpers/stub-server.ts';

// gotTransport replaces the most expensive step of got, in one of got's hooks. These tests fail if got
// moves that step, or needs another option for it.

// oxlint-disable-next-line typescript/unbound-method -- it is called on its own object
const original = Options.prototype.createNativeRequestOptions;
let stub: StubServer;
beforeAll(async () => {
  stub = await startStub();
});
afterEach(() => {
  Options.prototype.createNativeRequestOptions = original;
});
afterAll(() => stub.close());

const send = (): Promise<unknown> =>
  lastValueFrom(
    gotTransport()
      .send({ method: 'GET', url: stub.url, headers: { 'x-one': '1' } })
      .pipe(mergeMap(({ body }) => body)),
  );

describe('the replaced step of got', () => {
  it('exists, and makes no new options that plain http could need', () => {
    const made = new Options('http://localhost').createNativeRequestOptions() as object;
    const forTls =
      /^(?:ALPN|alpn|ca$|cert|checkServerIdentity|ciphers|crl|dhparam|ecdhCurve|honorCipherOrder|key$|max(?:Version)|min(?:Version)|passphrase|pfx|rejectUnauthorized|secureOptions|sigalgs|sessionTimeout)/;
    const others = Object.keys(made).filter((name) => !forTls.test(name));
    expect(others.sort()).toMatchInlineSnapshot(`
      [
        "agent",
        "cacheHeuristic",
        "createConnection",
        "family",
        "h2session",
        "headers",
        "ignoreCargoCult",
        "immutableMinTimeToLive",
        "localAddress",
        "lookup",
        "maxHeaderSize",
        "method",
        "servername",
        "setHost",
        "shared",
        "timeout",
      ]
    `);
  });

  it('is skipped over plain http, without a change to the request', async () => {
    let calls = 0;
    Options.prototype.createNativeRequestOptions = function (this: Options) {
      calls += 1;
      return original.call(this);
    };
    await send();
    expect(calls).toBe(0);
    expect(stub.requests[0]).toMatchObject({ method: 'GET', headers: { 'x-one': '1' } });
  });
});
