import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { Couch } from 'corduroy';
import { firstValueFrom } from 'rxjs';
import { startFaultyProxy } from './helpers/faulty-proxy.ts';
import type { FaultyProxy } from './helpers/faulty-proxy.ts';
import { DESIGN, INDEXES } from './helpers/live-oracle-queries.ts';
import type { Item } from './helpers/live-oracle-writes.ts';
import { runOracle } from './helpers/live-oracle.ts';
import { createDatabase, server } from './helpers/server.ts';

// Random writes through network faults. When the network is quiet, each live query must equal a fresh
// read. No query may emit an equal value twice, or end.
//
// CORDUROY_LIVE_WRITES=10000 writes more. CORDUROY_SEED=1234 repeats the writes of a run.

const writes = Number(process.env['CORDUROY_LIVE_WRITES'] ?? 1000);
const seed = Number(process.env['CORDUROY_SEED'] ?? Math.floor(Math.random() * 2 ** 30));

let proxy: FaultyProxy;
beforeAll(async () => {
  proxy = await startFaultyProxy(server.url);
});
afterAll(() => proxy.close());

describe('live queries and editors', () => {
  it(`equal fresh reads after ${writes} random writes`, async () => {
    const began = performance.now();
    const direct = new Couch(server.authenticatedUrl).use<Item>(await createDatabase());
    await firstValueFrom(direct.save(DESIGN as never));
    for (const fields of INDEXES)
      await firstValueFrom(direct.indexes.create({ fields: fields as never }));
    const couch = new Couch(proxy.url, {
      auth: [server.username, server.password],
      live: { latency: 50, linger: 100, backoff: { initialDelay: 10, maxDelay: 100 } },
    });
    const { failures, ...figures } = await runOracle({ couch, direct, proxy, seed, writes });
    const seconds = ((performance.now() - began) / 1000).toFixed(1);
    process.stdout.write(
      `live-oracle: CORDUROY_SEED=${seed} CORDUROY_LIVE_WRITES=${writes}: ${JSON.stringify(figures)}, ${failures.length} failures in ${seconds} s\n`,
    );
    const report = failures.map(
      ({ query, rule, round, detail }) => `${query} ${rule} (round ${round})\n  ${detail}`,
    );
    expect(report.join('\n')).toBe('');
  }, 3_600_000);
});
