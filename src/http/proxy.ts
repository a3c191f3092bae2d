import type { Agent as HttpAgent, AgentOptions, ClientRequest } from 'node:http';
import type { Agent as HttpsAgent } from 'node:https';
import type { Socket } from 'node:net';
import type { HttpProxyAgent, HttpsProxyAgent } from 'hpagent';
import { redactor } from '../errors/redact.ts';

/** The options that `gotTransport` and `undiciTransport` share. */
export interface NodeTransportOptions {
  /**
   * The maximum number of sockets to one host, for requests other than feeds.
   * @defaultValue 64
   */
  readonly maxSockets?: number | undefined;
  /** The certificate authorities to trust instead of the platform's, as PEM. */
  readonly ca?: string | Uint8Array | readonly (string | Uint8Array)[] | undefined;
  /** The certificate that the client shows to the server, as PEM. Needs `key`. */
  readonly cert?: string | Uint8Array | undefined;
  /** The private key of `cert`, as PEM. */
  readonly key?: string | Uint8Array | undefined;
  /** The passphrase of `key`, if it is encrypted. */
  readonly passphrase?: string | undefined;
  /**
   * Whether to refuse a server with an unverifiable certificate.
   * @defaultValue true
   */
  readonly rejectUnauthorized?: boolean | undefined;
  /**
   * The HTTP proxy for all requests: its URL, with its user and password if it needs them. Requests to
   * http and https servers pass it in a tunnel (CONNECT).
   *
   * `'environment'` takes the proxies from `HTTP_PROXY` and `HTTPS_PROXY` when the transport is created,
   * except for the hosts in `NO_PROXY`. Lower-case names take precedence.
   * @defaultValue no proxy, whatever the environment contains
   */
  readonly proxy?: string | undefined;
}

/** An HTTP proxy. */
export interface Proxy {
  /** With its user and password. */
  readonly url: URL;
  /** The header with its user and password; null if it needs none. */
  readonly authorization: string | null;
  /** Explains a failure to reach a server through this proxy. */
  readonly explain: (failure: unknown) => Error;
  /** Makes the error for the status with which the proxy answers instead of opening a tunnel. */
  readonly refusal: (status: number) => Error;
}

/** Reads a variable of the environment. The lower-case name takes precedence, as in curl. */
const variable = (name: string): string =>
  process.env[name.toLowerCase()] ?? process.env[name] ?? '';

/** The proxies of a transport. */
export interface Proxies {
  readonly all: readonly Proxy[];
  /** Returns the proxy for a URL; null if there is none. */
  readonly of: (url: string) => Proxy | null;
}

/**
 * Validates the option `proxy`.
 *
 * @param option - The URL of a proxy, or `'environment'`.
 * @param what - The name of the transport, for errors.
 * @throws TypeError for anything else, also in the environment.
 */
export function parseProxies(option: unknown, what: string): Proxies {
  if (option !== 'environment') {
    const proxy = parseProxy(option, `${what}: proxy`, `, or 'environment'`);
    return { all: [proxy], of: () => proxy };
  }
  const fromEnvironment = (name: string): Proxy | null => {
    const value = variable(name).trim();
    if (value === '') return null;
    return parseProxy(value.includes('://') ? value : `http://${value}`, `${what}: ${name}`, '');
  };
  const http = fromEnvironment('HTTP_PROXY');
  const https = fromEnvironment('HTTPS_PROXY');
  const exceptions = variable('NO_PROXY')
    .toLowerCase()
    .split(/[\s,]+/)
    .filter((entry) => entry !== '');
  return {
    all: [http, https].filter((proxy) => proxy !== null),
    of(url) {
      const { protocol, hostname, port } = new URL(url);
      const isSecure = protocol === 'https:';
      const actualPort = port || (isSecure ? '443' : '80');
      if (exceptions.some((entry) => isException(entry, hostname, actualPort))) return null;
      return isSecure ? https : http;
    },
  };
}

/** Tells whether an entry of NO_PROXY names a host: `host`, `.host`, `*.host`, each with a port, or `*`. */
function isException(entry: string, hostname: string, port: string): boolean {
  // An IPv6 address contains colons.
  if (entry === '*' || entry === hostname || `[${entry}]` === hostname) return true;
  const [, host = '', onlyPort = port] = /^(.+?)(?::(\d+))?$/.exec(entry) ?? [];
  const name = host.replace(/^\*?\./, '');
  return onlyPort === port && (name === hostname || hostname.endsWith(`.${name}`));
}

/** Not with the value: its password may be in any place of a malformed URL. */
function parseProxy(value: unknown, name: string, alternative: string): Proxy {
  const url = typeof value === 'string' && URL.canParse(value) ? new URL(value) : null;
  if (url === null || (url.protocol !== 'http:' && url.protocol !== 'https:')) {
    throw new TypeError(
      `${name} must be the URL of an HTTP proxy, such as http://proxy.example:3128${alternative}`,
    );
  }
  const { username, password, host, protocol } = url;
  const user = decode(`${name}: its user`, username);
  const secret = decode(`${name}: its password`, password);
  const redact = redactor([username, password, user, secret]);
  const basic = Buffer.from(`${user}:${secret}`).toString('base64');
  const at = `the proxy ${protocol}//${host}`;
  return {
    url,
    authorization: username === '' && password === '' ? null : `Basic ${basic}`,
    explain: (failure) => {
      const { message, code } = failure as Error & { readonly code?: string };
      return withCode(`${at}: ${redact(message)}`, code);
    },
    refusal: (status) =>
      new Error(
        status === 407
          ? `${at} requires a user and a password (status 407); put the right ones into its URL`
          : `${at} opens no tunnel to the server (status ${status})`,
      ),
  };
}

function decode(name: string, part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    throw new TypeError(`${name} must be percent-encoded; use encodeURIComponent`);
  }
}

/** Makes an error with the code of another one. */
export function withCode(message: string, code: string | undefined): Error {
  return Object.assign(new Error(message), code === undefined ? {} : { code });
}

/** The TLS options of the connection in a tunnel, of which those of the proxy are a part. */
interface ProxiedTls {
  readonly rejectUnauthorized: boolean;
  readonly ca?: (string | Buffer)[];
}

/**
 * Loads the agents of `hpagent`.
 *
 * @throws TypeError if it is not installed.
 */
export function proxyAgents(
  proxy: Proxy,
): (
  sockets: AgentOptions,
  tls: ProxiedTls,
) => { readonly http: HttpAgent; readonly https: HttpsAgent } {
  let library: {
    readonly HttpProxyAgent: typeof HttpProxyAgent;
    readonly HttpsProxyAgent: typeof HttpsProxyAgent;
  };
  try {
    const { createRequire } = process.getBuiltinModule('node:module');
    library = createRequire(import.meta.url)('hpagent') as typeof library;
  } catch (cause) {
    const problem = 'gotTransport: proxy needs the package hpagent; run npm install hpagent';
    throw new TypeError(problem, { cause });
  }
  return (sockets, tls) => {
    const { rejectUnauthorized, ca } = tls;
    // The client's certificate is for the server.
    const forProxy = { rejectUnauthorized, ...(ca !== undefined && { ca }) };
    const to = { proxy: proxy.url, proxyRequestOptions: forProxy as object };
    return {
      http: observeTunnels(new library.HttpProxyAgent({ ...sockets, ...to }), proxy, forProxy),
      https: observeTunnels(
        new library.HttpsProxyAgent({ ...sockets, ...tls, ...to }),
        proxy,
        forProxy,
      ),
    };
  };
}

type Connected = (error: Error | null, socket?: Socket | null) => void;

/** The methods of Node's agents that hpagent and Node call on each other. */
interface TunnelAgent {
  proxyRequestOptions: object;
  createSocket: (request: ClientRequest, options: object, callback: Connected) => void;
  createConnection: (options: object, callback: Connected) => void;
}

/** Closes the tunnel that a request waits for. Node keeps it, because it knows no request for it. */
export const closeTunnel: WeakMap<ClientRequest, () => void> = new WeakMap();

/** Names the proxy in the errors of an agent, and makes its tunnels known to `closeTunnel`. */
function observeTunnels<T extends HttpAgent>(tunnels: T, proxy: Proxy, forProxy: object): T {
  const inner = tunnels as unknown as TunnelAgent;
  const createSocket = inner.createSocket.bind(inner);
  const createConnection = inner.createConnection.bind(inner);
  let current: ClientRequest | null = null;
  inner.createSocket = (request, options, callback) => {
    current = request;
    createSocket(request, options, callback);
    current = null;
  };
  inner.createConnection = (options, callback) => {
    const aborter = new AbortController();
    const request = current;
    if (request !== null) closeTunnel.set(request, () => aborter.abort());
    inner.proxyRequestOptions = { ...forProxy, signal: aborter.signal };
    createConnection(options, (error, socket) => {
      if (request !== null) closeTunnel.delete(request);
      const [, status] = /^Bad response: (\d+)$/.exec(error?.message ?? '') ?? [];
      if (error === null || error === undefined) callback(null, socket);
      else callback(status === undefined ? proxy.explain(error) : proxy.refusal(Number(status)));
    });
  };
  return tunnels;
}
