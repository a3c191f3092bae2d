import { describe, expect, it } from '@jest/globals';
import { Couch, NotFound, Unauthorized } from 'corduroy';
import { needs, server, uniqueName } from './helpers/server.ts';
import { couch, failure, value } from './seed/steps.ts';

const node = couch.node();

describe('a node', () => {
  it('has a name, and is found by it', async () => {
    const name = await value(node.name());
    expect(name).toContain('@');
    expect(await value(couch.node(name).name())).toBe(name);
    const { clusterNodes, allNodes } = await value(couch.cluster.membership());
    expect(clusterNodes).toContain(name);
    expect(allNodes).toContain(name);
  });

  it('errors with NotFound for an unknown name', async () => {
    expect(await failure(couch.node('nobody@nowhere').stats())).toBeInstanceOf(NotFound);
    expect(await failure(couch.node('nobody@nowhere').config())).toBeInstanceOf(NotFound);
  });

  it('has the same configuration as the server', async () => {
    const section = uniqueName('corduroy');
    expect(await value(node.config(`${section}/key`, 1))).toBe('');
    expect(await value(node.config(section))).toEqual({ key: '1' });
    expect(await value(couch.config(`${section}/key`))).toBe('1');
    expect((await value(node.config()))[section]).toEqual({ key: '1' });
    expect(await value(node.config(`${section}/key`, undefined, { delete: true }))).toBe('1');
    expect(await failure(node.config(`${section}/key`))).toBeInstanceOf(NotFound);
  });

  it('returns statistics, also by their old names', async () => {
    expect(await value(node.stats())).toHaveProperty(['couchdb', 'httpd', 'requests', 'value']);
    expect(await value(node.stats('httpd/requests'))).toMatchObject({ type: 'counter' });
    expect(await failure(node.stats('nonsense'))).toBeInstanceOf(NotFound);
  });

  needs('node')('returns its statistics in the Prometheus format', async () => {
    expect(await value(node.prometheus())).toMatch(/^couchdb_uptime_seconds \d+$/m);
  });

  needs('node')('returns the state of its virtual machine', async () => {
    const system = await value(node.system());
    expect(system.memory['processes']).toBeGreaterThan(0);
    expect(system.processCount).toBeGreaterThan(0);
    expect(system.processLimit).toBeGreaterThan(system.processCount);
    expect(system).toMatchObject({
      uptime: expect.any(Number),
      runQueue: expect.any(Number),
      osProcCount: expect.any(Number),
      messageQueues: { couch_server: expect.any(Number) },
    });
  });

  needs('node')('returns the state of its automatic compaction', async () => {
    const channels = await value(node.smoosh());
    expect(channels['ratio_dbs']).toEqual({
      active: expect.any(Number),
      starting: expect.any(Number),
      waiting: { size: expect.any(Number), min: expect.any(Number), max: expect.any(Number) },
    });
  });

  needs('node')('answers any request below its path, and no other', async () => {
    const own = await value(node.request<{ db_name: string }>({ path: '/_dbs' }));
    expect(own.db_name).toBe('_dbs');
    const missing = await failure(node.request({ path: `/${uniqueName()}` }));
    expect(missing).toMatchObject({ name: 'NotFound', reason: 'no_db_file' });
  });

  needs('node')('answers only administrators', async () => {
    expect(await failure(new Couch(server.url).node().system())).toBeInstanceOf(Unauthorized);
  });
});
