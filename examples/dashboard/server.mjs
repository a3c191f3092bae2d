import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { bundlePage } from './bundle.mjs';
import { Proxy } from './proxy.mjs';

/** How long new feeds are refused after a cut, in milliseconds. */
const CUT = 3_000;

const SECURITY = {
  'content-security-policy': "default-src 'self'; img-src data:; base-uri 'none'",
  'x-content-type-options': 'nosniff',
};

/** The demo's own web server, on this machine only. It serves a database after `show(database)`. */
export async function startServer(port) {
  const files = await readPage();
  let proxy;
  const server = createServer((request, response) => {
    // A page elsewhere must not get here through a name of its own for this machine.
    const url = new URL(request.url, 'http://localhost');
    if (!/^(127\.0\.0\.1|localhost)(:\d+)?$/.test(request.headers.host ?? '')) {
      return send(response, 403, 'text/plain', 'Not under this name.');
    }
    if (proxy === undefined) return send(response, 503, 'text/plain', 'Not yet.');
    if (url.pathname.startsWith('/couch/')) return proxy.handle(request, response, url);
    if (url.pathname === '/cut' && request.method === 'POST') {
      proxy.cut(Number(url.searchParams.get('ms') ?? CUT));
      return send(response, 200, 'application/json', '{"ok":true}');
    }
    if (request.method !== 'GET') return send(response, 405, 'text/plain', 'Not allowed.');
    if (url.pathname === '/stats') {
      const stats = proxy.stats(url.searchParams.get('client'));
      return send(response, 200, 'application/json', JSON.stringify(stats));
    }
    const [type, content] = files[url.pathname] ?? [];
    if (type === undefined) return send(response, 404, 'text/plain', 'Not here.');
    return send(response, 200, type, content);
  });
  server.listen(port, '127.0.0.1');
  await once(server, 'listening').catch((error) => {
    if (error.code !== 'EADDRINUSE' && error.code !== 'EACCES') throw error;
    const why = error.code === 'EACCES' ? 'may not be used' : 'is in use';
    const message = `Port ${port} ${why}: name another with --port, or leave --port out.`;
    throw Object.assign(new Error(message), { expected: true });
  });
  return {
    url: `http://127.0.0.1:${server.address().port}`,
    show(database) {
      proxy = new Proxy(database);
      const [type, html] = files['/'];
      files['/'] = [type, html.replace('%database%', encodeURIComponent(database.name))];
    },
    async close() {
      proxy?.close();
      server.close();
      server.closeAllConnections();
    },
  };
}

const file = (name) => readFile(new URL(`./page/${name}`, import.meta.url), 'utf8');

async function readPage() {
  return {
    '/': ['text/html', await file('index.html')],
    '/style.css': ['text/css', await file('style.css')],
    '/page.js': ['text/javascript', await bundlePage()],
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
