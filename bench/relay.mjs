/**
 * Measures a relay in front of a real CouchDB, beside the same listeners on CouchDB itself.
 *
 *   COUCHDB_URL=http://admin:password@127.0.0.1:5984 npm run bench:relay -- [--listeners 1000]
 *     [--direct 1000] [--rounds 1] [--pid 4711] [--profile folder] [--out file.json]
 *
 * CouchDB, the relay, the listeners and the writer are processes of their own, on one machine. Each
 * measurement has a new database, a new relay and new listeners. First documents are written one after the
 * other: the next one when all listeners have the last. Then come ten documents a second for `--seconds`.
 * The CPU of CouchDB is that of its process, less what it uses with the same listeners and no writes. Times
 * of delivery begin at the acknowledgement of the write. `--pid` names CouchDB's process, if it cannot be
 * found at its port.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { median, quantile } from './suite/live-figures.mjs';
import { tableOf } from './suite/live-table.mjs';
import { machine } from './suite/machine.mjs';
import { Child, connectTo } from './suite/relay-processes.mjs';
import { clock, processAt, processorTime } from './suite/processes.mjs';
import { targetsOf, wideTable } from './suite/relay-table.mjs';

const path = (name) => fileURLToPath(new URL(name, import.meta.url));
const { values: options } = parseArgs({
  options: {
    listeners: { type: 'string', multiple: true, default: ['1', '100', '1000', '10000'] },
    direct: { type: 'string', multiple: true, default: ['1', '100', '500', '1000'] },
    writes: { type: 'string', default: '20' },
    seconds: { type: 'string', default: '20' },
    rounds: { type: 'string', default: '1' },
    pid: { type: 'string' },
    profile: { type: 'string' },
    out: { type: 'string', default: path('results/relay.json') },
  },
});
const given = process.env.COUCHDB_URL;
if (given === undefined) {
  console.error(
    'Set COUCHDB_URL to the URL of a CouchDB, with the credentials of an administrator',
  );
  process.exit(1);
}
const server = new URL(given);
const couch = Number(options.pid ?? processAt(server.port || 5984));
if (!Number.isInteger(couch)) {
  console.error('The process of CouchDB was not found at its port: name it with --pid');
  process.exit(1);
}
const PER_SECOND = 10;
/** How long CouchDB, the relay and the listeners are measured without writes, in milliseconds. */
const IDLE = 5000;
const { send, close } = connectTo(server);

/** Measures some listeners, of a relay or of CouchDB itself. */
async function measure(count, isDirect) {
  const database = `bench-relay-${process.pid}-${Date.now()}`;
  await send('PUT', `/${database}`);
  const profiling =
    options.profile === undefined ? [] : ['--cpu-prof', `--cpu-prof-dir=${options.profile}`];
  const relay = isDirect ? null : new Child('relay-server.mjs', ['--expose-gc', ...profiling]);
  const listeners = new Child('relay-listeners.mjs');
  try {
    const { origin } = isDirect ? server : await relay.ask({ url: given });
    const url = new URL(`/${database}/_changes`, origin);
    url.search = 'feed=continuous&since=now&heartbeat=30000';
    Object.assign(url, { username: server.username, password: server.password });
    // The cost of the first listeners is no part of the cost of one more.
    const poll = `/${database}/_changes?feed=longpoll&since=now&timeout=1`;
    for (let i = 0; i < 200 && !isDirect; i += 1) await send('GET', poll, undefined, origin);
    return await measureListeners(count, { database, relay, listeners, url: url.href });
  } finally {
    await listeners.end();
    await relay?.end();
    await send('DELETE', `/${database}`);
  }
}

async function measureListeners(count, { database, relay, listeners, url }) {
  let number = 0;
  const write = async () => {
    number += 1;
    const own = number;
    const began = clock();
    const { at } = await send('PUT', `/${database}/row-${own}`, `{"type":"order","n":${own}}`);
    return { number: own, at, took: at - began };
  };
  const heardByAll = (wanted) => listeners.next(({ heard }) => heard === wanted);
  const used = async () => ({
    at: clock(),
    couch: processorTime(couch),
    relay: relay === null ? 0 : (await relay.ask({})).cpu,
  });
  const before = relay === null ? null : await relay.ask({ collect: true });
  const perSecond = relay === null ? 200 : 1000;
  await listeners.ask({ url, count, perSecond }, ({ connected }) => connected === count);
  // CouchDB sends the head of a feed with its first row: until all have had one, not all listen.
  for (let isReady = false; !isReady;) {
    const heard = heardByAll(number + 1);
    await write();
    isReady = await Promise.race([heard.then(() => true), sleep(3000, false)]);
  }
  const after = relay === null ? null : await relay.ask({ collect: true });
  await sleep(500);

  const start = await used();
  await sleep(IDLE);
  const rested = await used();
  const rate = (name) => (rested[name] - start[name]) / (rested.at - start.at);

  const singles = [];
  const beforeSingles = await used();
  for (let i = 0; i < Number(options.writes); i += 1) {
    const heard = heardByAll(number + 1);
    singles.push(await write());
    await heard;
    await sleep(50);
  }
  const afterSingles = await used();
  const cost = (name, from, to, writes) =>
    Math.max(0, to[name] - from[name] - rate(name) * (to.at - from.at)) / writes;
  const single = await delivery(listeners, singles);

  const began = clock();
  const total = PER_SECOND * Number(options.seconds);
  // Two shards of a database may overtake each other: the last row is not the last to arrive.
  const heard = Promise.all(Array.from({ length: total }, (_, i) => heardByAll(number + 1 + i)));
  const writes = [];
  for (let i = 0; i < total; i += 1) {
    const early = began + (i * 1000) / PER_SECOND - clock();
    if (early > 1) await sleep(early);
    writes.push(write());
  }
  const many = await Promise.all(writes);
  await heard;
  const afterMany = await used();
  const loaded = await delivery(listeners, many);
  return {
    idle: { couch: rate('couch') * 1000, relay: rate('relay') * 1000 },
    couch: cost('couch', beforeSingles, afterSingles, singles.length),
    relay: cost('relay', beforeSingles, afterSingles, singles.length),
    write: median(singles.map(({ took }) => took)),
    delivery: single,
    memory: relay === null ? 0 : (after.rss - before.rss) / count,
    heap: relay === null ? 0 : (after.heapUsed - before.heapUsed) / count,
    load: {
      couch: cost('couch', afterSingles, afterMany, many.length),
      relay: cost('relay', afterSingles, afterMany, many.length),
      write: median(many.map(({ took }) => took)),
      slowWrite: quantile(
        many.map(({ took }) => took),
        0.95,
      ),
      delivery: loaded,
    },
  };
}

/** Asks the listeners how long rows took after their acknowledgements. */
async function delivery(listeners, written) {
  const acks = written.map(({ number, at }) => [number, at]);
  const figures = await listeners.ask({ acks }, ({ median }) => median !== undefined);
  if (figures.missing > 0) throw new Error(`${figures.missing} rows have not arrived`);
  return figures;
}

/** The median of each number in figures of the same shape. */
function medians(all) {
  const [first] = all;
  if (typeof first === 'number') return median(all);
  return Object.fromEntries(
    Object.keys(first).map((key) => [key, medians(all.map((figures) => figures[key]))]),
  );
}

const cases = [
  ...options.listeners.map((count) => ({ count: Number(count), isDirect: false })),
  ...options.direct.map((count) => ({ count: Number(count), isDirect: true })),
].sort((a, b) => a.count - b.count);
const measured = cases.map(() => []);
const rounds = Number(options.rounds);
for (let round = 1; round <= rounds; round += 1) {
  for (const [index, { count, isDirect }] of cases.entries()) {
    const figures = await measure(count, isDirect);
    measured[index].push(figures);
    const name = `${count} ${isDirect ? 'on CouchDB' : 'on the relay'}`;
    process.stderr.write(`round ${round} of ${rounds}, ${name}: ${JSON.stringify(figures)}\n`);
  }
}
close();
const results = cases.map((one, index) => ({ ...one, figures: medians(measured[index]) }));
const date = new Date().toISOString();
mkdirSync(dirname(options.out), { recursive: true });
const run = { kind: 'relay', date, machine: machine(), rounds, results, measured };
writeFileSync(options.out, `${JSON.stringify(run, null, 2)}\n`);
console.log(`${wideTable(results)}\n\n${tableOf(targetsOf(results))}`);
console.log(
  `\nNode ${process.version}; ${date}; ${rounds === 1 ? 'one round' : `medians of ${rounds} rounds`}; ${options.out}`,
);
