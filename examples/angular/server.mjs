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

/** What concerns one connection only. */
const HOP = [
  'connection',
  'keep-alive',
  'transfer-encoding',
  'upgrade',
  'host',
  'origin',
  'referer',
];

/**
 * Serves the application, and under `/couch` of the same origin the server's sessions and the one
 * database: the page logs in by itself, and CouchDB decides who may do what. On this machine only.
 */
export async function startServer(port, database) {
  const { request: send, Agent } = database.url.startsWith('https:') ? https : http;
  const agent = new Agent({ keepAlive: true });
  const server = http.createServer((request, response) => {
    // A page elsewhere must not get here through a name of its own for this machine.
    if (!/^(127\.0\.0\.1|localhost)(:\d+)?$/.test(request.headers.host ?? '')) {
      return refuse(response, 403, 'forbidden', 'Not under this name.');
    }
    const { pathname, search } = new URL(request.url, 'http://localhost');
    if (!pathname.startsWith('/couch/')) return serve(pathname, response);
    const path = pathname.slice('/couch'.length);
    const [, first] = path.split('/');
    if (first !== '_session' && decodeURIComponent(first) !== database.name) {
      return refuse(response, 404, 'not_found', 'The example shows one database only.');
    }
    const headers = without(request.headers, HOP);
    const { method } = request;
    const passedOn = send(
      `${database.url}${path}${search}`,
      { method, headers, agent },
      (answer) => {
        response.writeHead(answer.statusCode, without(answer.headers, HOP));
        // A feed may have nothing to say for long: its head must not wait for its first line.
        response.flushHeaders();
        // Should the server break off, the response is destroyed: its reader must see that.
        pipeline(answer, response, () => {});
      },
    );
    passedOn.on('error', () => {
      if (response.headersSent) response.destroy();
      else refuse(response, 502, 'bad_gateway', 'The CouchDB server does not answer.');
    });
    // Whoever leaves this server leaves the other.
    response.on('close', () => passedOn.destroy());
    request.pipe(passedOn);
  });

  async function serve(path, response) {
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
      refuse(response, 404, 'not_found', 'Not here.');
    }
  }

  server.listen(port, '127.0.0.1');
  await once(server, 'listening').catch((error) => {
    if (error.code !== 'EADDRINUSE' && error.code !== 'EACCES') throw error;
    const why = error.code === 'EACCES' ? 'may not be used' : 'is in use';
    const message = `Port ${port} ${why}: name another with --port, or leave --port out.`;
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

/** An error as CouchDB writes it, so that Corduroy makes of it what it makes of CouchDB's. */
function refuse(response, status, error, reason) {
  response.writeHead(status, { 'content-type': 'application/json' });
  response.end(JSON.stringify({ error, reason }));
}
