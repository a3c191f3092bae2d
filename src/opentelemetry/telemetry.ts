import { createNoopMeter, metrics, propagation, trace } from '@opentelemetry/api';
import type {
  Attributes,
  Context,
  Histogram,
  MeterProvider,
  ProxyTracerProvider,
  Tracer,
  TracerProvider,
} from '@opentelemetry/api';
import { asyncScheduler } from 'rxjs';
import type { SchedulerLike } from 'rxjs';
import { isConnectionError } from '../errors/connection-error.ts';
import { isCorduroyError } from '../errors/corduroy-error.ts';
import { isHTTPError, isNotFound } from '../errors/http-error.ts';
import type { LinkRequest } from '../http/link.ts';
import { toBody } from '../http/query.ts';
import type { Parameter } from '../http/query.ts';
import { invalidArgument } from '../model/invalid-argument.ts';

/** The options of `openTelemetry`. */
export interface OpenTelemetryOptions {
  /** Makes the spans. @defaultValue the global one, also if it is registered later */
  readonly tracerProvider?: TracerProvider;
  /** Makes the metrics. @defaultValue the global one, also if it is registered later */
  readonly meterProvider?: MeterProvider;
  /**
   * Whether requests have the headers of the global propagator, such as `traceparent`; or a function
   * that decides it for the URL of a server. With several nodes it is the URL of the first one.
   *
   * CouchDB does not read these headers: they help a proxy in front of it. In a browser they make a
   * request fail unless `[cors] headers` of CouchDB lists them. Baggage may hold data of your users.
   *
   * @defaultValue false
   */
  readonly propagate?: boolean | ((server: string) => boolean);
  /**
   * Returns the name of a database for spans and metrics, or null to omit it. With a database per user,
   * return a common name: each name makes a time series, and may identify a person.
   *
   * @defaultValue the name itself
   */
  readonly namespace?: (database: string) => string | null;
  /**
   * Tells whether an error is a failure. The span of another one keeps the status code, without an
   * error: `(error) => !isNotFound(error)`.
   *
   * @defaultValue false for a `NotFound` of HEAD, which asks whether something exists; else true
   */
  readonly isError?: (error: unknown, request: LinkRequest) => boolean;
  /** Returns further attributes of a span. Metrics do not have them. @defaultValue none */
  readonly attributes?: (request: LinkRequest) => Attributes;
  /** Tells whether a request has no span and no metrics. @defaultValue false for all requests */
  readonly ignore?: (request: LinkRequest) => boolean;
  /** The clock of the metric, and of the length of feeds. @defaultValue `asyncScheduler` */
  readonly scheduler?: SchedulerLike;
}

function callable(value: unknown, name: string): string {
  if (typeof value === 'function') return '';
  throw invalidArgument(name, 'a function', value);
}

const withMethod =
  (method: string, what: string): Parameter =>
  (value, name) => {
    if (typeof value === 'object' && value !== null && method in value) return '';
    throw invalidArgument(name, what, value);
  };

const OPTIONS: Readonly<Record<keyof OpenTelemetryOptions, Parameter>> = {
  tracerProvider: withMethod('getTracer', 'a TracerProvider'),
  meterProvider: withMethod('getMeter', 'a MeterProvider'),
  propagate: (value, name) => {
    if (typeof value === 'boolean' || typeof value === 'function') return '';
    throw invalidArgument(name, 'true, false or a function', value);
  },
  namespace: callable,
  isError: callable,
  attributes: callable,
  ignore: callable,
  scheduler: withMethod('schedule', 'a scheduler'),
};

const SCOPE = 'corduroy';
const VERSION = '0.1.0';
const DEFAULT_PORT = 5984;
const DEFAULT_PORTS: Readonly<Record<string, number>> = { 'http:': 80, 'https:': 443 };

const DURATION = {
  unit: 's',
  description: 'Duration of database client operations.',
  advice: { explicitBucketBoundaries: [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10] },
};

/** The address of a server. */
interface Address {
  readonly host: string;
  readonly attributes: Attributes;
}

/** The providers and options that all requests of a link share. */
export class Telemetry {
  readonly options: OpenTelemetryOptions;
  readonly scheduler: SchedulerLike;
  /** Null if spans go nowhere. */
  tracer: Tracer | null = null;
  /** Null if metrics go nowhere. */
  histogram: Histogram | null = null;
  #tracerProvider: TracerProvider | null = null;
  #meterProvider: MeterProvider | null = null;
  #server = '';
  #address: Address = { host: '', attributes: {} };

  /** @throws TypeError for an unknown or invalid option. */
  constructor(options: OpenTelemetryOptions) {
    if (typeof options !== 'object' || options === null)
      throw invalidArgument('openTelemetry: options', 'an object', options);
    toBody(OPTIONS, options, 'openTelemetry');
    this.options = options;
    this.scheduler = options.scheduler ?? asyncScheduler;
  }

  /** Looks for the providers, which a program may register at any time. Returns false without any. */
  hasReceiver(): boolean {
    const { tracerProvider, meterProvider, propagate = false } = this.options;
    this.#findTracer(tracerProvider ?? trace.getTracerProvider());
    this.#findHistogram(meterProvider ?? metrics.getMeterProvider());
    return this.tracer !== null || this.histogram !== null || propagate !== false;
  }

  #findTracer(provider: TracerProvider): void {
    if (provider === this.#tracerProvider && this.tracer !== null) return;
    this.#tracerProvider = provider;
    // The API has a provider before the program registers one: a proxy, which makes spans of nothing.
    const isUnset =
      'getDelegateTracer' in provider &&
      (provider as ProxyTracerProvider).getDelegateTracer(SCOPE, VERSION) === undefined;
    this.tracer = isUnset ? null : provider.getTracer(SCOPE, VERSION);
  }

  #findHistogram(provider: MeterProvider): void {
    if (provider === this.#meterProvider) return;
    this.#meterProvider = provider;
    const meter = provider.getMeter(SCOPE, VERSION);
    const isNoop = meter === createNoopMeter();
    this.histogram = isNoop
      ? null
      : meter.createHistogram('db.client.operation.duration', DURATION);
  }

  address(server: string): Address {
    if (server !== this.#server) {
      const { host, hostname, port, protocol } = new URL(server);
      const number = port === '' ? DEFAULT_PORTS[protocol] : Number(port);
      const attributes: Attributes = { 'server.address': hostname.replace(/^\[|\]$/g, '') };
      if (number !== undefined && number !== DEFAULT_PORT) attributes['server.port'] = number;
      this.#server = server;
      this.#address = { host, attributes };
    }
    return this.#address;
  }

  /** Adds the headers of the propagator to a request, if its server may have them. */
  propagate(request: LinkRequest, active: Context): LinkRequest {
    const { propagate = false } = this.options;
    if (!(typeof propagate === 'boolean' ? propagate : propagate(request.server))) return request;
    const carrier: Record<string, string> = {};
    propagation.inject(active, carrier);
    const headers = { ...request.headers };
    for (const [name, value] of Object.entries(carrier)) headers[name.toLowerCase()] = value;
    return { ...request, headers };
  }
}

/** Returns the number of documents or queries in a request; 0 for a request without a list of them. */
export function batchSize({ route, context: { spec } }: LinkRequest): number {
  const [, docs, queries] = /\/(?:(_bulk_(?:docs|get))|(queries))$/.exec(route) ?? [];
  if (docs === undefined && queries === undefined) return 0;
  const body = Object(spec.json) as { readonly docs?: unknown; readonly queries?: unknown };
  const list = docs === undefined ? body.queries : body.docs;
  return Array.isArray(list) ? list.length : 0;
}

/** Tells whether an error is a failure, unless the option `isError` does. */
export function isFailure(error: unknown, { method }: LinkRequest): boolean {
  return method !== 'HEAD' || !isNotFound(error);
}

/** Returns the class of an error, for `error.type`. */
export function typeOf(error: unknown): string {
  if (isHTTPError(error)) return String(error.status);
  if (isConnectionError(error)) return error.code ?? error.name;
  return error instanceof Error ? error.name : '_OTHER';
}

/**
 * Returns the message of an error without its URL, which has ids. Corduroy masks credentials in its
 * errors, but not in other errors.
 */
export function messageOf(error: unknown): string | undefined {
  if (isHTTPError(error)) return [error.error, error.reason].filter((part) => part).join(': ');
  if (!isCorduroyError(error)) return undefined;
  const { message, request } = error;
  const start = request === null ? '' : `${request.method} ${request.url}: `;
  return message.startsWith(start) ? message.slice(start.length) : message;
}
