/** The entry point for OpenTelemetry, whose API is an optional peer dependency. */
import { SpanKind, SpanStatusCode, context, trace } from '@opentelemetry/api';
import type { Attributes, Context, Link as SpanLink, Span } from '@opentelemetry/api';
import { Observable } from 'rxjs';
import type { Subscriber } from 'rxjs';
import { databaseOf } from '../http/link.ts';
import type { Activity, Exchange, Link, LinkRequest, Next } from '../http/link.ts';
import type { TransportResponse } from '../http/transport.ts';
import { clock } from '../operators/time.ts';
import { guarded } from '../operators/to-observable.ts';
import { Telemetry, batchSize, isFailure, messageOf, typeOf } from './telemetry.ts';
import type { OpenTelemetryOptions } from './telemetry.ts';

export type { OpenTelemetryOptions } from './telemetry.ts';

/**
 * Makes a link that reports requests to OpenTelemetry, after its conventions for database clients and
 * for CouchDB. Put it first in `links`, so that its spans cover the other links.
 *
 * - Each subscription makes a span of the kind `CLIENT`, named `GET /{db}/{docid} orders`, and a value of
 *   the histogram `db.client.operation.duration`, in seconds. Retries are events of the span.
 * - The span is active while the request is sent. Its parent is the span that is active at subscription.
 *   Subscribers run in the context of their subscription.
 * - A status of 4xx or 5xx is a failure, unless the operation expects it: `error.type` is the status as a
 *   string. For other failures it is the code of the platform (`ECONNREFUSED`), or the name of the error
 *   (`TimeoutError`).
 * - Unsubscribing ends the span. The attribute `corduroy.aborted` tells it, and the status stays unset.
 * - A feed has a span for each attempt to connect. It ends when the head of the response arrives. When
 *   the connection ends, a second span reports its length and size. Each of the two starts a trace.
 * - Without a provider, it passes requests on.
 *
 * No span has a document, an id, a query or a credential.
 *
 * @throws TypeError for an unknown or invalid option.
 * @example
 * const couch = new Couch(url, { links: [openTelemetry()] });
 * @see https://opentelemetry.io/docs/specs/semconv/db/couchdb/
 */
export function openTelemetry(options: OpenTelemetryOptions = {}): Link {
  const telemetry = new Telemetry(options);
  return (request, next) =>
    !telemetry.hasReceiver() || options.ignore?.(request) === true
      ? next(request)
      : new Observable((subscriber) => new Call(telemetry, request, subscriber).send(next));
}

/** How a request ended. */
interface Outcome {
  readonly isAborted?: boolean;
  readonly failure?: Failure | undefined;
}

interface Failure {
  readonly type: string;
  readonly message?: string | undefined;
}

const DONE: Outcome = {};
const ABORTED: Outcome = { isAborted: true };

/** The spans and the metric of one subscription to a request. */
class Call implements Activity {
  readonly #telemetry: Telemetry;
  readonly #request: LinkRequest;
  readonly #subscriber: Subscriber<TransportResponse>;
  readonly #parent: Context;
  readonly #now: () => number;
  readonly #name: string;
  /** The attributes of the spans and the metric that do not change. */
  readonly #common: Attributes;
  readonly #operation: string;
  #start: number;
  #span: Span | null = null;
  #active: Context;
  #server: string;
  #sent = 0;
  #status: number | null = null;
  #received = 0;
  /** Whether the head of a feed has arrived. Its first span has ended then. */
  #isOpen = false;
  #isReading = false;
  #isComplete = false;
  #isOver = false;

  constructor(
    telemetry: Telemetry,
    request: LinkRequest,
    subscriber: Subscriber<TransportResponse>,
  ) {
    this.#telemetry = telemetry;
    this.#request = request;
    this.#subscriber = subscriber;
    this.#parent = context.active();
    this.#active = this.#parent;
    this.#now = clock(telemetry.scheduler);
    this.#start = this.#now();
    this.#server = request.server;
    this.#operation = `${request.method} ${request.route}`;
    this.#common = { 'db.system.name': 'couchdb' };
    const database = databaseOf(request);
    const { namespace } = telemetry.options;
    const name = database === null || !namespace ? database : namespace(database);
    if (name !== null) this.#common['db.namespace'] = name;
    const target = database === null ? telemetry.address(request.server).host : name;
    this.#name = target === null ? this.#operation : `${this.#operation} ${target}`;
  }

  send(next: Next): void {
    const subscriber = this.#subscriber;
    this.#begin();
    this.#request.context.observe(this);
    subscriber.add(() => {
      // A body can be read after its request has completed.
      if (!this.#isComplete || !this.#isReading) this.#finish(ABORTED);
    });
    const request = this.#telemetry.propagate(this.#request, this.#active);
    context.with(this.#active, () => {
      subscriber.add(next(request).subscribe(guarded(subscriber, this)));
    });
  }

  next(response: TransportResponse): void {
    const { spec } = this.#request.context;
    const { status, headers } = response;
    const { bytes } = response as Exchange;
    this.#status = status;
    if (this.#request.endless && status < 300) this.#open();
    if (status >= 400 && spec.isAnswer?.(status, headers) !== true) {
      // Another link has answered. Only the links outside make an error of it.
      this.#finish({ failure: { type: String(status) } });
    } else if (bytes !== undefined) {
      this.#received = bytes.length;
      // Decoding is not part of the request.
      this.#finish(DONE);
    }
    const passed = this.#isOver ? response : this.#observed(response);
    this.#inParent(() => this.#subscriber.next(passed));
  }

  error(error: unknown): void {
    this.#finish(this.#failed(error));
    this.#inParent(() => this.#subscriber.error(error));
  }

  complete(): void {
    this.#isComplete = true;
    if (!this.#isReading) this.#finish(DONE);
    this.#inParent(() => this.#subscriber.complete());
  }

  sent({ server }: LinkRequest): void {
    this.#sent += 1;
    this.#server = server;
    this.#status = null;
  }

  answered(status: number): void {
    this.#status = status;
    if (this.#request.endless && status < 300) this.#open();
  }

  retry(error: unknown, delay: number): void {
    this.#span?.addEvent('corduroy.retry', {
      ...this.#statusCode(),
      'error.type': typeOf(error),
      'corduroy.retry.delay': delay / 1000,
    });
  }

  #begin(): void {
    const { tracer, options } = this.#telemetry;
    if (tracer === null) return;
    const { endless } = this.#request;
    const attributes: Attributes = {
      ...this.#attributes(),
      ...options.attributes?.(this.#request),
    };
    const size = batchSize(this.#request);
    if (size > 1) attributes['db.operation.batch.size'] = size;
    // A connection of a feed may outlive the trace in which it was opened by months.
    const links = endless ? linksTo(trace.getSpanContext(this.#parent)) : [];
    const kind = SpanKind.CLIENT;
    this.#span = tracer.startSpan(
      this.#name,
      { kind, attributes, links, root: endless },
      this.#parent,
    );
    this.#active = trace.setSpan(this.#parent, this.#span);
  }

  #attributes(): Attributes {
    const { attributes } = this.#telemetry.address(this.#server);
    return { ...this.#common, 'db.operation.name': this.#operation, ...attributes };
  }

  /** Subscribers must not become children of a span that has ended. */
  #inParent(emit: () => void): void {
    context.with(this.#parent, emit);
  }

  #observed(response: TransportResponse): TransportResponse {
    const body = new Observable<Uint8Array>((chunks) => {
      this.#isReading = true;
      chunks.add(() => this.#finish(ABORTED));
      chunks.add(
        response.body.subscribe(
          guarded(chunks, {
            next: (chunk) => {
              this.#received += chunk.length;
              this.#inParent(() => chunks.next(chunk));
            },
            error: (error: unknown) => {
              this.#finish(this.#failed(error));
              this.#inParent(() => chunks.error(error));
            },
            complete: () => {
              this.#finish(DONE);
              this.#inParent(() => chunks.complete());
            },
          }),
        ),
      );
    });
    return Object.assign({}, response, { body });
  }

  #open(): void {
    if (this.#isOpen || this.#isOver) return;
    this.#report(DONE);
    this.#isOpen = true;
    this.#start = this.#now();
  }

  #finish(outcome: Outcome): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#request.context.unobserve(this);
    if (this.#isOpen) this.#reportConnection(outcome);
    else this.#report(outcome);
  }

  #report(outcome: Outcome): void {
    const end = this.#end(outcome);
    const attributes = { ...this.#attributes(), ...end };
    const { histogram } = this.#telemetry;
    histogram?.record((this.#now() - this.#start) / 1000, attributes, this.#active);
    if (this.#span === null) return;
    const resent = this.#sent > 1 ? { 'http.request.resend_count': this.#sent - 1 } : {};
    endSpan(this.#span.setAttributes({ ...attributes, ...resent }), outcome);
  }

  /** Reports the end of a connection whose head has arrived: of a feed. */
  #reportConnection(outcome: Outcome): void {
    const { tracer } = this.#telemetry;
    if (tracer === null) return;
    const attributes: Attributes = {
      ...this.#common,
      ...this.#telemetry.address(this.#server).attributes,
      ...this.#end(outcome),
      'corduroy.connection.duration': (this.#now() - this.#start) / 1000,
      'http.response.body.size': this.#received,
    };
    const links = linksTo(this.#span?.spanContext());
    const options = { kind: SpanKind.INTERNAL, attributes, links, root: true };
    endSpan(tracer.startSpan(`close ${this.#name}`, options), outcome);
  }

  #end({ failure, isAborted = false }: Outcome): Attributes {
    const attributes = this.#statusCode();
    if (failure !== undefined) attributes['error.type'] = failure.type;
    if (isAborted) attributes['corduroy.aborted'] = true;
    return attributes;
  }

  #statusCode(): Attributes {
    return this.#status === null ? {} : { 'db.response.status_code': String(this.#status) };
  }

  #failed(error: unknown): Outcome {
    const { isError = isFailure } = this.#telemetry.options;
    if (!isError(error, this.#request)) return DONE;
    return { failure: { type: typeOf(error), message: messageOf(error) } };
  }
}

function endSpan(span: Span, { failure }: Outcome): void {
  if (failure !== undefined) {
    const { message } = failure;
    span.setStatus({ code: SpanStatusCode.ERROR, ...(message !== undefined && { message }) });
  }
  span.end();
}

function linksTo(target: SpanLink['context'] | undefined): SpanLink[] {
  return target === undefined ? [] : [{ context: target }];
}
