import type { SchedulerLike } from 'rxjs';
import type { Auth } from './auth.ts';
import type { BackoffOptions } from '../operators/retry-policy.ts';
import type { CoalesceOptions } from './coalescing.ts';
import type { Transport } from './transport.ts';

/** The server that is meant where none is named. */
export const DEFAULT_URL = 'http://127.0.0.1:5984';

/** How values are written to the wire and read from it. */
export interface JsonCodec {
  readonly parse: (text: string) => unknown;
  readonly stringify: (value: unknown) => string;
}

/** How a server is reached. */
export interface ConnectionOptions {
  /** Who asks, or where that is to be found out. Wins over credentials in the URL. */
  readonly auth?: Auth | undefined;
  /**
   * What carries the requests.
   * @defaultValue `gotTransport()` in Node, `fetchTransport()` elsewhere
   */
  readonly transport?: Transport | undefined;
  /**
   * Accepted for the sake of programs written for CouchDB 1.x, and without effect: CouchDB 3 always
   * commits before it answers.
   * @deprecated leave it out
   */
  readonly fullCommit?: boolean | undefined;
  /** Headers for every request; in browsers CouchDB's CORS rules let few through. */
  readonly headers?: Readonly<Record<string, string>> | undefined;
  /**
   * How long the server may be silent, in milliseconds, before its answer and between two pieces
   * of it; 0 for as long as it likes. Feeds have a heartbeat instead.
   * @defaultValue 120000
   */
  readonly timeout?: number | undefined;
  /**
   * Where there are several nodes: how long one that failed is left alone, the longest wait of the
   * first time and of all.
   * @defaultValue `{ initialDelay: 5000, maxDelay: 60000 }`
   */
  readonly nodeBackoff?: BackoffOptions | undefined;
  /**
   * Sends what is asked for one by one together: `get(id)` by one `_bulk_get`, `save(doc)` by one
   * `_bulk_docs`. Each caller keeps a result or an error of its own; `status()` has the code and the
   * headers of the common answer. What has options, attachments, or an id of CouchDB's own goes alone.
   * @defaultValue false
   */
  readonly coalesce?: boolean | CoalesceOptions | undefined;
  /**
   * What reads and writes JSON.
   * @defaultValue `JSON`
   */
  readonly codec?: JsonCodec | undefined;
  /**
   * What every delay, window and timeout runs on; a `TestScheduler` makes time virtual.
   * @defaultValue `asyncScheduler`
   */
  readonly scheduler?: SchedulerLike | undefined;
}
