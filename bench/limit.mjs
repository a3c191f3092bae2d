/**
 * Measures the limit of concurrency:
 *
 * - 400 reads of servers that allow 50 a second: the share of answers with status 429, and the time as
 *   a multiple of 8 s, for which 400 reads at 50 a second last.
 * - 10,000 reads of the server in $COUCHDB_URL, if it is set, for fixed limits and the adaptive one.
 *
 *   npm run build && COUCHDB_URL=http://admin:password@127.0.0.1:5984 node bench/limit.mjs
 *     [--rounds 5] [--reads 10000] [--transport got] [--part rate]
 *
 * A round measures each limit once, and every second round reverses the order. The results are medians.
 */
import { fork } from 'node:child_process';
import { createServer } from 'node:http';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

/** The rules of rate limits. Each tells whether a request is within the limit. */
const rateLimits = {
  'sliding window': (rate) => {
    const times = [];
    return (now) => {
      while (times[0] <= now - 1000) times.shift();
      if (times.length >= rate) return false;
      times.push(now);
      return true;
    };
  },
  'fixed window': (rate) => {
    let second = 0;
    let count = 0;
    return (now) => {
      if (Math.floor(now / 1000) !== second) count = 0;
      second = Math.floor(now / 1000);
      count += 1;
      return count <= rate;
    };
  },
  'token bucket': (rate) => {
    let tokens = rate;
    let since = performance.now();
    return (now) => {
      tokens = Math.min(rate, tokens + ((now - since) * rate) / 1000);
      since = now;
      if (tokens < 1) return false;
      tokens -= 1;
      return true;
    };
  },
};

if (process.argv[2] === 'serve') serve();
else await measure();

/** Serves each new path `/rule/header/run/…` with a new limit. */
function serve() {
  const rules = new Map();
  const server = createServer((request, response) => {
    const [, rule, header, run] = request.url.split('/').map(decodeURIComponent);
    const key = `${rule} ${header} ${run}`;
    if (!rules.has(key)) rules.set(key, rateLimits[rule](50));
    if (rules.get(key)(performance.now())) {
      response.end('{"_id":"a"}');
      return;
    }
    response.writeHead(429, header === 'yes' ? { 'retry-after': '1' } : {});
    response.end('{"error":"too_many_requests","reason":"slow down"}');
  });
  server.listen(0, '127.0.0.1', () => process.send(`http://127.0.0.1:${server.address().port}`));
  process.on('disconnect', () => process.exit());
}

async function measure() {
  const { lastValueFrom, tap } = await import('rxjs');
  const { Couch, gotTransport } = await import('../dist/index.js');
  const { undiciTransport } = await import('../dist/undici.js');
  const { values: options } = parseArgs({
    options: {
      rounds: { type: 'string', default: '5' },
      reads: { type: 'string', default: '10000' },
      transport: { type: 'string', default: 'undici' },
      part: { type: 'string', default: 'rate,couchdb' },
    },
  });
  const rounds = Number(options.rounds);
  const reads = Number(options.reads);
  const median = (numbers) => [...numbers].sort((a, b) => a - b)[Math.floor(numbers.length / 2)];

  const transport = (options.transport === 'got' ? gotTransport : undiciTransport)();

  /** Sends many requests at once. Resolves with the time in seconds and the failures. */
  function run(count, one) {
    const began = performance.now();
    return new Promise((resolve) => {
      let left = count;
      let failed = 0;
      const end = () => {
        left -= 1;
        if (left === 0) resolve({ seconds: (performance.now() - began) / 1000, failed });
      };
      const fail = () => {
        failed += 1;
        end();
      };
      for (let i = 0; i < count; i++) one(i).subscribe({ error: fail, complete: end });
    });
  }

  async function rate(server, rule, header, name, round) {
    let refused = 0;
    let answers = 0;
    const count = (request, next) =>
      next(request).pipe(
        tap(({ status }) => {
          answers += 1;
          if (status === 429) refused += 1;
        }),
      );
    const concurrency = name === 'none' ? Infinity : name;
    const couch = new Couch(server, { transport, concurrency, networkLinks: [count] });
    const path = `/${encodeURIComponent(rule)}/${header}/${name}${round}`;
    const { seconds, failed } = await run(400, (i) => couch.request({ path: `${path}/${i}` }));
    return { seconds, failed, share: refused / answers };
  }

  if (options.part.includes('rate')) {
    const child = fork(fileURLToPath(import.meta.url), ['serve']);
    const server = await new Promise((resolve) => child.once('message', resolve));
    const all = Object.keys(rateLimits).flatMap((rule) =>
      ['yes', 'no'].flatMap((header) =>
        ['adaptive', 'none'].map((name) => ({ rule, header, name, results: [] })),
      ),
    );
    for (let round = 0; round < rounds; round++)
      for (const name of ['adaptive', 'none'])
        await Promise.all(
          all
            .filter((one) => one.name === name)
            .map(async (one) =>
              one.results.push(await rate(server, one.rule, one.header, name, round)),
            ),
        );
    child.disconnect();
    console.log('400 reads, 50 a second allowed, 3 attempts:');
    for (const { rule, header, name, results } of all) {
      const times = results.map(({ seconds }) => seconds / 8);
      const share = results.map((one) => one.share);
      const failed = results.map((one) => one.failed);
      console.log(
        `${rule.padEnd(15)} retry-after: ${header.padEnd(4)} limit: ${name.padEnd(9)}` +
          ` failed ${median(failed)} (at most ${Math.max(...failed)})` +
          `  429: ${(100 * median(share)).toFixed(1)} % (at most ${(100 * Math.max(...share)).toFixed(1)} %)` +
          `  time × ${median(times).toFixed(2)} (at most ${Math.max(...times).toFixed(2)})`,
      );
    }
  }

  const { COUCHDB_URL } = process.env;
  if (COUCHDB_URL && options.part.includes('couchdb')) {
    const name = `limit-${process.pid}-${Date.now()}`;
    const admin = new Couch(COUCHDB_URL);
    await lastValueFrom(admin.create(name));
    const docs = Array.from({ length: 1000 }, (_, i) => ({
      _id: `doc-${i}`,
      n: i,
      pad: 'x'.repeat(200),
    }));
    await lastValueFrom(admin.use(name).save(docs));
    const limits = [1, 4, 8, 16, 32, 64, 128, 256, 'adaptive', 'none'].map((limit) => ({
      limit,
      rates: [],
      cpu: [],
    }));
    const readAll = async ({ limit }, count) => {
      const concurrency = limit === 'none' ? Infinity : limit;
      const db = new Couch(COUCHDB_URL, { transport, concurrency }).use(name);
      const cpu = process.cpuUsage();
      const { seconds, failed } = await run(count, (i) => db.get(`doc-${(i * 7) % 1000}`));
      if (failed > 0) throw new Error(`${failed} reads failed`);
      const { user, system } = process.cpuUsage(cpu);
      return { rate: count / seconds, cpu: (user + system) / count };
    };
    try {
      for (const limit of limits) await readAll(limit, reads / 10);
      for (let round = 0; round < rounds; round++) {
        for (const one of round % 2 === 0 ? limits : [...limits].reverse()) {
          const { rate: reached, cpu } = await readAll(one, reads);
          one.rates.push(reached);
          one.cpu.push(cpu);
        }
      }
    } finally {
      await lastValueFrom(admin.delete(name));
    }
    const best = Math.max(
      ...limits.filter(({ limit }) => typeof limit === 'number').map(({ rates }) => median(rates)),
    );
    console.log(`${reads} reads of CouchDB, ${options.transport}:`);
    for (const { limit, rates, cpu } of limits) {
      const reached = median(rates);
      console.log(
        `limit ${String(limit).padEnd(9)} ${reached.toFixed(0).padStart(6)} reads/s` +
          `  ${((100 * reached) / best).toFixed(0).padStart(4)} % of the best fixed limit` +
          `  ${median(cpu).toFixed(0).padStart(4)} µs CPU a read`,
      );
    }
  }
}
