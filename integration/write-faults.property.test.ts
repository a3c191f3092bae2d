import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { createDatabase, rawFetch, server } from './helpers/server.ts';
import { basicAuth } from './helpers/running-server.ts';
import { type FaultyProxy, startFaultyProxy } from './helpers/faulty-proxy.ts';
import { refuseLarge } from './helpers/write-faults.ts';
import { Ledger, type Violation } from './helpers/write-ledger.ts';
import { type Arena, type Outcome, runSchedule, shrink } from './helpers/write-run.ts';
import {
  type Schedule,
  describeStep,
  makeSchedule,
  withoutEither,
} from './helpers/write-schedule.ts';

// Random writes through a network that breaks at random places. Whatever happens, a client finds on
// the server what it was told is written, and does not find what it was told is refused.
//
// CORDUROY_SCHEDULES=50000 runs more. A schedule that fails runs alone with its seed:
// CORDUROY_SEED=1234 CORDUROY_SCHEDULES=1.

const count = Number(process.env['CORDUROY_SCHEDULES'] ?? 2000);
const start = Number(process.env['CORDUROY_SEED'] ?? Math.floor(Math.random() * 2 ** 30));
const CONCURRENCY = 8;
/** So many schedules make a test, which has a database of its own: small files, and a test of seconds. */
const PER_TEST = 200;
/** So many failures are looked into; the others are counted. */
const EXAMINED = 60;

const UNREPORTED: Violation['rule'] = 'written, but not reported';

const VALIDATE = `function (doc) { if (doc.forbidden) throw { forbidden: 'no such documents' }; }`;

let proxy: FaultyProxy;

beforeAll(async () => {
  proxy = await startFaultyProxy(server.url);
  refuseLarge(proxy);
});
afterAll(() => proxy.close());

interface Arenas {
  readonly validated: Arena;
  /** Only for a server that cannot do both in one database. */
  readonly free: Arena | null;
}

async function arenas(): Promise<Arenas> {
  const database = await createDatabase();
  const body = { validate_doc_update: VALIDATE };
  const response = await rawFetch(`/${database}/_design/v`, { method: 'PUT', body });
  expect(response.ok).toBe(true);
  const free = server.kind === 'embedded' ? { proxy, database: await createDatabase() } : null;
  return { validated: { proxy, database }, free };
}

/** The embedded server keeps no leaf where a function validates: half of its schedules are without. */
function place(seed: number, { validated, free }: Arenas): [Arena, Schedule] {
  const schedule = makeSchedule(seed);
  if (free === null) return [validated, schedule];
  return seed % 2 === 0
    ? [validated, withoutEither(schedule, 'leaves')]
    : [free, withoutEither(schedule, 'refusals')];
}

interface Failure {
  readonly seed: number;
  readonly violations: readonly Violation[];
}

/** Runs the schedules from one number up to another. */
async function runAll(from: number, end: number): Promise<Failure[]> {
  const failures: Failure[] = [];
  const there = await arenas();
  let next = from;
  const worker = async (): Promise<void> => {
    while (next < end) {
      const seed = start + next++;
      const placed = place(seed, there);
      let { violations } = await runSchedule(...placed);
      // A busy server adds faults, and Corduroy may fail to find out: not so a second time.
      if (violations.length > 0 && violations.every(({ rule }) => rule === UNREPORTED))
        ({ violations } = await runSchedule(...placed));
      if (violations.length > 0) failures.push({ seed, violations });
      // The proxy keeps its requests for tests that look at them.
      proxy.requests.length = 0;
    }
  };
  await Promise.all(Array.from({ length: CONCURRENCY }, worker));
  return failures;
}

/** Failures of one kind have a common cause, most likely. */
function kindOf({ steps }: Schedule, { violations, step }: Outcome): string {
  const [first] = violations;
  // A loss shows where it happens; the other rules are broken by the step that reported.
  const operation = steps[(first?.rule === 'lost' ? undefined : first?.step) ?? step]?.do;
  const detail = { mode: undefined, change: undefined, ...operation };
  const words = [first?.rule, operation?.op, detail.mode ?? detail.change].filter(Boolean);
  return words.join(' | ') || 'not in a second run';
}

async function describeFailures(failures: readonly Failure[]): Promise<string> {
  const there = await arenas();
  const kinds = new Map<string, Failure[]>();
  const isLoss = ({ violations }: Failure): number =>
    Number(violations.some(({ rule }) => rule !== UNREPORTED));
  const gravest = [...failures].sort((a, b) => isLoss(b) - isLoss(a));
  for (const failure of gravest.slice(0, EXAMINED)) {
    const [arena, schedule] = place(failure.seed, there);
    const kind = kindOf(schedule, await runSchedule(arena, schedule, true));
    kinds.set(kind, [...(kinds.get(kind) ?? []), failure]);
  }
  const texts: string[] = [];
  for (const [kind, [first, ...others]] of kinds) {
    if (first === undefined) continue;
    const [arena, schedule] = place(first.seed, there);
    const small = await shrink(arena, schedule, kindOf);
    const { steps } = small?.schedule ?? schedule;
    const { violations } = small?.outcome ?? first;
    const seeds = [first, ...others].map(({ seed }) => seed);
    texts.push(
      [
        `${kind} (${seeds.length}: CORDUROY_SCHEDULES=1 CORDUROY_SEED=${seeds.slice(0, 6).join(', ')})`,
        ...steps.map((step, i) => `  step ${i}: ${describeStep(step)}`),
        ...violations.slice(0, 4).map(({ rule, id, what }) => `  ${rule}: ${id} ${what}`),
      ].join('\n'),
    );
  }
  const head = `${failures.length} schedules failed`;
  return [head, ...texts.sort()].join('\n');
}

describe('random faults over writes', () => {
  const parts = Array.from({ length: Math.ceil(count / PER_TEST) }, (_, part) => {
    const from = part * PER_TEST;
    return { from, end: Math.min(count, from + PER_TEST) };
  });

  it.each(parts)(
    'lose nothing, and report what they refuse: schedules $from to $end',
    async ({ from, end }) => {
      const began = performance.now();
      const failures = await runAll(from, end);
      const seconds = ((performance.now() - began) / 1000).toFixed(1);
      process.stdout.write(
        `write-faults: CORDUROY_SEED=${start + from} CORDUROY_SCHEDULES=${end - from} took ` +
          `${seconds} s, ${failures.length} failed\n`,
      );
      expect(failures.length === 0 ? '' : await describeFailures(failures)).toBe('');
    },
    600_000,
  );
});

describe('the oracle', () => {
  it('notices a loss, a revision that is not there, and a refused document that is', async () => {
    const database = await createDatabase();
    const response = await rawFetch(`/${database}/a`, {
      method: 'PUT',
      body: { tokens: ['x', 'y'] },
    });
    const { rev } = (await response.json()) as { rev: string };
    const ledger = new Ledger(database, () => true);
    const report = { by: 'a step', step: 0 };
    ledger.written('a', ['x'], rev, report);
    expect(await ledger.check()).toEqual([]);
    ledger.written('a', ['z', 'released'], '2-b', report);
    ledger.written('none', ['x'], undefined, report);
    ledger.released('a', ['released']);
    ledger.refused('a', ['y', 'w'], report);
    const found = (await ledger.check()).map(({ rule, id, what }) => `${rule}: ${id} ${what}`);
    expect(found).toEqual([
      'lost: a z, written by a step',
      'no such revision: a 2-b, written by a step',
      'refused, but there: a y, refused by a step',
      'lost: none x, written by a step',
    ]);
  });
});

describe('the faults', () => {
  const statusOf = async (path: string, body: object): Promise<number | 'cut'> => {
    const authorization = basicAuth(server.username, server.password);
    const headers = { authorization, 'content-type': 'application/json' };
    const init = { method: 'PUT', headers, body: JSON.stringify(body) };
    return fetch(proxy.url + path, init).then(
      ({ status }) => status,
      () => 'cut',
    );
  };

  it('keep a request from the server, or its answer from the client', async () => {
    const database = await createDatabase();
    let between = 0;
    proxy.drop({ times: 1, match: ({ url }) => url.endsWith('/dropped') });
    proxy.lose({
      times: 1,
      match: ({ url }) => url.endsWith('/lost'),
      meanwhile: async () => {
        between = (await rawFetch(`/${database}/lost`)).status;
      },
    });
    proxy.lose({ times: 1, match: ({ url }) => url.endsWith('/502'), answer: { status: 502 } });
    const names = ['dropped', 'lost', '502', 'whole'];
    const seen: unknown[] = [];
    for (const name of names) seen.push(await statusOf(`/${database}/${name}`, {}));
    expect(seen).toEqual(['cut', 'cut', 502, 201]);
    const there = names.map((name) => rawFetch(`/${database}/${name}`));
    expect((await Promise.all(there)).map(({ status }) => status)).toEqual([404, 200, 200, 200]);
    expect(between).toBe(200);
  });

  it('refuse a document that is too large, and name it', async () => {
    const database = await createDatabase();
    const pad = 'x'.repeat(2000);
    expect(await statusOf(`/${database}/large`, { pad })).toBe(413);
    expect((await rawFetch(`/${database}/large`)).status).toBe(404);
  });
});
