import { describe, expect, it } from '@jest/globals';
import { Couch, Unauthorized } from 'corduroy';
import { deleteAtEnd, needs, server, uniqueName } from './helpers/server.ts';
import { couch, emptyDatabase, failure, look, value } from './seed/steps.ts';

const nobody = new Couch(server.url);

describe('the information of a server', () => {
  it('contains its version, equal to version(), and the whole response', async () => {
    const info = await value(couch.info());
    expect(info.version).toBe(await value(couch.version()));
    expect(info.raw).toMatchObject({ couchdb: 'Welcome', version: info.version });
  });

  needs('dbs-info')('contains its UUID and its features, without credentials', async () => {
    const info = await value(nobody.info());
    expect(info).toMatchObject({
      uuid: expect.stringMatching(/^[0-9a-f]{32}$/),
      features: expect.arrayContaining(['partitioned', 'scheduler']),
      vendor: 'The Apache Software Foundation',
    });
    expect((await look('/'))['uuid']).toBe(info.uuid);
  });

  it('contains whether it is up, without credentials', async () => {
    expect(await value(nobody.up())).toBe(true);
  });

  needs('query-servers')('reloadQueryServers restarts the query servers', async () => {
    const db = await emptyDatabase();
    await value(db.save([{ _id: 'a' }, { _id: 'b' }]));
    expect(await value(couch.reloadQueryServers())).toBe(true);
    const view = await value(db.query('function (doc) { emit(doc._id, null); }'));
    expect(view.length).toBe(2);
    expect(await failure(nobody.reloadQueryServers())).toBeInstanceOf(Unauthorized);
  });
});

describe('the information of databases', () => {
  needs('dbs-info')('is read by name, in order, with null for a missing database', async () => {
    const [one, two] = [await emptyDatabase(), await emptyDatabase()];
    await value(two.save([{ _id: 'a' }]));
    const missing = uniqueName();
    const infos = await value(couch.dbsInfo([two.name, missing, one.name]));
    expect(infos.map((info) => info?.name)).toEqual([two.name, undefined, one.name]);
    expect(infos[1]).toBeNull();
    expect(infos[0]).toMatchObject({ docCount: 1, partitioned: false });
    expect(infos[2]).toEqual(await value(one.info()));
  });

  needs('dbs-info')('is read for more names than one request allows', async () => {
    const { name } = await emptyDatabase();
    const missing = Array.from({ length: 200 }, (_, n) => `${name}-${n}`);
    const infos = await value(couch.dbsInfo([...missing, name]));
    expect(infos).toHaveLength(201);
    expect(infos.filter((info) => info !== null)).toEqual([expect.objectContaining({ name })]);
  });

  needs('dbs-info')('is read for a range of names', async () => {
    const prefix = uniqueName('range');
    for (const end of ['a', 'b', 'c']) await value(couch.create(deleteAtEnd(`${prefix}-${end}`)));
    const infos = await value(couch.dbsInfo({ startKey: `${prefix}-b`, endKey: `${prefix}-z` }));
    expect(infos.map(({ name }) => name)).toEqual([`${prefix}-b`, `${prefix}-c`]);
    expect(await failure(nobody.dbsInfo())).toBeInstanceOf(Unauthorized);
  });
});
