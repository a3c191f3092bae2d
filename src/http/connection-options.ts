import { asapScheduler, asyncScheduler } from 'rxjs';
import type { SchedulerLike } from 'rxjs';
import type { Auth } from './auth.ts';
import type { Transport } from './transport.ts';
import type { ServerUrl } from './url.ts';
import { invalidArgument, unknownOption } from '../model/invalid-argument.ts';
import type { JsonCodec } from '../model/json.ts';
import type { BackoffOptions, RetryOptions } from '../operators/retry-policy.ts';
import type { Concurrency } from './concurrency.ts';
import type { Link, Priority } from './link.ts';
import { duration } from '../operators/time.ts';

/**
 * Combines single reads and single saves into bulk requests.
 *
 * @see https://docs.couchdb.org/en/stable/api/database/bulk-api.html
 */
export interface CoalesceOptions {
  /** Whether single reads are combined into `_bulk_get`. @defaultValue true */
  readonly reads?: boolean;
  /** Whether single saves are combined into `_bulk_docs`. @defaultValue true */
  readonly writes?: boolean;
  /**
   * The time that the first item waits for others, in milliseconds. With 0 the items of one
   * event-loop turn are combined, and no item waits longer. With `Infinity` a request waits until
   * it is full.
   * @defaultValue 0
   */
  readonly maxWait?: number;
  /**
   * The maximum number of items in one request. CouchDB reads the documents of one request in
   * sequence, so two short reads are faster than a long one. It writes long lists best.
   * @defaultValue 32 reads, 100 writes
   */
  readonly maxSize?: number;
}

/** The validated form of {@link CoalesceOptions}. */
export interface Coalescing {
  readonly reads: boolean;
  readonly writes: boolean;
  readonly maxWait: number;
  /** Undefined for the default of reads or of writes. */
  readonly maxSize: number | undefined;
  readonly scheduler: SchedulerLike;
}

const OPTIONS = [
  'auth',
  'transport',
  'fullCommit',
  'headers',
  'timeout',
  'retry',
  'concurrency',
  'priority',
  'links',
  'networkLinks',
  'changesUrl',
  'changesFallback',
  'maxBodySize',
  'nodeBackoff',
  'coalesce',
  'codec',
  'scheduler',
  'live',
];

/**
 * Throws for an option that no `Couch` and no `Database` has.
 *
 * @throws TypeError with the option that was meant, if one is similar.
 */
export function requireKnownOptions(options: unknown): void {
  if (typeof options !== 'object' || options === null)
    throw invalidArgument('The options of a Couch', 'an object', options);
  const name = Object.keys(options).find((one) => !OPTIONS.includes(one));
  if (name === undefined) return;
  if (/^(?:user|username|name|password)$/i.test(name))
    throw new TypeError(`Couch: unknown option '${name}'; pass auth: { username, password }`);
  throw unknownOption('Couch', name, OPTIONS);
}

/**
 * Validates the option. Returns null if it is `false`.
 *
 * @throws TypeError or RangeError for an invalid option.
 */
export function coalescing(
  option: boolean | CoalesceOptions,
  scheduler: SchedulerLike,
): Coalescing | null {
  if (option === false) return null;
  if (option !== true && (typeof option !== 'object' || option === null))
    throw invalidArgument('coalesce', 'true, false, or options', option);
  const {
    reads = true,
    writes = true,
    maxWait = 0,
    maxSize,
    ...unknown
  } = option === true ? {} : option;
  const [name] = Object.keys(unknown);
  if (name !== undefined)
    throw unknownOption('coalesce', name, ['reads', 'writes', 'maxWait', 'maxSize']);
  if (typeof reads !== 'boolean') throw invalidArgument('coalesce: reads', 'true or false', reads);
  if (typeof writes !== 'boolean')
    throw invalidArgument('coalesce: writes', 'true or false', writes);
  duration(maxWait, 'coalesce: maxWait');
  if (maxSize !== undefined && !(Number.isSafeInteger(maxSize) && maxSize > 0))
    throw invalidArgument('coalesce: maxSize', 'a whole number from 1', maxSize, RangeError);
  // `asapScheduler` runs at the end of the turn. A timer of 0 ms would take 1 ms or more.
  const batching = maxWait === 0 && scheduler === asyncScheduler ? asapScheduler : scheduler;
  return { reads, writes, maxWait, maxSize, scheduler: batching };
}

/** The URL of the server if none is given. */
export const DEFAULT_URL = 'http://127.0.0.1:5984';

export type { JsonCodec };

/** The options of a connection to a server. */
export interface ConnectionOptions {
  /** The credentials, or a source of them. They take precedence over credentials in the URL. */
  readonly auth?: Auth | undefined;
  /**
   * The HTTP client.
   * @defaultValue `gotTransport()` in Node, `fetchTransport()` elsewhere
   */
  readonly transport?: Transport | undefined;
  /**
   * Has no effect: CouchDB 3 always commits before it responds. Accepted for programs that were
   * written for CouchDB 1.x.
   * @deprecated Omit it.
   */
  readonly fullCommit?: boolean | undefined;
  /** Headers for every request. In browsers CouchDB's CORS settings allow only a few. */
  readonly headers?: Readonly<Record<string, string>> | undefined;
  /**
   * The longest time without data, in milliseconds: between two chunks of a streamed upload, before
   * the response, and between two chunks of its body. Then the request errors with a `TimeoutError`.
   * 0 disables it. Feeds use `heartbeat`. The read that looks for a write without an answer may be
   * silent for 10 s, whatever `timeout` is. Text and bytes are sent as a whole, so that a large one
   * needs a longer `timeout`. With `fetchTransport` in Node, `fetch` itself ends a request after
   * 300 s without data.
   * @defaultValue 120000
   */
  readonly timeout?: number | undefined;
  /**
   * How single requests are retried after temporary failures, if nothing can be done twice. The guide's
   * page about retries has the table. Feeds and live queries have their own options.
   *
   * `false` turns it off.
   * @defaultValue `{ attempts: 3, initialDelay: 100, maxDelay: 30000 }`
   */
  readonly retry?: RetryOptions | false | undefined;
  /**
   * The largest number of requests in flight, feeds excepted: a whole number from 1, `Infinity`, or
   * `'adaptive'`. The others wait, by `priority`.
   *
   * `'adaptive'` has no effect below 64 requests in flight, until the server answers 429 or 503: then
   * it lowers the number and the rate of requests, and waits as `Retry-After` asks, up to 30 s. Browsers limit
   * requests themselves, so that the option is for Node alone.
   * @defaultValue `'adaptive'` in Node
   */
  readonly concurrency?: Concurrency | undefined;
  /**
   * The order of requests that wait, if `concurrency` limits them: `'high'` before `'normal'` before
   * `'low'`.
   * @defaultValue 'normal'
   */
  readonly priority?: Priority | undefined;
  /**
   * Steps that each request passes, the outermost first. They see a request once, before retries and
   * without credentials.
   * @defaultValue `[]`
   */
  readonly links?: readonly Link[] | undefined;
  /**
   * Steps next to the transport, the outermost first. They see each attempt, and the responses and
   * errors of the server before Corduroy converts them.
   * @defaultValue `[]`
   */
  readonly networkLinks?: readonly Link[] | undefined;
  /**
   * The URL of the server that feeds of databases listen to, live queries and `consume` included: that of a
   * relay (`corduroy/relay`), as a rule. All else goes to CouchDB. Feeds send it the same credentials.
   *
   * All continuous feeds of the `Couch` share one connection to a relay. A server that is no relay gets a
   * connection for each.
   * @defaultValue CouchDB itself
   */
  readonly changesUrl?: ServerUrl | undefined;
  /**
   * Whether a feed listens to CouchDB itself, until its connection ends, if the server at `changesUrl`
   * cannot be reached. Otherwise it waits, and `state$` shows the error.
   * @defaultValue false
   */
  readonly changesFallback?: boolean | undefined;
  /**
   * The largest body that Corduroy reads as a whole, in bytes, after decompression. It also limits
   * each line of a feed and each row of a row stream, but not their number. A longer one errors with a
   * `ProtocolError`. 0 and `Infinity` disable it. `getAttachment().chunks()` has no limit.
   * @defaultValue 268435456 (256 MiB)
   */
  readonly maxBodySize?: number | undefined;
  /**
   * With several nodes: the time for which a failed node receives no requests. It doubles with each
   * failure, from `initialDelay` up to `maxDelay`.
   * @defaultValue `{ initialDelay: 5000, maxDelay: 60000 }`
   */
  readonly nodeBackoff?: BackoffOptions | undefined;
  /**
   * Combines single requests: `get(id)` into `_bulk_get`, `save(doc)` into `_bulk_docs`. Each caller
   * gets its own result or error; `status()` has the code and headers of the common response.
   * Requests with options, with attachments, or for design and local documents stay single.
   * @defaultValue false
   */
  readonly coalesce?: boolean | CoalesceOptions | undefined;
  /**
   * Encodes and decodes JSON: all requests, responses and feeds.
   *
   * The default, `JSON`, rounds integers above 2⁵³, also those of other programs that your program
   * only reads and saves again. `exactIntegers()` of `corduroy/exact-integers` keeps them as `bigint`.
   * Corduroy refuses a value that JSON cannot hold, such as a `bigint`, unless the codec writes it.
   * @defaultValue `JSON`
   */
  readonly codec?: JsonCodec | undefined;
  /**
   * The scheduler of every delay, time window and timeout. Pass a `TestScheduler` for virtual time.
   * @defaultValue `asyncScheduler`
   */
  readonly scheduler?: SchedulerLike | undefined;
}
