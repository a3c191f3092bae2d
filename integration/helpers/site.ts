import { build } from 'esbuild';
import { once } from 'node:events';
import { type IncomingMessage, type ServerResponse, createServer, request } from 'node:http';
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

const PAGE = `<!doctype html><title>page</title><link rel="icon" href="data:,">
<script type="module">
  globalThis.corduroy = await import('/corduroy/index.browser.js');
  globalThis.promised = (source) => new Promise((resolve, reject) => {
    source.subscribe({ next: resolve, error: reject });
  });
</script>`;

/** Starts a site on a free port. It forwards requests for other paths to the target. */
export async function startSite(
  target: string,
  files: Readonly<Record<string, SiteFile>> = {},
): Promise<Site> {
  const served = new Map<string, SiteFile>([
    ['/', { type: 'text/html', text: PAGE }],
    ...Object.entries(files),
    ...(await bundle()),
  ]);
  let open = 0;
  let most = 0;
  const listener = createServer((incoming, outgoing) => {
    const file = served.get(incoming.url?.replace(/^\/\?.*/, '/') ?? '');
    if (file !== undefined) {
      outgoing.setHeader('content-type', file.type).end(file.text);
      return;
    }
    // A tab that catches up polls beside the connection.
    if (incoming.url?.includes('feed=continuous') === true) {
      open += 1;
      most = Math.max(most, open);
      outgoing.once('close', () => (open -= 1));
    }
    forward(incoming, outgoing, target);
  });
  listener.listen(0, '127.0.0.1');
  await once(listener, 'listening');
  return {
    url: `http://127.0.0.1:${(listener.address() as AddressInfo).port}`,
    get feeds() {
      return { open, most };
    },
    mark: () => (most = open),
    cut: () => listener.closeAllConnections(),
    close: async () => {
      listener.close();
      listener.closeAllConnections();
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
  const { host: _host, ...rest } = headers;
  const forwarded = request(new URL(url, target), { method, headers: rest }, (answer) => {
    outgoing.writeHead(answer.statusCode ?? 500, answer.headers);
    outgoing.flushHeaders();
    answer.pipe(outgoing);
  });
  forwarded.on('error', () => outgoing.destroy());
  outgoing.once('close', () => forwarded.destroy());
  incoming.pipe(forwarded);
}
