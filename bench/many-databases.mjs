/**
 * Measures `couch.changesOf$` with many databases on a CouchDB: what it costs the server while nothing
 * happens, and how long a change takes from the answer to its write to its emission.
 *
 *   npm run build && COUCHDB_URL=http://admin:password@127.0.0.1:5984 \
 *     node bench/many-databases.mjs [--databases 1000] [--writes 100] [--seconds 20] [--pid 4711] [--poll 5000]
 *
 * `--pid` is the process of the server (`beam.smp`), whose processor time is read from `/proc`. Without it, only
 * the delivery is measured. The program creates databases named `bench-many-…`, and `_global_changes` if it is
 * missing. It deletes what it has created, unless `--keep` is given.
 */
import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { filter, firstValueFrom, from, lastValueFrom, mergeMap, timer } from 'rxjs';
import { Couch } from '../dist/index.js';

const { values: options } = parseArgs({
  options: {
    databases: { type: 'string', default: '1000' },
    writes: { type: 'string', default: '100' },
    seconds: { type: 'string', default: '20' },
    pid: { type: 'string' },
    poll: { type: 'string' },
    keep: { type: 'boolean', default: false },
  },
});
const url = process.env.COUCHDB_URL;
if (!url)
  throw new Error('Set COUCHDB_URL to the URL of a CouchDB with the credentials of an admin');
const couch = new Couch(url);
const total = Number(options.databases);
const names = Array.from({ length: total }, (_, i) => `bench-many-${String(i).padStart(5, '0')}`);
const value = (operation) => firstValueFrom(operation);
const each = (work) => lastValueFrom(from(names).pipe(mergeMap(work, 8)));

/** The clock ticks of Linux are hundredths of a second. */
const TICK = 10;

/** Returns the processor time of a process in milliseconds: in user mode, and in the kernel. */
function processorTime(pid) {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8')
    .replace(/^.*\) /s, '')
    .split(' ');
  return (Number(fields[11]) + Number(fields[12])) * TICK;
}

/** Measures the idle processor time of the server, in milliseconds a second. */
async function idle(seconds) {
  if (options.pid === undefined) return null;
  const before = processorTime(options.pid);
  await value(timer(seconds * 1000));
  return (processorTime(options.pid) - before) / seconds;
}

const percentile = (sorted, share) =>
  sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))];

const hadUpdates = await value(couch.use('_global_changes').exists());
if (!hadUpdates) await value(couch.create('_global_changes'));
const began = performance.now();
await each((name) => couch.db(name, { createIfMissing: true }));
console.log(`${total} databases created in ${((performance.now() - began) / 1000).toFixed(1)} s`);
// The server still works on what was created.
await value(timer(10_000));
const seconds = Number(options.seconds);
const withoutFeed = await idle(seconds);

const poll = options.poll && { updates: { poll: Number(options.poll) } };
const feed = couch.changesOf$(/^bench-many-/, { ...poll });
const delivered = new Map();
const start = performance.now();
const subscription = feed.subscribe(({ database, changes }) => {
  const at = performance.now();
  for (const { id } of changes) delivered.set(`${database} ${id}`, at);
});
await value(feed.state$.pipe(filter(({ status }) => status === 'live')));
console.log(`live after ${Math.round(performance.now() - start)} ms`);
await value(timer(5000));
const withFeed = await idle(seconds);
if (withFeed !== null) {
  const figures = [withoutFeed, withFeed, withFeed - withoutFeed].map((cpu) => cpu.toFixed(1));
  console.log(
    `idle server: ${figures[0]} ms CPU a second without the feed, ${figures[1]} with it (+${figures[2]})`,
  );
}

const run = process.pid;
const written = new Map();
for (let i = 0; i < Number(options.writes); i++) {
  const name = names[(i * 7919) % total];
  await value(couch.use(name).save({ _id: `doc-${run}-${i}` }));
  written.set(`${name} doc-${run}-${i}`, performance.now());
  // Not in step with the half second in which CouchDB collects updates.
  await value(timer(50 + ((i * 37) % 100)));
}
while ([...written.keys()].some((key) => !delivered.has(key))) await value(timer(20));
const delays = [...written].map(([key, at]) => delivered.get(key) - at).sort((a, b) => a - b);
const [p50, p95, worst] = [0.5, 0.95, 1].map((share) => percentile(delays, share).toFixed(0));
console.log(
  `delivery of ${delays.length} writes: p50 ${p50} ms, p95 ${p95} ms, at most ${worst} ms`,
);
subscription.unsubscribe();
if (!options.keep) {
  await each((name) => couch.delete(name));
  if (!hadUpdates) await value(couch.delete('_global_changes'));
}
