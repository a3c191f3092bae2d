import { afterAll, describe, expect, it, jest } from '@jest/globals';
import { setTimeout as sleep } from 'node:timers/promises';
import { type FaultyProxy, startFaultyProxy } from './helpers/faulty-proxy.ts';
import { Random } from './helpers/hostile/random.ts';
import { PROTOCOLS, RelayListener, type Written } from './helpers/relay-listener.ts';
import { Relays } from './helpers/relays.ts';
import { Writer, design, interestOf, isDesign } from './helpers/relay-writer.ts';
import { basicAuth } from './helpers/running-server.ts';
import { rawFetch, server, uniqueName } from './helpers/server.ts';

// Listeners of a relay, whose connections, and those of the relay to CouchDB, break at random, while
// documents are written and relays take turns. Each listener receives all that it wants, and nothing else.
//
// CORDUROY_SCHEDULES=200 runs more: some 10,000 connections are cut. A schedule that fails runs alone with
// its seed: CORDUROY_SEED=1234 CORDUROY_SCHEDULES=1.

const count = Number(process.env['CORDUROY_SCHEDULES'] ?? 12);
const start = Number(process.env['CORDUROY_SEED'] ?? Math.floor(Math.random() * 2 ** 30));
jest.setTimeout(60_000 + count * 10_000);

const CONCURRENCY = 4;
const LISTENERS = 20;
const HEARTBEAT = 250;
/** How long a change may take after the last fault, in milliseconds. */
const LATEST = 20_000;
/** Each tenth schedule writes documents that no socket buffers, so that slow listeners block. */
const LARGE = 10;

const total = {
  schedules: 0,
  cuts: 0,
  relays: 0,
  slow: 0,
  written: 0,
  wanted: 0,
  lost: 0,
  unwanted: 0,
  again: 0,
};
afterAll(() => {
  process.stdout.write(`relay-faults.property: ${JSON.stringify(total)}\n`);
});

const authorization = basicAuth(server.username, server.password);

interface Stage {
  /** Between the listeners and the relay. */
  readonly front: FaultyProxy;
  /** Between the relay and CouchDB. */
  readonly back: FaultyProxy;
  readonly relays: Relays;
  readonly listeners: readonly RelayListener[];
  readonly random: Random;
}

/** Returns how many connections it has cut. */
type Fault = (stage: Stage) => number | Promise<number>;

const cutting =
  (side: 'front' | 'back', how: 'cut' | 'reset' | 'halfClose'): Fault =>
  (stage) => {
    const { connections } = stage[side];
    stage[side][how]();
    return connections;
  };
const silent =
  (side: 'front' | 'back'): Fault =>
  async (stage) => {
    stage[side].stall();
    await sleep(stage.random.int(0, 1500));
    stage[side].resume();
    return 0;
  };
const soon =
  (side: 'front' | 'back'): Fault =>
  ({ [side]: proxy, random }) => {
    const times = random.int(1, 6);
    const of = random.pick(['body', 'wire'] as const);
    const bytes = random.int(0, 2500);
    if (random.chance(0.5)) proxy.cutAfter(bytes, { of, times });
    else proxy.truncate(() => true, bytes, { times });
    return 0;
  };

const FAULTS: Readonly<Record<string, Fault>> = {
  'cut listeners': cutting('front', 'cut'),
  'reset listeners': cutting('front', 'reset'),
  'end listeners': cutting('front', 'halfClose'),
  'cut some listeners': ({ listeners, random }) =>
    listeners.filter((listener) => random.chance(0.5) && listener.cut()).length,
  'silent listeners': silent('front'),
  'cut listeners later': soon('front'),
  'cut CouchDB': cutting('back', 'cut'),
  'reset CouchDB': cutting('back', 'reset'),
  'end CouchDB': cutting('back', 'halfClose'),
  'silent CouchDB': silent('back'),
  'cut CouchDB later': soon('back'),
  'errors of CouchDB': ({ back, random }) => {
    const status = random.pick([500, 502, 503, 429]);
    back.answer({ status, body: '{"error":"x","reason":"y"}', times: random.int(1, 4) });
    return 0;
  },
  'CouchDB unreachable': async ({ back, random }) => {
    back.refuse();
    const { connections } = back;
    back.cut();
    await sleep(random.int(0, 400));
    await back.accept();
    return connections;
  },
  'another relay': async ({ relays, random }) => {
    const { listeners } = await relays.stats();
    await relays.end(random.pick([null, 0, 200]));
    await relays.begin();
    return listeners;
  },
  'slow listeners': async ({ listeners, random }) => {
    const slow = listeners.filter(() => random.chance(0.3));
    await Promise.all(slow.map((listener) => listener.dawdle(random.int(100, 1500))));
    return 0;
  },
};

/** Waits until all that is wanted has come. Returns what has not. */
async function missing(
  listeners: readonly RelayListener[],
  last: ReadonlyMap<string, Written>,
): Promise<string[]> {
  const find = (): string[] =>
    listeners.flatMap(({ settings: { name, interest, since }, received }) =>
      [...last.values()]
        // A listener that began later does not get the design document, which was there before.
        .filter((doc) => interest.wants(doc) && (since === '0' || !isDesign(doc)))
        .filter(({ _id, _rev }) => !received.has(`${_id} ${_rev}`))
        .map(({ _id }) => `${_id} for ${name}`),
    );
  const latest = Date.now() + LATEST;
  while (find().length > 0 && Date.now() < latest) await sleep(20);
  return find();
}

async function run(seed: number): Promise<string[]> {
  const random = new Random(seed, 'relay');
  const isLarge = seed % LARGE === 0;
  const name = uniqueName();
  await rawFetch(`/${name}`, { method: 'PUT' });
  const writer = new Writer(name, new Random(seed, 'writes'), isLarge);
  await writer.put(design);
  const info = (await (await rawFetch(`/${name}`)).json()) as { update_seq: string | number };
  const back = await startFaultyProxy(server.url);
  const relays = new Relays(back.url, {
    heartbeat: 300,
    maxStall: random.pick([300, 60_000]),
    maxBlind: random.pick([400, 60_000]),
    maxBacklog: random.pick([3, 20, 10_000]),
    recheck: random.pick([1000, 60_000]),
    linger: random.pick([0, 30_000]),
  });
  await relays.begin();
  const front = await startFaultyProxy(relays.url);
  const listeners = Array.from({ length: LISTENERS }, (_, index) => {
    const interest = interestOf(random);
    const protocol = random.pick(PROTOCOLS);
    // Nothing buffers for a listener without a proxy.
    const isDirect = random.chance(isLarge ? 0.7 : 0.2);
    return new RelayListener(
      {
        name: `${index} (${protocol}, ${interest.name})`,
        protocol,
        interest,
        includeDocs: random.chance(isLarge ? 0.7 : 0.4),
        since: random.pick(['0', String(info.update_seq)]),
        authorization,
        database: name,
        heartbeat: HEARTBEAT,
        isDirect,
      },
      new Random(seed, `listener ${index}`),
      () => (isDirect ? relays : front).url,
    );
  });
  const running = listeners.map((listener) => listener.run());
  const log: string[] = [];
  const problems: string[] = [];
  try {
    const writing = writer.writeAll();
    // A fault that fails must not leave this without a handler.
    writing.catch(() => {});
    const all = Object.entries(FAULTS);
    while (!writer.isDone) {
      await sleep(random.int(0, 150));
      const [what, fault] = random.pick(all);
      log.push(what);
      const few = listeners.filter((listener) => random.chance(0.2) && listener.cut()).length;
      const cut = await fault({ front, back, relays, listeners, random });
      total.cuts += few + cut;
    }
    await writing;
    front.heal();
    back.heal();
    const lost = await missing(listeners, writer.last);
    total.lost += lost.length;
    if (lost.length > 0) problems.push(`missing: ${lost.join()}`);
    for (const listener of listeners) {
      const { wants } = listener.settings.interest;
      const unwanted = [...listener.received].filter((key) => {
        const doc = writer.written.get(key);
        return doc === undefined || !wants(doc);
      });
      total.unwanted += unwanted.length;
      total.wanted += [...writer.last.values()].filter(wants).length;
      total.again += listener.again;
      for (const problem of listener.problems.concat(unwanted.map((key) => `unwanted: ${key}`)))
        problems.push(`${listener.settings.name}: ${problem}`);
    }
    total.schedules += 1;
    total.written += writer.written.size;
  } finally {
    for (const listener of listeners) listener.stop();
    await Promise.all(running);
    await relays.end(null);
    total.relays += relays.count;
    total.slow += relays.slow;
    await Promise.all([front.close(), back.close()]);
    await rawFetch(`/${name}`, { method: 'DELETE' });
  }
  return problems.map((problem) => `CORDUROY_SEED=${seed}: ${problem} after ${log.join()}`);
}

describe('listeners of a relay', () => {
  it('receive all that they want and nothing else through networks that break at random', async () => {
    const seeds = Array.from({ length: count }, (_, n) => start + n);
    const problems: string[] = [];
    const work = async (): Promise<void> => {
      for (let seed = seeds.shift(); seed !== undefined; seed = seeds.shift())
        problems.push(...(await run(seed)));
    };
    await Promise.all(Array.from({ length: CONCURRENCY }, work));
    expect(problems).toEqual([]);
    expect(total.schedules).toBe(count);
  });
});
