import type { IncomingMessage, ServerResponse } from 'node:http';
import { readChangesQuery } from './changes-query.ts';
import type { Hub } from './hub.ts';
import { corsHeaders, credentialsOf } from './origin.ts';
import type { Credentials } from './origin.ts';
import { CLOSING, LATER, refusal, sendAnswer, badBody } from './refusal.ts';
import type { Refusal } from './refusal.ts';
import { ResponseSink } from './sink.ts';
import type { Streams } from './streams.ts';
import { prometheusText } from './stats.ts';

/** The longest body of a request for changes, in bytes, and how long it may take, in milliseconds. */
const BODY = { size: 8_388_608, time: 30_000 };

/** The parts of a relay. */
export interface Served {
  readonly hub: Hub;
  readonly streams: Streams;
}

/** Answers one request. Rejects if CouchDB cannot be reached. */
export async function respond(
  { hub, streams }: Served,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const [path = '', search = ''] = (request.url ?? '/').split(/\?(.*)/s);
  if (path === '/_relay' || path.startsWith('/_relay/'))
    return respondForItself({ hub, streams }, path, request, response);
  const names = path.split('/').slice(1).map(decoded);
  const [database = '', resource] = names;
  const isChanges = names.length === 2 && resource === '_changes';
  const isShared = isChanges && !database.startsWith('_') && hub.settings.serves(database);
  if (isShared) return respondWithChanges(hub, database, search, request, response);
  const isSystem = isChanges && database.startsWith('_') && hub.settings.serves(database);
  if (hub.settings.forward || isSystem) return forward(hub, request, response, null);
  const reason = isChanges
    ? `This relay does not serve the database '${database}'.`
    : 'This relay answers /{db}/_changes only. Send other requests to CouchDB.';
  return sendAnswer(response, refusal(404, 'not_found', reason));
}

async function respondWithChanges(
  hub: Hub,
  database: string,
  search: string,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const { settings, access } = hub;
  const { method = 'GET' } = request;
  if (method === 'HEAD' || method === 'OPTIONS') return forward(hub, request, response, null);
  if (method !== 'GET' && method !== 'POST')
    return sendAnswer(
      response,
      refusal(405, 'method_not_allowed', 'Only GET,POST,HEAD allowed', { allow: 'GET,POST,HEAD' }),
    );
  const busy = hub.isClosed
    ? CLOSING
    : hub.size >= settings.maxClients
      ? 'This relay has as many listeners as it may have.'
      : null;
  if (busy !== null) return sendAnswer(response, refusal(503, 'service_unavailable', busy, LATER));
  const body = method === 'POST' ? await readBody(request) : null;
  if (response.destroyed) return undefined;
  if (typeof body === 'number') return sendAnswer(response, badBody(body));
  const isJson =
    method === 'GET' || /^application\/json\b/i.test(request.headers['content-type'] ?? '');
  const lastEventId = request.headers['last-event-id'];
  const query = isJson
    ? readChangesQuery(new URLSearchParams(search), textOf(lastEventId), body)
    : null;
  const credentials = credentialsOf(request.headers, settings.credentialHeaders);
  const path = `/${encodeURIComponent(database)}/_changes`;
  if (query === null) return forwardFeed(hub, credentials, path, search, request, response, body);
  const answer = await access.ask(credentials, path, query.own, query.body);
  if (answer.status !== 200) return sendAnswer(response, answer);
  const version = await hub.channels.version(database, query);
  if (version === null) return forwardFeed(hub, credentials, path, search, request, response, body);
  if (response.destroyed) return undefined;
  // Later, `now` is another sequence.
  const isForAll = credentials.isAnonymous && query.since !== 'now';
  const maxAge = isForAll ? settings.maxAge : 0;
  const sink = new ResponseSink(response, query.feed, corsHeaders(answer.headers), maxAge);
  const listener = hub.listener({ query, database, path, credentials }, sink);
  listener.grant = access.grant(credentials, path, answer, listener);
  response.on('drain', () => listener.pump());
  response.once('close', () => listener.end('left'));
  return hub.listen(listener, version);
}

/** Passes a request for changes on, and ends its response when the right to read them ends. */
async function forwardFeed(
  hub: Hub,
  credentials: Credentials,
  path: string,
  search: string,
  request: IncomingMessage,
  response: ServerResponse,
  body: string | null,
): Promise<void> {
  const kind = new URLSearchParams(search).get('feed') ?? 'normal';
  if (kind === 'normal') return forward(hub, request, response, body);
  if (hub.direct >= hub.settings.maxDirect) {
    const reason = 'This relay has as many feeds that cannot be shared as it may have.';
    return sendAnswer(
      response,
      refusal(503, 'service_unavailable', reason, { 'retry-after': '2' }),
    );
  }
  const answer = await hub.access.ask(credentials, path, new URLSearchParams(), null);
  const holder = { revoke: () => response.destroy() };
  const grant = answer.status === 200 ? hub.access.grant(credentials, path, answer, holder) : null;
  hub.direct += 1;
  try {
    await forward(hub, request, response, body);
  } finally {
    hub.direct -= 1;
    grant?.holders.delete(holder);
  }
}

async function forward(
  hub: Hub,
  request: IncomingMessage,
  response: ServerResponse,
  body: string | null,
): Promise<void> {
  const { credentialHeaders } = hub.settings;
  // CouchDB may believe these headers without a token, if only its own proxies can reach it.
  const isAllowed = (name: string): boolean =>
    !name.startsWith('x-auth-couchdb') || credentialHeaders.includes(name);
  try {
    await hub.origin.forward(request, response, isAllowed, body ?? parsedBody(request));
  } catch (error) {
    if (response.headersSent || response.destroyed) response.destroy();
    else throw error;
  }
}

/** Answers `/_relay` and below. */
async function respondForItself(
  { hub, streams }: Served,
  path: string,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  if (path === '/_relay/streams' || path.startsWith('/_relay/streams/'))
    return respondWithStream(
      { hub, streams },
      path.slice('/_relay/streams'.length + 1),
      request,
      response,
    );
  const text = (status: number, type: string, content: string): void =>
    sendAnswer(response, {
      status,
      headers: { 'content-type': type, 'cache-control': 'no-store' },
      text: content,
    });
  if (path === '/_relay/up') {
    const status = hub.isClosed ? 'closing' : 'ok';
    // Pages of any origin may find out that this is a relay.
    return sendAnswer(response, {
      status: hub.isClosed ? 503 : 200,
      headers: {
        'content-type': 'application/json',
        'cache-control': 'no-store',
        'access-control-allow-origin': request.headers.origin ?? '*',
        // A page may send its cookies with all requests.
        'access-control-allow-credentials': 'true',
        vary: 'Origin',
        'access-control-expose-headers': 'x-corduroy-relay',
        // Browsers tell pages only then whether requests share a connection, as over HTTP/2.
        'timing-allow-origin': '*',
        'x-corduroy-relay': '1',
      },
      text: `{"status":"${status}"}\n`,
    });
  }
  const isMetrics = path === '/_relay/metrics';
  if (path !== '/_relay' && !isMetrics)
    return sendAnswer(response, refusal(404, 'not_found', 'There is nothing here.'));
  if (!hub.settings.publicStats) {
    const { headers } = credentialsOf(request.headers, hub.settings.credentialHeaders);
    const session = await hub.origin.text({ path: '/_session', headers });
    if (session.status === 200 && !isAdmin(session.text))
      return sendAnswer(
        response,
        refusal(401, 'unauthorized', 'You are not a server admin.', {
          'www-authenticate': 'Basic realm="administrator"',
        }),
      );
    if (session.status !== 200)
      return sendAnswer(response, { ...session, headers: { 'content-type': 'application/json' } });
  }
  const { stats } = hub;
  return isMetrics
    ? text(200, 'text/plain; version=0.0.4; charset=utf-8', prometheusText(stats))
    : text(200, 'application/json', `${JSON.stringify(stats)}\n`);
}

/** Opens a stream of many subscriptions, or changes the one of this name. */
async function respondWithStream(
  { hub, streams }: Served,
  name: string,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  // CouchDB tells which pages may ask, whatever the path.
  if (request.method === 'OPTIONS') return forward(hub, request, response, null);
  const cors = await hub.cors(request.headers.origin);
  const refuse = (answer: Refusal): void =>
    sendAnswer(response, { ...answer, headers: { ...cors, ...answer.headers } });
  if (request.method !== 'POST')
    return refuse(
      refusal(405, 'method_not_allowed', 'Only POST allowed', { allow: 'POST,OPTIONS' }),
    );
  if (hub.isClosed) return refuse(refusal(503, 'service_unavailable', CLOSING, LATER));
  const body = await readBody(request);
  if (typeof body === 'number') return refuse(badBody(body));
  if (response.destroyed) return undefined;
  const answer =
    name === '' ? streams.open(request, response, body, cors) : streams.change(request, name, body);
  return answer === null ? undefined : refuse(answer);
}

function isAdmin(session: string): boolean {
  const { userCtx } = JSON.parse(session) as { userCtx?: { roles?: unknown } };
  return Array.isArray(userCtx?.roles) && userCtx.roles.includes('_admin');
}

/** Returns the body that Express or another framework has read before; null if none has. */
function parsedBody(request: IncomingMessage): string | null {
  const { body } = request as { body?: unknown };
  if (body === undefined || !request.readableEnded) return null;
  return typeof body === 'string' ? body : JSON.stringify(body);
}

/** Reads a body as text. Resolves with the status of a refusal for one that is too long, too slow, or gone. */
function readBody(request: IncomingMessage): Promise<string | 400 | 408 | 413> {
  const parsed = parsedBody(request);
  if (parsed !== null) return Promise.resolve(parsed);
  if (request.readableEnded) return Promise.resolve(400);
  return new Promise((resolve) => {
    const parts: Buffer[] = [];
    let size = 0;
    const settle = (result: string | 400 | 408 | 413): void => {
      clearTimeout(timer);
      if (typeof result === 'number') request.pause();
      resolve(result);
    };
    const timer = setTimeout(() => settle(408), BODY.time);
    request.on('data', (part: Buffer) => {
      size += part.length;
      if (size > BODY.size) settle(413);
      else parts.push(part);
    });
    request.once('end', () => settle(Buffer.concat(parts).toString()));
    request.once('close', () => settle(408));
  });
}

function textOf(header: string | string[] | undefined): string | undefined {
  return Array.isArray(header) ? header[0] : header;
}

function decoded(name: string): string {
  try {
    return decodeURIComponent(name);
  } catch {
    return name;
  }
}
