import { EMPTY, asyncScheduler, from, isObservable, map, of } from 'rxjs';
import type { Observable } from 'rxjs';
import type { ResponseHeaders, TransportResponse } from '../http/transport.ts';
import { invalidArgument } from '../model/invalid-argument.ts';

/**
 * Fails the test itself, whatever the code under test does about failures: in virtual time what is
 * thrown here is thrown by the scheduler, and else by a timer.
 */
export function fail(error: Error): void {
  asyncScheduler.schedule(() => {
    throw error;
  });
}

/** Something that goes wrong with a feed, as a marble: see `fault`. */
export class Fault {
  readonly kind: 'cut' | 'silence' | 'replaced';

  /** @internal */
  constructor(kind: Fault['kind']) {
    this.kind = kind;
  }
}

/**
 * What can go wrong with a feed, to be given to marbles: `hot('-a--x', { a, x: fault.cut })`.
 *
 * - `cut`: the connections break. A `#` does the same, and is the last marble of its stream.
 * - `silence`: nothing comes over the connections that there are any more, not even a heartbeat.
 * - `replaced`: the database is deleted, and made again under the same name.
 */
export const fault: Readonly<Record<Fault['kind'], Fault>> = {
  cut: new Fault('cut'),
  silence: new Fault('silence'),
  replaced: new Fault('replaced'),
};

/** Thrown within the in-memory server where CouchDB would answer a failure. */
export class Refusal extends Error {
  override readonly name = 'Refusal';
  readonly status: number;
  readonly error: string;

  constructor(code: number, error: string, reason: string) {
    super(reason);
    this.status = code;
    this.error = error;
  }

  /** The failure as an answer. */
  reply(): Reply {
    return json(this.status, { error: this.error, reason: this.message });
  }
}

export const badRequest = (reason: string): Refusal => new Refusal(400, 'bad_request', reason);

export const missing = (reason = 'missing'): Refusal => new Refusal(404, 'not_found', reason);

export const conflict = (): Refusal => new Refusal(409, 'conflict', 'Document update conflict.');

/** What CouchDB does and this server does not; it says so rather than answer something. */
export const notImplemented = (what: string): Refusal =>
  new Refusal(
    501,
    'not_implemented',
    `the in-memory server of corduroy/testing does not ${what}; test that on a CouchDB`,
  );

/** An answer of a server of the kit, with what goes before its body: see `status` and `raw`. */
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

/** CouchDB's own words for the failures that it tells of by a status. */
const WORDS: Readonly<Record<number, readonly [error: string, reason: string]>> = {
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

/**
 * Returns an answer with a status: `status(409)`, `status(503, undefined, { 'retry-after': '2' })`.
 *
 * @param body - What is sent as JSON.
 * @defaultValue for failures what CouchDB says, and else `{ ok: true }`
 * @throws RangeError for what is no status.
 */
export function status(code: number, body?: unknown, headers: ResponseHeaders = {}): Reply {
  if (!Number.isInteger(code) || code < 200 || code > 599)
    throw invalidArgument('status', 'an HTTP status from 200 to 599', code, RangeError);
  const [error, reason] = WORDS[code] ?? [`status_${code}`, 'It is what the test answers.'];
  return json(code, body ?? (code < 400 ? { ok: true } : { error, reason }), headers);
}

/** How a raw answer begins. */
export interface RawOptions {
  /** @defaultValue 200 */
  readonly status?: number;
  readonly headers?: ResponseHeaders;
}

/**
 * Returns an answer whose body goes over the wire as it is: text, bytes, or a stream of either whose
 * marbles are its chunks. It begins at once; a `#` in the stream cuts it short.
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

/** Makes an answer whose body is a value as JSON. */
export function json(code: number, value: unknown, headers: ResponseHeaders = {}): Reply {
  return new Reply(
    code,
    { 'content-type': 'application/json', ...headers },
    from([encode(`${JSON.stringify(value)}\n`)]),
  );
}

/** Takes what a marble stands for as an answer: a reply as it is, anything else as JSON. */
export function toReply(value: unknown): Reply {
  return value instanceof Reply ? value : json(200, value);
}

/** The same answer without its body: what HEAD gets. */
export function withoutBody({ status: code, headers }: Reply): Reply {
  return new Reply(code, headers, EMPTY);
}

function encode(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}
