import { afterAll, beforeAll, describe, expect, it, jest } from '@jest/globals';
import { buildPrograms, deletePrograms, runHostile } from './helpers/hostile/run.ts';
import type { FaultLine } from './helpers/hostile/run.ts';

// A server that answers with anything must not end the process, block it, fill its memory, or learn
// or reveal a secret. A case is a random call of a random `Couch`, and a random answer to it.
//
// CORDUROY_HOSTILE_RUNS  the number of cases for each transport (500)
// CORDUROY_SEED          the seed of all cases (random; each run prints it)
// CORDUROY_HOSTILE_CASE  the number of one case, to run it alone

const { env } = process;
const seed = Number(env['CORDUROY_SEED'] ?? Math.floor(Math.random() * 2 ** 31));
const runs = Number(env['CORDUROY_HOSTILE_RUNS'] ?? 500);
const only = env['CORDUROY_HOSTILE_CASE'];
/** The cases are shared out to so many tests of seconds. */
const PARTS = 2;
/** So many cases of bodies that are larger than `maxBodySize`. */
const LARGE_RUNS = 15;
const PATIENCE = 300_000;

jest.setTimeout(PATIENCE + 10_000);

let folder: string;
beforeAll(async () => {
  process.stdout.write(`hostile servers: CORDUROY_SEED=${seed}\n`);
  folder = await buildPrograms();
});
afterAll(() => deletePrograms(folder));

/** Describes each kind of fault once, with its first case. */
function describeFaults(faults: readonly FaultLine[]): string[] {
  const kinds = new Map<string, FaultLine[]>();
  for (const fault of faults) kinds.set(fault.what, [...(kinds.get(fault.what) ?? []), fault]);
  return Array.from(kinds, ([what, all]) => {
    const { index, call, auth, answer, detail } = all[0] as FaultLine;
    return (
      `${what} (${all.length} cases), as with CORDUROY_SEED=${seed} CORDUROY_HOSTILE_CASE=${index}:` +
      `\n  ${call}, credentials: ${auth}\n  ${answer}\n  ${detail}`
    );
  }).sort();
}

const transports = ['gotTransport', 'fetchTransport', 'undiciTransport'];

/** The cases of a part of the tests of a transport: each has others. */
function casesOf(transport: string, count: number, part = 0): { first: number; count: number } {
  if (only !== undefined) return { first: Number(only), count: 1 };
  return { first: (transports.indexOf(transport) + part * transports.length) * count, count };
}
const parts = Array.from({ length: only === undefined ? PARTS : 1 }, (_, part) => part);
const perPart = Math.ceil(runs / PARTS);

describe.each(transports)('over %s', (transport) => {
  it.each(parts)('no answer harms the process or reveals a secret: part %d', async (part) => {
    const task = { transport, seed, ...casesOf(transport, perPart, part), large: false };
    const { faults, outcomes } = await runHostile(folder, task, PATIENCE);
    expect(describeFaults(faults)).toEqual([]);
    // A run in which no call succeeds, or none fails, shows nothing.
    if (only !== undefined || perPart < 100) return;
    expect(outcomes['value']).toBeGreaterThan(perPart / 20);
    expect(outcomes['error']).toBeGreaterThan(perPart / 5);
  });

  it('no answer takes more memory than the limits allow', async () => {
    const task = { transport, seed, ...casesOf(transport, LARGE_RUNS), large: true };
    const { faults } = await runHostile(folder, task, PATIENCE);
    expect(describeFaults(faults)).toEqual([]);
  });
});
