import type { Observable } from 'rxjs';

/**
 * The http room: how a request becomes an answer. Everything that knows of HTTP, of URLs and of
 * snake_case lives here; it imports only the model, the errors and operators.
 */

/** The headers of an answer, by lower-case name; repeated ones are joined with `', '`. */
export type ResponseHeaders = Readonly<Record<string, string>>;

/** The body of a request, as it goes over the wire. */
export type RequestBody = string | Uint8Array | AsyncIterable<Uint8Array>;

/** A request as a transport gets it: complete, with credentials among the headers. */
export interface TransportRequest {
  readonly method: string;
  /** Absolute, encoded, without userinfo. */
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: RequestBody | undefined;
  /** Whether the answer may go on for ever, so that it must not take a place in a pool. */
  readonly endless?: boolean | undefined;
  /** Whether a browser is to send its own cookies, and keep those it gets, of another origin too. */
  readonly cookies?: boolean | undefined;
}

/** An answer whose head has arrived and whose body has not been read yet. */
export interface TransportResponse {
  readonly status: number;
  readonly headers: ResponseHeaders;
  /**
   * The chunks of the body, decompressed; to be subscribed to once, in the turn in which the
   * response was emitted. Errors when the body ends before it is whole.
   */
  readonly body: Observable<Uint8Array>;
}

/**
 * The seam between Corduroy and a platform: it sends one request at each subscription.
 *
 * - Emits the response when its head has arrived, and completes when its body has been read.
 * - Follows redirects; credentials do not follow to another origin.
 * - Errors with whatever the platform throws: the caller turns it into Corduroy's errors.
 * - Unsubscribing, before the head or in the middle of the body, closes the exchange at once.
 *
 * A transport retries nothing, times nothing and throws for no status.
 */
export interface Transport {
  readonly send: (request: TransportRequest) => Observable<TransportResponse>;
}
