/**
 * Measures imports into a real CouchDB: `saveAll`, beside raw `_bulk_docs`, nano in a hand-written loop,
 * and the restore of @cloudant/couchbackup. All send 500 documents in each of two concurrent requests.
 *
 *   COUCHDB_URL=http://admin:password@127.0.0.1:5984 npm run bench:save -- [--docs 100000] [--rounds 3]
 *     [--client corduroy] [--out file.json]
 *
 * Every measurement runs in a separate process, on a new database. A round measures each client once, and
 * every second round reverses the order. The results are medians. Memory is the peak of the whole process.
 */
import { fork } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { machine } from './suite/machine.mjs';
import { median } from './suite/live-figures.mjs';
import { imports } from './suite/save-clients.mjs';

const path = (name) => fileURLToPath(new URL(name, import.meta.url));

if (process.argv[2] === '--child') {
  process.once('message', async ({ client, url, docs }) => {
    const start = performance.now();
    const before = process.cpuUsage();
    try {
      await imports[client](new URL(url), docs);
      const seconds = (performance.now() - start) / 1000;
      const { user, system } = process.cpuUsage(before);
      const cpu = (user + system) / docs;
      const memory = process.resourceUsage().maxRSS / 1024;
      process.send({ perSecond: docs / seconds, memory, cpu });
    } catch (error) {
      process.send({ error: String(error?.stack ?? error) });
    }
    process.disconnect();
    setTimeout(() => process.exit(), 200);
  });
} else {
  await run();
}

async function run() {
  const { values: options } = parseArgs({
    options: {
      docs: { type: 'string', default: '100000' },
      rounds: { type: 'string', default: '3' },
      client: { type: 'string', multiple: true, default: Object.keys(imports) },
      out: { type: 'string', default: path('results/save-all.json') },
    },
  });
  const docs = Number(options.docs);
  const given = process.env.COUCHDB_URL;
  if (given === undefined) {
    console.error(
      'Set COUCHDB_URL to the URL of a CouchDB, with the credentials of an administrator',
    );
    process.exit(1);
  }
  const all = Object.fromEntries(options.client.map((name) => [name, []]));
  for (let round = 0; round < Number(options.rounds); round += 1) {
    const order = round % 2 === 0 ? options.client : options.client.toReversed();
    for (const client of order) {
      const figures = await measure(client, given, docs);
      console.error(`round ${round + 1}, ${client}: ${JSON.stringify(figures)}`);
      all[client].push(figures);
    }
  }
  const clients = Object.entries(all).map(([client, rounds]) => ({
    client,
    ...Object.fromEntries(
      ['perSecond', 'memory', 'cpu'].map((key) => [key, median(rounds.map((one) => one[key]))]),
    ),
  }));
  const raw = clients.find(({ client }) => client === 'raw')?.perSecond;
  mkdirSync(dirname(options.out), { recursive: true });
  writeFileSync(options.out, JSON.stringify({ machine: machine(), docs, clients }, null, 2));
  console.table(
    clients.map(({ client, perSecond, memory, cpu }) => ({
      client,
      'documents/s': Math.round(perSecond),
      'of raw': raw === undefined ? '' : (perSecond / raw).toFixed(2),
      'peak memory, MB': Math.round(memory),
      'CPU, µs/document': Math.round(cpu),
    })),
  );
}

/** Measures a client on a new database, in a process of its own. */
async function measure(client, given, docs) {
  const url = new URL(given);
  const user = [url.username, url.password].map(decodeURIComponent).join(':');
  const headers = { authorization: `Basic ${Buffer.from(user).toString('base64')}` };
  url.pathname = `/bench-save-${process.pid}-${Date.now()}`;
  const address = url.origin + url.pathname;
  await fetch(address, { method: 'PUT', headers });
  try {
    const child = fork(fileURLToPath(import.meta.url), ['--child']);
    const answer = await new Promise((resolve, reject) => {
      child.once('message', resolve);
      child.once('exit', (code) => reject(new Error(`${client}: the process ended with ${code}`)));
      child.send({ client, url: url.href, docs });
    });
    if (answer.error !== undefined) throw new Error(`${client}: ${answer.error}`);
    const { doc_count: stored } = await (await fetch(address, { headers })).json();
    if (stored !== docs) throw new Error(`${client}: ${stored} of ${docs} documents are stored`);
    return answer;
  } finally {
    await fetch(address, { method: 'DELETE', headers });
  }
}
