import { Observable } from 'rxjs';
import type { Subscriber } from 'rxjs';
import {
  ConnectionError,
  RedirectRefused,
  isRedirectRefused,
  MAY_BE_WRITTEN,
  isUnsentCode,
  mayBeWritten,
} from '../errors/connection-error.ts';
import type { ProtocolError } from '../errors/connection-error.ts';
import { isCorduroyError, withMayBeWritten } from '../errors/corduroy-error.ts';
import type { RequestSummary } from '../errors/corduroy-error.ts';
import { errorFromResponse, isWrongPassword, rememberRedaction } from '../errors/from-response.ts';
import { describeCause } from '../errors/redact.ts';
import type { Redact } from '../errors/redact.ts';
import { guarded } from '../operators/to-observable.ts';
import type { Authorization } from './auth.ts';
import { browserCause } from './browser-causes.ts';
import { protocolError, readErrorText } from './exchange.ts';
import type { ErrorText } from './exchange.ts';
import { SentRequest } from './link.ts';
import type { Exchange, Link, LinkRequest } from './link.ts';
import type { ResponseHeaders, TransportResponse } from './transport.ts';
import { explainEmptyAnswer } from './url.ts';

/**
 * Converts responses outside 2xx, and what a transport throws, to Corduroy's errors, without
 * credentials.
 */
export function classifyLink(maxBodySize: number): Link {
  return (request, next) =>
    new Observable((subscriber) => {
      request.context.activity?.sent(request);
      const classification = new Classification(request, maxBodySize, subscriber);
      return next(request).subscribe(guarded(subscriber, classification));
    });
}

/**
 * Converts what links of the user answer by themselves. Responses and errors of the server are converted
 * already. An error without a `code` is the user's, and stays as it is.
 */
export function classifyOwnLink(maxBodySize: number): Link {
  return (request, next) =>
    new Observable((subscriber) => {
      const own = new Classification(request, maxBodySize, subscriber);
      return next(request).subscribe(
        guarded(subscriber, {
          next: (response) =>
            'redact' in response ? subscriber.next(response as Exchange) : own.next(response),
          error: (error: unknown) =>
            isPlatformError(error) ? own.error(error) : subscriber.error(error),
          complete: () => own.complete(),
        }),
      );
    });
}

function isPlatformError(error: unknown): boolean {
  return !isCorduroyError(error) && error instanceof Error && 'code' in error;
}

/** A class, because every request passes it: its methods are no closures. */
class Classification {
  readonly #request: LinkRequest;
  readonly #sent: SentRequest;
  readonly #maxBodySize: number;
  readonly #subscriber: Subscriber<Exchange>;
  #failed = false;

  constructor(request: LinkRequest, maxBodySize: number, subscriber: Subscriber<Exchange>) {
    this.#request = request;
    this.#sent = new SentRequest(request);
    this.#maxBodySize = maxBodySize;
    this.#subscriber = subscriber;
  }

  next(response: TransportResponse): void {
    const { status, headers: received, body } = response;
    const { context } = this.#request;
    const { spec, authorization, redact } = context;
    context.activity?.answered(status);
    const isAnswer = (status >= 200 && status < 300) || spec.isAnswer?.(status, received) === true;
    if (!isAnswer) {
      this.#failed = true;
      const next = (text: ErrorText): void => this.#refuse(response, text);
      this.#subscriber.add(readErrorText(body).subscribe(guarded(this.#subscriber, { next })));
      return;
    }
    const headers = takeCookies(received, authorization);
    rememberRedaction(headers, redact);
    this.#subscriber.next({
      status,
      headers,
      body: this.#explained(body),
      request: this.#sent,
      redact,
      maxBodySize: this.#maxBodySize,
    });
  }

  error(thrown: unknown): void {
    this.#subscriber.error(this.#explain(thrown, noResponseError));
  }

  complete(): void {
    if (!this.#failed) this.#subscriber.complete();
  }

  #refuse({ status, headers }: TransportResponse, { text, isDamaged }: ErrorText): void {
    const { method, path, reads, context } = this.#request;
    const reason = text || explainEmptyAnswer(status, method, path);
    const failure = errorFromResponse(status, headers, reason, this.#sent, context.redact);
    // The reason may be in the part that is missing.
    const isUnclear = isDamaged && status === 401 && failure.error === '';
    if (isUnclear || isWrongPassword(failure)) context.authorization.onRefused?.(failure);
    if (!reads && mayBeWritten(failure)) withMayBeWritten(failure);
    this.#subscriber.error(failure);
  }

  /** Converts the errors of a body. */
  #explained(body: Observable<Uint8Array>): Observable<Uint8Array> {
    return new Observable((chunks) =>
      body.subscribe(
        guarded(chunks, {
          next: (chunk) => chunks.next(chunk),
          error: (thrown: unknown) => chunks.error(this.#explain(thrown, truncatedError)),
          complete: () => chunks.complete(),
        }),
      ),
    );
  }

  #explain(thrown: unknown, makeError: MakeError): unknown {
    const { reads, context } = this.#request;
    const { failure } = context.source;
    if (failure !== null) return failure.error;
    const error = explainFailure(thrown, makeError, this.#sent, context.redact, reads);
    return !reads && mayBeWritten(error) ? withMayBeWritten(error) : error;
  }
}

/** A platform's error, without credentials. */
interface PlatformError extends Error {
  readonly code?: string;
  readonly reusedSocket?: boolean;
}

type MakeError = (cause: PlatformError, request: RequestSummary, reads: boolean) => Error;

function hasReusedSocket(error: unknown): boolean {
  return (
    typeof error === 'object' &&
    error !== null &&
    'reusedSocket' in error &&
    error.reusedSocket === true
  );
}

/** How OpenSSL calls an answer that is not TLS. */
const PLAIN_HTTP = /WRONG_VERSION_NUMBER|wrong version number|packet length too long/;

/** Makes the error of a request without a response. */
function noResponseError(
  cause: PlatformError,
  request: RequestSummary,
  reads: boolean,
): ConnectionError {
  const { reusedSocket = false } = cause;
  const isPlain = PLAIN_HTTP.test(`${cause.code} ${cause.message}`);
  const code = isPlain ? 'ERR_SSL_WRONG_VERSION_NUMBER' : (cause.code ?? null);
  const inBrowser = browserCause(request.url);
  // A bad certificate stays bad, and so does a port without TLS.
  const transient = !isPlain && !/CERT|VERIFY/.test(code ?? '') && inBrowser?.transient !== false;
  const hint = isPlain
    ? 'The server has no TLS at this port: begin its URL with http://'
    : (inBrowser?.hint ?? null);
  // Some browsers end their texts with a full stop.
  const reason = isPlain ? 'the server did not answer with TLS' : cause.message.replace(/\.$/, '');
  const failure = `${request.method} ${request.url}: no connection: ${reason}`;
  const note = reads || isUnsentCode(code) ? null : MAY_BE_WRITTEN;
  const message = [failure, hint, note].filter((part) => part !== null).join('. ');
  return new ConnectionError(message, { request, code, cause, transient, hint, reusedSocket });
}

/** Makes the error for what a transport has thrown. */
function explainFailure(
  thrown: unknown,
  makeError: MakeError,
  request: RequestSummary,
  redact: Redact,
  reads: boolean,
): Error {
  if (isRedirectRefused(thrown)) {
    const { from, to, problem } = thrown;
    return new RedirectRefused({ from, to: to === null ? null : redact(to), problem }, request);
  }
  if (isCorduroyError(thrown)) return thrown;
  const root = rootCause(thrown);
  const cause = describeCause(root, redact);
  if (hasReusedSocket(thrown) || hasReusedSocket(root))
    Object.assign(cause, { reusedSocket: true });
  return makeError(cause, request, reads);
}

/** Makes the error of a response that ended early. */
function truncatedError(
  cause: PlatformError,
  request: RequestSummary,
  reads: boolean,
): ProtocolError {
  const problem = `the answer ended early: ${cause.message}`;
  const message = reads ? problem : `${problem}. ${MAY_BE_WRITTEN}`;
  return protocolError(request, message, { cause, transient: true });
}

/** Returns the innermost cause: fetch throws only "fetch failed", with the reason as its cause. */
function rootCause(error: unknown): unknown {
  let root = error;
  // A chain of causes can be a cycle.
  for (let depth = 0; depth < 10; depth++) {
    if (typeof root !== 'object' || root === null || !('cause' in root)) break;
    const { cause } = root;
    if (typeof cause !== 'object' || cause === null || !('message' in cause)) break;
    root = cause;
  }
  return root;
}

/** Passes a cookie to the session, and removes it from the headers. */
function takeCookies(headers: ResponseHeaders, { onCookie }: Authorization): ResponseHeaders {
  if (!('set-cookie' in headers)) return headers;
  const { 'set-cookie': cookie = '', ...rest } = headers;
  onCookie?.(cookie);
  return rest;
}
