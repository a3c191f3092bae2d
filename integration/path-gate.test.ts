import { beforeAll, describe, expect, it } from '@jest/globals';
import { Couch, Database, localCheckpoint } from 'corduroy';
import type { Transport } from 'corduroy';
import { EMPTY, NEVER, firstValueFrom, of } from 'rxjs';
import type { Observable } from 'rxjs';
import { createDatabase, needs, rawFetch, server } from './helpers/server.ts';

const sent: string[] = [];
const transport: Transport = {
  send: ({ url }) => {
    sent.push(url);
    return NEVER;
  },
};
const couch = new Couch('http://couch.test/prefix', { transport });
const db = couch.use('db');
const rev = '1-a';

/** A name goes into one segment of a path. */
type Call = (name: string) => unknown;

/** Calls whose name is the id of a document, with or without the prefix `_design/` or `_local/`. */
const byId: Readonly<Record<string, Call>> = {
  'Database.revisions': (id) => db.revisions(id),
  'Database.copy': (id) => db.copy(id, 'b'),
  'Database.copy to': (id) => db.copy('a', { _id: id }),
  'Database.getAttachment': (id) => db.getAttachment(id, 'x'),
  'Database.putAttachment': (id) => db.putAttachment({ _id: id }, 'x', 'x'),
  'Database.deleteAttachment': (id) => db.deleteAttachment({ _id: id, _rev: rev }, 'x'),
  'Database.show with a document': (id) => db.show('a/b', id),
  'Database.update with a document': (id) => db.update('a/b', id),
  'Revs.current': (id) => db.revs.current(id),
  'Revs.leaves': (id) => db.revs.leaves(id),
  'Revs.resolveLeaves': (id) => db.revs.resolveLeaves(id, (a) => a),
  'Revs.open': (id) => db.revs.open(id, 'all'),
  'Upkeep.shards': (id) => db.upkeep.shards(id),
};

/** Calls whose name has no prefix. */
const byName: Readonly<Record<string, Call>> = {
  'Database.show': (name) => db.show(`${name}/b`),
  'Database.show, function': (name) => db.show(`a/${name}`),
  'Database.list': (name) => db.list(`${name}/b`, 'c'),
  'Database.list, function': (name) => db.list(`a/${name}`, 'c'),
  'Database.list, view': (name) => db.list('a/b', name),
  'Database.list, view of another': (name) => db.list('a/b', `${name}/c`),
  'Database.update': (name) => db.update(`${name}/b`),
  'Database.update, function': (name) => db.update(`a/${name}`),
  'Database.view': (name) => db.view(`${name}/b`),
  'Database.view, view': (name) => db.view(`a/${name}`),
  'Database.viewRows': (name) => db.viewRows(`a/${name}`),
  'Database.viewPages': (name) => db.viewPages(`a/${name}`),
  'Database.viewQueries': (name) => db.viewQueries(`a/${name}`, []),
  'Database.view$': (name) => db.view$(`a/${name}`),
  'Database.info': (name) => db.info(name),
  'Database.compact': (name) => db.compact(name),
  'Database.partition': (name) => db.partition(name),
  'Database.getAttachment, name': (name) => db.getAttachment('a', name),
  'Database.putAttachment, name': (name) => db.putAttachment({ _id: 'a' }, 'x', name),
  'Database.deleteAttachment, name': (name) => db.deleteAttachment({ _id: 'a', _rev: rev }, name),
  'Database.search': (name) => db.search(`${name}/b`, { q: 'x' }),
  'Database.search, index': (name) => db.search(`a/${name}`, { q: 'x' }),
  'Search.info': (name) => db.search.info(`a/${name}`),
  'Search.diskSize': (name) => db.search.diskSize(`a/${name}`),
  'Search.nouveau': (name) => db.search.nouveau(`a/${name}`, { q: 'x' }),
  'Search.nouveau.info': (name) => db.search.nouveau.info(`a/${name}`),
  'Partition.view': (name) => db.partition('p').view(`a/${name}`),
  'Partition.viewRows': (name) => db.partition('p').viewRows(`a/${name}`),
  'Partition.viewPages': (name) => db.partition('p').viewPages(`a/${name}`),
  'Partition.view$': (name) => db.partition('p').view$(`a/${name}`),
  'Partition.search': (name) => db.partition('p').search(`a/${name}`, { q: 'x' }),
  'Partition.nouveau': (name) => db.partition('p').nouveau(`a/${name}`, { q: 'x' }),
  'Designs.get': (name) => db.designs.get(name),
  'Designs.save': (name) => db.designs.save({ _id: `_design/${name}` }),
  'Designs.deploy': (name) => db.designs.deploy({ _id: `_design/${name}` }),
  'Designs.drift': (name) => db.designs.drift({ _id: `_design/${name}` }),
  'Designs.delete': (name) => db.designs.delete({ _id: `_design/${name}`, _rev: rev }),
  'Designs.copy': (name) => db.designs.copy(name, 'b'),
  'Designs.copy to': (name) => db.designs.copy('a', { _id: `_design/${name}` }),
  'Designs.info': (name) => db.designs.info(name),
  'LocalDocuments.get': (name) => db.local.get(name),
  'LocalDocuments.save': (name) => db.local.save({ _id: name }),
  'LocalDocuments.delete': (name) => db.local.delete(name),
  'LocalDocuments.copy': (name) => db.local.copy(name, 'b'),
  'LocalDocuments.copy to': (name) => db.local.copy('a', name),
  'Indexes.delete': (name) => db.indexes.delete({ ddoc: name, name: 'b' }),
  'Indexes.delete, name': (name) => db.indexes.delete({ ddoc: 'a', name }),
  'Indexes.delete, type': (name) =>
    db.indexes.delete({ ddoc: 'a', name: 'b', type: name as 'json' }),
  'Couch.use': (name) => couch.use(name),
  'Couch.db': (name) => couch.db(name),
  'Couch.create': (name) => couch.create(name),
  'Couch.delete': (name) => couch.delete(name),
  'Couch.config': (name) => couch.config(name),
  'Couch.config, key': (name) => couch.config(`a/${name}`),
  'Couch.config, keys': (name) => couch.config('a', { [name]: 1 }),
  'Couch.config, node': (name) => couch.config('a', undefined, { node: name }),
  'Couch.stats': (name) => couch.stats(name),
  'Couch.stats, branch': (name) => couch.stats(`a/${name}/b`),
  'Couch.node': (name) => couch.node(name),
  'CouchNode.config': (name) => couch.node().config(`a/${name}`),
  'CouchNode.stats': (name) => couch.node().stats(name),
  'Couch.replication$': (name) => couch.replication$(name),
  'Couch.replication$, replicator': (name) => couch.replication$('a', { replicator: name }),
  'Couch.replicate, id': (name) => couch.replicate('a', 'b', { _id: name, cancel: true }),
  'Couch.replicate, database': (name) => couch.replicate(name, 'b'),
  'Scheduler.job': (name) => couch.scheduler.job(name),
  'Scheduler.cancel': (name) => couch.scheduler.cancel(name),
  'Scheduler.doc': (name) => couch.scheduler.doc('_replicator', name),
  'Scheduler.doc, replicator': (name) => couch.scheduler.doc(name, 'a'),
  'Scheduler.docs, replicator': (name) => couch.scheduler.docs({ replicator: name }),
  'Resharding.job': (name) => couch.cluster.reshard.job(name),
  'Resharding.jobState': (name) => couch.cluster.reshard.jobState(name),
  'Resharding.startJob': (name) => couch.cluster.reshard.startJob(name),
  'Resharding.stopJob': (name) => couch.cluster.reshard.stopJob(name),
  'Resharding.deleteJob': (name) => couch.cluster.reshard.deleteJob(name),
};

/** Ids that have a prefix: here not even a bulk request helps. */
const bySystemId: Readonly<Record<string, Call>> = {
  'Database.get': (id) => db.get(id),
  'Database.get of a list': (id) => db.get([id]),
  'Database.save': (id) => db.save({ _id: id }),
  'Database.save of a list': (id) => db.save([{ _id: id }]),
  'Database.delete': (id) => db.delete({ _id: id, _rev: rev }),
  'Database.upsert': (id) => db.upsert(id, () => null),
  'Database.upsert of a list': (id) => db.upsert([id], () => null),
  'Database.purge': (id) => db.purge([{ _id: id, _rev: rev }]),
  'Database.doc$': (id) => db.doc$(id),
  'Database.docs$': (id) => db.docs$([id]),
  'Database.edit$': (id) => db.edit$(id),
  'Revs.bulkGet': (id) => db.revs.bulkGet([id]),
  'Revs.diff': (id) => db.revs.diff({ [id]: [rev] }),
  'Revs.missing': (id) => db.revs.missing({ [id]: [rev] }),
};

/** Methods whose arguments go into a body, or into the value of a query parameter, or nowhere. */
const WITHOUT_PATH = new Set(
  (
    'Database.query Database.findRows Database.find Database.allDocs Database.allDocs$ Database.find$ ' +
    'Database.conflicts$ Database.changes Database.changes$ Database.changeRows Database.consume ' +
    'Database.cleanup Database.commit Database.exists Database.pull Database.push Database.request ' +
    'Database.attachmentUrl Database.saveAll Database.toString ' +
    'Designs.list LocalDocuments.list Indexes.list Indexes.create Indexes.deleteMany Indexes.explain ' +
    'Upkeep.revsLimit Upkeep.purgedInfosLimit Upkeep.purgedInfos Upkeep.autoPurge Upkeep.syncShards ' +
    'Upkeep.security Upkeep.grant Upkeep.revoke ' +
    'Partition.info Partition.allDocs Partition.find Partition.explain Partition.findRows ' +
    'Partition.allDocs$ Partition.find$ ' +
    'Couch.allDbs Couch.version Couch.info Couch.up Couch.session Couch.session$ Couch.login Couch.logout ' +
    'Couch.request Couch.toString Couch.uuids Couch.tasks Couch.dbUpdates Couch.dbUpdates$ Couch.dbsInfo ' +
    'Couch.changesOf$ Couch.consumeOf ' +
    'Couch.reloadQueryServers Couch.exists Couch.ping ' +
    'CouchNode.name CouchNode.reloadConfig CouchNode.prometheus CouchNode.smoosh CouchNode.system ' +
    'CouchNode.versions CouchNode.restart CouchNode.request ' +
    'Scheduler.jobs Resharding.summary Resharding.state Resharding.start Resharding.stop Resharding.jobs ' +
    'Resharding.create Cluster.membership Cluster.setup ' +
    // The id of a user has the prefix `org.couchdb.user:`, so that every name makes a valid segment.
    'Users.list Users.get Users.save Users.create Users.changePassword Users.setRoles Users.delete Users.toString'
  ).split(' '),
);

const BAD = ['', '.', '..', '\ud800'];

const errorOf = (act: () => unknown): unknown => {
  try {
    act();
  } catch (error) {
    return error;
  }
  return 'it did not throw';
};

const cases = [
  ...Object.entries({ ...byId, ...byName }).flatMap(([method, call]) =>
    BAD.map((name) => [method, name, call] as const),
  ),
  ...Object.entries({ ...byId, ...bySystemId }).flatMap(([method, call]) =>
    ['_design/', '_local/'].flatMap((prefix) =>
      BAD.map((name) => [method, prefix + name, call] as const),
    ),
  ),
  ...Object.entries(bySystemId).flatMap(([method, call]) =>
    ['', '\ud800'].map((name) => [method, name, call] as const),
  ),
];

describe('names that would change the path of a request', () => {
  it(`are a TypeError at the call, ${cases.length} times`, () => {
    for (const [method, name, call] of cases) {
      const error = errorOf(() => call(name));
      expect([method, name, error]).toEqual([method, name, expect.any(TypeError)]);
      // The message says what has the bad name.
      const { message } = error as TypeError;
      expect([method, message]).toEqual([method, expect.stringMatching(/^[\w'" :,.$/-]{4,}/)]);
      expect([method, message]).not.toEqual([method, 'URI malformed']);
    }
    expect(sent).toEqual([]);
    expect(cases.length).toBeGreaterThan(400);
  });

  it('are tested for every public method', () => {
    const tested = new Set(
      Object.keys({ ...byId, ...byName, ...bySystemId }).map((name) => name.split(/,? /)[0]),
    );
    const groups: object[] = [
      couch,
      db,
      db.revs,
      db.designs,
      db.local,
      db.indexes,
      db.upkeep,
      db.partition('p'),
      couch.node(),
      couch.scheduler,
      couch.cluster,
      couch.cluster.reshard,
      couch.users,
    ];
    const untested = groups.flatMap((group) => {
      const names: string[] = [];
      const className = group.constructor.name;
      for (
        let proto: object = Object.getPrototypeOf(group) as object;
        proto !== Object.prototype;
        proto = Object.getPrototypeOf(proto) as object
      ) {
        for (const [name, { value }] of Object.entries(Object.getOwnPropertyDescriptors(proto)))
          if (typeof value === 'function' && name !== 'constructor') names.push(name);
      }
      return names
        .map((name) => `${className}.${name}`)
        .filter((name) => !tested.has(name) && !WITHOUT_PATH.has(name));
    });
    expect([...new Set(untested)]).toEqual([]);
  });

  it('are a TypeError in attachments that are streamed, and in checkpoints', () => {
    for (const name of BAD) {
      expect(errorOf(() => db.attachmentUrl('a', name))).toBeInstanceOf(TypeError);
      expect(errorOf(() => db.attachmentUrl(`_local/${name}`, 'x'))).toBeInstanceOf(TypeError);
    }
    expect(errorOf(() => localCheckpoint(db, '\ud800'))).toBeInstanceOf(TypeError);
    expect(errorOf(() => new Database('http://couch.test/..'))).toBeInstanceOf(TypeError);
  });

  it.each([
    [() => db.update('a/b', '..'), 'The id of a document must not be ".."'],
    [() => db.view('../x'), 'The design document of the view must not be ".."'],
    [() => db.designs.get('..'), 'designs.get: the id must not end with'],
    [() => couch.node('..'), 'node: name must not be ".."'],
    [() => couch.config('a/..'), 'config: name must not be ".."'],
    [() => db.partition('..'), 'The key of a partition must not be ".."'],
    [() => db.revisions('.'), 'revisions: id must not be "."'],
    [() => db.putAttachment({ _id: 'a' }, 'x', '..'), 'The name of an attachment must not be'],
  ])('are named in the error: %s', (call, message) => {
    expect(call).toThrow(message);
  });

  it('do not reach the server in a document that was renamed after the call', async () => {
    const doc: { _id: string; _rev?: string } = { _id: 'a' };
    const calls: Observable<unknown>[] = [db.putAttachment(doc, 'x', 'x'), db.copy('b', doc)];
    doc._id = '_local/..';
    for (const call of calls) await expect(firstValueFrom(call)).rejects.toThrow(TypeError);
    expect(sent).toEqual([]);
  });

  it('are harmless within a longer name', async () => {
    const paths: string[] = [];
    const spy: Transport = {
      send: ({ url }) => {
        paths.push(url.replace('http://couch.test', ''));
        return of({ status: 200, headers: {}, body: EMPTY });
      },
    };
    const open = new Couch('http://couch.test', { transport: spy }).use('db');
    for (const call of [
      open.get('a/../b'),
      open.get('...'),
      open.view('a/../x'),
      open.getAttachment('a', '../x'),
      open.get('%2e%2e'),
    ])
      await firstValueFrom(call as Observable<unknown>).catch(() => null);
    expect(paths).toEqual([
      '/db/a%2F..%2Fb',
      '/db/...',
      '/db/_design/a%2F../_view/x',
      '/db/a/..%2Fx',
      '/db/%252e%252e',
    ]);
  });
});

describe('the plain ids . and ..', () => {
  let real: Database<{ n?: number }>;
  beforeAll(async () => {
    real = new Couch(server.authenticatedUrl, { coalesce: true }).use(await createDatabase());
  });

  it.each(['.', '..'])('go through bulk requests where there is one: %s', async (id) => {
    const doc: { _id: string; _rev?: string; n: number } = { _id: id, n: 1 };
    await firstValueFrom(real.save(doc));
    expect(await firstValueFrom(real.upsert(id, (found) => ({ ...found, n: 2 })))).toMatchObject({
      _id: id,
      n: 2,
    });
    expect(await firstValueFrom(real.get(id))).toMatchObject({ n: 2 });
    expect(await firstValueFrom(real.get([id]))).toMatchObject([{ n: 2 }]);
    const found = await firstValueFrom(real.get(id));
    await firstValueFrom(real.save([{ ...found, n: 3 }]));
    const last = await firstValueFrom(real.get(id));
    expect(last.n).toBe(3);
    await firstValueFrom(real.delete(last));
    expect(await firstValueFrom(real.get([id]))).toEqual([null]);
  });
});

describe('on a server', () => {
  it('no attachment, document or security object of another path is reached', async () => {
    const name = await createDatabase();
    const real = new Couch(server.authenticatedUrl).use(name);
    await firstValueFrom(real.save({ _id: 'victim', total: 5 }));
    const { _rev } = await firstValueFrom(real.get('victim'));
    for (const call of [
      () => real.putAttachment({ _id: '_design/..' }, '{"sneaked":true}', 'new'),
      () => real.deleteAttachment({ _id: '_local/..', _rev }, 'victim'),
      () => real.getAttachment('_local/..', 'victim'),
      () => real.putAttachment({ _id: '_local/..' }, '{}', '_security'),
      () => real.update('../..', 'forged', '{}'),
      () => real.save({ _id: '_design/..' }),
      () => real.indexes.delete({ ddoc: '..', name: 'x' }),
    ])
      expect(call).toThrow(TypeError);
    const response = await rawFetch(`/${name}/_all_docs`);
    expect(await response.json()).toMatchObject({ total_rows: 1, rows: [{ id: 'victim' }] });
  });

  needs('purge')('a document with the name of an inherited property is purged', async () => {
    const real = new Couch(server.authenticatedUrl).use(await createDatabase());
    const docs = ['constructor', 'toString', 'hasOwnProperty'].map((_id) => ({
      _id,
    }));
    await firstValueFrom(real.save(docs));
    const found = await firstValueFrom(real.get(docs.map(({ _id }) => _id)));
    const refs = found.filter((doc) => doc !== null);
    const { purged } = await firstValueFrom(real.purge(refs));
    expect(Object.keys(purged).sort()).toEqual(docs.map(({ _id }) => _id).sort());
    expect(await firstValueFrom(real.get(['constructor']))).toEqual([null]);
  });
});

describe('names of inherited properties', () => {
  it('are ordinary ids in a purge', async () => {
    const bodies: unknown[] = [];
    const spy: Transport = {
      send: ({ body }) => {
        bodies.push(JSON.parse(body as string));
        return of({
          status: 200,
          headers: {},
          body: of(new TextEncoder().encode('{"purged":{}}')),
        });
      },
    };
    const open = new Couch('http://couch.test', { transport: spy }).use('db');
    await firstValueFrom(
      open.purge([
        { _id: 'constructor', _rev: '1-a' },
        { _id: 'constructor', _rev: '1-b' },
        { _id: 'toString', _rev: '1-c' },
      ]),
    );
    expect(bodies).toEqual([{ constructor: ['1-a', '1-b'], toString: ['1-c'] }]);
  });

  it('are no options', () => {
    for (const name of ['constructor', '__proto__', 'toString']) {
      const options = Object.fromEntries([[name, 1]]) as never;
      expect(() => db.view('a/b', options)).toThrow(`unknown option '${name}'`);
      expect(() => db.find({ selector: {}, ...Object.fromEntries([['toString', 1]]) })).toThrow(
        `unknown option 'toString'`,
      );
      expect(() => couch.replicate('a', 'b', options)).toThrow(`unknown option '${name}'`);
    }
    const definition = { fields: ['a'], constructor: 1 } as never;
    expect(() => db.indexes.create(definition)).toThrow("unknown option 'constructor'");
  });

  it('are ordinary error names of a server', async () => {
    const answer = { status: 201, error: 'constructor', reason: 'x' };
    const spy: Transport = {
      send: () =>
        of({
          status: 201,
          headers: {},
          body: of(
            new TextEncoder().encode(
              JSON.stringify([
                { id: 'a', ...answer },
                { id: 'b', ...answer },
              ]),
            ),
          ),
        }),
    };
    const open = new Couch('http://couch.test', { transport: spy, coalesce: true }).use('db');
    const saves = [
      firstValueFrom(open.save({ _id: 'a' })),
      firstValueFrom(open.save({ _id: 'b' })),
    ];
    for (const outcome of await Promise.allSettled(saves))
      expect(outcome).toMatchObject({ status: 'rejected', reason: { status: 500 } });
  });
});

describe('the URL of another server', () => {
  it.each(['http://h/_users', 'https://ada:secret@h.example/db', `${couch.url}/db`])(
    'is no name of a database: %s',
    (url) => {
      const error = errorOf(() => couch.use(url)) as TypeError;
      expect(error).toBeInstanceOf(TypeError);
      expect(error.message).toMatch(/^The name of a database must be no URL .*; pass a URL to/);
      expect(error.message).not.toContain('secret');
    },
  );
});
