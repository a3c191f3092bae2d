/**
 * A relay in a process of its own, for `bench/relay.mjs`. Receives `{ url, settings }`, sends its address,
 * and then answers each message with its CPU time, its memory and how many requests it has had. Requires
 * `--expose-gc`.
 */
import { createServer } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { Couch } from '../../dist/index.js';
import { relay } from '../../dist/relay.js';

let requests = 0;

process.once('message', ({ url, settings = {} }) => {
  const { origin, username, password } = new URL(url);
  const auth = [username, password].map(decodeURIComponent);
  const handler = relay(new Couch(origin, { auth }), settings);
  const server = createServer((request, response) => {
    requests += 1;
    handler(request, response);
  });
  server.listen(0, '127.0.0.1', 4096, () =>
    process.send({ origin: `http://127.0.0.1:${server.address().port}` }),
  );
  process.on('message', async ({ collect }) => {
    for (let i = 0; collect === true && i < 3; i += 1) {
      globalThis.gc();
      await sleep(100);
    }
    const { user, system } = process.cpuUsage();
    const { rss, heapUsed } = process.memoryUsage();
    process.send({ cpu: (user + system) / 1000, rss, heapUsed, requests });
  });
});
// A profile is written when the process ends by itself.
process.once('disconnect', () => process.exit());
