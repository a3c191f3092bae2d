import type { Redactor } from '../errors/redact.ts';
import { invalidArgument } from '../model/invalid-argument.ts';
import { assertJson } from '../model/json.ts';
import type { JsonCodec } from '../model/json.ts';
import type { RetryOptions } from '../operators/retry-policy.ts';
import { duration } from '../operators/time.ts';
import { RequestContext } from './link.ts';
import type { LinkRequest, Priority, RequestSpec } from './link.ts';
import { toBody } from './query.ts';
import type { Parameter } from './query.ts';
import { requireRetry } from './retry.ts';
import { observed } from './transport.ts';
import type { TransportRequest } from './transport.ts';

/** How requests are sent, unless a request says otherwise. */
export interface RequestDefaults {
  /** The longest time without data, in milliseconds. */
  readonly timeout?: number | undefined;
  readonly retry?: RetryOptions | false | undefined;
  readonly priority?: Priority | undefined;
}

export type Defaults = {
  readonly [Name in keyof RequestDefaults]-?: Exclude<RequestDefaults[Name], undefined>;
};

const STANDARD: Defaults = { timeout: 120_000, retry: {}, priority: 'normal' };

const accept: Parameter = () => '';
const DEFAULTS = { timeout: accept, retry: accept, priority: accept };
const PRIORITIES: readonly unknown[] = ['high', 'normal', 'low'];

/**
 * Validates the defaults of requests.
 *
 * @param base - The values of those that are missing.
 * @param what - The method that takes them, for errors.
 * @param others - Its further options, which it validates itself.
 * @throws TypeError or RangeError for an invalid option.
 */
export function readDefaults(
  options: RequestDefaults,
  base: Defaults = STANDARD,
  what = 'withDefaults',
  others: readonly string[] = [],
): Defaults {
  toBody(
    { ...DEFAULTS, ...Object.fromEntries(others.map((name) => [name, accept])) },
    options,
    what,
  );
  const { timeout = base.timeout, retry = base.retry, priority = base.priority } = options;
  duration(timeout, 'timeout');
  requireRetry(retry, 'retry');
  if (!PRIORITIES.includes(priority))
    throw invalidArgument('priority', "'high', 'normal' or 'low'", priority);
  return { timeout, retry, priority };
}

/** The properties of a connection that all its requests have. */
interface Common {
  readonly url: string;
  readonly codec: JsonCodec;
  readonly headers: Readonly<Record<string, string>>;
  readonly redactor: Redactor;
}

/** Completes what an operation describes. */
export function toRequest(
  spec: RequestSpec,
  common: Common,
  defaults: Defaults,
  isWhole: boolean,
): LinkRequest {
  const { method = 'GET', reads = method === 'GET' || method === 'HEAD' } = spec;
  const { endless = false } = spec;
  let { body } = spec;
  let { headers } = common;
  if (spec.headers !== undefined) headers = Object.assign({}, headers, spec.headers);
  if (spec.json !== undefined) {
    assertJson(spec.json, 'The body', common.codec);
    body = common.codec.stringify(spec.json);
    headers = Object.assign({}, headers, JSON_TYPE);
  }
  // A proxy that compresses would hold back what a feed sends.
  if (endless) headers = Object.assign({}, headers, IDENTITY);
  return {
    method,
    route: spec.route,
    server: common.url,
    path: spec.path,
    headers,
    body,
    reads,
    repeatable: spec.repeatable ?? reads,
    endless,
    priority: spec.priority ?? defaults.priority,
    timeout: spec.timeout ?? defaults.timeout,
    attempt: 1,
    context: new RequestContext(spec, spec.retry ?? defaults.retry, isWhole, common.redactor),
  };
}

const JSON_TYPE = { 'content-type': 'application/json' };
const IDENTITY = { 'accept-encoding': 'identity' };

/** Completes a request for the transport, with credentials. */
export function toTransport(request: LinkRequest): TransportRequest {
  const { method, server, path, endless, reads, context } = request;
  const { authorization, spec, source } = context;
  let { body } = request;
  if (typeof body === 'object' && Symbol.asyncIterator in body) body = observed(body, source);
  return {
    method,
    url: server + path,
    headers: Object.assign({}, request.headers, authorization.headers),
    body,
    endless,
    reads,
    cookies: authorization.cookies,
    followRedirects: spec.isAnswer === undefined,
  };
}
