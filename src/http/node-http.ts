import type { IncomingHttpHeaders } from 'node:http';
import type { Socket } from 'node:net';
import { Readable } from 'node:stream';
import { ConnectionError } from '../errors/connection-error.ts';
import { invalidArgument } from '../model/invalid-argument.ts';
import { parseProxies, withCode } from './proxy.ts';
import type { NodeTransportOptions, Proxies, Proxy } from './proxy.ts';
import { flag, text, toBody } from './query.ts';
import type { Parameter } from './query.ts';
import type { RequestBody, ResponseHeaders, TransportRequest } from './transport.ts';

/** The TLS options of Node, for connections to servers. */
export interface TlsOptions {
  readonly rejectUnauthorized: boolean;
  readonly ca?: (string | Buffer)[];
  readonly cert?: string | Buffer;
  readonly key?: string | Buffer;
  readonly passphrase?: string;
}

/** The validated form of {@link NodeTransportOptions}. */
export interface NodeOptions {
  readonly maxSockets: number;
  readonly tls: TlsOptions;
  /** Null without the option `proxy`. */
  readonly proxies: Proxies | null;
}

/** The clients of a transport that send requests the same way: directly, or over one proxy. */
export interface Route<Client> {
  readonly pooled: Client;
  /** For feeds. */
  readonly endless: Client;
}

/**
 * Returns a function that chooses the client for a request.
 *
 * @param own - The user's client, for all requests.
 * @param create - Creates the clients for a proxy, or without one. Called once for each.
 * @throws what `create` throws for a proxy.
 */
export function routing<Client>(
  { proxies }: NodeOptions,
  own: Client | undefined,
  create: (proxy: Proxy | null) => Route<Client>,
): (request: TransportRequest) => Client {
  const direct = own === undefined ? create(null) : { pooled: own, endless: own };
  const routes = new Map(proxies?.all.map((proxy) => [proxy, create(proxy)]));
  return (request) => {
    const proxy = proxies === null ? null : proxies.of(request.url);
    const route = (proxy && routes.get(proxy)) ?? direct;
    return request.endless === true ? route.endless : route.pooled;
  };
}

const isPem = (value: unknown): value is string | Uint8Array =>
  typeof value === 'string' || value instanceof Uint8Array;

/** Not with the value: a key must not appear in an error. */
const pem: Parameter = (value, name) => {
  if (isPem(value)) return '';
  throw new TypeError(`${name} must be a text or bytes, as PEM (received ${typeof value})`);
};

const certificates: Parameter = (value, name) => {
  const all: unknown[] = Array.isArray(value) ? value : [value];
  // OpenSSL ignores a text that holds no certificate.
  if (all.length > 0 && all.every((one) => isPem(one) && isCertificate(one))) return '';
  throw new TypeError(`${name} must be certificates as PEM; read the file, and pass its content`);
};

function isCertificate(value: string | Uint8Array): boolean {
  try {
    const { X509Certificate } = process.getBuiltinModule('node:crypto');
    return new X509Certificate(value).subject !== null;
  } catch {
    return false;
  }
}

const socketCount: Parameter = (value, name) => {
  if (value === Infinity || (Number.isSafeInteger(value) && (value as number) > 0)) return '';
  const ErrorClass = typeof value === 'number' ? RangeError : TypeError;
  throw invalidArgument(name, 'a whole number from 1', value, ErrorClass);
};

const OPTIONS = {
  maxSockets: socketCount,
  ca: certificates,
  cert: pem,
  key: pem,
  passphrase: text,
  rejectUnauthorized: flag,
  // Validated without its value, which may hold a password.
  proxy: () => '',
};

/**
 * Validates the options of a transport in Node.
 *
 * @param what - The name of the transport, for errors.
 * @param client - The option that passes the user's client, and its validation.
 * @throws TypeError or RangeError for unknown, invalid or contradictory options.
 */
export function nodeOptions(
  options: NodeTransportOptions,
  what: string,
  client: Readonly<Record<string, Parameter>>,
): NodeOptions {
  toBody({ ...OPTIONS, ...client }, options, what);
  const given = (name: string): boolean =>
    (options as Readonly<Record<string, unknown>>)[name] !== undefined;
  const [owner] = Object.keys(client).filter(given);
  const [refused] = Object.keys(OPTIONS).filter(given);
  if (owner !== undefined && refused !== undefined)
    throw new TypeError(`${what}: ${owner} excludes ${refused}; set ${refused} on your ${owner}`);
  const { maxSockets = 64, proxy, passphrase, rejectUnauthorized = true } = options;
  const [ca, cert, key] = [options.ca, options.cert, options.key];
  if ((cert === undefined) !== (key === undefined))
    throw new TypeError(`${what}: cert and key need each other; pass both`);
  if (passphrase !== undefined && key === undefined)
    throw new TypeError(`${what}: passphrase needs key; pass both`);
  const tls: TlsOptions = {
    rejectUnauthorized,
    ...(ca !== undefined && { ca: [ca].flat().map(toNode) }),
    ...(cert !== undefined && { cert: toNode(cert) }),
    ...(key !== undefined && { key: toNode(key) }),
    ...(passphrase !== undefined && { passphrase }),
  };
  try {
    // Loaded only here, because most programs start faster without it.
    if (key !== undefined) process.getBuiltinModule('node:tls').createSecureContext(tls);
  } catch (error) {
    const { code = 'unknown' } = error as { readonly code?: string };
    throw new TypeError(
      `${what}: cert must be a certificate, and key its private key, both as PEM; ` +
        `an encrypted key needs the right passphrase (${code})`,
      { cause: error },
    );
  }
  return { maxSockets, tls, proxies: proxy === undefined ? null : parseProxies(proxy, what) };
}

function toNode(value: string | Uint8Array): string | Buffer {
  return typeof value === 'string'
    ? value
    : Buffer.from(value.buffer, value.byteOffset, value.byteLength);
}

/** By the code and the message of a failure, because one code of OpenSSL stands for many alerts. */
const ADVICE: readonly [pattern: RegExp, advice: string][] = [
  [
    /SELF_SIGNED_CERT|UNABLE_TO_(?:GET_ISSUER|VERIFY)|CERT_UNTRUSTED/,
    "pass the certificate of the authority that signed the server's as ca, if you trust it",
  ],
  [
    /alert (?:certificate required|bad certificate|unknown ca|handshake failure)/,
    'the server requires a certificate of the client that it trusts; pass cert and key',
  ],
];

/** Adds advice to the failure of a TLS handshake. Returns other errors unchanged. */
export function explainTls(failure: unknown): unknown {
  if (typeof failure !== 'object' || failure === null || !('code' in failure)) return failure;
  const { code, message } = failure as { readonly code: unknown; readonly message?: unknown };
  const described = `${String(code)} ${String(message)}`;
  const [, advice] = ADVICE.find(([pattern]) => pattern.test(described)) ?? [];
  if (advice === undefined) return failure;
  return withCode(`${String(message).trim()}; ${advice}`, String(code));
}

const observedSockets = new WeakSet<Socket>();

const resetSockets = new WeakSet<Socket>();

/** Tells whether the end of an observed socket was a reset, which Node reports as an ordinary end. */
export function isReset(socket: Socket): boolean {
  return resetSockets.has(socket);
}

/** Makes the error for a reset that Node does not report. */
export function connectionReset(): Error {
  return withCode('the connection was reset', 'ECONNRESET');
}

/**
 * Observes how a socket ends.
 *
 * - It is read to its end although a write to it failed. A server that refuses an upload answers, and
 *   closes the socket. Node would drop that answer if it notices the closed socket while it writes.
 * - A reset is recorded. If it arrives together with data, libuv reports the data and an ordinary end.
 *   The system then no longer knows the other end of the connection.
 */
export function observeSocket(socket: Socket): void {
  if (observedSockets.has(socket)) return;
  observedSockets.add(socket);
  // Node's HTTP client destroys the socket in its own listener.
  socket.prependListener('end', () => {
    // Not `remoteAddress`, which remembers an earlier value.
    const { _handle: handle } = socket as {
      readonly _handle?: { readonly getpeername?: (result: object) => number } | null;
    };
    if ((handle?.getpeername?.({}) ?? 0) !== 0) resetSockets.add(socket);
  });
  type Callback = (error?: Error | null) => void;
  const afterReading =
    (callback: Callback): Callback =>
    (error) => {
      const { code } = (error ?? {}) as { readonly code?: string };
      const isClosed = code === 'EPIPE' || code === 'ECONNRESET';
      if (!isClosed || socket.destroyed || socket.readableEnded) {
        callback(error);
        return;
      }
      const fail = (): void => {
        socket.off('end', fail).off('close', fail);
        callback(error);
      };
      socket.on('end', fail).on('close', fail);
    };
  const write = socket._write.bind(socket);
  const writeMany = socket._writev?.bind(socket);
  socket._write = (chunk, encoding, callback) => write(chunk, encoding, afterReading(callback));
  if (writeMany !== undefined)
    socket._writev = (chunks, callback) => writeMany(chunks, afterReading(callback));
}

/** Converts Node's headers: joins the values of repeated headers. */
export function joinHeaders(headers: IncomingHttpHeaders): ResponseHeaders {
  const joined: Record<string, string> = {};
  for (const name in headers) {
    const value = headers[name];
    if (value !== undefined) joined[name] = typeof value === 'string' ? value : value.join(', ');
  }
  return joined;
}

/** A request body in the forms that Node's HTTP clients accept. */
export type Upload = string | Uint8Array | Readable | undefined;

/** Converts an async iterable body to a stream, which can be destroyed. */
export function toUpload(body: RequestBody | undefined): Upload {
  if (body === undefined || typeof body === 'string' || body instanceof Uint8Array) return body;
  return body instanceof Readable ? body : Readable.from(body, { objectMode: false });
}

/** Makes the error of a request that needs a dependency which does not load. */
export function notLoaded(
  name: string,
  cause: Error & { readonly code?: string },
): ConnectionError {
  const hint = 'Install the dependencies of corduroy again';
  const message = `The package ${name} must be installed (received: ${cause.message}). ${hint}`;
  return new ConnectionError(message, { cause, code: cause.code ?? null, hint });
}
