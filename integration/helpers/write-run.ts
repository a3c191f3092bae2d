import { setTimeout as sleep } from 'node:timers/promises';
import { Couch, fetchTransport, gotTransport } from 'corduroy';
import type { Transport } from 'corduroy';
import { undiciTransport } from 'corduroy/undici';
import type { FaultyProxy } from './faulty-proxy.ts';
import { Client } from './write-client.ts';
import { SCHEDULE_HEADER, plan } from './write-faults.ts';
import { Ledger } from './write-ledger.ts';
import type { Violation } from './write-ledger.ts';
import { Rival } from './write-rival.ts';
import { POOL, randomFrom, simplifications } from './write-schedule.ts';
import type { Schedule } from './write-schedule.ts';
import { server } from './server.ts';

/** Where schedules run. */
export interface Arena {
  readonly proxy: FaultyProxy;
  readonly database: string;
}

/** What became of a schedule. */
export interface Outcome {
  readonly violations: readonly Violation[];
  /** The step after which the violations were there; -1 if they were looked for at the end alone. */
  readonly step: number;
}

// All schedules share the sockets.
const transports: readonly Transport[] = [gotTransport(), fetchTransport(), undiciTransport()];
let runs = 0;

/**
 * Runs a schedule with documents of its own, and compares what the clients were told with what the
 * server has: at the end, or after each step until a rule is broken.
 */
export async function runSchedule(
  { proxy, database }: Arena,
  { seed, transport, steps }: Schedule,
  eachStep = false,
): Promise<Outcome> {
  const prefix = `${seed}-${(runs += 1)}`;
  const idOf = (name: string): string => `${prefix}-${name}`;
  const random = randomFrom(seed ^ 0x5bd1e995);
  const hash = (): string =>
    Array.from({ length: 32 }, () => Math.floor(16 * random()).toString(16)).join('');
  const ledger = new Ledger(database, (id) => !id.includes('.'));
  const rival = new Rival(database, ledger, hash);
  const couch = new Couch(proxy.url, {
    auth: [server.username, server.password],
    headers: { [SCHEDULE_HEADER]: prefix },
    transport: transports[transport % transports.length],
  });
  const client = new Client({
    db: couch.use(database),
    coalesced: couch.use(database, { coalesce: true }),
    ledger,
    rival,
    idOf,
    hash,
  });
  const [first, second] = POOL;
  const file = { content_type: 'application/octet-stream', data: 'dGV4dA==' };
  const created = await rival.create([
    { _id: idOf(first), tokens: ['first'], _attachments: { 'f-first': file } },
    { _id: idOf(second), tokens: ['first'] },
  ]);
  for (const doc of created) client.copies.set(doc._id, doc);
  for (const [place, step] of steps.entries()) {
    const faults = plan(proxy, prefix, step, rival, idOf);
    await client.run(step, place, faults);
    faults.end();
    if (!eachStep) continue;
    // CouchDB refuses some lists before all of its shards have written their part.
    await sleep(30);
    const violations = [...client.violations, ...(await ledger.check())];
    if (violations.length > 0) return { violations, step: place };
  }
  return { violations: [...client.violations, ...(await ledger.check())], step: -1 };
}

/** Finds a simpler schedule that breaks the same rule in the same operation. */
export async function shrink(
  arena: Arena,
  schedule: Schedule,
  kindOf: (schedule: Schedule, outcome: Outcome) => string,
  attempts = 80,
): Promise<{ readonly schedule: Schedule; readonly outcome: Outcome } | null> {
  const fails = async (one: Schedule): Promise<Outcome | null> => {
    const outcome = await runSchedule(arena, one, true);
    return outcome.violations.length > 0 ? outcome : null;
  };
  let outcome = await fails(schedule);
  if (outcome === null) return null;
  const kind = kindOf(schedule, outcome);
  const upTo = (one: Schedule, { step }: Outcome): Schedule => ({
    ...one,
    steps: step < 0 ? one.steps : one.steps.slice(0, step + 1),
  });
  let best = upTo(schedule, outcome);
  let left = attempts;
  for (let simpler = true; simpler && left > 0;) {
    simpler = false;
    for (const candidate of simplifications(best)) {
      if ((left -= 1) < 0) break;
      const again = await fails(candidate);
      if (again === null || kindOf(candidate, again) !== kind) continue;
      best = upTo(candidate, again);
      outcome = again;
      simpler = true;
      break;
    }
  }
  return { schedule: best, outcome };
}
