/* eslint-disable max-lines -- one program, read from top to bottom */
/**
 * Runs one `changes$` feed through a proxy that cuts, resets, stalls, delays, refuses, truncates
 * and answers 503, while a writer changes documents.
 *
 *     node --expose-gc bench/soak.mjs [--minutes 10] [--faults 100] [--changes 50000]
 *                                     [--seed 1] [--url http://admin:password@127.0.0.1:5984]
 *
 * Without `--url` it starts an installed CouchDB or the embedded server. It builds the package into
 * a temporary folder and tests that build. Exits with 1 if a change was lost, or if more than one
 * socket of the feed was open at the same time.
 */
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import diagnostics from 'node:diagnostics_channel';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';
import { build } from 'esbuild';

const HEARTBEAT = 1000;
const TICK = 100;
const PATIENCE = 60_000;

const { values: given } = parseArgs({
  options: {
    minutes: { type: 'string', default: '10' },
    faults: { type: 'string', default: '100' },
    changes: { type: 'string', default: '50000' },
    seed: { type: 'string', default: '1' },
    url: { type: 'string' },
  },
});
const [minutes, faults, changes, seed] = [
  given.minutes,
  given.faults,
  given.changes,
  given.seed,
].map(Number);
if (![minutes, faults, changes, seed].every((value) => Number.isFinite(value) && value >= 0)) {
  throw new RangeError('--minutes, --faults, --changes and --seed are numbers from 0');
}
if (globalThis.gc === undefined) throw new Error('Run it with node --expose-gc');

const root = fileURLToPath(new URL('..', import.meta.url));
const duration = minutes * 60_000;
const random = seeded(seed);
const between = (from, to) => from + random() * (to - from);

/** Builds the package and the helpers into a folder in which their imports resolve. */
async function prepare() {
  const cache = join(root, 'node_modules/.cache');
  mkdirSync(cache, { recursive: true });
  const folder = mkdtempSync(join(cache, 'soak-'));
  const tsc = join(root, 'node_modules/typescript/bin/tsc');
  const project = join(root, 'tsconfig.build.json');
  execFileSync(process.execPath, [tsc, '-p', project, '--outDir', folder], { stdio: 'inherit' });
  const helpers = new URL('../integration/helpers/', import.meta.url);
  const bundle = join(folder, 'soak-helpers.mjs');
  await build({
    stdin: {
      contents: "export * from './servers.ts'; export * from './faulty-proxy.ts';",
      resolveDir: fileURLToPath(helpers),
      loader: 'ts',
    },
    bundle: true,
    format: 'esm',
    platform: 'node',
    packages: 'external',
    // The helpers resolve their programs relative to their source files.
    define: { 'import.meta.url': JSON.stringify(new URL('servers.ts', helpers).href) },
    outfile: bundle,
  });
  return { folder, corduroy: await load(join(folder, 'index.js')), helpers: await load(bundle) };
}

function load(path) {
  return import(pathToFileURL(path).href);
}

/** A random number generator with a seed. */
function seeded(start) {
  let state = start >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

/**
 * The written and the received revisions, by document number. It uses typed arrays, so that the
 * measured heap does not include it. It stores the generation and the beginning of the hash of a
 * revision.
 */
class Ledger {
  #written = new Uint32Array(changes);
  #writtenGeneration = new Uint16Array(changes);
  #came = new Uint32Array(changes);
  #cameGeneration = new Uint16Array(changes);
  documents = 0;
  writes = 0;
  deliveries = 0;
  twice = 0;
  /** The number of changes with an older revision than an earlier change of the document. */
  backwards = 0;

  write(number, rev) {
    if (this.#writtenGeneration[number] === 0) this.documents += 1;
    [this.#writtenGeneration[number], this.#written[number]] = parseRev(rev);
    this.writes += 1;
  }

  deliver(id, rev) {
    const number = Number(id.slice(4));
    const [generation, hash] = parseRev(rev);
    this.deliveries += 1;
    const before = this.#cameGeneration[number];
    if (before === generation && this.#came[number] === hash) this.twice += 1;
    if (before > generation) this.backwards += 1;
    [this.#cameGeneration[number], this.#came[number]] = [generation, hash];
  }

  /** The number of documents whose current revision was not received. */
  get lost() {
    let count = 0;
    for (let number = 0; number < changes; number += 1) {
      const same =
        this.#writtenGeneration[number] === this.#cameGeneration[number] &&
        this.#written[number] === this.#came[number];
      if (!same) count += 1;
    }
    return count;
  }
}

function parseRev(rev) {
  const dash = rev.indexOf('-');
  return [Number(rev.slice(0, dash)), Number.parseInt(rev.slice(dash + 1, dash + 9), 16)];
}

/** Counts the sockets of feed requests. One is ideal. */
function countFeedSockets(port) {
  const open = new Set();
  const count = { most: 0, requests: 0, open };
  diagnostics.subscribe('http.client.request.start', ({ request }) => {
    if (!request.path.includes('feed=continuous')) return;
    if (!request.getHeader('host')?.toString().endsWith(`:${port}`)) return;
    if (request.agent === false || request.getHeader('connection') === 'close') {
      // The proxy forwards the client's host header, but disables keep-alive; so ignore its
      // requests.
      if (request.getHeader('content-length') !== undefined) return;
    }
    count.requests += 1;
    const add = (socket) => {
      open.add(socket);
      count.most = Math.max(count.most, open.size);
      socket.once('close', () => open.delete(socket));
    };
    if (request.socket) add(request.socket);
    else request.once('socket', add);
  });
  return count;
}

const isFeed = ({ url }) => url.includes('feed=continuous');

/** The network faults. Each repairs the network before it returns. */
function faultsOf(proxy) {
  const withCut = (plan) => async () => {
    const off = plan();
    proxy.cut(isFeed);
    await sleep(between(300, 1500));
    off();
  };
  return {
    cut: async () => proxy.cut(isFeed),
    'cut after n bytes': withCut(() =>
      proxy.cutAfter(Math.floor(between(0, 5000)), { match: isFeed, times: 2 }),
    ),
    reset: async () => proxy.reset(isFeed),
    'half-close': async () => proxy.halfClose(isFeed),
    stall: async () => {
      proxy.stall();
      await sleep(between(2.2, 3.5) * HEARTBEAT);
      proxy.resume();
    },
    delay: withCut(() => proxy.delay(between(100, 1500), { times: 3 })),
    503: withCut(() =>
      proxy.answer({ status: 503, headers: { 'retry-after': '1' }, body: '{}', times: 2 }),
    ),
    html: withCut(() =>
      proxy.answer({
        match: isFeed,
        headers: { 'content-type': 'text/html' },
        body: '<!doctype html>\n\n<title>Sorry</title>\n',
        times: 2,
      }),
    ),
    truncate: withCut(() => proxy.truncate(isFeed, Math.floor(between(0, 5000)), { times: 2 })),
    refuse: async () => {
      proxy.refuse();
      proxy.cut();
      await sleep(between(300, 2500));
      await proxy.accept();
    },
  };
}

const { folder, corduroy, helpers } = await prepare();
let status = 1;
let server;
let proxy;
let database;
try {
  if (given.url === undefined) server = await helpers.startServer();
  const address = new URL(given.url ?? server.url);
  const username = server?.username ?? decodeURIComponent(address.username);
  const password = server?.password ?? decodeURIComponent(address.password);
  proxy = await helpers.startFaultyProxy(address.origin);
  const authorization = `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`;
  /** Sends directly to the server, because faults must not affect the writer. */
  const ask = async (method, path, body) => {
    const response = await fetch(address.origin + path, {
      method,
      headers: { authorization, 'content-type': 'application/json' },
      ...(body !== undefined && { body: JSON.stringify(body) }),
    });
    if (!response.ok) throw new Error(`${method} ${path}: ${response.status}`);
    return response.json();
  };
  const { version } = await ask('GET', '/');
  const name = `soak-${randomBytes(6).toString('hex')}`;
  await ask('PUT', `/${name}`);
  database = () => ask('DELETE', `/${name}`);
  status = await soak({ ask, name, version, username, password });
} finally {
  await database?.().catch(() => {});
  await proxy?.close();
  await server?.stop();
  rmSync(folder, { recursive: true, force: true });
}
process.exitCode = status;

async function soak({ ask, name, version, username, password }) {
  const ledger = new Ledger();
  const sockets = countFeedSockets(new URL(proxy.url).port);
  const couch = new corduroy.Couch(proxy.url, { auth: [username, password] });
  const feed = couch.use(name).changes$({
    since: 0,
    latency: 50,
    heartbeat: HEARTBEAT,
    backoff: { initialDelay: 50, maxDelay: 2000, random },
  });
  let connections = 0;
  let failures = 0;
  const ended = { error: undefined };
  const states = feed.state$.subscribe((state) => {
    if (state.status === 'live') ({ connections } = state);
    if (state.status === 'waiting') failures += 1;
  });
  const subscription = feed.subscribe({
    next: (batch) => {
      for (const { id, changes: leaves } of batch.changes) ledger.deliver(id, leaves[0].rev);
    },
    error: (error) => {
      ended.error = error;
    },
  });

  const started = performance.now();
  const elapsed = () => performance.now() - started;
  const over = () => ended.error !== undefined || elapsed() >= duration;
  const rows = [];
  const struck = {};

  const writer = async () => {
    const revs = [];
    let next = 0;
    while (ledger.writes < changes) {
      const due = Math.min(changes, Math.ceil((changes * elapsed()) / duration));
      const docs = [];
      const numbers = new Set();
      for (let left = Math.min(due - ledger.writes, 500); left > 0; left -= 1) {
        // One in five writes updates one of the last hundred documents.
        const latest = revs.length > 0 && random() < 0.2;
        const known = latest ? revs[Math.floor(random() * revs.length)] : undefined;
        if (known && !numbers.has(known.number)) {
          numbers.add(known.number);
          docs.push({ _id: `doc-${known.number}`, _rev: known.rev, n: ledger.writes });
        } else {
          numbers.add(next);
          docs.push({ _id: `doc-${next}`, n: ledger.writes });
          next += 1;
        }
      }
      if (docs.length > 0) {
        for (const { id, rev, error } of await ask('POST', `/${name}/_bulk_docs`, { docs })) {
          if (error) throw new Error(`${id}: ${error}`);
          const number = Number(id.slice(4));
          ledger.write(number, rev);
          const place = revs.findIndex((other) => other.number === number);
          if (place >= 0) revs[place] = { number, rev };
          else revs.push({ number, rev });
        }
        revs.splice(0, revs.length - 100);
      }
      await sleep(TICK);
    }
  };

  const saboteur = async () => {
    const kinds = Object.entries(faultsOf(proxy));
    const slot = (duration * 0.97) / Math.max(faults, 1);
    for (let i = 0; i < faults && ended.error === undefined; i += 1) {
      await sleep(Math.max(0, (i + random() * 0.4) * slot - elapsed()));
      // Each kind of fault occurs, in random order.
      const [kind, strike] = kinds[Math.floor(random() * kinds.length)];
      struck[kind] = (struck[kind] ?? 0) + 1;
      await strike();
    }
    proxy.heal();
    await proxy.accept();
  };

  const sample = () => {
    globalThis.gc();
    globalThis.gc();
    rows.push({
      minute: +(elapsed() / 60_000).toFixed(1),
      written: ledger.writes,
      delivered: ledger.deliveries,
      twice: ledger.twice,
      connections,
      failures,
      'heap MB': +(process.memoryUsage().heapUsed / 2 ** 20).toFixed(2),
      'feed sockets': sockets.open.size,
      'all sockets': proxy.connections,
    });
    const row = rows.at(-1);
    console.log(
      Object.entries(row)
        .map(([key, value]) => `${key} ${value}`)
        .join('  '),
    );
    // The proxy records every request, which would grow the heap.
    proxy.requests.length = 0;
  };
  const sampler = async () => {
    const every = Math.min(60_000, duration / 5);
    for (let i = 1; !over(); i += 1) {
      await sleep(Math.max(0, Math.min(i * every, duration) - elapsed()));
      sample();
    }
  };

  console.log(
    `CouchDB ${version}, ${minutes} min, ${faults} faults, ${changes} changes, seed ${seed}`,
  );
  await Promise.all([writer(), saboteur(), sampler()]);
  const deadline = performance.now() + PATIENCE;
  while (ledger.lost > 0 && ended.error === undefined && performance.now() < deadline)
    await sleep(50);
  const settled = elapsed();
  sample();
  const { open } = sockets;
  subscription.unsubscribe();
  states.unsubscribe();
  await sleep(100);

  const { lost } = ledger;
  const [first, last] = [rows[0], rows.at(-1)];
  console.table(rows);
  console.table(struck);
  const summary = {
    'documents written': ledger.documents,
    'changes written': ledger.writes,
    'changes delivered': ledger.deliveries,
    lost,
    'came twice': ledger.twice,
    'received in the wrong order': ledger.backwards,
    'faults struck': Object.values(struck).reduce((sum, count) => sum + count, 0),
    reconnections: connections - 1,
    'failed attempts': failures,
    'heap first minute (MB)': first['heap MB'],
    'heap last minute (MB)': last['heap MB'],
    'most feed sockets at once': sockets.most,
    'feed sockets after unsubscribing': open.size,
    'total seconds': +(settled / 1000).toFixed(1),
    'feed failed': ended.error === undefined ? 'no' : String(ended.error),
  };
  for (const [key, value] of Object.entries(summary)) console.log(`${key.padEnd(34)} ${value}`);
  const well =
    lost === 0 &&
    ended.error === undefined &&
    ledger.backwards === 0 &&
    sockets.most <= 1 &&
    !open.size;
  console.log(well ? 'OK' : 'FAILED');
  return well ? 0 : 1;
}
