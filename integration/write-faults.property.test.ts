import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { createDatabase, rawFetch, server } from './helpers/server.ts';
import { type FaultyProxy, startFaultyProxy } from './helpers/faulty-proxy.ts';
import { refuseLarge } from './helpers/write-faults.ts';
import { type Arena, type Outcome, runSchedule, shrink } from './helpers/write-run.ts';
import { type Schedule, makeSchedule } from './helpers/write-schedule.ts';

// Random writes through a network that breaks at random places. Whatever happens, a client finds on
// the server what it was told is written, and does not find what it was told is refused.
//
// CORDUROY_SCHEDULES=50000 runs more, CORDUROY_SEED=7 CORDUROY_SCHEDULES=1 runs the one of that seed.

const count = Number(
  process.env['CORDUROY_SCHEDULES'] ?? (server.kind === 'embedded' ? 150 : 2000),
);
const start = Number(process.env['CORDUROY_SEED'] ?? Math.floor(Math.random() * 2 ** 30));
const CONCURRENCY = 8;
/** A new database after so many schedules keeps the files small. */
const PER_DATABASE = 500;
/** Failures that are looked into: the others are counted. */
const EXAMINED = Number(process.env["X"] ?? 40);

const VALIDATE = `function (doc) { if (doc.forbidden) throw { forbidden: 'no such documents' }; }`;

let proxy: FaultyProxy;

beforeAll(async () => {
  proxy = await startFaultyProxy(server.url);
  refuseLarge(proxy);
});
afterAll(() => proxy.close());

async function arena(): Promise<Arena> {
  const database = await createDatabase();
  await rawFetch(`/${database}/_design/v`, {
    method: 'PUT',
    body: { validate_doc_update: VALIDATE },
  });
  return { proxy, database };
}

/** Failures of one kind have a common cause, most likely. */
function kindOf({ steps }: Schedule, { violations, step }: Outcome): string {
  const [first] = violations;
  // A loss shows where it happens; the other rules are broken by the step that reported.
  const operation = steps[(first?.rule === 'lost' ? undefined : first?.step) ?? step]?.do;
  const detail = { mode: undefined, change: undefined, ...operation };
  return [first?.rule, operation?.op, detail.mode ?? detail.change].filter(Boolean).join(' | ');
}

async function runAll(): Promise<Schedule[]> {
  const failed: Schedule[] = [];
  for (let from = 0; from < count; from += PER_DATABASE) {
    const place = await arena();
    const end = Math.min(count, from + PER_DATABASE);
    let next = from;
    const worker = async (): Promise<void> => {
      while (next < end) {
        const schedule = makeSchedule(start + next++);
        const { violations } = await runSchedule(place, schedule);
        if (violations.length > 0) failed.push(schedule);
        // The proxy keeps the requests for tests that look at them.
        proxy.requests.length = 0;
      }
    };
    await Promise.all(Array.from({ length: CONCURRENCY }, worker));
  }
  return failed;
}

async function describeFailures(failed: readonly Schedule[]): Promise<string> {
  const place = await arena();
  const kinds = new Map<string, { readonly schedule: Schedule; seeds: number[] }>();
  for (const schedule of failed.slice(0, EXAMINED)) {
    const kind = kindOf(schedule, await runSchedule(place, schedule, true));
    const known = kinds.get(kind);
    if (known === undefined) kinds.set(kind, { schedule, seeds: [schedule.seed] });
    else known.seeds.push(schedule.seed);
  }
  const texts: string[] = [];
  for (const [kind, { schedule, seeds }] of kinds) {
    const small = await shrink(place, schedule, kindOf);
    const { steps } = small?.schedule ?? schedule;
    texts.push(
      [
        `${kind} (${seeds.length}, seeds ${seeds.slice(0, 5).join(', ')})`,
        ...steps.map((step, i) => `  step ${i}: ${JSON.stringify(step)}`),
        ...(small?.outcome.violations ?? [])
          .slice(0, 4)
          .map(({ rule, id, what }) => `  ${rule}: ${id} ${what}`),
      ].join('\n'),
    );
  }
  const head = `${failed.length} of ${count} schedules failed, from seed ${start}`;
  return [head, ...texts.sort()].join('\n');
}

describe('random faults over writes', () => {
  it(`lose nothing, and report what they refuse: ${count} schedules`, async () => {
    const began = performance.now();
    process.stdout.write(`write-faults: CORDUROY_SEED=${start} CORDUROY_SCHEDULES=${count}\n`);
    const failed = await runAll();
    const seconds = ((performance.now() - began) / 1000).toFixed(1);
    process.stdout.write(
      `write-faults: ${count} schedules in ${seconds} s, ${failed.length} failed\n`,
    );
    const report = failed.length === 0 ? '' : await describeFailures(failed);
    expect(report).toBe('');
  }, 7_200_000);
});
