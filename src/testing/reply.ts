import { canonical } from '../model/json.ts';
import { EMPTY, asyncScheduler, from, isObservable, map, of } from 'rxjs';
import type { Observable } from 'rxjs';
import type { ResponseHeaders, TransportResponse } from '../http/transport.ts';
import { invalidArgument } from '../model/invalid-argument.ts';

/** The options of a `Couch` that sends each request once, and at once. */
export const STEADY: { readonly retry: false; readonly concurrency: number } = {
  retry: false,
  concurrency: Infinity,
};

/**
 * Fails the test itself, even if the code under test handles errors: the scheduler throws the error
 * in virtual time, else a timer throws it.
 */
export function fail(error: Error): void {
  asyncScheduler.schedule(() => {
    throw error;
  });
}

/** A fault of a feed, as a marble: see `fault`. */
export class Fault {
  readonly kind: 'cut' | 'silence' | 'replaced';

  /** @internal */
  constructor(kind: Fault['kind']) {
    this.kind = kind;
  }
}

/**
 * The faults of a feed, as values of marbles: `hot('-a--x', { a, x: fault.cut })`.
 *
 * - `cut`: the connections break. A `#` does the same, and is the last marble of its stream.
 * - `silence`: the open connections stay open, and send nothing more, not even heartbeats.
 * - `replaced`: the database is deleted, and created again under the same name.
 */
export const fault: Readonly<Record<Fault['kind'], Fault>> = {
  cut: new Fault('cut'),
  silence: new Fault('silence'),
  replaced: new Fault('replaced'),
};

/** The in-memory server throws it if CouchDB would answer with an error. */
export class Refusal extends Error {
  override readonly name = 'Refusal';
  readonly status: number;
  readonly error: string;

  constructor(code: number, error: string, reason: string) {
    super(reason);
    this.status = code;
    this.error = error;
  }

  /** Returns the error as a reply. */
  reply(): Reply {
    return json(this.status, { error: this.error, reason: this.message });
  }
}

export const badRequest = (reason: string): Refusal => new Refusal(400, 'bad_request', reason);

export const missing = (reason = 'missing'): Refusal => new Refusal(404, 'not_found', reason);

export const conflict = (): Refusal => new Refusal(409, 'conflict', 'Document update conflict.');

/** A 501 that names a feature of CouchDB which the in-memory server does not have. */
export const notImplemented = (feature: string): Refusal =>
  new Refusal(
    501,
    'not_implemented',
    `the in-memory server of corduroy/testing does not ${feature}; test it on a CouchDB`,
  );

/** A response of a test server: see `status` and `raw`. */
export class Reply implements TransportResponse {
  readonly status: number;
  readonly headers: ResponseHeaders;
  readonly body: Observable<Uint8Array>;

  /** @internal */
  constructor(code: number, headers: ResponseHeaders, body: Observable<Uint8Array>) {
    this.status = code;
    this.headers = headers;
    this.body = body;
  }
}

/** The `error` and `reason` that CouchDB sends with a status. */
const COUCHDB_ERRORS: Readonly<Record<number, readonly [error: string, reason: string]>> = {
  400: ['bad_request', 'The request is not understood.'],
  401: ['unauthorized', 'You are not authorized to access this db.'],
  403: ['forbidden', 'You are not allowed to access this db.'],
  404: ['not_found', 'missing'],
  409: ['conflict', 'Document update conflict.'],
  412: ['file_exists', 'The database could not be created, the file already exists.'],
  413: ['document_too_large', 'The document is too large.'],
  429: ['too_many_requests', 'Too many requests.'],
  500: ['internal_server_error', 'Something went wrong.'],
  503: ['service_unavailable', 'The service is not available.'],
};

/** Returns the `error` and `reason` that CouchDB sends with a status, or those of a status that it does not send. */
export function couchError(
  code: number,
  otherwise: string,
): readonly [error: string, reason: string] {
  return COUCHDB_ERRORS[code] ?? [`status_${code}`, otherwise];
}

/**
 * Returns a response with a status: `status(409)`,
 * `status(503, undefined, { 'retry-after': '2' })`.
 *
 * @param body - Sent as JSON. Default: CouchDB's error for a failure status, and else
 * `{ ok: true }`.
 * @throws RangeError for an invalid status.
 */
export function status(code: number, body?: unknown, headers: ResponseHeaders = {}): Reply {
  if (!Number.isInteger(code) || code < 200 || code > 599)
    throw invalidArgument('status: code', 'an HTTP status from 200 to 599', code, RangeError);
  const [error, reason] = couchError(code, 'The test set this status.');
  return json(code, body ?? (code < 400 ? { ok: true } : { error, reason }), headers);
}

/** The options of {@link raw}. */
export interface RawOptions {
  /** @defaultValue 200 */
  readonly status?: number;
  readonly headers?: ResponseHeaders;
}

/**
 * Returns a response whose body is sent unchanged: text, bytes, or an Observable of chunks of
 * either. It starts at once. An error (`#`) of the Observable truncates the body.
 */
export function raw(
  body: string | Uint8Array | Observable<string | Uint8Array>,
  options: RawOptions = {},
): Reply {
  const { status: code = 200, headers = {} } = options;
  const chunks = isObservable(body) ? body : of(body);
  return new Reply(
    code,
    headers,
    chunks.pipe(map((chunk) => (typeof chunk === 'string' ? encode(chunk) : chunk))),
  );
}

/** Returns whether a value is an object, and neither null nor an array. */
export function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Writes a value as JSON, with each bigint as an integer. */
export function toText(value: unknown): string {
  try {
    return JSON.stringify(value);
  } catch {
    return canonical(value);
  }
}

/** Returns a response whose body is a value as JSON. */
export function json(code: number, value: unknown, headers: ResponseHeaders = {}): Reply {
  return new Reply(
    code,
    { 'content-type': 'application/json', ...headers },
    from([encode(`${toText(value)}\n`)]),
  );
}

/** Converts the value of a marble to a response: a reply as it is, any other value as JSON. */
export function toReply(value: unknown): Reply {
  return value instanceof Reply ? value : json(200, value);
}

/** Returns the response to HEAD: the same without a body. */
export function withoutBody({ status: code, headers }: Reply): Reply {
  return new Reply(code, headers, EMPTY);
}

function encode(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}
