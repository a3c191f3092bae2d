import * as http from 'node:http';
import * as https from 'node:https';
import { pipeline } from 'node:stream';

/** Headers that belong to one connection, or that only one side of the proxy may see. */
const NOT_FORWARDED = new Set(
  'host connection keep-alive transfer-encoding upgrade authorization cookie set-cookie origin referer x-demo-client'.split(
    ' ',
  ),
);

/**
 * Forwards read requests to one database, and adds the credentials, so that the page needs none.
 * `cut` breaks the connection between the page and the database for a while.
 */
export class Proxy {
  #upstream;
  #agent;
  #responses = new Set();
  #feeds = new Map();
  #cutUntil = 0;
  #cuts = 0;

  /**
   * `upstream` is `{ url, auth, name, relayUrl }`: the server, its credentials, the database, and the URL of a
   * relay or null.
   */
  constructor(upstream) {
    this.#upstream = upstream;
    const { Agent } = upstream.url.startsWith('https:') ? https : http;
    this.#agent = new Agent({ keepAlive: true });
  }

  /**
   * Returns the number of open feeds: of all clients, and of the given client, which sends its name
   * in a header. `cutLeft` is the time in milliseconds until the current cut ends, or 0.
   */
  stats(client) {
    const clients = [...this.#feeds.values()];
    const own = clients.filter((name) => name === client);
    const cutLeft = Math.max(0, this.#cutUntil - Date.now());
    return { openFeeds: clients.length, ownFeeds: own.length, cuts: this.#cuts, cutLeft };
  }

  /** Destroys every open response, and refuses requests for so many milliseconds. */
  cut(milliseconds) {
    this.#cuts += 1;
    this.#cutUntil = Date.now() + milliseconds;
    for (const response of this.#responses) response.destroy();
  }

  close() {
    for (const response of this.#responses) response.destroy();
    this.#agent.destroy();
  }

  /** Answers a request whose URL is `/couch/<database>/…`. */
  handle(request, response, url) {
    const { url: server, name } = this.#upstream;
    const path = url.pathname.slice('/couch'.length);
    const database = `/${encodeURIComponent(name)}`;
    if (path !== database && !path.startsWith(`${database}/`)) {
      return refuse(response, 404, 'not_found', 'The demo serves one database only.');
    }
    if (request.method !== 'GET' && request.method !== 'HEAD') {
      return refuse(response, 405, 'method_not_allowed', 'The page can only read.');
    }
    const isFeed = path === `${database}/_changes` && url.searchParams.get('feed') === 'continuous';
    return this.#pass(request, response, `${server}${path}${url.search}`, isFeed);
  }

  /** Answers a request whose URL is `/relay/…`. The relay serves the database of the demo only. */
  handleFeed(request, response, url) {
    const { relayUrl } = this.#upstream;
    const path = url.pathname.slice('/relay'.length);
    if (relayUrl === null || !/^\/(_relay\/(up|streams)(\/|$)|[^/]+\/_changes$)/.test(path)) {
      return refuse(response, 404, 'not_found', 'The demo relays feeds only.');
    }
    const isFeed = path === '/_relay/streams' || url.searchParams.get('feed') === 'continuous';
    return this.#pass(request, response, `${relayUrl}${path}${url.search}`, isFeed);
  }

  #pass(request, response, target, isFeed) {
    if (Date.now() < this.#cutUntil) return request.socket.destroy();
    this.#responses.add(response);
    response.on('close', () => this.#responses.delete(response));
    if (isFeed) {
      this.#feeds.set(response, request.headers['x-demo-client']);
      response.on('close', () => this.#feeds.delete(response));
    }
    return this.#forward(request, response, target);
  }

  #forward(request, response, target) {
    const { request: send } = target.startsWith('https:') ? https : http;
    const headers = { ...forwarded(request.headers), ...this.#authorization() };
    const { method } = request;
    const upstream = send(target, { method, headers, agent: this.#agent }, (answer) => {
      response.writeHead(answer.statusCode, forwarded(answer.headers));
      // A feed may be silent for long: its head must not wait for its first line.
      response.flushHeaders();
      // If the server breaks off, `pipeline` destroys the response, so that the client notices.
      pipeline(answer, response, () => {});
    });
    upstream.on('error', () => {
      if (response.headersSent) response.destroy();
      else refuse(response, 502, 'bad_gateway', 'The CouchDB server does not answer.');
    });
    // A client that disconnects must also end the request to the server.
    response.on('close', () => upstream.destroy());
    request.pipe(upstream);
  }

  #authorization() {
    const { auth } = this.#upstream;
    if (auth === undefined) return {};
    const pair = Buffer.from(`${auth.username}:${auth.password}`).toString('base64');
    return { authorization: `Basic ${pair}` };
  }
}

function forwarded(headers) {
  return Object.fromEntries(Object.entries(headers).filter(([name]) => !NOT_FORWARDED.has(name)));
}

/** Sends an error in CouchDB's format, so that Corduroy reads it as one of CouchDB's. */
function refuse(response, status, error, reason) {
  response.writeHead(status, { 'content-type': 'application/json' });
  response.end(JSON.stringify({ error, reason }));
}
