import { afterAll, beforeAll, describe, expect } from '@jest/globals';
import { Couch, isHTTPError } from 'corduroy';
import type { ConnectionOptions, Database, TransportResponse } from 'corduroy';
import { EMPTY, Subject, catchError, firstValueFrom, of, takeUntil, tap, throwError } from 'rxjs';
import { operations } from './helpers/operations.ts';
import type { Call } from './helpers/operations.ts';
import { basicAuth } from './helpers/running-server.ts';
import { needs, server } from './helpers/server.ts';
import { startIsolatedServer } from './helpers/servers.ts';
import type { RunningServer } from './helpers/servers.ts';

// The operations change a whole server, so they run on an isolated one.

const alone = server.kind !== 'given';
let own: RunningServer;
beforeAll(async () => {
  if (!alone) return;
  own = await startIsolatedServer();
  await send('PUT', '/_users/org.couchdb.user:ada', ADA);
  const calls: Record<string, Call> = { ...operations };
  for (const [name, call] of Object.entries(variants))
    calls[name] = (couch) => call(couch.use('db'), couch);
  let isOriginal = false;
  for (const [name, call] of Object.entries(calls)) {
    if (!isOriginal) await restore();
    const sent = await requestsOf(call);
    requests[name] = sent;
    isOriginal = sent.every(({ reads }) => reads);
  }
}, 120_000);
afterAll(() => own?.stop(), 30_000);

const ADA = { name: 'ada', password: 'secret', roles: [], type: 'user' };

const DESIGN = {
  language: 'javascript',
  views: { v: { map: 'function (doc) { emit(doc._id, null); }' } },
  shows: { s: 'function () { return "s"; }' },
  lists: { l: 'function () { return "l"; }' },
  updates: { u: 'function (doc) { return [null, "u"]; }' },
};

/** The content of the database. The ids have all forms that change a path. */
const DOCS = [
  ...['a', 'b', 'x/y z', '..'].map((_id) => ({ _id, _rev: '1-a' })),
  ...['_design/d', '_design/x/y'].map((_id) => ({ _id, _rev: '1-a', ...DESIGN })),
];

async function send(method: string, path: string, body?: unknown): Promise<void> {
  const response = await fetch(own.url + path, {
    method,
    headers: {
      authorization: basicAuth(own.username, own.password),
      'content-type': 'application/json',
    },
    ...(body !== undefined && { body: JSON.stringify(body) }),
  });
  await response.arrayBuffer();
}

/** Makes the database as it was. */
async function restore(): Promise<void> {
  await send('DELETE', '/db');
  await send('PUT', '/db');
  await send('POST', '/db/_bulk_docs', { new_edits: false, docs: DOCS });
}

/** Calls of operations that send other requests than those of the list of all operations. */
const variants: Record<string, (db: Database, couch: Couch) => ReturnType<Call>> = {
  'info of a part of the configuration': (_, couch) => couch.config('a'),
  'the whole configuration': (_, couch) => couch.config(),
  'a value of the configuration, set': (_, couch) => couch.config('a/b', 1),
  'a value of the configuration, deleted': (_, couch) =>
    couch.config('a/b', undefined, { delete: true }),
  'a part of the statistics': (_, couch) => couch.stats('httpd/requests'),
  'a document of a job': (_, couch) => couch.scheduler.doc('x/_replicator', 'x/y'),
  'a replication with a document': (_, couch) => couch.replicate('a', 'b', { _id: 'r' }),
  'the end of it': (_, couch) => couch.replicate('a', 'b', { _id: 'r', cancel: true }),
  'a document with a slash': (db) => db.get('x/y z'),
  'a document whose id no URL can hold': (db) => db.get('..'),
  'a document whose id no URL can hold, saved': (db) => db.save({ _id: '.' }),
  'a document whose id no URL can hold, deleted': (db) => db.delete({ _id: '..', _rev: '1-a' }),
  'a design document with a slash': (db) => db.get('_design/x/y'),
  'a local document': (db) => db.get('_local/x/y'),
  'many reads in a turn': (db) => db.revs.bulkGet(['a', 'b']),
  'a long list of revisions': (db) => db.get('a', { attsSince: Array(500).fill('1-0123456789') }),
  'many open revisions': (db) => db.revs.open('a', Array(500).fill('1-0123456789')),
  'an attachment of a design document': (db) =>
    db.putAttachment({ _id: '_design/x/y', _rev: '1-a' }, 'x', 'f/g'),
  'an attachment with a slash': (db) => db.getAttachment('x/y z', 'f/g', { rev: '1-a' }),
  'a list by keys': (db) => db.allDocs({ keys: ['a'] }),
  'a long list': (db) => db.allDocs({ startKey: 'a'.repeat(7000) }),
  'design documents by keys': (db) => db.designs.list({ keys: ['_design/d'] }),
  'local documents by keys': (db) => db.local.list({ keys: ['a'] }),
  'all documents as a view': (db) => db.view('_all_docs'),
  'queries of all documents': (db) => db.viewQueries('_all_docs', [{}]),
  'queries of design documents': (db) => db.viewQueries('_design_docs', [{}]),
  'queries of local documents': (db) => db.viewQueries('_local_docs', [{}]),
  'a view of a design document with a slash': (db) => db.view('x/y/v'),
  'a long query': (db) => db.view('d/v', { startKey: 'a'.repeat(7000) }),
  'a show function with a document': (db) => db.show('d/s', 'x/y z', { n: 1 }),
  'a show function with a design document': (db) => db.show('d/s', '_design/d'),
  'a list function of another design document': (db) => db.list('d/l', 'x/y/v', {}, { n: 1 }),
  'a list function with keys': (db) => db.list('d/l', 'v', { keys: ['a'] }),
  'an update function with a document': (db) => db.update('d/u', 'x/y z', 'text', { n: 1 }),
  'changes of some documents': (db) => db.changes({ docIds: ['a'] }),
  'a stream of changes that match': (db) => db.changeRows({ selector: {} }),
  'a feed of changes that match': (db) => db.changes$({ selector: {}, since: 0 }),
  'the state of a view': (db) => db.compact('d', { wait: true }),
  'the shard of a document': (db) => db.upkeep.shards('x/y'),
  'purgedInfosLimit, set': (db) => db.upkeep.purgedInfosLimit(5),
  'autoPurge, set': (db) => db.upkeep.autoPurge({ deleted_document_ttl: '30_day' }),
  'a view of a partition with keys': (db) => db.partition('p').view('d/v', { keys: [1] }),
  'documents of a partition by keys': (db) => db.partition('p').allDocs({ keys: ['p:a'] }),
  'a temporary view': (db) => db.query('function (doc) { emit(doc._id, 1); }'),
  'a new design document': (db) => db.designs.deploy({ ...DESIGN, _id: '_design/new' }),
  'another request': (db) => db.request({ path: '/_shards/a?x=1', query: { y: 2 } }),
  'another request with a route': (db) =>
    db.request({ path: '/_shards/x%2Fy', route: '/_shards/{docid}', repeatable: false }),
  'another read': (db) =>
    db.request({ method: 'POST', path: '/_find', route: '/_find', json: {}, reads: true }),
  'another repeatable request': (_, couch) =>
    couch.request({ method: 'PUT', path: '/db/_revs_limit', json: 9, repeatable: true }),
};

/** What a request does to the server: nothing, the same each time, or something else each time. */
type Effect = 'reads' | 'repeatable' | 'writes';

/** All requests, by method and route. The documentation of CouchDB decides which can be repeated. */
const expected: Record<string, Effect> = {
  'GET /': 'reads',
  'GET /*': 'reads',
  'POST /*': 'writes',
  'PUT /*': 'repeatable',
  'GET /_active_tasks': 'reads',
  'GET /_all_dbs': 'reads',
  'GET /_cluster_setup': 'reads',
  'POST /_cluster_setup': 'writes',
  'GET /_db_updates': 'reads',
  'GET /_dbs_info': 'reads',
  'POST /_dbs_info': 'reads',
  'GET /_membership': 'reads',
  'GET /_node/{node-name}': 'reads',
  'GET /_node/{node-name}/*': 'reads',
  'GET /_node/{node-name}/_config': 'reads',
  'POST /_node/{node-name}/_config/_reload': 'repeatable',
  'GET /_node/{node-name}/_config/{section}': 'reads',
  'DELETE /_node/{node-name}/_config/{section}/{key}': 'writes',
  'GET /_node/{node-name}/_config/{section}/{key}': 'reads',
  'PUT /_node/{node-name}/_config/{section}/{key}': 'writes',
  'GET /_node/{node-name}/_prometheus': 'reads',
  'POST /_node/{node-name}/_restart': 'writes',
  'GET /_node/{node-name}/_smoosh/status': 'reads',
  'GET /_node/{node-name}/_stats': 'reads',
  'GET /_node/{node-name}/_stats/*': 'reads',
  'GET /_node/{node-name}/_system': 'reads',
  'GET /_node/{node-name}/_versions': 'reads',
  'POST /_nouveau_analyze': 'reads',
  'POST /_reload_query_servers': 'repeatable',
  'POST /_replicate': 'writes',
  'GET /_reshard': 'reads',
  'GET /_reshard/jobs': 'reads',
  'POST /_reshard/jobs': 'writes',
  'DELETE /_reshard/jobs/{jobid}': 'writes',
  'GET /_reshard/jobs/{jobid}': 'reads',
  'GET /_reshard/jobs/{jobid}/state': 'reads',
  'PUT /_reshard/jobs/{jobid}/state': 'repeatable',
  'GET /_reshard/state': 'reads',
  'PUT /_reshard/state': 'repeatable',
  'GET /_scheduler/docs/{replicator_db}': 'reads',
  'GET /_scheduler/docs/{replicator_db}/{docid}': 'reads',
  'GET /_scheduler/jobs': 'reads',
  'GET /_scheduler/jobs/{jobid}': 'reads',
  'POST /_search_analyze': 'reads',
  'DELETE /_session': 'repeatable',
  'GET /_session': 'reads',
  'POST /_session': 'repeatable',
  'GET /_up': 'reads',
  'GET /_uuids': 'reads',
  'DELETE /{db}': 'writes',
  'GET /{db}': 'reads',
  'HEAD /{db}': 'reads',
  'POST /{db}': 'writes',
  'PUT /{db}': 'writes',
  'GET /{db}/*': 'reads',
  'GET /{db}/_all_docs': 'reads',
  'POST /{db}/_all_docs': 'reads',
  'POST /{db}/_all_docs/queries': 'reads',
  'GET /{db}/_auto_purge': 'reads',
  'PUT /{db}/_auto_purge': 'repeatable',
  'POST /{db}/_bulk_docs': 'writes',
  'POST /{db}/_bulk_get': 'reads',
  'GET /{db}/_changes': 'reads',
  'POST /{db}/_changes': 'reads',
  'POST /{db}/_compact': 'repeatable',
  'POST /{db}/_compact/{ddoc}': 'repeatable',
  'COPY /{db}/_design/{ddoc}': 'writes',
  'DELETE /{db}/_design/{ddoc}': 'writes',
  'GET /{db}/_design/{ddoc}': 'reads',
  'PUT /{db}/_design/{ddoc}': 'writes',
  'GET /{db}/_design/{ddoc}/_info': 'reads',
  'GET /{db}/_design/{ddoc}/_list/{func}/{other-ddoc}/{view}': 'reads',
  'GET /{db}/_design/{ddoc}/_list/{func}/{view}': 'reads',
  'POST /{db}/_design/{ddoc}/_list/{func}/{view}': 'reads',
  'POST /{db}/_design/{ddoc}/_nouveau/{index}': 'reads',
  'GET /{db}/_design/{ddoc}/_nouveau_info/{index}': 'reads',
  'POST /{db}/_design/{ddoc}/_search/{index}': 'reads',
  'GET /{db}/_design/{ddoc}/_search_disk_size/{index}': 'reads',
  'GET /{db}/_design/{ddoc}/_search_info/{index}': 'reads',
  'GET /{db}/_design/{ddoc}/_show/{func}': 'reads',
  'GET /{db}/_design/{ddoc}/_show/{func}/{docid}': 'reads',
  'POST /{db}/_design/{ddoc}/_update/{func}': 'writes',
  'PUT /{db}/_design/{ddoc}/_update/{func}/{docid}': 'writes',
  'GET /{db}/_design/{ddoc}/_view/{view}': 'reads',
  'POST /{db}/_design/{ddoc}/_view/{view}': 'reads',
  'POST /{db}/_design/{ddoc}/_view/{view}/queries': 'reads',
  'PUT /{db}/_design/{ddoc}/{attname}': 'writes',
  'GET /{db}/_design_docs': 'reads',
  'POST /{db}/_design_docs': 'reads',
  'POST /{db}/_design_docs/queries': 'reads',
  'POST /{db}/_ensure_full_commit': 'repeatable',
  'POST /{db}/_explain': 'reads',
  'POST /{db}/_find': 'reads',
  'GET /{db}/_index': 'reads',
  'POST /{db}/_index': 'writes',
  'POST /{db}/_index/_bulk_delete': 'writes',
  'DELETE /{db}/_index/_design/{ddoc}/{type}/{name}': 'writes',
  'COPY /{db}/_local/{docid}': 'writes',
  'DELETE /{db}/_local/{docid}': 'writes',
  'GET /{db}/_local/{docid}': 'reads',
  'PUT /{db}/_local/{docid}': 'writes',
  'GET /{db}/_local_docs': 'reads',
  'POST /{db}/_local_docs': 'reads',
  'POST /{db}/_local_docs/queries': 'reads',
  'POST /{db}/_missing_revs': 'reads',
  'POST /{db}/_nouveau_cleanup': 'repeatable',
  'GET /{db}/_partition/{partition_id}': 'reads',
  'GET /{db}/_partition/{partition_id}/_all_docs': 'reads',
  'POST /{db}/_partition/{partition_id}/_all_docs': 'reads',
  'POST /{db}/_partition/{partition_id}/_design/{ddoc}/_nouveau/{index}': 'reads',
  'POST /{db}/_partition/{partition_id}/_design/{ddoc}/_search/{index}': 'reads',
  'GET /{db}/_partition/{partition_id}/_design/{ddoc}/_view/{view}': 'reads',
  'POST /{db}/_partition/{partition_id}/_design/{ddoc}/_view/{view}': 'reads',
  'POST /{db}/_partition/{partition_id}/_explain': 'reads',
  'POST /{db}/_partition/{partition_id}/_find': 'reads',
  'POST /{db}/_purge': 'writes',
  'GET /{db}/_purged_infos': 'reads',
  'GET /{db}/_purged_infos_limit': 'reads',
  'PUT /{db}/_purged_infos_limit': 'repeatable',
  'POST /{db}/_revs_diff': 'reads',
  'GET /{db}/_revs_limit': 'reads',
  'PUT /{db}/_revs_limit': 'repeatable',
  'POST /{db}/_search_cleanup': 'repeatable',
  'GET /{db}/_security': 'reads',
  'PUT /{db}/_security': 'repeatable',
  'GET /{db}/_shards': 'reads',
  'GET /{db}/_shards/{docid}': 'reads',
  'POST /{db}/_sync_shards': 'repeatable',
  'POST /{db}/_view_cleanup': 'repeatable',
  'COPY /{db}/{docid}': 'writes',
  'DELETE /{db}/{docid}': 'writes',
  'GET /{db}/{docid}': 'reads',
  'HEAD /{db}/{docid}': 'reads',
  'PUT /{db}/{docid}': 'writes',
  'DELETE /{db}/{docid}/{attname}': 'writes',
  'GET /{db}/{docid}/{attname}': 'reads',
  'HEAD /{db}/{docid}/{attname}': 'reads',
  'PUT /{db}/{docid}/{attname}': 'writes',
};

/** The endpoints of CouchDB that read with POST. Those of a database exist for a partition, too. */
const READING_POSTS = new Set([
  '/_dbs_info',
  '/_nouveau_analyze',
  '/_search_analyze',
  '/{db}/_all_docs',
  '/{db}/_all_docs/queries',
  '/{db}/_bulk_get',
  '/{db}/_changes',
  '/{db}/_design/{ddoc}/_list/{func}/{other-ddoc}/{view}',
  '/{db}/_design/{ddoc}/_list/{func}/{view}',
  '/{db}/_design/{ddoc}/_nouveau/{index}',
  '/{db}/_design/{ddoc}/_search/{index}',
  '/{db}/_design/{ddoc}/_view/{view}',
  '/{db}/_design/{ddoc}/_view/{view}/queries',
  '/{db}/_design_docs',
  '/{db}/_design_docs/queries',
  '/{db}/_explain',
  '/{db}/_find',
  '/{db}/_local_docs',
  '/{db}/_local_docs/queries',
  '/{db}/_missing_revs',
  '/{db}/_revs_diff',
]);

interface Sent {
  readonly method: string;
  readonly route: string;
  readonly path: string;
  readonly reads: boolean;
  readonly repeatable: boolean;
}

/** The requests of each operation, by its name. */
const requests: Record<string, readonly Sent[]> = {};

/** The answer to a request that would end the server, or make it replicate. */
const done = (): TransportResponse => ({
  status: 200,
  headers: { 'content-type': 'application/json' },
  body: of(new TextEncoder().encode('{"ok":true}')),
});

/** Runs an operation up to its first value, its end, or the first response of its feed. */
async function requestsOf(call: Call): Promise<readonly Sent[]> {
  const sent: Sent[] = [];
  const opened$ = new Subject<void>();
  const options: ConnectionOptions = {
    auth: own,
    networkLinks: [
      (request, next) => {
        sent.push(request);
        if (/^\/(?:_node\/.*\/_restart$|_replicat)/.test(request.path)) return of(done());
        const isFeed = /\/_(?:changes|db_updates)$/.test(request.route) && request.endless;
        return next(request).pipe(tap(() => isFeed && opened$.next()));
      },
    ],
  };
  const operation$ = call(new Couch(own.url, options), options).pipe(
    takeUntil(opened$),
    // Some endpoints do not exist on the server of the tests, or refuse the request.
    catchError((error: unknown) => (isHTTPError(error) ? EMPTY : throwError(() => error))),
  );
  await firstValueFrom(operation$, { defaultValue: null });
  return sent;
}

const specify = needs('process');

/** The values that names of routes stand for. All other values begin with no underscore. */
const VALUES: Record<string, string> = {
  '{db}': '(?:[a-z][^/]*|_users|_replicator)',
  '{node-name}': '(?:_local|n%40h)',
  '{replicator_db}': '(?:[a-z][^/]*)?_replicator',
  // A function can take a design document.
  '{func}/{docid}': '[^_/][^/]*/(?:_design/)?[^_/][^/]*',
  '*': '.*',
};

/** Tells whether a path is one that its route stands for. */
function fits(path: string, route: string): boolean {
  const pattern = route.replace(
    /\{func\}\/\{docid\}|\{[^}]+\}|\*/g,
    (name) => VALUES[name] ?? '[^_/][^/]*',
  );
  return new RegExp(`^${pattern}$`).test(path.split('?')[0] ?? '');
}

describe('the routes of the requests of all operations', () => {
  const all = (): [string, Sent][] =>
    Object.entries(requests).flatMap(([name, list]) =>
      list.map((one) => [name, one] as [string, Sent]),
    );
  const without = (isRight: (one: Sent) => boolean): string[] =>
    all()
      .filter(([, one]) => !isRight(one))
      .map(([name, { method, path, route }]) => `${name}: ${method} ${path} as ${route}`);

  specify('stand for their paths', () => {
    expect(without(({ path, route }) => fits(path, route))).toEqual([]);
  });

  specify('hold no value of the user', () => {
    const isName = (name: string): boolean =>
      /^(?:\{[a-z_-]+\}|_[a-z_]+|jobs|state|docs|status|queries|\*|)$/.test(name);
    expect(without(({ route }) => route.split('/').every(isName))).toEqual([]);
  });

  specify('are those of CouchDB, each with its effect', () => {
    const effects = all().map(([, { method, route, reads, repeatable }]) => {
      const effect = reads ? 'reads' : repeatable ? 'repeatable' : 'writes';
      return `${method} ${route}: ${effect}`;
    });
    const lines = Object.entries(expected).map(([line, effect]) => `${line}: ${effect}`);
    expect([...new Set(effects)].sort()).toEqual(lines.sort());
  });

  specify('read with every GET and HEAD, and with the POST requests to reading endpoints', () => {
    const reads = ({ method, route }: Sent): boolean =>
      method === 'GET' ||
      method === 'HEAD' ||
      (method === 'POST' && READING_POSTS.has(route.replace('/_partition/{partition_id}', '')));
    expect(without((one) => one.reads === reads(one))).toEqual([]);
  });
});
