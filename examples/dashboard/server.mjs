import { once } from 'node:events';
import { readFile, readdir } from 'node:fs/promises';
import { createServer } from 'node:http';
import { bundlePage } from './bundle.mjs';
import { readOutlines } from './data.mjs';
import { Proxy } from './proxy.mjs';

/** How long a cut lasts, in milliseconds. */
const CUT = 5_000;

const SECURITY = {
  'content-security-policy': "default-src 'self'; img-src data:; base-uri 'none'",
  'x-content-type-options': 'nosniff',
};

/**
 * Starts the demo's web server, on this machine only. It serves a database after
 * `serve(database, countFlights, readCost)`. `countFlights` returns the number of flights written so far,
 * and `readCost` what the listeners cost, or null.
 */
export async function startServer(port) {
  const files = await readPage();
  let proxy;
  let flightsWritten;
  let cost;
  const server = createServer((request, response) => {
    // Another site must not reach this server through a host name that resolves to 127.0.0.1.
    const url = new URL(request.url, 'http://localhost');
    if (!/^(127\.0\.0\.1|localhost)(:\d+)?$/.test(request.headers.host ?? '')) {
      return send(response, 403, 'text/plain', 'This host name is not allowed.');
    }
    if (proxy === undefined) return send(response, 503, 'text/plain', 'The demo is starting.');
    if (url.pathname.startsWith('/couch/')) return proxy.handle(request, response, url);
    if (url.pathname.startsWith('/relay/')) return proxy.handleFeed(request, response, url);
    if (url.pathname === '/cut' && request.method === 'POST') {
      proxy.cut(Number(url.searchParams.get('ms') ?? CUT));
      return send(response, 200, 'application/json', '{"ok":true}');
    }
    if (request.method !== 'GET') return send(response, 405, 'text/plain', 'Not allowed.');
    if (url.pathname === '/stats') {
      const stats = proxy.stats(url.searchParams.get('client'));
      const body = JSON.stringify({ ...stats, flightsWritten: flightsWritten(), cost: cost() });
      return send(response, 200, 'application/json', body);
    }
    const [type, content] = files[url.pathname] ?? [];
    if (type === undefined) return send(response, 404, 'text/plain', 'Not found.');
    return send(response, 200, type, content);
  });
  server.listen(port, '127.0.0.1');
  await once(server, 'listening').catch((error) => {
    if (error.code !== 'EADDRINUSE' && error.code !== 'EACCES') throw error;
    const why = error.code === 'EACCES' ? 'needs more rights' : 'is in use';
    const message = `Port ${port} ${why}: choose another with --port, or omit --port.`;
    throw Object.assign(new Error(message), { expected: true });
  });
  return {
    url: `http://127.0.0.1:${server.address().port}`,
    serve(database, countFlights, readCost) {
      flightsWritten = countFlights;
      cost = readCost;
      proxy = new Proxy(database);
      const [type, html] = files['/'];
      files['/'] = [
        type,
        html
          .replace('%database%', encodeURIComponent(database.name))
          .replace('%relay%', String(database.relayUrl !== null)),
      ];
    },
    async close() {
      proxy?.close();
      server.close();
      server.closeAllConnections();
    },
  };
}

const page = new URL('./page/', import.meta.url);

async function readPage() {
  const names = (await readdir(page)).filter((name) => name.endsWith('.css'));
  const styles = names.map(async (name) => [
    `/${name}`,
    ['text/css', await readFile(new URL(name, page), 'utf8')],
  ]);
  return {
    ...Object.fromEntries(await Promise.all(styles)),
    '/': ['text/html', await readFile(new URL('index.html', page), 'utf8')],
    '/page.js': ['text/javascript', await bundlePage()],
    '/us-10m.json': ['application/json', await readOutlines()],
  };
}

function send(response, status, type, content) {
  response.writeHead(status, {
    ...SECURITY,
    'content-type': `${type}; charset=utf-8`,
    'cache-control': 'no-store',
  });
  response.end(content);
}
