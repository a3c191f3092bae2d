import type { SchedulerLike } from 'rxjs';
import type { Auth } from './auth.ts';
import type { BackoffOptions } from '../operators/retry-policy.ts';
import type { CoalesceOptions } from './coalescing.ts';
import type { JsonCodec } from '../model/json.ts';
import type { Transport } from './transport.ts';

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
   * 0 disables it. Feeds use `heartbeat`. Text and bytes are sent as a whole, so that a large one
   * needs a longer `timeout`. With `fetchTransport` in Node, `fetch` itself ends a request after
   * 300 s without data.
   * @defaultValue 120000
   */
  readonly timeout?: number | undefined;
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
