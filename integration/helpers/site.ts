import { build } from 'esbuild';
import { once } from 'node:events';
import {
  type IncomingHttpHeaders,
  type IncomingMessage,
  type ServerResponse,
  createServer,
  request,
} from 'node:http';
import { type SecureServerOptions, createSecureServer } from 'node:http2';
import type { Socket } from 'node:net';
import type { AddressInfo } from 'node:net';
import { fileURLToPath } from 'node:url';

const entryPoint = fileURLToPath(new URL('../../src/index.browser.ts', import.meta.url));

/** A file of the site, such as a page or a script. */
export interface SiteFile {
  readonly type: string;
  readonly text: string;
}

/** A site whose pages load Corduroy, with a CouchDB at the same origin. */
export interface Site {
  readonly url: string;
  /** The number of open feeds, and the maximum since `mark`. */
  readonly feeds: { readonly open: number; readonly most: number };
  mark(): void;
  /** Breaks all connections. */
  cut(): void;
  close(): Promise<void>;
}

/** A page that loads Corduroy. */
export const PAGE = `<!doctype html><title>page</title><link rel="icon" href="data:,">
<script type="module">
  globalThis.corduroy = await import('/corduroy/index.browser.js');
  globalThis.promised = (source) => new Promise((resolve, reject) => {
    source.subscribe({ next: resolve, error: reject });
  });
</script>`;

/**
 * Starts a site on a free port. It forwards requests for other paths to the target.
 *
 * @param secrets - The certificate and the key for HTTP/2. Without them, it speaks HTTP/1.1.
 */
export async function startSite(
  target: string,
  files: Readonly<Record<string, SiteFile>> = {},
  secrets?: SecureServerOptions,
): Promise<Site> {
  const served = new Map<string, SiteFile>([
    ['/', { type: 'text/html', text: PAGE }],
    ...Object.entries(files),
    ...(await bundle()),
  ]);
  let open = 0;
  let most = 0;
  const serve = (incoming: IncomingMessage, outgoing: ServerResponse): void => {
    const file = served.get(incoming.url?.replace(/^\/\?.*/, '/') ?? '');
    if (file !== undefined) {
      outgoing.setHeader('content-type', file.type);
      outgoing.end(file.text);
      return;
    }
    // A tab that catches up polls beside the connection.
    if (incoming.url?.includes('feed=continuous') === true) {
      open += 1;
      most = Math.max(most, open);
      outgoing.once('close', () => (open -= 1));
    }
    forward(incoming, outgoing, target);
  };
  const sockets = new Set<Socket>();
  const listener =
    secrets === undefined
      ? createServer(serve)
      : createSecureServer(secrets, (incoming, outgoing) =>
          serve(incoming as unknown as IncomingMessage, outgoing as unknown as ServerResponse),
        );
  listener.on('connection', (socket: Socket) => {
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
  });
  const cut = (): void => sockets.forEach((socket) => socket.destroy());
  listener.listen(0, '127.0.0.1');
  await once(listener, 'listening');
  return {
    url: `${secrets === undefined ? 'http' : 'https'}://127.0.0.1:${(listener.address() as AddressInfo).port}`,
    get feeds() {
      return { open, most };
    },
    mark: () => (most = open),
    cut,
    close: async () => {
      listener.close();
      cut();
      await once(listener, 'close');
    },
  };
}

/** Bundles the browser entry point, with code splitting. */
async function bundle(): Promise<[string, SiteFile][]> {
  const { outputFiles } = await build({
    entryPoints: [entryPoint],
    bundle: true,
    splitting: true,
    format: 'esm',
    outdir: '/corduroy',
    write: false,
  });
  return outputFiles.map(({ path, text }) => [path, { type: 'text/javascript', text }]);
}

function forward(incoming: IncomingMessage, outgoing: ServerResponse, target: string): void {
  const { method = 'GET', url = '/', headers } = incoming;
  const forwarded = request(
    new URL(url, target),
    { method, headers: endToEnd(headers) },
    (answer) => {
      outgoing.writeHead(answer.statusCode ?? 500, endToEnd(answer.headers));
      outgoing.flushHeaders();
      answer.pipe(outgoing);
    },
  );
  forwarded.on('error', () => outgoing.destroy());
  outgoing.once('close', () => forwarded.destroy());
  incoming.pipe(forwarded);
}

const OF_CONNECTION = ['host', 'connection', 'keep-alive', 'transfer-encoding'];

/** Returns the headers that are not about one connection: HTTP/2 refuses those. */
function endToEnd(headers: IncomingHttpHeaders): IncomingHttpHeaders {
  return Object.fromEntries(
    Object.entries(headers).filter(
      ([name]) => !name.startsWith(':') && !OF_CONNECTION.includes(name),
    ),
  );
}
