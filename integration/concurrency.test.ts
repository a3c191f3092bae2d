import { afterEach, describe, expect, it } from '@jest/globals';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import {
  asyncScheduler,
  concatMap,
  defer,
  forkJoin,
  from,
  lastValueFrom,
  mergeMap,
  of,
  retry,
  throwError,
  timer,
} from 'rxjs';
import type { Observable, Subscription } from 'rxjs';
import { errorFromResponse } from '../src/errors/from-response.ts';
import { isHTTPError, rawAnswer } from '../src/errors/http-error.ts';
import { concurrencyLink } from '../src/http/concurrency.ts';
import type { ConcurrencyLink } from '../src/http/concurrency.ts';
import { readText } from '../src/http/exchange.ts';
import type { LinkRequest, Next } from '../src/http/link.ts';
import { backoff, retryAfter } from '../src/operators/retry-policy.ts';
import { undiciTransport } from '../src/undici.ts';

// The limit of concurrency over real sockets: against servers that limit the rate, and with responses
// that depend on other requests.

type Handler = (request: IncomingMessage, response: ServerResponse) => void;

const servers: Server[] = [];

afterEach(async () => {
  for (const server of servers.splice(0)) {
    const closed = once(server, 'close');
    server.close();
    server.closeAllConnections();
    await closed;
  }
});

async function start(handler: Handler): Promise<string> {
  const server = createServer(handler).listen(0, '127.0.0.1');
  await once(server, 'listening');
  servers.push(server);
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

/** Sends requests with undici, and makes errors of statuses other than 2xx. */
function sender(): Next {
  const transport = undiciTransport();
  const redact = (text: string): string => text;
  return ({ method, server, path, headers, body }) => {
    const request = { method, url: server + path };
    return transport.send({ ...request, headers, body }).pipe(
      mergeMap((response) => {
        const { status, headers: received } = response;
        if (status < 300) return of({ ...response, request, redact, maxBodySize: Infinity });
        return readText(response.body).pipe(
          mergeMap((text) =>
            throwError(() => errorFromResponse(status, received, text, request, redact)),
          ),
        );
      }),
    );
  };
}

function get(server: string, path: string, attempt = 1): LinkRequest {
  return {
    method: 'GET',
    route: '/{db}/{docid}',
    server,
    path,
    headers: {},
    body: undefined,
    reads: true,
    repeatable: true,
    endless: false,
    priority: 'normal',
    timeout: 0,
    attempt,
    // The link does not read it.
    context: undefined as never,
  };
}

/** Reads the text of a response. */
function read(link: ConcurrencyLink, request: LinkRequest, next: Next): Observable<string> {
  return link(request, next).pipe(mergeMap(({ body }) => readText(body)));
}

/** Tells whether a request is within the limit, at a time in milliseconds. */
type RateLimit = (now: number) => boolean;

/** The rules of rate limits: so many requests a second. */
const rateLimits: Readonly<Record<string, (rate: number) => RateLimit>> = {
  'a sliding window': (rate) => {
    const times: number[] = [];
    return (now) => {
      while ((times[0] ?? now) <= now - 1000) times.shift();
      return times.length < rate && times.push(now) > 0;
    };
  },
  'a fixed window': (rate) => {
    let [second, count] = [0, 0];
    return (now) => {
      if (Math.floor(now / 1000) !== second) [second, count] = [Math.floor(now / 1000), 0];
      return (count += 1) <= rate;
    };
  },
  'a token bucket': (rate) => {
    let [tokens, since] = [rate, performance.now()];
    return (now) => {
      tokens = Math.min(rate, tokens + ((now - since) * rate) / 1000);
      since = now;
      return tokens >= 1 && (tokens -= 1) >= 0;
    };
  },
};

describe('400 reads of a server that allows 50 a second', () => {
  // All at once, because each takes about 9 s.
  it('do not fail, and less than a fifth of the answers is a 429', async () => {
    const kinds = Object.keys(rateLimits).flatMap((kind) => [
      { kind, hasHeader: true },
      { kind, hasHeader: false },
    ]);
    const results = await Promise.all(kinds.map((one) => run(one.kind, one.hasHeader)));
    for (const [i, { ok, failures, refused, left }] of results.entries()) {
      const isShareSmall = refused / (ok + refused) < 0.2;
      expect({ ...kinds[i], refused, ok, failures, isShareSmall, left }).toEqual({
        ...kinds[i],
        refused,
        ok: 400,
        failures: [],
        isShareSmall: true,
        left: [0, 0],
      });
    }
  }, 120_000);

  async function run(
    kind: string,
    hasHeader: boolean,
  ): Promise<{ ok: number; failures: unknown[]; refused: number; left: readonly number[] }> {
    const isAllowed = rateLimits[kind]?.(50);
    const counts = { ok: 0, refused: 0 };
    const url = await start((_, response) => {
      if (isAllowed?.(performance.now()) === true) {
        counts.ok += 1;
        response.end('{"_id":"a"}');
        return;
      }
      counts.refused += 1;
      response.writeHead(429, hasHeader ? { 'retry-after': '1' } : {});
      response.end('{"error":"too_many_requests","reason":"slow down"}');
    });
    const link = concurrencyLink('adaptive', asyncScheduler);
    const next = sender();
    const failures: unknown[] = [];
    const one = (id: number): Observable<unknown> =>
      defer(() => {
        let attempt = 0;
        return defer(() => read(link, get(url, `/db/${id}`, (attempt += 1)), next)).pipe(
          retry({
            delay: (error: unknown, retries) => {
              if (retries === 3) failures.push(error);
              if (retries === 3 || !isHTTPError(error)) return throwError(() => error);
              const requested = retryAfter(rawAnswer(error).retryAfter, asyncScheduler);
              return timer(Math.max(requested, backoff(retries)));
            },
          }),
        );
      });
    await lastValueFrom(forkJoin(Array.from({ length: 400 }, (_, id) => one(id))));
    return { ...counts, failures, left: [link.state.inFlight, link.state.waiting] };
  }
});

describe('a limit of 1', () => {
  it('holds over real sockets, and keeps the order', async () => {
    const paths: string[] = [];
    let [inFlight, peak] = [0, 0];
    const url = await start((request, response) => {
      paths.push(request.url ?? '');
      inFlight += 1;
      peak = Math.max(peak, inFlight);
      response.write('[');
      setImmediate(() => {
        inFlight -= 1;
        response.end(']');
      });
    });
    const link = concurrencyLink(1, asyncScheduler);
    const next = sender();
    const ids = Array.from({ length: 100 }, (_, id) => `/${id}`);
    const all = forkJoin(ids.map((id) => read(link, get(url, id), next)));
    expect(await lastValueFrom(all)).toEqual(ids.map(() => '[]'));
    expect([peak, paths]).toEqual([1, ids]);
  });

  it('does not block a response whose consumer sends requests', async () => {
    // The list ends only after its rows were read, as one that is slower than its consumer.
    const seen: string[] = [];
    let list: ServerResponse | undefined;
    const url = await start((request, response) => {
      seen.push(request.url ?? '');
      if (request.url === '/list') {
        list = response;
        response.write('abc');
        return;
      }
      response.end(request.url);
      if (request.url === '/c') list?.end();
    });
    const link = concurrencyLink(1, asyncScheduler);
    const next = sender();
    const rows = link(get(url, '/list'), next).pipe(
      mergeMap(({ body }) => body),
      mergeMap((chunk) => from(Buffer.from(chunk).toString())),
      concatMap((id) => read(link, get(url, `/${id}`), next)),
    );
    const last = await lastValueFrom(rows);
    expect([last, seen]).toEqual(['/c', ['/list', '/a', '/b', '/c']]);
    expect(link.state).toMatchObject({ inFlight: 0, waiting: 0 });
  });

  it('does not block an upload whose source sends requests', async () => {
    const url = await start((request, response) => {
      if (request.method === 'GET') {
        response.end('the source');
        return;
      }
      const parts: Buffer[] = [];
      request.on('data', (part: Buffer) => parts.push(part));
      request.on('end', () => response.end(Buffer.concat(parts)));
    });
    const link = concurrencyLink(1, asyncScheduler);
    const next = sender();
    async function* source(): AsyncGenerator<Uint8Array> {
      yield Buffer.from(await lastValueFrom(read(link, get(url, '/source'), next)));
    }
    const upload = { ...get(url, '/target'), method: 'PUT', body: source() };
    expect(await lastValueFrom(read(link, upload, next))).toBe('the source');
  });

  it('sends no request whose subscriber has left, and closes the socket of one in flight', async () => {
    const seen: string[] = [];
    let onClose = (): void => {};
    const closed = new Promise<void>((resolve) => (onClose = resolve));
    const url = await start((request, response) => {
      seen.push(request.url ?? '');
      if (request.url !== '/silent') {
        response.end('done');
        return;
      }
      response.on('close', onClose);
      response.write('a part');
    });
    const link = concurrencyLink(1, asyncScheduler);
    const next = sender();
    const waiting = read(link, get(url, '/waiting'), next);
    // The subscriber of the first one leaves within its body.
    const head = new Promise<Subscription>((resolve) => {
      const silent = link(get(url, '/silent'), next).subscribe(() =>
        queueMicrotask(() => resolve(silent)),
      );
    });
    const inFlight = await head;
    waiting.subscribe().unsubscribe();
    const last = lastValueFrom(read(link, get(url, '/last'), next));
    expect(link.state).toMatchObject({ inFlight: 1, waiting: 1 });
    inFlight.unsubscribe();
    await closed;
    expect(await last).toBe('done');
    expect(seen).toEqual(['/silent', '/last']);
    expect(link.state).toMatchObject({ inFlight: 0, waiting: 0 });
  });

  it('goes on after a response that ends early, and after a refused connection', async () => {
    const url = await start((request, response) => {
      if (request.url === '/last') response.end('done');
      else response.write('a part', () => request.socket.destroy());
    });
    const link = concurrencyLink(1, asyncScheduler);
    const next = sender();
    const failures: string[] = [];
    const fail = (path: string, server = url): void => {
      read(link, get(server, path), next).subscribe({ error: () => failures.push(path) });
    };
    fail('/early');
    fail('/refused', 'http://127.0.0.1:1');
    fail('/early too');
    expect(await lastValueFrom(read(link, get(url, '/last'), next))).toBe('done');
    expect(failures).toEqual(['/early', '/refused', '/early too']);
    expect(link.state).toMatchObject({ inFlight: 0, waiting: 0 });
  });
});
