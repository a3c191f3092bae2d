import { SpanKind, context, metrics, propagation, trace } from '@opentelemetry/api';
import { AsyncLocalStorageContextManager } from '@opentelemetry/context-async-hooks';
import { W3CTraceContextPropagator } from '@opentelemetry/core';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { Couch, isNotFound, relax } from 'corduroy';
import type { CouchOptions, LinkRequest } from 'corduroy';
import { openTelemetry } from 'corduroy/opentelemetry';
import type { OpenTelemetryOptions } from 'corduroy/opentelemetry';
import { Observable, firstValueFrom, forkJoin, mergeMap, switchMap, take } from 'rxjs';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Recorder } from '../marble-tests/helpers/telemetry.ts';
import { createDatabase, rawFetch, server } from './helpers/server.ts';

let recorder: Recorder;
let database: string;

beforeAll(async () => {
  context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable());
  propagation.setGlobalPropagator(new W3CTraceContextPropagator());
  database = await createDatabase();
  await rawFetch(`/${database}/a`, { method: 'PUT', body: { n: 1 } });
  await rawFetch(`/${database}/b`, { method: 'PUT', body: { n: 2 } });
});

afterAll(() => {
  context.disable();
  propagation.disable();
});

beforeEach(() => {
  recorder = new Recorder();
});

const cleanUps: (() => void)[] = [];

afterEach(() => {
  for (const cleanUp of cleanUps.splice(0)) cleanUp();
  trace.disable();
  metrics.disable();
});

function connect(options: OpenTelemetryOptions = {}, more: CouchOptions = {}): Couch {
  const { tracerProvider, meterProvider } = recorder;
  const link = openTelemetry({ tracerProvider, meterProvider, ...options });
  const { links = [] } = more;
  return new Couch(server.authenticatedUrl, { ...more, links: [link, ...links] });
}

/** Runs work in a span, and returns the id of the span. */
async function inSpan(work: () => Promise<unknown>): Promise<string> {
  const tracer = recorder.tracerProvider.getTracer('test');
  return await tracer.startActiveSpan('outer', async (span) => {
    await work();
    span.end();
    return span.spanContext().spanId;
  });
}

const ofClient = () => recorder.spans.filter(({ kind }) => kind === SpanKind.CLIENT);

describe('the context', () => {
  it('of the subscription has the parent of the span', async () => {
    const read = connect().use(database).get('a');
    const outer = await inSpan(() => firstValueFrom(read));
    await firstValueFrom(read);
    expect(ofClient().map(({ name }) => name)).toEqual([
      `GET /{db}/{docid} ${database}`,
      `GET /{db}/{docid} ${database}`,
    ]);
    const parents = ofClient().map(({ parentSpanContext }) => parentSpanContext?.spanId);
    expect(parents).toEqual([outer, undefined]);
  });

  it('of subscribers is theirs: a request after another one is no child of it', async () => {
    const db = connect().use(database);
    const outer = await inSpan(() =>
      firstValueFrom(db.get('a').pipe(switchMap(() => db.get('b')))),
    );
    const relaxed = await inSpan(() =>
      firstValueFrom(
        relax(function* () {
          yield* db.get('a');
          try {
            yield* db.get('missing');
          } catch (error) {
            if (!isNotFound(error)) throw error;
          }
          return yield* db.get('b');
        }),
      ),
    );
    const rows = await inSpan(() =>
      firstValueFrom(
        db.viewRows('_all_docs').pipe(
          take(1),
          mergeMap(({ id }) => db.get(id ?? '')),
        ),
      ),
    );
    const parents = ofClient().map(({ parentSpanContext }) => parentSpanContext?.spanId);
    expect(parents).toEqual([outer, outer, relaxed, relaxed, relaxed, rows, rows]);
  });

  it('while a request is sent has its span, also for an attempt that follows', async () => {
    const active: (string | undefined)[] = [];
    let failures = 1;
    const db = connect(
      {},
      {
        retry: { initialDelay: 1 },
        networkLinks: [
          (request, next) => {
            active.push(trace.getActiveSpan()?.spanContext().spanId);
            if (failures-- === 0) return next(request);
            return new Observable((subscriber) =>
              subscriber.error(Object.assign(new Error('reset'), { code: 'ECONNRESET' })),
            );
          },
        ],
      },
    ).use(database);
    await firstValueFrom(db.get('a'));
    const [span] = ofClient();
    expect(active).toEqual([span?.spanContext().spanId, span?.spanContext().spanId]);
  });
});

describe('propagate', () => {
  const headersOf = async (
    propagate: OpenTelemetryOptions['propagate'],
  ): Promise<LinkRequest['headers']> => {
    const sent: LinkRequest['headers'][] = [];
    const couch = connect(propagate === undefined ? {} : { propagate }, {
      networkLinks: [
        (request, next) => {
          sent.push(request.headers);
          return next(request);
        },
      ],
    });
    await firstValueFrom(couch.use(database).get('a'));
    return sent[0] ?? {};
  };

  it('adds traceparent to requests, if it is on', async () => {
    expect(await headersOf(undefined)).not.toHaveProperty('traceparent');
    expect(await headersOf(false)).not.toHaveProperty('traceparent');
    const { traceparent } = await headersOf(true);
    const { traceId, spanId } = ofClient().at(-1)?.spanContext() ?? {};
    expect(traceparent).toBe(`00-${traceId}-${spanId}-01`);
  });

  it('can be a function of the server', async () => {
    const asked: string[] = [];
    const decide = (answer: boolean) => (url: string) => {
      asked.push(url);
      return answer;
    };
    expect(await headersOf(decide(false))).not.toHaveProperty('traceparent');
    expect(await headersOf(decide(true))).toHaveProperty('traceparent');
    expect(asked).toEqual([server.url, server.url]);
  });

  it('passes the context on without a provider', async () => {
    const couch = (sent: unknown[]): Couch =>
      new Couch(server.authenticatedUrl, {
        links: [openTelemetry({ propagate: true })],
        networkLinks: [
          (request, next) => {
            sent.push(request.headers['traceparent']);
            return next(request);
          },
        ],
      });
    const sent: unknown[] = [];
    let expected: string | undefined;
    await inSpan(async () => {
      const { traceId, spanId } = trace.getActiveSpan()?.spanContext() ?? {};
      expected = `00-${traceId}-${spanId}-01`;
      await firstValueFrom(couch(sent).use(database).get('a'));
    });
    expect(sent).toEqual([expected]);
  });
});

describe('the providers', () => {
  it('can be registered after the link has been made', async () => {
    const db = new Couch(server.authenticatedUrl, { links: [openTelemetry()] }).use(database);
    await firstValueFrom(db.get('a'));
    trace.setGlobalTracerProvider(recorder.tracerProvider);
    metrics.setGlobalMeterProvider(recorder.meterProvider);
    await firstValueFrom(db.get('a'));
    expect(ofClient()).toHaveLength(1);
    expect((await recorder.metrics())[0]?.values).toHaveLength(1);
    const other = new Recorder();
    trace.disable();
    metrics.disable();
    trace.setGlobalTracerProvider(other.tracerProvider);
    metrics.setGlobalMeterProvider(other.meterProvider);
    await firstValueFrom(db.get('a'));
    expect(ofClient()).toHaveLength(1);
    expect(other.spans).toHaveLength(1);
    expect((await other.metrics())[0]?.values).toHaveLength(1);
  });

  it('are missing: requests pass unchanged', async () => {
    const seen: LinkRequest[] = [];
    const db = new Couch(server.authenticatedUrl, {
      links: [
        (request, next) => next(Object.assign(request, { mark: 1 })),
        openTelemetry(),
        (request, next) => {
          seen.push(request);
          return next(request);
        },
      ],
    }).use(database);
    await expect(firstValueFrom(db.get('a'))).resolves.toMatchObject({ n: 1 });
    expect(seen).toMatchObject([{ mark: 1, context: { activity: null } }]);
  });
});

describe('over sockets', () => {
  it('a failure, a parallel request and an upload have their spans', async () => {
    const db = connect().use(database);
    await expect(firstValueFrom(db.get('missing'))).rejects.toThrow('404');
    await firstValueFrom(forkJoin([db.get('a'), db.get('b')]));
    const doc = await firstValueFrom(db.get('a'));
    await firstValueFrom(db.putAttachment(doc, file(), 'file.bin'));
    const spans = ofClient().map(({ name, attributes }) => [
      name.replace(database, 'db'),
      attributes['db.response.status_code'],
      attributes['error.type'],
    ]);
    expect(spans).toEqual([
      ['GET /{db}/{docid} db', '404', '404'],
      ['GET /{db}/{docid} db', '200', undefined],
      ['GET /{db}/{docid} db', '200', undefined],
      ['GET /{db}/{docid} db', '200', undefined],
      ['PUT /{db}/{docid}/{attname} db', '201', undefined],
    ]);
    const times = (await recorder.metrics())[0]?.values ?? [];
    expect(times.map(({ count }) => count).reduce((sum, count) => sum + count)).toBe(5);
    expect(times.every(({ sum }) => sum > 0)).toBe(true);
  });

  it('an unreachable server has the code of the platform', async () => {
    const { tracerProvider } = recorder;
    const couch = new Couch('http://127.0.0.1:1', {
      retry: false,
      links: [openTelemetry({ tracerProvider })],
    });
    await expect(firstValueFrom(couch.version())).rejects.toThrow('ECONNREFUSED');
    expect(ofClient()[0]).toMatchObject({
      name: 'GET / 127.0.0.1:1',
      attributes: { 'error.type': 'ECONNREFUSED', 'server.address': '127.0.0.1', 'server.port': 1 },
      status: { message: 'no connection: connect ECONNREFUSED 127.0.0.1:1' },
    });
  });

  it('a failover has the address of the node that answers', async () => {
    const { tracerProvider } = recorder;
    const { port } = new URL(server.url);
    const couch = new Couch(['http://127.0.0.2:1', server.authenticatedUrl], {
      nodeBackoff: { random: () => 0 },
      links: [openTelemetry({ tracerProvider })],
    });
    await firstValueFrom(couch.use(database).get('a'));
    expect(ofClient().map(({ attributes }) => attributes)).toMatchObject([
      {
        'server.address': '127.0.0.1',
        'server.port': Number(port),
        'http.request.resend_count': 1,
        'db.response.status_code': '200',
      },
    ]);
  });

  it('a cookie session logs in without a span', async () => {
    const { tracerProvider } = recorder;
    const { username, password } = server;
    const couch = new Couch(server.url, {
      auth: { session: { username, password } },
      links: [openTelemetry({ tracerProvider })],
    });
    await firstValueFrom(couch.use(database).get('a'));
    expect(ofClient().map(({ name }) => name)).toEqual([`GET /{db}/{docid} ${database}`]);
  });

  it('a feed has spans of an open and a close, outside the trace of its subscriber', async () => {
    const db = connect().use(database);
    const outer = await inSpan(async () => {
      await firstValueFrom(db.changes$({ since: 0, latency: 0, feed: 'continuous' }));
    });
    const name = `GET /{db}/_changes ${database}`;
    const [open] = recorder.spans.filter((span) => span.name === name);
    const [close] = recorder.spans.filter((span) => span.name === `close ${name}`);
    expect(open?.parentSpanContext).toBeUndefined();
    expect(open?.links.map((link) => link.context.spanId)).toEqual([outer]);
    expect(close?.parentSpanContext).toBeUndefined();
    expect(close?.links.map((link) => link.context.spanId)).toEqual([open?.spanContext().spanId]);
    expect(close?.attributes).toMatchObject({ 'corduroy.aborted': true });
    expect(close?.attributes['http.response.body.size']).toBeGreaterThan(0);
  });

  it('unsubscribing aborts the request, and ends the span', async () => {
    const silent = createServer();
    cleanUps.push(() => {
      silent.closeAllConnections();
      silent.close();
    });
    silent.listen(0, '127.0.0.1');
    await once(silent, 'listening');
    const { port } = silent.address() as AddressInfo;
    const { tracerProvider } = recorder;
    const couch = new Couch(`http://127.0.0.1:${port}`, {
      links: [openTelemetry({ tracerProvider })],
    });
    const subscription = couch.version().subscribe();
    const [request] = (await once(silent, 'request')) as [IncomingMessage];
    expect(recorder.spans).toEqual([]);
    const closed = once(request.socket, 'close');
    subscription.unsubscribe();
    expect(recorder.spans).toHaveLength(1);
    await closed;
    expect(ofClient().map(({ attributes }) => attributes['corduroy.aborted'])).toEqual([true]);
  });
});

async function* file(): AsyncIterable<Uint8Array> {
  yield new Uint8Array(70_000);
  yield new Uint8Array(70_000);
}
