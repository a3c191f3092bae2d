// Angular's packages are compiled when they are loaded, so the compiler must be imported first.
import '@angular/compiler';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { provideHttpClient, withFetch } from '@angular/common/http';
import { TestBed } from '@angular/core/testing';
import { Couch, Database, fetchTransport, gotTransport, relax, resolveAllLeaves } from 'corduroy';
import type { Transport } from 'corduroy';
import { httpClientTransport } from 'corduroy/angular';
import { undiciTransport } from 'corduroy/undici';
import { firstValueFrom } from 'rxjs';
import type { Observable } from 'rxjs';
import { testBed } from './helpers/angular.ts';
import { doc, operations } from './helpers/operations.ts';
import type { Call } from './helpers/operations.ts';
import { startStub } from './helpers/stub-server.ts';
import type { StubServer } from './helpers/stub-server.ts';

// The laws of the design that apply to every operation, checked for each.

let stub: StubServer;
beforeAll(async () => {
  stub = await startStub();
});
afterAll(() => stub.close());
beforeEach(() => {
  stub.requests.length = 0;
});

const transports: [string, () => Transport][] = [
  ['gotTransport', gotTransport],
  ['fetchTransport', fetchTransport],
  ['undiciTransport', undiciTransport],
  ['httpClientTransport', overHttpClient],
];

/** Makes the transport as an application does, with the `HttpClient` of the current test. */
function overHttpClient(): Transport {
  testBed(provideHttpClient(withFetch()));
  return TestBed.runInInjectionContext(() => httpClientTransport());
}

describe.each(transports)('over %s', (_, make) => {
  describe.each(Object.keys(operations))('%s', (name) => {
    const call = (): Observable<unknown> => {
      const options = { transport: make() };
      return (operations[name] as Call)(new Couch(stub.url, options), options);
    };

    it('law 1: sends nothing before the subscription, and one request for each subscription', async () => {
      stub.answer((_request, response) =>
        response.writeHead(417).end('{"error":"expectation_failed"}'),
      );
      const operation = call();
      // A request at the call would have arrived before this one.
      await fetch(`${stub.url}/marker`);
      expect(stub.requests.map(({ url }) => url)).toEqual(['/marker']);
      for (let round = 2; round <= 3; round++) {
        const failure = await firstValueFrom(operation).catch((error: unknown) => error);
        expect(failure).toMatchObject({ name: 'HTTPError' });
        expect(stub.requests).toHaveLength(round);
      }
    });

    it('law 2: unsubscribing closes the socket at once, before the head and in the body', async () => {
      for (const begin of [false, true]) {
        let arrived = (): void => {};
        const arrival = new Promise<void>((resolve) => (arrived = resolve));
        stub.answer((_request, response) => {
          if (begin) response.writeHead(200).write('{');
          // By then the head has been sent, if there is one.
          setTimeout(arrived, 5);
        });
        const closed = stub.aborted();
        const events: unknown[] = [];
        let unsubscribed = false;
        const subscription = call().subscribe({
          // A stream may have emitted before.
          next: (value) => unsubscribed && events.push(value),
          error: (error) => events.push(error),
          complete: () => events.push('complete'),
        });
        await arrival;
        unsubscribed = true;
        subscription.unsubscribe();
        await closed;
        expect(events).toEqual([]);
      }
    });
  });
});

describe('law 7: invalid arguments throw at the call, synchronously', () => {
  const db = new Couch().use('db');
  const invalidCalls: Record<string, () => unknown> = {
    'an empty id': () => db.get(''),
    'a list with an empty id': () => db.get(['a', '']),
    'NaN in a document': () => db.save({ n: Number.NaN }),
    'NaN in one of many': () => db.save([{ n: 1 }, { n: Number.NaN }]),
    'delete without _id': () => db.delete({} as never),
    'an unknown option': () => db.view('d/v', { grouping: true } as never),
    'a bad option': () => db.view('d/v', { limit: 1.5 }),
    'viewRows with an unknown option': () => db.viewRows('d/v', { grouping: true } as never),
    'viewRows without a view': () => db.viewRows('v'),
    'changeRows with two filters': () => db.changeRows({ docIds: [], view: 'a/b' }),
    'coalesce with a negative maxWait': () => new Couch(undefined, { coalesce: { maxWait: -1 } }),
    'findRows without a selector': () => db.findRows({} as never),
    'viewPages with a pageSize of 0': () => db.viewPages('d/v', { pageSize: 0 }),
    'viewPages with keys': () => db.viewPages('d/v', { keys: [1] }),
    'viewPages without sorting': () => db.viewPages('d/v', { sorted: false }),
    'viewPages with groupLevel and descending': () =>
      db.viewPages('d/v', { groupLevel: 1, descending: true }),
    'viewPages with an invalid when': () => db.viewPages('d/v', { when: true as never }),
    'a bad since': () => db.changes({ since: '' }),
    'two filters': () => db.changes({ docIds: [], view: 'a/b' }),
    'a bad heartbeat': () => db.changes$({ heartbeat: 0.5 }),
    'a bad database name': () => new Couch().create('Upper'),
    'an unknown feed': () => db.changes$({ feed: 'websocket' as never }),
    'a negative errorTolerance': () => db.changes$({ errorTolerance: -1 }),
    'a linger of NaN': () => db.changes$({ linger: Number.NaN }),
    'changes$ with a limit of 0': () => db.changes$({ limit: 0 }),
    'a consumer without a handler': () => db.consume(undefined as never, { name: 'x' }),
    'a consumer without a name': () => db.consume(() => {}, {} as never),
    'upsert without a function': () => db.upsert('a', undefined as never),
    'upsert of an empty id': () => db.upsert([''], () => null),
    'revs.leaves of an empty id': () => db.revs.leaves(''),
    'revs.resolveLeaves without a merge': () => db.revs.resolveLeaves('a', undefined as never),
    'doc$ of an empty id': () => db.doc$(''),
    'docs$ without a list': () => db.docs$('a' as never),
    'docs$ of an empty id': () => db.docs$(['a', '']),
    'find$ without a selector': () => db.find$({} as never),
    'find$ with fields': () => db.find$({ selector: {}, fields: ['a'] } as never),
    'find$ with a bad limit': () => db.find$({ selector: {}, limit: -1 }),
    'view$ without a view': () => db.view$('v'),
    'view$ with an unknown option': () => db.view$('d/v', { includedocs: true } as never),
    'allDocs$ with a number as startKey': () => db.allDocs$({ startKey: 7 as never }),
    'allDocs$ with an empty id': () => db.allDocs$({ keys: [''] }),
    'edit$ of an empty id': () => db.edit$(''),
    'edit$ with a negative debounce': () => db.edit$('a', { debounce: -1 }),
    'a negative latency of live queries': () =>
      new Couch('http://h', { live: { latency: -1 } }).use('db').doc$('a'),
    'a since in the options of live queries': () =>
      new Couch('http://h', { live: { since: 0 } as never }),
    'a misspelled option of live queries': () =>
      new Database('db', { live: { heartBeat: 1000 } as never }),
    'live queries with a filter': () => new Couch('http://h', { live: { docIds: ['a'] } as never }),
    'live options that are no object': () => new Couch('http://h', { live: true as never }),
    'a bad heartbeat of live queries': () => new Couch('http://h', { live: { heartbeat: 0 } }),
    'dbUpdates$ with a bad since': () => new Couch().dbUpdates$({ since: '' }),
    'dbUpdates$ with an option of changes': () =>
      new Couch().dbUpdates$({ includeDocs: true } as never),
    'dbUpdates$ with a filter': () => new Couch().dbUpdates$({ filter: 'a/b' } as never),
    'changes$ with a bad since': () => db.changes$({ since: Number.NaN as never }),
    'changes$ with a number as since': () => db.changes$({ since: 5 as never }),
    'a backoff of NaN': () => db.changes$({ backoff: { initialDelay: Number.NaN } }),
    'a negative backoff': () => db.changes$({ backoff: { maxDelay: -1 } }),
    'a misspelled backoff': () => db.changes$({ backoff: { maxdelay: 1 } as never }),
    'a backoff that is a number': () => db.changes$({ backoff: 100 as never }),
    'a random that is a number': () => db.changes$({ backoff: { random: 1 as never } }),
    'a consumer with a negative backoff': () =>
      db.consume(() => {}, { name: 'x', backoff: { initialDelay: -1 } }),
    'edit$ with a negative backoff': () => db.edit$('a', { backoff: { initialDelay: -1 } }),
    'deploy with a negative backoff': () =>
      db.designs.deploy({ _id: '_design/d' }, { backoff: { initialDelay: -1 } }),
    'replication$ with a negative backoff': () =>
      new Couch().replication$('a', { backoff: { initialDelay: -1 } }),
    'nodes with a negative backoff': () =>
      new Couch(['http://a', 'http://b'], { nodeBackoff: { initialDelay: -1 } }),
    'a pauseWhile that is no Observable': () => db.changes$({ pauseWhile: true as never }),
    'resolveAllLeaves without a merge': () => resolveAllLeaves(db, undefined as never),
    'resolveAllLeaves with a concurrency of 0': () =>
      resolveAllLeaves(db, (a) => a, { concurrency: 0 }),
    'a bad count': () => new Couch().uuids(0),
    'a show without a design document': () => db.show('s'),
    'a list without a view': () => db.list('d/l', ''),
    'an update with a number': () => db.update('d/u', 'a', 7 as never),
    'a copy without a target': () => db.copy('a', undefined as never),
    'a copy from a document without _id': () => db.copy({} as never, 'a'),
    'an attachment without a name': () => db.putAttachment({ _id: 'a' }, 'x'),
    'a number as an attachment': () => db.putAttachment({ _id: 'a' }, 7 as never, 'f'),
    'an attachment for a document without _id': () => db.putAttachment({} as never, 'x', 'f'),
    'purge without _rev': () => db.purge([{ _id: 'a' } as never]),
    'merge and force': () => db.save({}, { merge: (local) => local, force: true }),
    'a merge that is not a function': () => db.save({}, { merge: true as never }),
    'save with an unknown option': () => db.save({}, { retry: true } as never),
    'a config value without a key': () => new Couch().config('log', 'x' as never),
    'an object as a config value': () => new Couch().config('log/level', {} as never),
    'replicate without a source': () => new Couch().replicate(undefined as never, 'b'),
    'replicate with an unknown option': () =>
      new Couch().replicate('a', 'b', { doc_ids: [] } as never),
    'find without a selector': () => db.find({} as never),
    'find with a list': () => db.find([] as never),
    'find with a string as selector': () => db.find({ selector: 'a' as never }),
    'find with an unknown option': () => db.find({ selector: {}, use_index: 'a' } as never),
    'find with a bad limit': () => db.find({ selector: {}, limit: -1 }),
    'find with an empty list of fields': () => db.find({ selector: {}, fields: [] }),
    'find of NaN': () => db.find({ selector: { a: Number.NaN } }),
    'explain without a selector': () => db.indexes.explain(undefined as never),
    'an index without fields': () => db.indexes.create({} as never),
    'an index of an unknown type': () => db.indexes.create({ fields: ['a'], type: 'geo' as never }),
    'deletion of an index without a name': () => db.indexes.delete({ ddoc: 'd' } as never),
    'deletion of _all_docs': () => db.indexes.delete({ ddoc: null, name: '_all_docs' }),
    'deletion of indexes without a list': () => db.indexes.deleteMany('d' as never),
    'revs.open of an empty id': () => db.revs.open('', 'all'),
    'revs.open with a string as revisions': () => db.revs.open('a', '1-a' as never),
    'revs.bulkGet without a list': () => db.revs.bulkGet('a' as never),
    'revs.bulkGet of an empty id': () => db.revs.bulkGet([{ id: '' }]),
    'revs.bulkGet of a number': () => db.revs.bulkGet([7 as never]),
    'revs.bulkGet with an unknown option': () => db.revs.bulkGet([], { open_revs: true } as never),
    'revs.current of an empty id': () => db.revs.current(''),
    'revs.diff of a list': () => db.revs.diff([] as never),
    'revs.missing with a string as revisions': () => db.revs.missing({ a: '1-a' as never }),
    'newEdits: false without a revision': () => db.save({ _id: 'a' }, { newEdits: false }),
    'newEdits: false for a list without a revision': () =>
      db.save([{ _id: 'a' }], { newEdits: false }),
    'newEdits: false and force': () => db.save(doc(), { newEdits: false, force: true }),
    'a backward range': () => db.getAttachment('a', 'f', { range: { start: 2, end: 1 } }),
    'attachmentUrl without a filename': () => db.attachmentUrl('a', ''),
    'crossTab with a string': () => db.changes$({ crossTab: 'yes' as never }),
    'crossTab with a limit': () => db.changes$({ crossTab: true, limit: 3 }),
    'a range of null': () => db.getAttachment('a', 'f', { range: null as never }).chunks(),
    'local.get without a name': () => db.local.get('_local/'),
    'local.save without _id': () => db.local.save({} as never),
    'local.save of NaN': () => db.local.save({ _id: 'a', n: Number.NaN }),
    'local.copy without a target': () => db.local.copy('a', ''),
    'allDocs with an object as key': () => db.allDocs({ key: {} as never }),
    'allDocs with NaN as key': () => db.allDocs({ key: Number.NaN }),
    'allDocs with an option of view': () => db.allDocs({ reduce: false } as never),
    'allDocs with an array in keys': () => db.allDocs({ keys: [[7] as never] }),
    'designs.list with an unknown option': () => db.designs.list({ includeDocss: true } as never),
    'viewQueries without queries': () => db.viewQueries('d/v', undefined as never),
    'viewQueries with a bad option': () => db.viewQueries('d/v', [{}, { limit: -1 }]),
    'a partition with a colon': () => db.partition('a:b'),
    'a partition with an underscore': () => db.partition('_a'),
    'a partition without a key': () => db.partition(''),
    'a design document without a name': () => db.designs.get(''),
    'designs.save of another document': () => db.designs.save({ _id: 'd' } as never),
    'designs.deploy without _id': () => db.designs.deploy({} as never),
    'designs.deploy with 0 attempts': () =>
      db.designs.deploy({ _id: '_design/d' }, { attempts: 0 }),
    'designs.copy of a number': () => db.designs.copy(7 as never, 'd'),
    'search without q': () => db.search('d/i', {} as never),
    'search without an index': () => db.search('d', { q: 'a' }),
    'search with an unknown option': () =>
      db.search('d/i', { q: 'a', include_docs: true } as never),
    'nouveau without q': () => db.search.nouveau('d/i', {} as never),
    'a revsLimit of 0': () => db.upkeep.revsLimit(0),
    'a purgedInfosLimit of -1': () => db.upkeep.purgedInfosLimit(-1),
    'shards of an empty id': () => db.upkeep.shards(''),
    'autoPurge with a number': () => db.upkeep.autoPurge(7 as never),
    'a query without a function': () => db.query(''),
    'security of null': () => db.upkeep.security(null as never),
    'dbsInfo of an invalid name': () => new Couch().dbsInfo(['Upper']),
    'dbsInfo with an unknown option': () => new Couch().dbsInfo({ start_key: 'a' } as never),
    'dbUpdates with an unknown option': () => new Couch().dbUpdates({ feed: 'x' } as never),
    'an analyzer without a name': () => new Couch().use('db').search.analyze('', 'a'),
    'an analysis of a number': () =>
      new Couch().use('db').search.nouveau.analyze('english', 7 as never),
    'an unknown step of setup': () => new Couch().cluster.setup({ action: 'x' } as never),
    'a step of setup with an option of another step': () =>
      new Couch().cluster.setup({ action: 'finish_cluster', host: 'h' } as never),
    'a node to add without a host': () =>
      new Couch().cluster.setup({ action: 'add_node' } as never),
    'a number as password': () =>
      new Couch().cluster.setup({ action: 'enable_cluster', password: 7 as never }),
    'resharding without a target': () => new Couch().cluster.reshard.create({} as never),
    'resharding of a database and a shard': () =>
      new Couch().cluster.reshard.create({ db: 'a', shard: 's' } as never),
    'resharding of a shard with a range': () =>
      new Couch().cluster.reshard.create({ shard: 's', range: 'r' } as never),
    'a resharding job without an id': () => new Couch().cluster.reshard.job(''),
    'a number as reason': () => new Couch().cluster.reshard.stop(7 as never),
    'a node without a name': () => new Couch().node(''),
    'a node named ..': () => new Couch().node('..'),
    'an invalid name of a replicator database': () =>
      new Couch().scheduler.docs({ replicator: 'orders' }),
    'an unknown state of replications': () =>
      new Couch().scheduler.docs({ states: ['done' as never] }),
    'a job without an id': () => new Couch().scheduler.job(''),
    'a replication without an id': () => new Couch().replication$(''),
    'replication$ with an interval of 0': () => new Couch().replication$('r', { interval: 0 }),
    'replication$ with an unknown option': () =>
      new Couch().replication$('r', { every: 1 } as never),
    'a request to a URL': () => new Couch().request({ path: 'http://elsewhere/db' }),
    'a request to another host': () => new Couch().request({ path: '//elsewhere/db' }),
    'a request without a slash': () => new Couch().request({ path: '_up' }),
    'a request with .. in its path': () => new Couch().request({ path: '/db/../_users' }),
    'a request with an encoded .. in its path': () =>
      new Couch().request({ path: '/db/%2e%2E/_users' }),
    'a request with a backslash': () => new Couch().request({ path: '/db\\..\\_users' }),
    'a request with a line break': () => new Couch().request({ path: '/db\r\nx' }),
    'a request with a fragment': () => new Couch().request({ path: '/db#x' }),
    'a request with credentials': () =>
      new Couch().request({ path: '/db', headers: { Authorization: 'Basic x' } }),
    'a request with an invalid header': () =>
      new Couch().request({ path: '/db', headers: { a: 'b\r\nc: d' } }),
    'a request with an invalid method': () => new Couch().request({ path: '/', method: 'A B' }),
    'a GET request with a body': () => new Couch().request({ path: '/', json: 1 }),
    'a request with two bodies': () =>
      new Couch().request({ method: 'PUT', path: '/a', json: 1, body: 'x' }),
    'a request of NaN': () => new Couch().request({ method: 'PUT', path: '/a', json: Number.NaN }),
    'a request with an invalid body': () =>
      new Couch().request({ method: 'PUT', path: '/a', body: {} as never }),
    'a request with an unknown option': () => new Couch().request({ path: '/', qs: {} } as never),
    'a request with a negative timeout': () => new Couch().request({ path: '/', timeout: -1 }),
    'a request without a path': () => new Couch().request({} as never),
    'no request': () => db.request(undefined as never),
    'a request with .. that leaves the database': () => db.request({ path: '/..' }),
    'a request with an encoded .. that leaves the node': () =>
      new Couch().node().request({ path: '/.%2e/_users' }),
    'a login without a name': () => new Couch().login('', 'secret'),
    'a login without a password': () => new Couch().login('ada', undefined as never),
    'a user without a name': () => new Couch().users.create('', 'secret'),
    'a user without a password': () => new Couch().users.create('ada', ''),
    'a string as roles': () => new Couch().users.setRoles('ada', 'a' as never),
    'a grant without members and admins': () => db.upkeep.grant({}),
    'a grant to an unknown group': () => db.upkeep.grant({ readers: { names: ['ada'] } } as never),
    'a grant of an unknown kind': () => db.upkeep.grant({ members: { users: ['ada'] } } as never),
    'a revocation with a string as names': () =>
      db.upkeep.revoke({ admins: { names: 'a' } } as never),
    'no nodes': () => new Couch([]),
    'a node with an invalid URL': () => new Couch(['http://a', 'b']),
    'a string as credentials': () => new Couch(undefined, { auth: 'ada:secret' as never }),
    'a session without a password': () =>
      new Couch(undefined, { auth: { session: { username: 'ada' } as never } }),
    'a bad login interval': () =>
      new Couch(undefined, { auth: { session: ['ada', 'secret'], loginInterval: -1 } }),
    'a role with a comma': () =>
      new Couch(undefined, { auth: { proxy: { username: 'ada', roles: ['a,b'] } } }),
    'relax without a generator': () => relax(undefined as never),
  };
  it.each(Object.keys(invalidCalls))('%s', (name) => {
    let thrown: unknown;
    try {
      invalidCalls[name]?.();
    } catch (error) {
      thrown = error;
    }
    expect(['TypeError', 'RangeError']).toContain((thrown as Error | undefined)?.name);
    expect((thrown as Error).message).not.toBe('');
  });

  it('an unknown option of live queries is named, with the most similar one', () => {
    expect(() => new Couch('http://h', { live: { heart_beat: 1 } as never })).toThrow(
      "live: unknown option 'heart_beat'; did you mean 'heartbeat'?",
    );
    expect(() => new Couch().dbUpdates$({ includeDocs: true } as never)).toThrow(
      "dbUpdates$: unknown option 'includeDocs'",
    );
  });
});
