import { describe, expect, it } from '@jest/globals';
import {
  Couch,
  Database,
  asPatches,
  defineDesign,
  designDocument,
  fields,
  localCheckpoint,
  relax,
  resolveAllLeaves,
  resolveConflicts,
  storageCheckpoint,
  validateDocUpdate,
  withDefaults,
} from 'corduroy';
import { publishChanges, subjectToken } from 'corduroy/nats';
import { memoryServer } from 'corduroy/testing';
import { Observable, isObservable } from 'rxjs';

// The messages for typical mistakes with every public method. The snapshots show each call with the error
// that it throws or emits, or with the request that it sends: read them as a newcomer.

const sent: string[] = [];
const transport = {
  send: ({ method, url }: { readonly method: string; readonly url: string }) =>
    new Observable<never>(() => {
      sent.push(`${method} ${decodeURI(url.replace('http://couch.test', ''))}`);
    }),
};
const couch = new Couch('http://couch.test', { transport });
const db = couch.use('pets');
const pet = { _id: 'ada', _rev: '1-a' };
const none = (): null => null;

const owners = {
  Couch: couch,
  CouchNode: couch.node(),
  Users: couch.users,
  Scheduler: couch.scheduler,
  Cluster: couch.cluster,
  Resharding: couch.cluster.reshard,
  Database: db,
  Revs: db.revs,
  Designs: db.designs,
  LocalDocuments: db.local,
  Indexes: db.indexes,
  Upkeep: db.upkeep,
  Partition: db.partition('p'),
} as const;

/** Arguments that each method takes. A method without arguments has an empty list. */
const valid: Readonly<Record<string, readonly unknown[]>> = {
  'Couch.use': ['pets', {}],
  'Couch.db': ['pets', {}],
  'Couch.create': ['pets', {}],
  'Couch.delete': ['pets'],
  'Couch.allDbs': [{}],
  'Couch.version': [],
  'Couch.session': [],
  'Couch.login': ['ada', 'secret'],
  'Couch.logout': [],
  'Couch.info': [],
  'Couch.up': [],
  'Couch.request': [{ path: '_up' }],
  'Couch.uuids': [1],
  'Couch.config': ['log/level', 'debug', {}],
  'Couch.replicate': ['a', 'b', {}],
  'Couch.stats': ['couchdb'],
  'Couch.tasks': [],
  'Couch.changesOf$': [['pets'], {}],
  'Couch.consumeOf': [['pets'], none, { name: 'a' }],
  'Couch.dbUpdates$': [{}],
  'Couch.dbUpdates': [{}],
  'Couch.dbsInfo': [['a']],
  'Couch.node': ['_local'],
  'Couch.replication$': ['a', {}],
  'Couch.reloadQueryServers': [],
  'CouchNode.name': [],
  'CouchNode.config': ['log/level', 'debug', {}],
  'CouchNode.reloadConfig': [],
  'CouchNode.stats': ['couchdb'],
  'CouchNode.prometheus': [],
  'CouchNode.smoosh': [],
  'CouchNode.system': [],
  'CouchNode.versions': [],
  'CouchNode.restart': [],
  'CouchNode.request': [{ path: '_stats' }],
  'Users.list': [],
  'Users.get': ['ada'],
  'Users.save': [{ name: 'ada', roles: [] }],
  'Users.create': ['ada', 'secret', {}],
  'Users.changePassword': ['ada', 'secret'],
  'Users.setRoles': ['ada', ['clerk']],
  'Users.delete': ['ada'],
  'Scheduler.jobs': [{}],
  'Scheduler.job': ['a'],
  'Scheduler.cancel': ['a'],
  'Scheduler.docs': [{}],
  'Scheduler.doc': ['_replicator', 'a'],
  'Cluster.membership': [],
  'Cluster.setup': [{ action: 'finish_cluster' }],
  'Resharding.summary': [],
  'Resharding.state': [],
  'Resharding.start': [],
  'Resharding.stop': ['a reason'],
  'Resharding.jobs': [],
  'Resharding.job': ['a'],
  'Resharding.create': [{ db: 'pets' }],
  'Resharding.jobState': ['a'],
  'Resharding.startJob': ['a'],
  'Resharding.stopJob': ['a', 'a reason'],
  'Resharding.deleteJob': ['a'],
  'Database.exists': [],
  'Database.info': ['design'],
  'Database.get': ['ada', {}],
  'Database.save': [{ name: 'Ada' }, {}],
  'Database.saveAll': [[{ name: 'Ada' }], {}],
  'Database.delete': [pet],
  'Database.view': ['d/v', {}],
  'Database.viewQueries': ['d/v', [{}]],
  'Database.viewRows': ['d/v', {}],
  'Database.viewPages': ['d/v', {}],
  'Database.view$': ['d/v', {}],
  'Database.query': ['function (doc) {}', '_count', {}],
  'Database.allDocs': [{}],
  'Database.allDocs$': [{}],
  'Database.find': [{ selector: {} }],
  'Database.findRows': [{ selector: {} }],
  'Database.find$': [{ selector: {} }],
  'Database.getAttachment': ['ada', 'a.txt', {}],
  'Database.attachmentUrl': ['ada', 'a.txt', {}],
  'Database.putAttachment': [pet, 'text', 'a.txt', {}],
  'Database.deleteAttachment': [pet, 'a.txt', {}],
  'Database.changes': [{}],
  'Database.changes$': [{}],
  'Database.changeRows': [{}],
  'Database.consume': [none, { name: 'a' }],
  'Database.request': [{ path: '_shards' }],
  'Database.upsert': ['ada', none, {}],
  'Database.partition': ['p'],
  'Database.show': ['d/s', 'ada', {}, {}],
  'Database.list': ['d/l', 'v', {}, {}, {}],
  'Database.update': ['d/u', 'ada', 'body', {}],
  'Database.copy': ['ada', 'bob'],
  'Database.revisions': ['ada'],
  'Database.purge': [[pet]],
  'Database.pull': ['other', {}],
  'Database.push': ['other', {}],
  'Database.compact': ['design', {}],
  'Database.cleanup': [],
  'Database.commit': [],
  'Database.doc$': ['ada'],
  'Database.docs$': [['ada']],
  'Database.edit$': ['ada', {}],
  'Database.conflicts$': [],
  'Revs.current': ['ada'],
  'Revs.leaves': ['ada'],
  'Revs.resolveLeaves': ['ada', none, {}],
  'Revs.open': ['ada', ['1-a'], {}],
  'Revs.bulkGet': [[{ id: 'ada' }], {}],
  'Revs.diff': [{ ada: ['1-a'] }],
  'Revs.missing': [{ ada: ['1-a'] }],
  'Designs.get': ['d', {}],
  'Designs.save': [{ _id: '_design/d' }],
  'Designs.delete': [{ _id: '_design/d', _rev: '1-a' }],
  'Designs.copy': ['d', 'e'],
  'Designs.info': ['d'],
  'Designs.list': [{}],
  'Designs.deploy': [{ _id: '_design/d' }, {}],
  'Designs.drift': [{ _id: '_design/d' }],
  'LocalDocuments.get': ['a'],
  'LocalDocuments.save': [{ _id: 'a' }],
  'LocalDocuments.delete': ['a'],
  'LocalDocuments.copy': ['a', 'b'],
  'LocalDocuments.list': [{}],
  'Indexes.list': [{}],
  'Indexes.create': [{ fields: ['n'] }],
  'Indexes.delete': [{ ddoc: 'd', name: 'n' }, {}],
  'Indexes.deleteMany': [['d'], {}],
  'Indexes.explain': [{ selector: {} }],
  'Upkeep.revsLimit': [5],
  'Upkeep.purgedInfosLimit': [5],
  'Upkeep.purgedInfos': [],
  'Upkeep.autoPurge': [{}],
  'Upkeep.shards': ['ada'],
  'Upkeep.syncShards': [],
  'Upkeep.security': [{}],
  'Upkeep.grant': [{ members: { names: ['ada'] } }],
  'Upkeep.revoke': [{ members: { names: ['ada'] } }],
  'Partition.info': [],
  'Partition.allDocs': [{}],
  'Partition.view': ['d/v', {}],
  'Partition.viewRows': ['d/v', {}],
  'Partition.viewPages': ['d/v', {}],
  'Partition.find': [{ selector: {} }],
  'Partition.explain': [{ selector: {} }],
  'Partition.search': ['d/i', { q: 'a' }],
  'Partition.nouveau': ['d/i', { q: 'a' }],
  'Partition.findRows': [{ selector: {} }],
  'Partition.allDocs$': [{}],
  'Partition.find$': [{ selector: {} }],
  'Partition.view$': ['d/v', {}],
};

/** Functions of the package, with arguments that they take. */
const functions: Readonly<Record<string, readonly [(...args: never) => unknown, ...unknown[]]>> = {
  Couch: [(...args) => new Couch(...(args as [])), 'http://couch.test', {}],
  Database: [(...args) => new Database(...(args as unknown as [string])), 'pets', {}],
  'db.search': [db.search, 'd/i', { q: 'a' }],
  'db.search.info': [(...args) => db.search.info(...(args as unknown as [string])), 'd/i'],
  'db.search.nouveau': [db.search.nouveau, 'd/i', { q: 'a' }],
  asPatches: [asPatches, (item: { readonly id: string }) => item.id],
  defineDesign: [defineDesign, 'd', {}],
  designDocument: [designDocument, { name: 'd' }],
  fields: [fields, {}, {}],
  localCheckpoint: [localCheckpoint, db, 'a'],
  memoryServer: [memoryServer, {}],
  publishChanges: [
    publishChanges,
    db,
    { publish: none, jetstreamManager: none },
    { name: 'a', subject: 'pets' },
  ],
  relax: [relax, function* () {}],
  resolveAllLeaves: [resolveAllLeaves, db, none, {}],
  resolveConflicts: [resolveConflicts, none, {}],
  storageCheckpoint: [storageCheckpoint, { getItem: none, setItem: none }, 'a'],
  subjectToken: [subjectToken, 'a'],
  validateDocUpdate: [validateDocUpdate, { type: 'object' }],
  withDefaults: [withDefaults, db, {}],
};

const MISTAKES: readonly unknown[] = [undefined, null, 5, '', [], { nonsense: 1 }];

const shown = (value: unknown): string =>
  value === undefined
    ? 'undefined'
    : typeof value === 'function'
      ? 'f'
      : value === db
        ? 'db'
        : value instanceof Map
          ? 'map'
          : JSON.stringify(value)
              .replace(/"([a-z]+)":/g, '$1: ')
              .replaceAll('"', "'");

/** Describes the outcome of a call: the error, the requests, or the value. */
function outcome(call: () => unknown): string {
  sent.length = 0;
  const failures: string[] = [];
  const describeError = (error: unknown): string =>
    `${(error as Error).name}: ${(error as Error).message}`;
  try {
    const result = call();
    if (isObservable(result))
      result
        .subscribe({ error: (error: unknown) => failures.push(describeError(error)) })
        .unsubscribe();
  } catch (error) {
    return describeError(error);
  }
  const [failure] = failures;
  if (failure !== undefined) return `(emitted) ${failure}`;
  return sent.length === 0 ? 'accepted' : `sends ${sent.join(', ')}`;
}

/** The outcomes of a function without arguments, and with a mistake in place of each argument. */
function outcomes(call: (...args: unknown[]) => unknown, args: readonly unknown[]): string[] {
  const lines = new Map<string, string>();
  const add = (given: readonly unknown[]): void => {
    const key = `(${given.map(shown).join(', ')})`;
    lines.set(key, `${key} → ${outcome(() => call(...given))}`);
  };
  add(args);
  if (args.length > 0) add([]);
  args.forEach((_, i) => {
    for (const mistake of MISTAKES) add([...args.slice(0, i), mistake]);
  });
  return [...lines.values()];
}

describe('the messages of', () => {
  it.each(Object.keys(owners))('%s', (className) => {
    const owner = owners[className as keyof typeof owners] as unknown as Readonly<
      Record<string, (...args: unknown[]) => unknown>
    >;
    const lines = Object.entries(valid)
      .filter(([name]) => name.startsWith(`${className}.`))
      .flatMap(([name, args]) => {
        const method = name.slice(className.length + 1);
        const call = (...given: unknown[]): unknown => owner[method]?.(...given);
        return outcomes(call, args).map((line) => `${method}${line}`);
      });
    expect(`\n${lines.join('\n')}\n`).toMatchSnapshot();
  });

  it('functions', () => {
    const lines = Object.entries(functions).flatMap(([name, [call, ...args]]) =>
      outcomes(call as (...given: unknown[]) => unknown, args).map((line) => `${name}${line}`),
    );
    expect(`\n${lines.join('\n')}\n`).toMatchSnapshot();
  });

  it('every public method', () => {
    const missing = Object.entries(owners).flatMap(([className, owner]) => {
      const names = new Set<string>();
      for (
        let proto = Object.getPrototypeOf(owner) as object;
        proto !== Object.prototype;
        proto = Object.getPrototypeOf(proto) as object
      )
        for (const [name, { value }] of Object.entries(Object.getOwnPropertyDescriptors(proto)))
          if (typeof value === 'function' && !/^(?:constructor|toString)$/.test(name))
            names.add(name);
      return [...names].map((name) => `${className}.${name}`).filter((name) => !(name in valid));
    });
    expect(missing).toEqual([]);
  });
});
