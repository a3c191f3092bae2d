import * as http from 'node:http';
import * as https from 'node:https';
import { pipeline } from 'node:stream';

/** What concerns one connection only, or is nobody else's business. */
const PRIVATE = new Set(
  'host connection keep-alive transfer-encoding upgrade authorization cookie set-cookie origin referer x-demo-client'.split(
    ' ',
  ),
);

/**
 * Passes reading requests on to one database, with the credentials added, so that the page needs
 * none; and breaks the changes feeds that run through it when it is told to.
 */
export class Proxy {
  #upstream;
  #agent;
  #open = new Map();
  #refuseUntil = 0;
  #cuts = 0;

  /** `upstream` is `{ url, auth, name }`: the server, who asks, and the database. */
  constructor(upstream) {
    this.#upstream = upstream;
    const { Agent } = upstream.url.startsWith('https:') ? https : http;
    this.#agent = new Agent({ keepAlive: true });
  }

  /** The open feeds: of everybody, and of one client, which names itself in a header. */
  stats(client) {
    const clients = [...this.#open.values()];
    const own = clients.filter((name) => name === client);
    return { openFeeds: clients.length, ownFeeds: own.length, cuts: this.#cuts };
  }

  /** Destroys every open feed, and refuses new ones for a while. */
  cut(milliseconds) {
    this.#cuts += 1;
    this.#refuseUntil = Date.now() + milliseconds;
    for (const response of this.#open.keys()) response.destroy();
  }

  close() {
    for (const response of this.#open.keys()) response.destroy();
    this.#agent.destroy();
  }

  /** Answers a request whose URL is `/couch/<database>/…`. */
  handle(request, response, url) {
    const { url: server, name } = this.#upstream;
    const path = url.pathname.slice('/couch'.length);
    const database = `/${encodeURIComponent(name)}`;
    if (path !== database && !path.startsWith(`${database}/`)) {
      return refuse(response, 404, 'not_found', 'The demo shows one database only.');
    }
    if (request.method !== 'GET' && request.method !== 'HEAD') {
      return refuse(response, 405, 'method_not_allowed', 'The page only reads.');
    }
    const isChanges = path === `${database}/_changes`;
    if (isChanges && Date.now() < this.#refuseUntil) return request.socket.destroy();
    if (isChanges && url.searchParams.get('feed') === 'continuous') {
      this.#open.set(response, request.headers['x-demo-client']);
      response.on('close', () => this.#open.delete(response));
    }
    return this.#forward(request, response, `${server}${path}${url.search}`);
  }

  #forward(request, response, target) {
    const { request: send } = target.startsWith('https:') ? https : http;
    const headers = { ...withoutPrivate(request.headers), ...this.#authorization() };
    const { method } = request;
    const passedOn = send(target, { method, headers, agent: this.#agent }, (answer) => {
      response.writeHead(answer.statusCode, withoutPrivate(answer.headers));
      // A feed may have nothing to say for long: its head must not wait for its first line.
      response.flushHeaders();
      // Should the server break off, the response is destroyed: its reader must see that.
      pipeline(answer, response, () => {});
    });
    passedOn.on('error', () => {
      if (response.headersSent) response.destroy();
      else refuse(response, 502, 'bad_gateway', 'The CouchDB server does not answer.');
    });
    // Whoever leaves the proxy leaves the server.
    response.on('close', () => passedOn.destroy());
    passedOn.end();
  }

  #authorization() {
    const { auth } = this.#upstream;
    if (auth === undefined) return {};
    const pair = Buffer.from(`${auth.username}:${auth.password}`).toString('base64');
    return { authorization: `Basic ${pair}` };
  }
}

function withoutPrivate(headers) {
  return Object.fromEntries(Object.entries(headers).filter(([name]) => !PRIVATE.has(name)));
}

/** An error as CouchDB writes it, so that Corduroy makes of it what it makes of CouchDB's. */
function refuse(response, status, error, reason) {
  response.writeHead(status, { 'content-type': 'application/json' });
  response.end(JSON.stringify({ error, reason }));
}
