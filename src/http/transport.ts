/**
 * The http layer: requests and responses. All code that deals with HTTP, URLs and snake_case is here.
 * It imports only the model, the errors and the operators.
 */
import type { Observable } from 'rxjs';
import type { ConnectionBudget } from './connection-budget.ts';

/** The headers of a response, by lower-case name; repeated headers are joined with `', '`. */
export type ResponseHeaders = Readonly<Record<string, string>>;

/** The body of a request, encoded for the wire. The first chunk of an iterable may be empty. */
export type RequestBody = string | Uint8Array | AsyncIterable<Uint8Array>;

/** A request for a transport: complete, with credentials in its headers. */
export interface TransportRequest {
  readonly method: string;
  /** Absolute, encoded, without userinfo. */
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: RequestBody | undefined;
  /** Whether the request changes nothing on the server. @defaultValue true for GET and HEAD, else false */
  readonly reads?: boolean | undefined;
  /** Whether the response may never end, so that it must not occupy a socket of the pool. */
  readonly endless?: boolean | undefined;
  /**
   * Whether a platform that hides the targets of redirects, as browsers do, may follow one. If false, the
   * redirect itself is the answer.
   * @defaultValue true
   */
  readonly followRedirects?: boolean | undefined;
  /** Whether a browser sends and stores cookies, for a server of another origin too. */
  readonly cookies?: boolean | undefined;
}

/** A response whose head has arrived and whose body has not been read yet. */
export interface TransportResponse {
  readonly status: number;
  readonly headers: ResponseHeaders;
  /**
   * The chunks of the body, decompressed. Subscribe to it once, in the same event-loop turn in which the
   * response is emitted. Errors if the body ends early.
   */
  readonly body: Observable<Uint8Array>;
}

/**
 * The interface between Corduroy and an HTTP client.
 *
 * - **Temperature:** cold. Each subscription sends one request.
 * - **Emits** the response, with any status, when its head has arrived.
 * - **Completes** when the body has been read.
 * - **Errors** with the platform's error. Corduroy converts it, and masks credentials.
 * - **On unsubscribe**, before the head or during the body, the exchange is closed at once.
 *
 * It has no retries and no timeouts, and emits redirects as any response: Corduroy follows them.
 */
export interface Transport {
  readonly send: (request: TransportRequest) => Observable<TransportResponse>;
  /**
   * Shares out the connections for feeds, on a platform that opens only a few. A transport that wraps
   * another one passes it on.
   * @defaultValue null: feeds open as many connections as they need
   */
  readonly budget?: ConnectionBudget | null;
}

const repeatables = new WeakSet();

/** Makes a body that can be sent twice, because each iteration opens it again. */
export function repeatableBody(open: () => AsyncIterable<Uint8Array>): AsyncIterable<Uint8Array> {
  const body = { [Symbol.asyncIterator]: () => open()[Symbol.asyncIterator]() };
  repeatables.add(body);
  return body;
}

/** Tells whether a body can be sent twice. Other iterables can be read only once. */
export function isRepeatableBody(body: RequestBody | undefined): boolean {
  if (body === undefined || typeof body === 'string' || body instanceof Uint8Array) return true;
  return repeatables.has(body);
}

/** The error that the source of an upload has thrown. */
export interface UploadSource {
  failure: { readonly error: unknown } | null;
}

/** Returns the source of an upload, and records the error that it throws. */
export function observed(
  body: AsyncIterable<Uint8Array>,
  source: UploadSource,
): AsyncIterable<Uint8Array> {
  return {
    [Symbol.asyncIterator]() {
      const iterator = body[Symbol.asyncIterator]();
      let closed = false;
      return {
        next: async () => {
          try {
            return await iterator.next();
          } catch (error) {
            // The transport closes the source if the connection fails.
            if (!closed) source.failure = { error };
            throw error;
          }
        },
        return: async () => {
          closed = true;
          // A stream of Node closes at once; its iterator would wait for the next chunk.
          if ('destroy' in body && typeof body.destroy === 'function') body.destroy();
          await iterator.return?.();
          return { done: true, value: undefined };
        },
      };
    },
  };
}

/** The Blobs that empty chunks stand for. */
const blobs = new WeakMap<Uint8Array, () => Blob>();

/**
 * Returns an empty chunk that announces a body as a Blob. A transport may send that Blob instead of the
 * chunks that follow; all others need not know of it.
 *
 * @param take - Called when a transport takes the Blob.
 */
export function announceBlob(take: () => Blob): Uint8Array {
  const start = new Uint8Array(0);
  blobs.set(start, take);
  return start;
}

/** Takes the Blob that a chunk announces. Undefined for all other chunks. */
export function takeBlob(chunk: Uint8Array): Blob | undefined {
  return blobs.get(chunk)?.();
}
