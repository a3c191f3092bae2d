import { monitorEventLoopDelay } from 'node:perf_hooks';

/** The cases by name. Each runs in a separate process, and returns figures. */

const idOf = (n) => `doc-${String(n).padStart(7, '0')}`;
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/**
 * Repeats an operation, `concurrency` at a time. Returns its rate and its CPU time. A warm-up
 * before lets the engine optimize the code.
 */
async function rate(one, { concurrency, least = 3000, warmUp = 500, window = 1500 }) {
  let done = 0;
  let end = 0;
  const worker = async () => {
    while (done < least || performance.now() < end) {
      done += 1;
      await one();
    }
  };
  const work = (ms) => {
    done = 0;
    end = performance.now() + ms;
    return Promise.all(Array.from({ length: concurrency }, worker));
  };
  await work(warmUp);
  const cpu = process.cpuUsage();
  const began = performance.now();
  await work(window);
  const seconds = (performance.now() - began) / 1000;
  const { user, system } = process.cpuUsage(cpu);
  return { 'ops/s': done / seconds, 'µs CPU/op': (user + system) / done };
}

/** Runs an operation a few times. Returns its time and its CPU time. */
async function time(one, times = 5) {
  await one();
  const cpu = process.cpuUsage();
  const began = performance.now();
  for (let i = 0; i < times; i++) await one();
  const { user, system } = process.cpuUsage(cpu);
  return { ms: (performance.now() - began) / times, 'ms CPU': (user + system) / 1000 / times };
}

/** Runs an operation once. Also returns the memory above the idle process. */
async function measureOnce(run, warm = () => {}) {
  globalThis.gc?.();
  const idle = process.memoryUsage().rss;
  await warm();
  const delay = monitorEventLoopDelay({ resolution: 1 });
  delay.enable();
  const cpu = process.cpuUsage();
  const began = performance.now();
  const more = await run(began);
  const ms = performance.now() - began;
  const { user, system } = process.cpuUsage(cpu);
  delay.disable();
  const peak = process.resourceUsage().maxRSS * 1024;
  return {
    ms,
    'ms CPU': (user + system) / 1000,
    'MB above idle': Math.max(0, peak - idle) / 1e6,
    'ms delay p99': delay.percentile(99) / 1e6,
    ...more,
  };
}

/** Reads a feed until `count` changes have come after a warm-up, because feeds run for days. */
function feed(open, count) {
  const read = (wanted) =>
    new Promise((resolve, reject) => {
      const began = performance.now();
      let seen = 0;
      let first = 0;
      const late = setTimeout(() => reject(new Error(`only ${seen} changes came`)), 120_000);
      const close = open((changes = 1) => {
        const before = seen;
        if (before === 0) first = performance.now();
        seen += typeof changes === 'number' ? changes : 1;
        if (before >= wanted || seen < wanted) return;
        clearTimeout(late);
        // Measure from the start, because some clients emit nothing before the end.
        const seconds = (performance.now() - began) / 1000;
        resolve({ 'changes/s': wanted / seconds, 'ms to first': first - began });
        void Promise.resolve(close).then((end) => end?.());
      });
    });
  return measureOnce(
    () => read(count),
    () => read(count / 10).then(() => pause(200)),
  );
}

/** Uses the client once, so that lazy loading does not count for a view or a feed. */
const begin = (client) => client.get?.(idOf(1));

const rows =
  (read) =>
  async (client, { rows: count }) => {
    await begin(client);
    return measureOnce(async (began) => {
      let seen = 0;
      let first = 0;
      await read(client)('bench/rows', () => {
        if (seen === 0) first = performance.now() - began;
        seen += 1;
      });
      if (seen !== count) throw new Error(`${seen} rows, not ${count}`);
      return { 'ms to first': first };
    });
  };

let next = 0;
const tag = `${process.pid}-${Date.now()}`;

export const cases = {};
for (const concurrency of [1, 16, 64]) {
  cases[`get, ${concurrency} at a time`] = {
    needs: 'get',
    run: (client, { rows: count }) =>
      rate(() => client.get(idOf(1 + ((next += 7) % count))), { concurrency }),
  };
}
for (const concurrency of [1, 64]) {
  cases[`save, ${concurrency} at a time`] = {
    needs: 'save',
    run: (client) =>
      rate(() => client.save({ _id: `new-${tag}-${(next += 1)}`, type: 'draft', n: next }), {
        concurrency,
      }),
  };
}
cases['get 1,000 ids'] = {
  needs: 'getMany',
  run: (client) => time(() => client.getMany(Array.from({ length: 1000 }, (_, i) => idOf(i + 1)))),
};
cases['save 10,000 documents'] = {
  needs: 'saveMany',
  run: (client) =>
    time(() => {
      const docs = Array.from({ length: 10_000 }, () => ({
        _id: `new-${tag}-${(next += 1)}`,
        type: 'draft',
        n: next,
      }));
      return client.saveMany(docs);
    }, 3),
};
cases['view, row by row'] = { needs: 'view', run: rows((client) => client.view) };
cases['view, whole'] = { needs: 'viewWhole', run: rows((client) => client.viewWhole) };
cases['feed'] = {
  needs: 'feed',
  run: async (client, { changes }) => {
    await begin(client);
    return feed((onChange) => client.feed({ includeDocs: false }, onChange), changes);
  },
};
cases['feed, with documents'] = {
  needs: 'feed',
  run: async (client, { changes }) => {
    await begin(client);
    return feed((onChange) => client.feed({ includeDocs: true }, onChange), changes);
  },
};
for (const subscribers of [1, 100, 1000]) {
  for (const latency of [1000, 0]) {
    const count = 20_000;
    cases[`fan-out to ${subscribers}, latency ${latency}`] = {
      needs: 'fanOut',
      async run(client, { stub, rows: all }) {
        if (!stub) return undefined;
        await begin(client);
        const since = String(all - count);
        return feed(
          (onChange) => client.fanOut({ subscribers, latency, since }, onChange),
          count * subscribers,
        );
      },
    };
  }
}
cases['500 live documents'] = {
  needs: 'live',
  async run(client, { stub, origin }) {
    if (!stub) return undefined;
    await fetch(`${origin}/_reset`);
    const ids = Array.from({ length: 500 }, (_, i) => idOf(i + 1));
    const began = performance.now();
    const close = await new Promise((resolve) => {
      let values = 0;
      const end = client.live(ids, () => {
        values += 1;
        if (values === ids.length) setImmediate(() => resolve(end));
      });
    });
    const ms = performance.now() - began;
    await pause(50);
    const { requests, sockets } = await fetch(`${origin}/_counts`).then((answer) => answer.json());
    close();
    // The last socket belongs to this request.
    return { ms, requests, connections: sockets - 1 };
  },
};
