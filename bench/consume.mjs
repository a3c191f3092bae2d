/**
 * Shows that a consumer keeps at most one batch in memory, however far behind it is. A stub serves
 * changes as fast as the consumer requests them, and the handler is slow.
 *
 *   npm run build && node --expose-gc bench/consume.mjs [changes]
 */
import { createServer } from 'node:http';
import { Couch, memoryCheckpoint } from '../dist/index.js';

const total = Number(process.argv[2] ?? 1_000_000);

const server = createServer((request, response) => {
  const { pathname, searchParams } = new URL(request.url, 'http://stub');
  response.setHeader('content-type', 'application/json');
  if (!pathname.endsWith('/_changes')) return response.end('{"instance_start_time":"1"}');
  const since = Number(searchParams.get('since'));
  if (since >= total) return undefined;
  const end = Math.min(total, since + Number(searchParams.get('limit')));
  const rows = [];
  for (let seq = since + 1; seq <= end; seq++) {
    rows.push(`{"seq":"${seq}-stub","id":"doc-${seq}","changes":[{"rev":"1-${'0'.repeat(32)}"}]}`);
  }
  return response.end(
    `{"results":[\n${rows.join(',\n')}\n],\n"last_seq":"${end}","pending":${total - end}}`,
  );
});

const heap = () => {
  globalThis.gc?.();
  return Math.round(process.memoryUsage().heapUsed / 1e5) / 10;
};

server.listen(0, '127.0.0.1', () => {
  const db = new Couch(`http://127.0.0.1:${server.address().port}`).use('stub');
  const began = performance.now();
  let handled = 0;
  const samples = [];
  const slowly = () =>
    new Promise((resolve) => {
      setImmediate(() => {
        handled += 1;
        if (handled % (total / 10) === 0) samples.push(heap());
        resolve();
      });
    });
  const subscription = db
    .consume(slowly, { name: 'bench', since: '0', checkpoint: memoryCheckpoint() })
    .subscribe(({ seq }) => {
      if (Number.parseInt(seq, 10) < total) return;
      subscription.unsubscribe();
      server.closeAllConnections();
      server.close();
      const seconds = (performance.now() - began) / 1000;
      console.log(`${handled} changes handled in ${seconds.toFixed(1)} s`);
      console.log(`heap after each tenth (MB): ${samples.join(', ')}`);
    });
});
