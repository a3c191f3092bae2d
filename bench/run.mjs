/**
 * Measures Corduroy and other clients: with a stub, which shows the cost of the client, and with
 * the server in $COUCHDB_URL if it is set.
 *
 *   npm run bench -- [--rounds 7] [--case 'get, 64'] [--client nano] [--rows 200000] [--server stub]
 *     [--out file.json] [--chart file.svg]
 *
 * Every measurement runs in a separate process. A round measures each client once, and every second
 * round reverses the order. The results are medians. Compare figures of one run only;
 * `bench/compare.mjs` compares two runs of the same machine.
 */
import { fork } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { cases } from './suite/cases.mjs';
import { chart } from './suite/chart.mjs';
import { clients } from './suite/clients/index.mjs';
import { machine } from './suite/machine.mjs';
import { prepare } from './suite/prepare.mjs';
import { importTime, imports, installed } from './suite/start-up.mjs';
import { tables } from './suite/tables.mjs';

const path = (name) => fileURLToPath(new URL(name, import.meta.url));
const { values: options } = parseArgs({
  options: {
    rounds: { type: 'string', default: '7' },
    case: { type: 'string', multiple: true, default: [] },
    client: { type: 'string', multiple: true, default: [] },
    rows: { type: 'string', default: '200000' },
    server: { type: 'string', default: '' },
    out: { type: 'string', default: path('results/latest.json') },
    chart: { type: 'string', default: '' },
  },
});
const rounds = Number(options.rounds);
const rows = Number(options.rows);
const wanted = options.case;
/** The cases whose name begins with the option; a complete name selects only that case. */
const chosen = (name, choice) =>
  choice.length === 0 ||
  choice.some((one) => (Object.hasOwn(cases, one) ? name === one : name.startsWith(one)));
const names = Object.keys(cases).filter((name) => chosen(name, wanted));
const everybody = Object.keys(clients).filter(
  (name) => options.client.length === 0 || options.client.includes(name),
);

const stub = fork(path('suite/stub.mjs'), [String(rows)]);
const origin = await new Promise((resolve) => stub.once('message', resolve));
stub.on('exit', (code, signal) => console.error(`the stub ended: ${code ?? signal}`));
const servers = [
  { server: 'stub', url: `${origin}/bench`, stub: true, origin, rows, changes: rows },
];
let release = async () => {};
if (process.env.COUCHDB_URL && options.server !== 'stub') {
  const real = await prepare(process.env.COUCHDB_URL, rows);
  servers.push(real.server);
  release = real.release;
}
if (options.server !== '' && options.server !== 'stub') servers.shift();

function measure(client, name, context) {
  return new Promise((resolve, reject) => {
    const child = fork(path('suite/child.mjs'), [], { execArgv: ['--expose-gc'] });
    const late = setTimeout(() => child.kill('SIGKILL'), 300_000);
    let answer = { error: 'the process sent no result' };
    child.on('message', (message) => (answer = message));
    child.on('error', reject);
    child.on('exit', () => {
      clearTimeout(late);
      resolve(answer);
    });
    child.send({ client, name, ...context });
  });
}

const results = [];
try {
  for (const server of servers) {
    for (const name of names) {
      const found = new Map();
      const failed = new Map();
      let order = everybody;
      for (let round = 0; round < rounds && order.length > 0; round++) {
        const able = [];
        for (const client of order) {
          const { figures, error } = await measure(client, name, server);
          if (error !== undefined) failed.set(client, error);
          else if (figures !== undefined) {
            found.set(client, [...(found.get(client) ?? []), figures]);
            able.push(client);
          }
        }
        order = able.toReversed?.() ?? [...able].reverse();
        process.stderr.write(`\r${server.server}: ${name}: round ${round + 1} of ${rounds}   `);
      }
      process.stderr.write('\n');
      for (const client of everybody) {
        const all = found.get(client);
        if (all !== undefined)
          results.push({ server: server.server, case: name, client, ...summary(all) });
        else if (failed.has(client)) process.stderr.write(`${client}: ${failed.get(client)}\n`);
      }
      // Save after each case, because a run takes long and may be interrupted.
      write();
    }
  }
} finally {
  await release();
  if (stub.connected) stub.disconnect();
}
if (wanted.length === 0 || wanted.includes('start-up')) {
  const times = new Map(Object.keys(imports).map((name) => [name, []]));
  for (let round = 0; round < rounds; round++) {
    for (const name of times.keys()) times.get(name).push(importTime(name));
  }
  for (const [client, all] of times) {
    const { bytes, packages } = installed(client);
    const figures = { 'ms to import': median(all), 'MB installed': bytes / 1e6, packages };
    results.push({ server: 'none', case: 'start-up', client, rounds, figures });
  }
}

function write() {
  const all = { date: new Date().toISOString(), machine: machine(), rounds, rows, results };
  mkdirSync(dirname(options.out), { recursive: true });
  writeFileSync(options.out, `${JSON.stringify(all, null, 2)}\n`);
  return all;
}

function median(numbers) {
  const sorted = numbers.toSorted?.((a, b) => a - b) ?? [...numbers].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

function summary(all) {
  const figures = {};
  for (const key of Object.keys(all[0])) figures[key] = median(all.map((one) => one[key]));
  return { rounds: all.length, figures };
}

const run = write();
if (options.chart) writeFileSync(options.chart, chart(run));
console.log(tables(run));
