import type { RequestSummary } from '../errors/corduroy-error.ts';
import type { BasicCredentials } from './auth.ts';
import type { RequestBody, ResponseHeaders, TransportResponse } from './transport.ts';

/** A request as an operation describes it: relative, and without credentials. */
export interface RequestSpec {
  /** @defaultValue 'GET' */
  readonly method?: string;
  /** The path below the server's URL, encoded, with the query string. */
  readonly path: string;
  /** A body to be written as JSON. */
  readonly json?: unknown;
  /** A body that is sent as it is. */
  readonly body?: RequestBody;
  readonly headers?: Readonly<Record<string, string>>;
  /** Overrides the connection's `timeout`, in milliseconds. */
  readonly timeout?: number;
  readonly endless?: boolean;
}

/** Whether a request can be sent a second time: a stream of bytes is gone when it has been read. */
export function isRepeatable({ body }: RequestSpec): boolean {
  return body === undefined || typeof body === 'string' || body instanceof Uint8Array;
}

/** An answer whose head has come, with the request that it is to. */
export interface Exchange extends TransportResponse {
  readonly request: RequestSummary;
}

/** An answer that has been read. */
export interface Reading {
  readonly text: string;
  readonly exchange: Exchange;
}

/** A database as the other end of a replication: where it is, and who may read or write it. */
export interface ReplicationEnd {
  readonly url: string;
  readonly auth?: { readonly basic: BasicCredentials };
  readonly headers?: Readonly<Record<string, string>>;
}

/** A decoded answer with its head. */
export interface Answer<T> {
  readonly value: T;
  readonly code: number;
  readonly headers: ResponseHeaders;
}
