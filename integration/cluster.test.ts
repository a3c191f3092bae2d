import { afterAll, beforeAll, describe, expect } from '@jest/globals';
import { BadRequest, Couch, NotFound, Unauthorized } from 'corduroy';
import { readFile, writeFile } from 'node:fs/promises';
import { filter, firstValueFrom } from 'rxjs';
import { needs, server, uniqueName } from './helpers/server.ts';
import { startIsolatedServer } from './helpers/servers.ts';
import type { RunningServer } from './helpers/servers.ts';
import { waitFor, failure, value } from './seed/steps.ts';

// These tests change a whole server, so they run on an isolated one.

const alone = server.kind === 'installed';
let own: RunningServer;
let couch: Couch;
beforeAll(async () => {
  if (!alone) return;
  own = await startIsolatedServer();
  couch = new Couch(own.url, { auth: own });
}, 30_000);
afterAll(async () => {
  if (alone) await own.stop();
}, 30_000);

const specify = needs('cluster', 'process');

describe('a cluster', () => {
  specify('is set up already, and says so', async () => {
    expect(await value(couch.cluster.setup())).toBe('single_node_enabled');
    expect(await value(couch.cluster.setup({ ensureDbsExist: ['_users'] }))).toBe(
      'single_node_enabled',
    );
    const again = couch.cluster.setup({ action: 'finish_cluster' });
    expect(await failure(again)).toBeInstanceOf(BadRequest);
    const early = couch.cluster.setup({ action: 'add_node', host: '127.0.0.1', port: 1 });
    expect(await failure(early)).toBeInstanceOf(BadRequest);
    expect(await failure(new Couch(own.url).cluster.setup())).toBeInstanceOf(Unauthorized);
  });

  specify('is one node, which it has joined by itself', async () => {
    const name = await value(couch.node().name());
    expect(await value(couch.cluster.membership())).toEqual({
      allNodes: [name],
      clusterNodes: [name],
    });
  });

  specify('is not up in maintenance mode', async () => {
    await value(couch.config('couchdb/maintenance_mode', true));
    expect(await value(couch.up())).toBe(false);
    await value(couch.config('couchdb/maintenance_mode', 'nolb'));
    expect(await value(couch.up())).toBe(false);
    await value(couch.config('couchdb/maintenance_mode', undefined, { delete: true }));
    expect(await value(couch.up())).toBe(true);
  });

  specify(
    'tells what happened to its databases, once they are written down',
    async () => {
      expect(await failure(couch.dbUpdates())).toBeInstanceOf(NotFound);
      await value(couch.create('_global_changes'));
      const name = uniqueName();
      // The server notices the request to write after a moment.
      const result = await waitFor(async () => {
        const db = await value(couch.create(name));
        await value(couch.delete(db.name));
        const { results, lastSeq } = await value(couch.dbUpdates({ since: 0 }));
        const types = results.filter(({ dbName }) => dbName === name).map(({ type }) => type);
        return types.includes('deleted') && types.includes('created')
          ? { results, lastSeq }
          : undefined;
      }, 'an entry for a database that was made and deleted');
      expect(result.lastSeq).toEqual(expect.any(String));
      const first = await value(couch.dbUpdates({ since: 0, limit: 1 }));
      expect(first.results).toEqual([
        { dbName: expect.any(String), type: expect.any(String), seq: expect.any(String) },
      ]);
      const last = await value(couch.dbUpdates({ limit: 1, descending: true }));
      expect(last.results).toHaveLength(1);
      expect((await value(couch.dbUpdates({ since: 'now' }))).results).toEqual([]);
    },
    30_000,
  );

  specify(
    'goes on telling what happens to its databases',
    async () => {
      const name = uniqueName();
      const seen: string[] = [];
      const feed = couch.dbUpdates$({ since: 'now', latency: 0 });
      const subscription = feed.subscribe(({ updates }) => {
        for (const { dbName, type } of updates) if (dbName === name) seen.push(type);
      });
      await firstValueFrom(feed.state$.pipe(filter(({ status }) => status === 'live')));
      await value(couch.create(name));
      await waitFor(async () => seen.includes('created') || undefined, 'a database made');
      await value(couch.delete(name));
      await waitFor(async () => seen.includes('deleted') || undefined, 'a database deleted');
      subscription.unsubscribe();
    },
    30_000,
  );
});

describe('resharding', () => {
  specify(
    'splits the shards of a database, and is followed job by job',
    async () => {
      const { reshard } = couch.cluster;
      const name = uniqueName();
      await value(couch.create(name, { q: 2 }));
      await value(reshard.stop('a test'));
      expect(await value(reshard.state())).toEqual({ state: 'stopped', reason: 'a test' });
      const outcomes = await value(reshard.create({ db: name }));
      expect(outcomes).toEqual([
        { ok: true, id: expect.any(String), node: expect.any(String), shard: expect.any(String) },
        { ok: true, id: expect.any(String), node: expect.any(String), shard: expect.any(String) },
      ]);
      const ids = outcomes.flatMap((one) => (one.ok ? [one.id] : []));
      const [first = '', second = ''] = ids;
      expect(await value(reshard.summary())).toMatchObject({
        state: 'stopped',
        total: 2,
        stopped: 2,
      });
      expect(await value(reshard.job(first))).toMatchObject({
        id: first,
        type: 'split',
        jobState: 'stopped',
        source: expect.stringContaining(name),
        target: [expect.stringContaining(name), expect.stringContaining(name)],
      });
      expect((await value(reshard.jobState(second))).state).toBe('stopped');
      expect(await value(reshard.deleteJob(second))).toBe(true);
      expect(await failure(reshard.job(second))).toBeInstanceOf(NotFound);
      await value(reshard.start());
      await waitFor(async () => {
        const { state } = await value(reshard.jobState(first));
        return state === 'completed' ? true : undefined;
      }, 'a shard that is split');
      expect((await value(reshard.jobs())).map(({ id }) => id)).toEqual([first]);
      const { raw } = await value(couch.use(name).info());
      expect(raw['cluster']).toMatchObject({ q: 3 });
    },
    60_000,
  );

  specify(
    'a job is stopped and started by itself',
    async () => {
      const { reshard } = couch.cluster;
      const name = uniqueName();
      await value(couch.create(name, { q: 1 }));
      await value(reshard.stop());
      const [made] = await value(reshard.create({ db: name, range: '00000000-ffffffff' }));
      const id = made?.ok === true ? made.id : '';
      await value(reshard.stopJob(id, 'later'));
      await value(reshard.start());
      expect(await value(reshard.jobState(id))).toEqual({ state: 'stopped', reason: 'later' });
      await value(reshard.startJob(id));
      await waitFor(async () => {
        const { jobState } = await value(reshard.job(id));
        return jobState === 'completed' ? true : undefined;
      }, 'a shard that is split');
    },
    60_000,
  );

  specify('of what is not there is refused', async () => {
    const { reshard } = couch.cluster;
    expect(await failure(reshard.create({ db: uniqueName() }))).toBeInstanceOf(BadRequest);
    expect(await failure(reshard.create({ shard: 'nonsense' }))).toBeInstanceOf(BadRequest);
    expect(await failure(reshard.job('nonsense'))).toBeInstanceOf(NotFound);
  });
});

describe('an isolated node', () => {
  specify('reads its configuration from disk again', async () => {
    const section = uniqueName('corduroy');
    await value(couch.node().config(`${section}/kept`, 'before'));
    const { file = '' } = await value(couch.node().config('log'));
    const ini = file.replace('couch.log', 'local.ini');
    const written = await readFile(ini, 'utf8');
    expect(written).toContain('kept = before');
    await writeFile(ini, written.replace('kept = before', 'kept = after'));
    expect(await value(couch.node().config(`${section}/kept`))).toBe('before');
    expect(await value(couch.node().reloadConfig())).toBe(true);
    expect(await value(couch.node().config(`${section}/kept`))).toBe('after');
  });

  specify(
    'restarts',
    async () => {
      const begun = async (): Promise<string> => {
        const text = await value(couch.node().prometheus());
        return /^couchdb_uptime_seconds (\d+)$/m.exec(text)?.[1] ?? '';
      };
      await waitFor(async () => (Number(await begun()) > 2 ? true : undefined), 'a few seconds');
      expect(await value(couch.node().restart())).toBe(true);
      await waitFor(
        () =>
          begun().then(
            (uptime) => (Number(uptime) <= 2 ? true : undefined),
            () => undefined,
          ),
        'a node that has begun anew',
      );
      expect(await value(couch.up())).toBe(true);
    },
    60_000,
  );
});
