/**
 * Counts the requests that reach a relay behind a cache: nginx with `examples/relay/nginx.conf`, in front of
 * a database that everybody may read, and many clients that poll after the same sequence.
 *
 *   COUCHDB_URL=http://admin:password@127.0.0.1:5984 node bench/relay-polls.mjs [--polls 10000]
 *     [--changes 10] [--pause 3000] [--timeout 60000] [--nginx /usr/sbin/nginx] [--out file.json]
 *
 * Build first. Changes come one after the other: some milliseconds (`--pause`) after all clients have the last.
 */
import { spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { median, quantile } from './suite/live-figures.mjs';
import { machine } from './suite/machine.mjs';
import { Child, connectTo } from './suite/relay-processes.mjs';

const path = (name) => fileURLToPath(new URL(name, import.meta.url));
const { values: options } = parseArgs({
  options: {
    polls: { type: 'string', default: '10000' },
    changes: { type: 'string', default: '10' },
    pause: { type: 'string', default: '3000' },
    timeout: { type: 'string', default: '60000' },
    nginx: { type: 'string', default: '/usr/sbin/nginx' },
    out: { type: 'string', default: path('results/relay-polls.json') },
  },
});
if (process.env.COUCHDB_URL === undefined) {
  console.error(
    'Set COUCHDB_URL to the URL of a CouchDB, with the credentials of an administrator',
  );
  process.exit(1);
}
const server = new URL(process.env.COUCHDB_URL);
const { send, close } = connectTo(server);

function freePort() {
  return new Promise((resolve) => {
    const probe = createServer().listen(0, '127.0.0.1', () => {
      const { port } = probe.address();
      probe.close(() => resolve(port));
    });
  });
}

/** Starts nginx with the example's configuration, on a free port. */
async function startNginx(relay) {
  // The worker processes of nginx run as another user, and write to the cache.
  const folder = mkdtempSync(join(tmpdir(), 'relay-polls-'));
  const port = await freePort();
  const conf = readFileSync(path('../examples/relay/nginx.conf'), 'utf8')
    .replace('127.0.0.1:5985', new URL(relay).host)
    .replace('127.0.0.1:5984', server.host)
    .replace('listen 8080', `listen 127.0.0.1:${port}`);
  writeFileSync(join(folder, 'nginx.conf'), `daemon off;\nuser root;\n${conf}`);
  const nginx = spawn(options.nginx, ['-p', folder, '-c', 'nginx.conf'], { stdio: 'inherit' });
  const ended = new Promise((resolve) => nginx.once('exit', resolve));
  await sleep(500);
  return {
    origin: `http://127.0.0.1:${port}`,
    async end() {
      nginx.kill('SIGTERM');
      await ended;
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

const count = Number(options.polls);
const database = `bench-polls-${process.pid}-${Date.now()}`;
await send('PUT', `/${database}`);
const relay = new Child('relay-server.mjs', ['--expose-gc']);
const pollers = new Child('relay-pollers.mjs');
let nginx;
try {
  const everybody = { names: [], roles: [] };
  const security = JSON.stringify({ admins: { names: [], roles: ['_admin'] }, members: everybody });
  await send('PUT', `/${database}/_security`, security);
  const { origin } = await relay.ask({ url: server.href });
  nginx = await startNginx(origin);
  const { update_seq: since } = JSON.parse((await send('GET', `/${database}`)).text);
  const url = `${nginx.origin}/${database}/_changes?feed=longpoll&timeout=${options.timeout}`;
  await pollers.ask({ url, since, count, perSecond: 2000 }, ({ polled }) => polled === count);
  const results = [];
  for (let number = 1; number <= Number(options.changes); number += 1) {
    await sleep(Number(options.pause));
    const before = await relay.ask({});
    const heard = pollers.next(({ heard }) => heard === number);
    const { at } = await send('PUT', `/${database}/row-${number}`, `{"n":${number}}`);
    const times = (await heard).times.map((time) => time - at);
    // Those that poll again right away belong to this change.
    await sleep(1500);
    const after = await relay.ask({});
    results.push({
      waiting: before.requests,
      requests: after.requests - before.requests,
      relay: after.cpu - before.cpu,
      delivery: {
        median: quantile(times, 0.5),
        p95: quantile(times, 0.95),
        most: quantile(times, 1),
      },
    });
    process.stderr.write(`change ${number}: ${JSON.stringify(results.at(-1))}\n`);
  }
  const { requests } = await relay.ask({});
  const summary = {
    polls: count,
    changes: results.length,
    'requests at the relay, all': requests,
    'requests for a change, median': median(results.map((one) => one.requests)),
    'requests for a change, most': Math.max(...results.map((one) => one.requests)),
    'delivery, median, ms': Math.round(median(results.map(({ delivery }) => delivery.median))),
    'delivery, p95, ms': Math.round(median(results.map(({ delivery }) => delivery.p95))),
  };
  mkdirSync(dirname(options.out), { recursive: true });
  const run = { date: new Date().toISOString(), machine: machine(), summary, results };
  writeFileSync(options.out, `${JSON.stringify(run, null, 2)}\n`);
  console.table(summary);
} finally {
  await pollers.end();
  await nginx?.end();
  await relay.end();
  await send('DELETE', `/${database}`);
  close();
}
