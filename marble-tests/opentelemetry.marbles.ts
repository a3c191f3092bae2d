import { SpanKind, SpanStatusCode } from '@opentelemetry/api';
import type { Attributes } from '@opentelemetry/api';
import { describe, expect, it } from '@jest/globals';
import { NEVER, Subject, concat, map, of, take, takeUntil, throwError, timer } from 'rxjs';
import type { Observable, SchedulerLike } from 'rxjs';
import { Couch, isNotFound } from 'corduroy';
import type { CouchOptions, Link, TransportRequest, TransportResponse } from 'corduroy';
import { openTelemetry } from 'corduroy/opentelemetry';
import type { OpenTelemetryOptions } from 'corduroy/opentelemetry';
import { readFileSync } from 'node:fs';
import { bytes, marbleTransport, response } from './helpers/marble-transport.ts';
import { marbles } from './helpers/run.ts';
import { Recorder } from './helpers/telemetry.ts';

const body = (text: string): Observable<Uint8Array> => of(bytes(text));
const FINE = '{"version":"3.5.0","ok":true,"_id":"a","id":"a","rev":"1-a","docs":[],"rows":[]}';
const fine = (): Observable<TransportResponse> => of(response(body(FINE)));
const refused = (status: number, error = 'error'): Observable<TransportResponse> =>
  of(response(body(JSON.stringify({ error, reason: 'reason' })), status));
const broken = (code: string): Observable<TransportResponse> =>
  throwError(() => Object.assign(new Error('broken'), { code }));

interface Stage {
  readonly couch: Couch;
  readonly recorder: Recorder;
  readonly requests: TransportRequest[];
}

/** A server that gives these answers in order, and then fine ones, and what is reported about it. */
function stage(
  scheduler: SchedulerLike,
  answers: readonly ((request: TransportRequest) => Observable<TransportResponse>)[] = [],
  options: OpenTelemetryOptions = {},
  {
    links = [],
    url = 'http://couch.test:5984',
    ...more
  }: CouchOptions & { readonly url?: string } = {},
): Stage {
  const recorder = new Recorder();
  const { tracerProvider, meterProvider } = recorder;
  const transport = marbleTransport((request, count) => (answers[count - 1] ?? fine)(request));
  const link = openTelemetry({ tracerProvider, meterProvider, scheduler, ...options });
  const couch = new Couch(url, {
    transport,
    scheduler,
    retry: { random: () => 0.5 },
    ...more,
    links: [link, ...links],
  });
  return { couch, recorder, requests: transport.requests };
}

const outcome = (attributes: Attributes = {}): readonly unknown[] => [
  attributes['db.response.status_code'],
  attributes['error.type'],
];

const ignoreError = { error: () => undefined };

const SYSTEM = { 'db.system.name': 'couchdb', 'server.address': 'couch.test' };
const READ = { ...SYSTEM, 'db.namespace': 'orders', 'db.operation.name': 'GET /{db}/{docid}' };

describe('a span', () => {
  it('has the name, the kind and the attributes of the conventions', () => {
    marbles(({ flush }, scheduler) => {
      const { couch, recorder } = stage(scheduler);
      couch.use('orders').get('a').subscribe();
      couch.use('my/db').save({ _id: 'a' }).subscribe();
      couch.version().subscribe();
      flush();
      const { version } = JSON.parse(readFileSync('package.json', 'utf8')) as { version: string };
      expect(recorder.spans[0]?.instrumentationScope).toMatchObject({ name: 'corduroy', version });
      const summary = recorder.spans.map(
        ({ name, kind, attributes, status, parentSpanContext }) => ({
          name,
          kind,
          attributes,
          status: status.code,
          parent: parentSpanContext,
        }),
      );
      const common = { kind: SpanKind.CLIENT, status: SpanStatusCode.UNSET, parent: undefined };
      expect(summary).toEqual([
        {
          ...common,
          name: 'GET /{db}/{docid} orders',
          attributes: { ...READ, 'db.response.status_code': '200' },
        },
        {
          ...common,
          name: 'PUT /{db}/{docid} my/db',
          attributes: {
            ...SYSTEM,
            'db.namespace': 'my/db',
            'db.operation.name': 'PUT /{db}/{docid}',
            'db.response.status_code': '200',
          },
        },
        {
          ...common,
          name: 'GET / couch.test:5984',
          attributes: { ...SYSTEM, 'db.operation.name': 'GET /', 'db.response.status_code': '200' },
        },
      ]);
    })();
  });

  it.each<[string, Attributes]>([
    ['https://couch.test', { 'server.address': 'couch.test', 'server.port': 443 }],
    ['http://couch.test:80/couch', { 'server.address': 'couch.test', 'server.port': 80 }],
    ['http://[::1]:6984', { 'server.address': '::1', 'server.port': 6984 }],
    ['http://[::1]:5984', { 'server.address': '::1' }],
  ])('of %s has its address, and its port unless it is 5984', (url, expected) => {
    marbles(({ flush }, scheduler) => {
      const { couch, recorder } = stage(scheduler, [], {}, { url });
      couch.use('orders').get('a').subscribe();
      flush();
      const { attributes } = recorder.spans[0] ?? {};
      const address = { 'server.port': attributes?.['server.port'], ...expected };
      expect(attributes).toEqual({ ...READ, 'db.response.status_code': '200', ...address });
    })();
  });

  it('is made for each subscription, and none without one', () => {
    marbles(({ flush }, scheduler) => {
      const { couch, recorder } = stage(scheduler);
      const read = couch.use('orders').get('a');
      expect(recorder.spans).toEqual([]);
      read.subscribe();
      read.subscribe();
      flush();
      const traces = recorder.spans.map((span) => span.spanContext().traceId);
      expect(new Set(traces).size).toBe(2);
    })();
  });

  it('covers the retries of a request, which are its events', async () => {
    let reported: Recorder | undefined;
    marbles(({ flush }, scheduler) => {
      const { couch, recorder } = stage(scheduler, [
        () => refused(503),
        () => broken('ECONNREFUSED'),
      ]);
      reported = recorder;
      couch.use('orders').get('a').subscribe();
      flush();
      const [span, ...others] = recorder.spans;
      expect(others).toEqual([]);
      expect(span?.status.code).toBe(SpanStatusCode.UNSET);
      expect(span?.attributes).toEqual({
        ...READ,
        'db.response.status_code': '200',
        'http.request.resend_count': 2,
      });
      // Half of 100 ms, then half of 200 ms, each from 1 ms.
      expect(span?.events.map(({ name, attributes }) => ({ name, ...attributes }))).toEqual([
        {
          name: 'corduroy.retry',
          'db.response.status_code': '503',
          'error.type': '503',
          'corduroy.retry.delay': 0.051,
        },
        {
          name: 'corduroy.retry',
          'error.type': 'ECONNREFUSED',
          'corduroy.retry.delay': 0.101,
        },
      ]);
    })();
    expect(await reported?.metrics()).toEqual([
      {
        name: 'db.client.operation.duration s',
        values: [
          { attributes: { ...READ, 'db.response.status_code': '200' }, count: 1, sum: 0.152 },
        ],
      },
    ]);
    expect(await reported?.boundaries()).toEqual([0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10]);
  });

  it.each<[string, () => Observable<TransportResponse>, Attributes, string]>([
    [
      '404',
      () => refused(404, 'not_found'),
      { 'db.response.status_code': '404' },
      'not_found: reason',
    ],
    [
      '401',
      () => refused(401, 'unauthorized'),
      { 'db.response.status_code': '401' },
      'unauthorized: reason',
    ],
    ['500', () => refused(500), { 'db.response.status_code': '500' }, 'error: reason'],
    ['ECONNRESET', () => broken('ECONNRESET'), {}, 'no connection: broken'],
    ['TimeoutError', () => NEVER, {}, 'no answer within 100 ms'],
    [
      'ProtocolError',
      () => of(response(throwError(() => new Error('cut')))),
      { 'db.response.status_code': '200' },
      'the answer ended early: cut',
    ],
  ])(
    'of a failure has the error.type %s, and a description without a URL',
    (type, answer, attributes, message) => {
      marbles(({ flush }, scheduler) => {
        const more = { retry: false, timeout: 100 } as const;
        const { couch, recorder } = stage(scheduler, [answer], {}, more);
        couch.use('orders').get('a').subscribe(ignoreError);
        flush();
        expect(recorder.spans.map((span) => span.attributes)).toEqual([
          { ...READ, ...attributes, 'error.type': type },
        ]);
        expect(recorder.spans[0]?.status).toEqual({ code: SpanStatusCode.ERROR, message });
      })();
    },
  );

  it('has the status of the last attempt only', () => {
    marbles(({ flush }, scheduler) => {
      const answers = [() => refused(503), () => broken('ECONNREFUSED')];
      const { couch, recorder } = stage(scheduler, answers, {}, { retry: { attempts: 2 } });
      couch.use('orders').get('a').subscribe(ignoreError);
      flush();
      expect(recorder.spans[0]?.attributes).toEqual({
        ...READ,
        'error.type': 'ECONNREFUSED',
        'http.request.resend_count': 1,
      });
    })();
  });

  it('of a request that is unsubscribed ends at once, without an error', async () => {
    let reported: Recorder | undefined;
    marbles(({ flush }, scheduler) => {
      const { couch, recorder } = stage(scheduler, [() => NEVER]);
      reported = recorder;
      couch
        .use('orders')
        .get('a')
        .pipe(takeUntil(timer(7, scheduler)))
        .subscribe();
      flush();
      const [span] = recorder.spans;
      expect(span?.attributes).toEqual({ ...READ, 'corduroy.aborted': true });
      expect(span?.status).toEqual({ code: SpanStatusCode.UNSET });
    })();
    expect((await reported?.metrics())?.[0]?.values).toEqual([
      { attributes: { ...READ, 'corduroy.aborted': true }, count: 1, sum: 0.007 },
    ]);
  });

  it('of a status that an operation expects is no failure', () => {
    marbles(({ flush }, scheduler) => {
      const headers = { 'x-couch-update-newrev': '1-a' };
      const answers = [
        () => of(response(body('kept'), 404, headers)),
        () => refused(404, 'not_found'),
        () => refused(404, 'not_found'),
      ];
      const { couch, recorder } = stage(scheduler, answers);
      const orders = couch.use('orders');
      const answered: unknown[] = [];
      const record = (value: unknown): void => void answered.push(value);
      orders.update('design/function').subscribe(({ body: text }) => record(text));
      orders.exists().subscribe(record);
      orders.get('a').subscribe(ignoreError);
      flush();
      expect(recorder.spans.map((span) => [span.name, outcome(span.attributes)])).toEqual([
        ['POST /{db}/_design/{ddoc}/_update/{func} orders', ['404', undefined]],
        ['HEAD /{db} orders', ['404', undefined]],
        ['GET /{db}/{docid} orders', ['404', '404']],
      ]);
      expect(answered).toEqual(['kept', false]);
    })();
  });

  it('of an answer of another link ends, and a refusal is a failure', () => {
    marbles(({ flush }, scheduler) => {
      let status = 200;
      const own: Link = () => of({ status, headers: {}, body: body(FINE) });
      const { couch, recorder } = stage(scheduler, [], {}, { links: [own] });
      couch.version().subscribe();
      status = 404;
      couch.version().subscribe(ignoreError);
      flush();
      const types = recorder.spans.map(({ attributes }) => [
        attributes['db.response.status_code'],
        attributes['error.type'],
        attributes['corduroy.aborted'],
      ]);
      expect(types).toEqual([
        ['200', undefined, undefined],
        ['404', '404', undefined],
      ]);
    })();
  });

  it('counts the documents of a batch, from two', () => {
    marbles(({ flush }, scheduler) => {
      const { couch, recorder } = stage(scheduler);
      const orders = couch.use('orders');
      orders.viewQueries('_all_docs', [{ key: 'a' }, { key: 'b' }]).subscribe(ignoreError);
      orders.revs.bulkGet([{ id: 'a' }, { id: 'b' }, { id: 'c' }]).subscribe(ignoreError);
      orders.revs.bulkGet([{ id: 'a' }]).subscribe(ignoreError);
      orders.viewQueries('_all_docs', [{ key: 'a' }]).subscribe(ignoreError);
      orders.save([{ _id: 'a' }, { _id: 'b' }]).subscribe(ignoreError);
      flush();
      const sizes = recorder.spans.map(({ name, attributes }) => [
        name,
        attributes['db.operation.batch.size'],
      ]);
      expect(sizes.slice(0, 5)).toEqual([
        ['POST /{db}/_all_docs/queries orders', 2],
        ['POST /{db}/_bulk_get orders', 3],
        ['POST /{db}/_bulk_get orders', undefined],
        ['POST /{db}/_all_docs/queries orders', undefined],
        ['POST /{db}/_bulk_docs orders', 2],
      ]);
    })();
  });

  it('ends when a stream has been read, or its reader has enough', () => {
    marbles(({ flush }, scheduler) => {
      const row = (id: string): string => `{"id":"${id}","key":"${id}","value":{"rev":"1-a"}}`;
      const rows = (): Observable<TransportResponse> =>
        of(
          response(
            concat(
              body(`{"total_rows":2,"offset":0,"rows":[\n${row('a')},\n`),
              timer(10, scheduler).pipe(map(() => bytes(`${row('b')}\n]}\n`))),
            ),
          ),
        );
      const { couch, recorder } = stage(scheduler, [rows, rows]);
      const stream = couch.use('orders').viewRows('_all_docs');
      const ends: [string, number][] = [];
      const end = (name: string) => (): void => void ends.push([name, recorder.spans.length]);
      stream.subscribe({ complete: end('all') });
      expect(recorder.spans).toEqual([]);
      flush();
      stream.pipe(take(1)).subscribe({ complete: end('one') });
      flush();
      // The subscription to the request ends after `take` has completed.
      expect(ends).toEqual([
        ['all', 1],
        ['one', 1],
      ]);
      expect(recorder.spans.map((span) => span.attributes['corduroy.aborted'])).toEqual([
        undefined,
        true,
      ]);
    })();
  });

  it('ends with a body that is read after its response has completed', () => {
    marbles(({ flush }, scheduler) => {
      const row = (id: string): string => `{"id":"${id}","key":"${id}","value":{"rev":"1-a"}}`;
      const later = timer(10, scheduler).pipe(map(() => bytes(`${row('b')},\n`)));
      const end = timer(10, scheduler).pipe(map(() => bytes(`${row('c')}\n]}\n`)));
      const rows = concat(body(`{"total_rows":3,"offset":0,"rows":[\n${row('a')},\n`), later, end);
      const early: Link = () => of({ status: 200, headers: {}, body: rows });
      const { couch, recorder } = stage(scheduler, [], {}, { links: [early] });
      const stream = couch.use('orders').viewRows('_all_docs');
      stream.subscribe();
      stream.pipe(take(2)).subscribe();
      expect(recorder.spans).toEqual([]);
      flush();
      expect(recorder.spans.map(({ attributes }) => attributes['corduroy.aborted'])).toEqual([
        true,
        undefined,
      ]);
    })();
  });

  it('has no secret, no id and no query', async () => {
    let reported: Recorder | undefined;
    marbles(({ flush }, scheduler) => {
      const echo = (request: TransportRequest): Observable<TransportResponse> =>
        of(
          response(
            body(JSON.stringify({ error: 'bad', reason: JSON.stringify(request.headers) })),
            400,
          ),
        );
      const answers = [echo, () => broken('ECONNREFUSED'), fine];
      const auth = { username: 'ada', password: 'secret-of-ada' };
      const own: Link = () =>
        throwError(() => new Error('http://ada:secret-of-ada@couch.test/?key=key-of-ada'));
      const { couch, recorder } = stage(scheduler, answers, {}, { auth, retry: false });
      reported = recorder;
      const { tracerProvider, meterProvider } = recorder;
      const failing = new Couch('http://couch.test', {
        auth,
        links: [openTelemetry({ tracerProvider, meterProvider }), own],
      });
      for (const one of [couch, couch, couch, failing]) {
        const orders = one.use('orders');
        orders.get('id-of-ada', { rev: '1-abc' }).subscribe(ignoreError);
        orders.view('design-of-ada/view', { key: 'key-of-ada' }).subscribe(ignoreError);
      }
      flush();
      expect(recorder.spans).toHaveLength(8);
      const texts = recorder.spans.map(({ name, attributes, status, events }) =>
        JSON.stringify({ name, attributes, status, events }),
      );
      expect(texts.join('\n')).toContain('"message"');
      expect(texts.join('\n')).not.toMatch(/of-ada|1-abc|key=/);
      expect(texts.join('\n')).not.toContain(btoa('ada:secret-of-ada'));
    })();
    expect(JSON.stringify(await reported?.metrics())).not.toMatch(/of-ada/);
  });
});

describe('a feed', () => {
  const head = (rows: Observable<Uint8Array>): Observable<TransportResponse> => of(response(rows));
  const feed = { feed: 'continuous', since: '1', latency: 0, heartbeat: 1000 } as const;
  const NAME = 'GET /{db}/_changes orders';

  it('has a span until the head has arrived, and another one when the connection ends', async () => {
    let reported: Recorder | undefined;
    marbles(({ flush }, scheduler) => {
      const change = bytes('{"seq":"2","id":"a","changes":[{"rev":"1-a"}]}\n');
      const connect = (): Observable<TransportResponse> =>
        timer(20, scheduler).pipe(
          map(() =>
            response(concat(of(change), timer(500, scheduler).pipe(map(() => bytes('\n'))), NEVER)),
          ),
        );
      const { couch, recorder } = stage(scheduler, [connect]);
      reported = recorder;
      couch
        .use('orders')
        .changes$(feed)
        .pipe(takeUntil(timer(900, scheduler)))
        .subscribe();
      flush();
      const spans = recorder.spans.filter(({ name }) => name.endsWith(NAME));
      expect(spans.map(({ name }) => name)).toEqual([NAME, `close ${NAME}`]);
      const [open, close] = spans;
      expect(open?.attributes).toEqual({
        ...SYSTEM,
        'db.namespace': 'orders',
        'db.operation.name': 'GET /{db}/_changes',
        'db.response.status_code': '200',
      });
      expect(close?.kind).toBe(SpanKind.INTERNAL);
      expect(close?.attributes).toEqual({
        ...SYSTEM,
        'db.namespace': 'orders',
        'db.response.status_code': '200',
        'corduroy.aborted': true,
        'corduroy.connection.duration': 0.88,
        'http.response.body.size': change.length + 1,
      });
      expect(close?.status.code).toBe(SpanStatusCode.UNSET);
      expect(close?.links).toEqual([{ context: open?.spanContext() }]);
      expect(close?.spanContext().traceId).not.toBe(open?.spanContext().traceId);
    })();
    const all = (await reported?.metrics())?.[0]?.values ?? [];
    const [opening, ...others] = all.filter(
      ({ attributes }) => attributes['db.operation.name'] === 'GET /{db}/_changes',
    );
    expect(opening).toMatchObject({ count: 1, sum: 0.02 });
    expect(others).toEqual([]);
  });

  it('has spans for each attempt: one that is refused, and one that is cut', () => {
    marbles(({ flush }, scheduler) => {
      const cut = throwError(() => new Error('cut'));
      const { couch, recorder } = stage(
        scheduler,
        [() => refused(503), () => head(concat(body('\n'), cut)), () => head(NEVER)],
        {},
        { links: [onlyFeeds] },
      );
      couch
        .use('orders')
        .changes$({ ...feed, backoff: { random: () => 0.5 } })
        .pipe(takeUntil(timer(500, scheduler)))
        .subscribe(ignoreError);
      flush();
      const spans = recorder.spans
        .filter(({ name }) => name.endsWith(NAME))
        .map(({ name, attributes }) => [
          name.replace(NAME, ''),
          attributes['db.response.status_code'],
          attributes['error.type'],
          attributes['corduroy.aborted'],
        ]);
      expect(spans).toEqual([
        ['', '503', '503', undefined],
        ['', '200', undefined, undefined],
        ['close ', '200', 'ProtocolError', undefined],
        ['', '200', undefined, undefined],
        ['close ', '200', undefined, true],
      ]);
    })();
  });

  /** Answers the requests that a feed sends beside the connection, so that they do not count. */
  const onlyFeeds: Link = (request, next) =>
    request.endless
      ? next(request)
      : of({ status: 200, headers: {}, body: body('{"instance_start_time":"1"}') });
});

describe('the options', () => {
  it('namespace replaces or omits the names of databases', async () => {
    let reported: Recorder | undefined;
    marbles(({ flush }, scheduler) => {
      const { couch, recorder } = stage(scheduler, [], {
        namespace: (name) => (name.startsWith('userdb-') ? 'userdb' : null),
      });
      reported = recorder;
      couch.use('userdb-616461').get('a').subscribe();
      couch.use('orders').get('a').subscribe();
      flush();
      expect(recorder.spans.map(({ name }) => name)).toEqual([
        'GET /{db}/{docid} userdb',
        'GET /{db}/{docid}',
      ]);
      expect(recorder.spans.map(({ attributes }) => attributes['db.namespace'])).toEqual([
        'userdb',
        undefined,
      ]);
    })();
    expect(JSON.stringify(await reported?.metrics())).not.toMatch(/616461|orders/);
  });

  it('isError decides what is a failure, and the status code stays', async () => {
    let reported: Recorder | undefined;
    marbles(({ flush }, scheduler) => {
      const answers = [() => refused(404), () => refused(409)];
      const isError = (error: unknown): boolean => !isNotFound(error);
      const { couch, recorder } = stage(scheduler, answers, { isError });
      reported = recorder;
      couch.use('orders').get('a').subscribe(ignoreError);
      couch.use('orders').get('a').subscribe(ignoreError);
      flush();
      expect(recorder.spans.map(({ status }) => status.code)).toEqual([
        SpanStatusCode.UNSET,
        SpanStatusCode.ERROR,
      ]);
    })();
    const recorded = (await reported?.metrics())?.[0]?.values.map(({ attributes }) => [
      attributes['db.response.status_code'],
      attributes['error.type'],
    ]);
    expect(recorded).toEqual([
      ['404', undefined],
      ['409', '409'],
    ]);
  });

  it('attributes adds to spans, not to metrics, and ignore leaves requests out', async () => {
    let reported: Recorder | undefined;
    marbles(({ flush }, scheduler) => {
      const { couch, recorder } = stage(scheduler, [], {
        attributes: ({ priority }) => ({ priority }),
        ignore: ({ route }) => route === '/',
      });
      reported = recorder;
      couch.use('orders').get('a').subscribe();
      couch.version().subscribe();
      flush();
      expect(recorder.spans.map(({ attributes }) => attributes['priority'])).toEqual(['normal']);
    })();
    const values = (await reported?.metrics())?.[0]?.values;
    expect(values?.map(({ attributes }) => attributes)).toEqual([
      { ...READ, 'db.response.status_code': '200' },
    ]);
  });

  it('can be used without metrics, and without spans', async () => {
    const spans = new Recorder();
    const numbers = new Recorder();
    marbles(({ flush }, scheduler) => {
      const { tracerProvider } = spans;
      const { meterProvider } = numbers;
      const couch = (link: Link): Couch =>
        new Couch('http://couch.test', {
          transport: marbleTransport(fine),
          scheduler,
          links: [link],
        });
      couch(openTelemetry({ tracerProvider })).version().subscribe();
      couch(openTelemetry({ meterProvider, scheduler })).version().subscribe();
      flush();
    })();
    expect(spans.spans).toHaveLength(1);
    expect((await numbers.metrics())[0]?.values).toHaveLength(1);
  });

  it.each<[object | null, RegExp]>([
    [
      { trace_provider: 1 },
      /^openTelemetry: unknown option 'trace_provider'; did you mean 'tracerProvider'\?$/,
    ],
    [{ TracerProvider: 1 }, /unknown option 'TracerProvider'; did you mean 'tracerProvider'\?/],
    [{ tracerProvider: {} }, /^openTelemetry: tracerProvider must be a TracerProvider/],
    [{ meterProvider: 1 }, /^openTelemetry: meterProvider must be a MeterProvider/],
    [{ propagate: 'yes' }, /^openTelemetry: propagate must be true, false or a function/],
    [{ namespace: 'a' }, /^openTelemetry: namespace must be a function/],
    [{ isError: true }, /^openTelemetry: isError must be a function/],
    [{ attributes: {} }, /^openTelemetry: attributes must be a function/],
    [{ ignore: [] }, /^openTelemetry: ignore must be a function/],
    [{ scheduler: 1 }, /^openTelemetry: scheduler must be a scheduler/],
    [null, /^openTelemetry: options must be an object/],
  ])('%j is refused, with its name', (options, message) => {
    expect(() => openTelemetry(options as never)).toThrow(TypeError);
    expect(() => openTelemetry(options as never)).toThrow(message);
  });

  it('make no difference to what requests do: events are reported beside spans', () => {
    marbles(({ expectObservable, flush }, scheduler) => {
      const pending = new Subject<TransportResponse>();
      const { couch, recorder } = stage(scheduler, [() => refused(503), fine, () => pending]);
      const events: string[] = [];
      couch.requests$.subscribe(({ type }) => events.push(type));
      expectObservable(couch.version()).toBe('51ms (v|)', { v: '3.5.0' });
      flush();
      expect(events).toEqual(['start', 'response', 'retry', 'response', 'end']);
      expect(recorder.spans[0]?.events).toHaveLength(1);
    })();
  });
});
