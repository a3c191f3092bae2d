import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { gotTransport } from 'corduroy';
import { Options } from 'got';
import { lastValueFrom, mergeMap } from 'rxjs';
import { startStub } from './helpers/stub-server.ts';
import type { StubServer } from './helpers/stub-server.ts';

// gotTransport replaces the costliest step of got, by a hook of got's own. Should got take that step
// elsewhere, or begin to need another option for it, this is where one hears of it.

// oxlint-disable-next-line typescript/unbound-method -- it is called on what it belongs to
const own = Options.prototype.createNativeRequestOptions;
let stub: StubServer;
beforeAll(async () => {
  stub = await startStub();
});
afterEach(() => {
  Options.prototype.createNativeRequestOptions = own;
});
afterAll(() => stub.close());

const ask = (): Promise<unknown> =>
  lastValueFrom(
    gotTransport()
      .send({ method: 'GET', url: stub.url, headers: { 'x-one': '1' } })
      .pipe(mergeMap(({ body }) => body)),
  );

describe('the step of got that is replaced', () => {
  it('is there, and makes options of which plain http needs none but those that are made here', () => {
    const made = new Options('http://localhost').createNativeRequestOptions() as object;
    const forTls =
      /^(?:ALPN|alpn|ca$|cert|checkServerIdentity|ciphers|crl|dhparam|ecdhCurve|honorCipherOrder|key$|max(?:Version)|min(?:Version)|passphrase|pfx|rejectUnauthorized|secureOptions|sigalgs|sessionTimeout)/;
    const left = Object.keys(made).filter((name) => !forTls.test(name));
    expect(left.sort()).toMatchInlineSnapshot(`
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

  it('is not taken over plain http, and the request is the same', async () => {
    let taken = 0;
    Options.prototype.createNativeRequestOptions = function (this: Options) {
      taken += 1;
      return own.call(this);
    };
    await ask();
    expect(taken).toBe(0);
    expect(stub.requests[0]).toMatchObject({ method: 'GET', headers: { 'x-one': '1' } });
  });
});
