import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import * as http from 'node:http';
import * as https from 'node:https';
import { extname, normalize } from 'node:path';
import { pipeline } from 'node:stream';

const TYPES = { '.css': 'text/css', '.html': 'text/html', '.js': 'text/javascript' };

const SECURITY = {
  'content-security-policy':
    "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src data:; base-uri 'self'",
  'x-content-type-options': 'nosniff',
};

/** The headers that apply to one connection, and those that name the page. */
const REMOVED_HEADERS = [
  'connection',
  'keep-alive',
  'transfer-encoding',
  'upgrade',
  'host',
  'origin',
  'referer',
];

/**
 * Serves the application. On the same origin, `/couch` forwards the sessions and one database, so
 * the page logs in to CouchDB, which checks the permissions. Listens on the loopback address only.
 */
export async function startServer(port, database) {
  const { request: send, Agent } = database.url.startsWith('https:') ? https : http;
  const agent = new Agent({ keepAlive: true });
  const server = http.createServer((request, response) => {
    // A foreign host name that resolves to 127.0.0.1 must not reach CouchDB (DNS rebinding).
    if (!/^(127\.0\.0\.1|localhost)(:\d+)?$/.test(request.headers.host ?? '')) {
      return sendError(response, 403, 'forbidden', 'The host name must be 127.0.0.1 or localhost.');
    }
    const { pathname, search } = new URL(request.url, 'http://localhost');
    if (!pathname.startsWith('/couch/')) return serveFile(pathname, response);
    const path = pathname.slice('/couch'.length);
    const [, name] = path.split('/');
    if (name !== '_session' && name !== encodeURIComponent(database.name)) {
      return sendError(response, 404, 'not_found', 'The example serves one database only.');
    }
    const headers = without(request.headers, REMOVED_HEADERS);
    const { method } = request;
    const forwarded = send(
      `${database.url}${path}${search}`,
      { method, headers, agent },
      (upstream) => {
        response.writeHead(upstream.statusCode, without(upstream.headers, REMOVED_HEADERS));
        // The first line of a feed can take long. The page needs the headers before it.
        response.flushHeaders();
        // If CouchDB breaks the connection, `pipeline` breaks the response too.
        pipeline(upstream, response, () => {});
      },
    );
    forwarded.on('error', () => {
      if (response.headersSent) response.destroy();
      else sendError(response, 502, 'bad_gateway', 'The CouchDB server does not answer.');
    });
    // If the page cancels the request, the request to CouchDB is cancelled too.
    response.on('close', () => forwarded.destroy());
    request.pipe(forwarded);
  });

  async function serveFile(path, response) {
    const name = normalize(extname(path) === '' ? '/index.html' : path);
    try {
      let content = await readFile(new URL(`./dist${name}`, import.meta.url));
      if (name === '/index.html') {
        content = content.toString().replace('%database%', encodeURIComponent(database.name));
      }
      const type = TYPES[extname(name)] ?? 'application/octet-stream';
      response.writeHead(200, { ...SECURITY, 'content-type': `${type}; charset=utf-8` });
      response.end(content);
    } catch {
      sendError(response, 404, 'not_found', 'There is no such file.');
    }
  }

  server.listen(port, '127.0.0.1');
  await once(server, 'listening').catch((error) => {
    if (error.code !== 'EADDRINUSE' && error.code !== 'EACCES') throw error;
    const reason = error.code === 'EACCES' ? 'needs more permissions' : 'is in use';
    const message = `Port ${port} ${reason}. Pass another --port, or omit it to use a free port.`;
    throw Object.assign(new Error(message), { expected: true });
  });
  return {
    url: `http://127.0.0.1:${server.address().port}`,
    async close() {
      server.close();
      server.closeAllConnections();
      agent.destroy();
    },
  };
}

function without(headers, names) {
  return Object.fromEntries(Object.entries(headers).filter(([name]) => !names.includes(name)));
}

/** Sends an error in CouchDB's format, so that Corduroy maps it to its error classes. */
function sendError(response, status, error, reason) {
  response.writeHead(status, { 'content-type': 'application/json' });
  response.end(JSON.stringify({ error, reason }));
}
