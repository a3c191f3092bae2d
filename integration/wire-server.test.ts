import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { Couch } from 'corduroy';
import { firstValueFrom, lastValueFrom, toArray } from 'rxjs';
import { json, startStub } from './helpers/stub-server.ts';
import type { StubServer } from './helpers/stub-server.ts';
import { expectExchange } from './helpers/wire.ts';
import type { WireTable } from './helpers/wire.ts';

// The requests of the operations on a server, its nodes, its cluster and its replications.

let stub: StubServer;
beforeAll(async () => {
  stub = await startStub();
});
afterAll(() => stub.close());

const ok = { ok: true };
const info = { update_seq: '1-a', doc_count: 3, sizes: { file: 9 } };
const job = {
  id: '001-a',
  type: 'split',
  source: 'shards/00000000-7fffffff/a.1',
  target: ['shards/00000000-3fffffff/a.1', 'shards/40000000-7fffffff/a.1'],
  job_state: 'running',
  split_state: 'initial_copy',
  node: 'n@h',
  start_time: '2026-01-01T00:00:00Z',
  update_time: '2026-01-01T00:00:01Z',
};
const reshardJob = {
  id: '001-a',
  type: 'split',
  source: job.source,
  target: job.target,
  jobState: 'running',
  splitState: 'initial_copy',
  node: 'n@h',
  startTime: job.start_time,
  updateTime: job.update_time,
  raw: job,
};
const counted = {
  revisions_checked: 5,
  missing_revisions_found: 4,
  docs_read: 3,
  docs_written: 2,
  doc_write_failures: 1,
  changes_pending: 7,
  checkpointed_source_seq: '5-a',
};
const counts = {
  revisionsChecked: 5,
  missingRevisionsFound: 4,
  docsRead: 3,
  docsWritten: 2,
  docWriteFailures: 1,
  changesPending: 7,
  checkpointedSourceSeq: '5-a',
};
const running = {
  database: '_replicator',
  doc_id: 'r/1',
  id: 'abc+continuous',
  node: 'n@h',
  source: 'http://h/a/',
  target: 'http://h/b/',
  state: 'running',
  info: counted,
  error_count: 0,
  start_time: '2026-01-01T00:00:00Z',
  last_updated: '2026-01-01T00:00:01Z',
};
const status = {
  id: 'r/1',
  replicator: '_replicator',
  state: 'running',
  jobId: 'abc+continuous',
  source: 'http://h/a/',
  target: 'http://h/b/',
  node: 'n@h',
  errorCount: 0,
  error: null,
  counts,
  startTime: running.start_time,
  lastUpdated: running.last_updated,
  raw: running,
};
const completed = { ...running, id: null, state: 'completed' };
const scheduled = {
  ...running,
  pid: '<0.1.0>',
  user: 'ada',
  history: [{ type: 'started', timestamp: '2026-01-01T00:00:00Z' }],
};

const server: WireTable = [
  [
    'couch.info',
    (c) => c.info(),
    {
      sends: 'GET /',
      answers: [
        { couchdb: 'Welcome', version: '3.5.0', uuid: 'u', features: ['f'], vendor: { name: 'v' } },
      ],
      emits: expect.objectContaining({
        version: '3.5.0',
        uuid: 'u',
        features: ['f'],
        vendor: 'v',
      }),
    },
  ],
  [
    'couch.info of a server that returns few fields',
    (c) => c.info(),
    {
      sends: 'GET /',
      answers: [{ version: '2' }],
      emits: { version: '2', uuid: null, features: [], vendor: null, raw: { version: '2' } },
    },
  ],
  ['couch.up', (c) => c.up(), { sends: 'GET /_up', answers: [{ status: 'ok' }], emits: true }],
  [
    'couch.dbsInfo',
    (c) => c.dbsInfo({ startKey: 'a', limit: 2 }),
    {
      sends: 'GET /_dbs_info?startkey=%22a%22&limit=2',
      answers: [
        [
          { key: 'a', info },
          { key: 'b', error: 'not_found' },
        ],
      ],
      emits: [expect.objectContaining({ name: 'a', docCount: 3, updateSeq: '1-a' })],
    },
  ],
  [
    'couch.dbsInfo by name',
    (c) => c.dbsInfo(['b', 'a/c']),
    {
      sends: 'POST /_dbs_info {"keys":["b","a/c"]}',
      answers: [
        [
          { key: 'b', error: 'not_found' },
          { key: 'a/c', info },
        ],
      ],
      emits: [null, expect.objectContaining({ name: 'a/c' })],
    },
  ],
  [
    'couch.dbsInfo of no names',
    (c) => c.dbsInfo([]),
    { sends: 'POST /_dbs_info {"keys":[]}', answers: [[]], emits: [] },
  ],
  [
    'couch.dbUpdates',
    (c) => c.dbUpdates({ since: '5-a', limit: 1, descending: true }),
    {
      sends: 'GET /_db_updates?since=5-a&limit=1&descending=true',
      answers: [{ results: [{ db_name: 'a', type: 'created', seq: '6-b' }], last_seq: '6-b' }],
      emits: { lastSeq: '6-b', results: [{ dbName: 'a', type: 'created', seq: '6-b' }] },
    },
  ],
  [
    'db.search.analyze',
    (c) => c.use('db').search.analyze('english', 'running'),
    {
      sends: 'POST /_search_analyze {"analyzer":"english","text":"running"}',
      answers: [{ tokens: ['run'] }],
      emits: ['run'],
    },
  ],
  [
    'db.search.nouveau.analyze',
    (c) => c.use('db').search.nouveau.analyze('english', ''),
    {
      sends: 'POST /_nouveau_analyze {"analyzer":"english","text":""}',
      answers: [{ tokens: [] }],
      emits: [],
    },
  ],
  [
    'couch.reloadQueryServers',
    (c) => c.reloadQueryServers(),
    { sends: 'POST /_reload_query_servers', answers: [ok], emits: true },
  ],
];

const cluster: WireTable = [
  [
    'membership',
    (c) => c.cluster.membership(),
    {
      sends: 'GET /_membership',
      answers: [{ all_nodes: ['a', 'b'], cluster_nodes: ['a'] }],
      emits: { allNodes: ['a', 'b'], clusterNodes: ['a'] },
    },
  ],
  [
    'setup',
    (c) => c.cluster.setup(),
    {
      sends: 'GET /_cluster_setup',
      answers: [{ state: 'cluster_enabled' }],
      emits: 'cluster_enabled',
    },
  ],
  [
    'setup with databases',
    (c) => c.cluster.setup({ ensureDbsExist: ['_users'] }),
    { sends: 'GET /_cluster_setup?ensure_dbs_exist=%5B%22_users%22%5D', answers: [{ state: 'x' }] },
  ],
  [
    'setup, enable_single_node',
    (c) =>
      c.cluster.setup({
        action: 'enable_single_node',
        username: 'a',
        password: 'b',
        bindAddress: '::',
        port: 5984,
        ensureDbsExist: ['_users'],
      }),
    {
      sends:
        'POST /_cluster_setup {"action":"enable_single_node","username":"a","password":"b","bind_address":"::","port":5984,"ensure_dbs_exist":["_users"]}',
      answers: [ok],
      emits: true,
    },
  ],
  [
    'setup, enable_cluster',
    (c) =>
      c.cluster.setup({
        action: 'enable_cluster',
        nodeCount: 3,
        remoteNode: 'h',
        remoteCurrentUser: 'a',
        remoteCurrentPassword: 'b',
      }),
    {
      sends:
        'POST /_cluster_setup {"action":"enable_cluster","node_count":3,"remote_node":"h","remote_current_user":"a","remote_current_password":"b"}',
    },
  ],
  [
    'setup, add_node',
    (c) => c.cluster.setup({ action: 'add_node', host: 'h', port: 1, username: 'a', password: '' }),
    {
      sends:
        'POST /_cluster_setup {"action":"add_node","host":"h","port":1,"username":"a","password":""}',
    },
  ],
  [
    'setup, finish_cluster',
    (c) => c.cluster.setup({ action: 'finish_cluster' }),
    { sends: 'POST /_cluster_setup {"action":"finish_cluster"}', emits: true },
  ],
  [
    'reshard.summary',
    (c) => c.cluster.reshard.summary(),
    {
      sends: 'GET /_reshard',
      answers: [
        {
          state: 'stopped',
          state_reason: 'x',
          total: 10,
          running: 1,
          stopped: 2,
          completed: 3,
          failed: 4,
        },
      ],
      emits: {
        state: 'stopped',
        reason: 'x',
        total: 10,
        running: 1,
        stopped: 2,
        completed: 3,
        failed: 4,
      },
    },
  ],
  [
    'reshard.state',
    (c) => c.cluster.reshard.state(),
    {
      sends: 'GET /_reshard/state',
      answers: [{ state: 'running', reason: null }],
      emits: { state: 'running', reason: null },
    },
  ],
  [
    'reshard.start',
    (c) => c.cluster.reshard.start(),
    { sends: 'PUT /_reshard/state {"state":"running"}', answers: [ok], emits: true },
  ],
  [
    'reshard.stop',
    (c) => c.cluster.reshard.stop('lunch'),
    { sends: 'PUT /_reshard/state {"state":"stopped","reason":"lunch"}', emits: true },
  ],
  [
    'reshard.jobs',
    (c) => c.cluster.reshard.jobs(),
    { sends: 'GET /_reshard/jobs', answers: [{ total_rows: 1, jobs: [job] }], emits: [reshardJob] },
  ],
  [
    'reshard.job',
    (c) => c.cluster.reshard.job('001-a'),
    { sends: 'GET /_reshard/jobs/001-a', answers: [job], emits: reshardJob },
  ],
  [
    'reshard.create for a database',
    (c) => c.cluster.reshard.create({ db: 'a/b', range: '00000000-7fffffff', node: 'n@h' }),
    {
      sends:
        'POST /_reshard/jobs {"type":"split","db":"a/b","range":"00000000-7fffffff","node":"n@h"}',
      answers: [
        [
          { ok: true, id: '001-a', node: 'n@h', shard: 's' },
          { error: 'too many', node: 'n@h', shard: 't' },
        ],
      ],
      emits: [
        { ok: true, id: '001-a', node: 'n@h', shard: 's' },
        { ok: false, error: 'too many', node: 'n@h', shard: 't' },
      ],
    },
  ],
  [
    'reshard.create for a shard',
    (c) => c.cluster.reshard.create({ shard: 'shards/00000000-7fffffff/a.1' }),
    {
      sends: 'POST /_reshard/jobs {"type":"split","shard":"shards/00000000-7fffffff/a.1"}',
      answers: [[]],
      emits: [],
    },
  ],
  [
    'reshard.jobState',
    (c) => c.cluster.reshard.jobState('001-a'),
    {
      sends: 'GET /_reshard/jobs/001-a/state',
      answers: [{ state: 'completed', reason: null }],
      emits: { state: 'completed', reason: null },
    },
  ],
  [
    'reshard.startJob',
    (c) => c.cluster.reshard.startJob('001-a'),
    { sends: 'PUT /_reshard/jobs/001-a/state {"state":"running"}', emits: true },
  ],
  [
    'reshard.stopJob',
    (c) => c.cluster.reshard.stopJob('001-a'),
    { sends: 'PUT /_reshard/jobs/001-a/state {"state":"stopped"}', emits: true },
  ],
  [
    'reshard.deleteJob',
    (c) => c.cluster.reshard.deleteJob('a/b'),
    { sends: 'DELETE /_reshard/jobs/a%2Fb', answers: [ok], emits: true },
  ],
];

const node: WireTable = [
  [
    'name',
    (c) => c.node().name(),
    { sends: 'GET /_node/_local', answers: [{ name: 'n@h' }], emits: 'n@h' },
  ],
  [
    'name of a named node',
    (c) => c.node('n@h').name(),
    { sends: 'GET /_node/n%40h', answers: [{ couchdb: 'Welcome' }], emits: 'n@h' },
  ],
  [
    'config of another node',
    (c) => c.node('n@h').config('log/level', 'debug', { persist: false }),
    { sends: 'PUT /_node/n%40h/_config/log/level "debug"', answers: ['info'], emits: 'info' },
  ],
  [
    'config',
    (c) => c.node().config(),
    { sends: 'GET /_node/_local/_config', answers: [{ log: {} }], emits: { log: {} } },
  ],
  [
    'reloadConfig',
    (c) => c.node().reloadConfig(),
    { sends: 'POST /_node/_local/_config/_reload', answers: [ok], emits: true },
  ],
  [
    'stats',
    (c) => c.node('n@h').stats('httpd/requests'),
    {
      sends:
        'GET /_node/n%40h/_stats/httpd/requests\nGET /_node/n%40h/_stats/couchdb/httpd/requests',
      answers: [null, { value: 1 }],
      emits: { value: 1 },
    },
  ],
  [
    'prometheus',
    (c) => c.node().prometheus(),
    {
      sends: 'GET /_node/_local/_prometheus',
      headers: { 'content-type': 'text/plain; version=2.0' },
      answers: ['couchdb_uptime_seconds 7'],
      emits: '"couchdb_uptime_seconds 7"',
    },
  ],
  [
    'smoosh',
    (c) => c.node().smoosh(),
    {
      sends: 'GET /_node/_local/_smoosh/status',
      answers: [
        {
          channels: { ratio_dbs: { active: 1, starting: 2, waiting: { size: 3, min: 4, max: 5 } } },
        },
      ],
      emits: { ratio_dbs: { active: 1, starting: 2, waiting: { size: 3, min: 4, max: 5 } } },
    },
  ],
  [
    'system',
    (c) => c.node().system(),
    {
      sends: 'GET /_node/_local/_system',
      answers: [
        {
          uptime: 7,
          memory: { ets: 1 },
          process_count: 2,
          process_limit: 3,
          run_queue: 4,
          os_proc_count: 5,
          message_queues: { config: 6 },
        },
      ],
      emits: expect.objectContaining({
        uptime: 7,
        memory: { ets: 1 },
        processCount: 2,
        processLimit: 3,
        runQueue: 4,
        osProcCount: 5,
        messageQueues: { config: 6 },
      }),
    },
  ],
  [
    'versions',
    (c) => c.node().versions(),
    {
      sends: 'GET /_node/_local/_versions',
      answers: [
        {
          erlang: { version: '25', supported_hashes: [] },
          collation_driver: { name: 'libicu', library_version: '70.1' },
          javascript_engine: { name: 'quickjs' },
        },
      ],
      emits: expect.objectContaining({
        erlang: '25',
        collation: { name: 'libicu', version: '70.1' },
        javascriptEngine: { name: 'quickjs', version: null },
      }),
    },
  ],
  [
    'restart',
    (c) => c.node().restart(),
    { sends: 'POST /_node/_local/_restart', answers: [ok], emits: true },
  ],
  [
    'request',
    (c) => c.node('n@h').request({ path: '/_dbs', query: { a: 1 } }),
    {
      sends: 'GET /_node/n%40h/_dbs?a=1',
      answers: [{ db_name: '_dbs' }],
      emits: { db_name: '_dbs' },
    },
  ],
];

const scheduler: WireTable = [
  [
    'jobs',
    (c) => c.scheduler.jobs({ limit: 1, skip: 2 }),
    {
      sends: 'GET /_scheduler/jobs?limit=1&skip=2',
      answers: [{ total_rows: 3, offset: 2, jobs: [scheduled] }],
      emits: {
        totalRows: 3,
        offset: 2,
        jobs: [
          {
            id: 'abc+continuous',
            docId: 'r/1',
            replicator: '_replicator',
            source: 'http://h/a/',
            target: 'http://h/b/',
            user: 'ada',
            node: 'n@h',
            pid: '<0.1.0>',
            startTime: running.start_time,
            counts,
            history: scheduled.history,
            raw: scheduled,
          },
        ],
      },
    },
  ],
  [
    'job of replicate',
    (c) => c.scheduler.job('abc+continuous'),
    {
      sends: 'GET /_scheduler/jobs/abc%2Bcontinuous',
      answers: [{ ...scheduled, doc_id: null, database: null, pid: null, info: null }],
      emits: expect.objectContaining({ docId: null, replicator: null, pid: null, counts: null }),
    },
  ],
  [
    'docs',
    (c) => c.scheduler.docs(),
    {
      sends: 'GET /_scheduler/docs/_replicator',
      answers: [{ total_rows: 1, offset: null, docs: [running] }],
      emits: { totalRows: 1, offset: 0, docs: [status] },
    },
  ],
  [
    'docs with options',
    (c) =>
      c.scheduler.docs({
        replicator: 'team/_replicator',
        states: ['crashing', 'error'],
        limit: 1,
        skip: 2,
        descending: true,
      }),
    {
      sends:
        'GET /_scheduler/docs/team%2F_replicator?states=crashing%2Cerror&limit=1&skip=2&descending=true',
      answers: [{ total_rows: 0, offset: 0, docs: [] }],
    },
  ],
  [
    'doc',
    (c) => c.scheduler.doc('_replicator', 'r/1'),
    { sends: 'GET /_scheduler/docs/_replicator/r%2F1', answers: [running], emits: status },
  ],
  [
    'doc of a failed replication',
    (c) => c.scheduler.doc('_replicator', 'r'),
    {
      sends: 'GET /_scheduler/docs/_replicator/r',
      answers: [{ doc_id: 'r', state: 'crashing', info: { error: 'no' }, error_count: 2 }],
      emits: expect.objectContaining({
        state: 'crashing',
        error: 'no',
        errorCount: 2,
        counts: null,
      }),
    },
  ],
  [
    'doc without a state',
    (c) => c.scheduler.doc('_replicator', 'r'),
    {
      sends: 'GET /_scheduler/docs/_replicator/r',
      answers: [{ doc_id: 'r', database: '_replicator', id: null, state: null, info: null }],
      emits: expect.objectContaining({ state: 'initializing', error: null, errorCount: 0 }),
    },
  ],
  [
    'replication$',
    (c) => c.replication$('r/1', { interval: 1 }).pipe(toArray()),
    {
      sends: Array(3).fill('GET /_scheduler/docs/_replicator/r%2F1').join('\n'),
      answers: [running, running, completed],
      emits: [status, { ...status, state: 'completed', jobId: null, raw: completed }],
    },
  ],
];

describe('on the wire', () => {
  describe.each(Object.entries({ server, cluster, node, scheduler }))('%s', (_, table) => {
    it.each(table)('%s', (__, call, exchange) => expectExchange(stub, call, exchange));
  });

  it('dbsInfo requests 100 names at a time, and keeps their order', async () => {
    const names = Array.from({ length: 250 }, (_, n) => `db-${n}`);
    stub.requests.length = 0;
    stub.answer(({ body }, response) => {
      const { keys } = JSON.parse(body.toString()) as { keys: string[] };
      json(keys.map((key) => ({ key, info })))({} as never, response);
    });
    const infos = await firstValueFrom(new Couch(stub.url).dbsInfo(names));
    expect(infos.map((one) => one?.name)).toEqual(names);
    const asked = stub.requests.map(
      ({ body }) => (JSON.parse(body.toString()) as { keys: string[] }).keys.length,
    );
    expect(asked).toEqual([100, 100, 50]);
  });

  it.each(['maintenance_mode', 'nolb', 'seeding'])(
    'up is false for a 404 with the error %s',
    async (said) => {
      stub.answer(json({ status: said }, 404));
      const couch = new Couch(stub.url);
      expect(await firstValueFrom(couch.up())).toBe(false);
      expect(await firstValueFrom(couch.up().status())).toMatchObject({ ok: true, code: 404 });
    },
  );

  it('up errors if another server than CouchDB answers', async () => {
    stub.answer((_, response) => response.writeHead(404).end('<h1>Not found</h1>'));
    await expect(firstValueFrom(new Couch(stub.url).up())).rejects.toMatchObject({
      name: 'NotFound',
    });
    stub.answer((_, response) => response.writeHead(503).end());
    await expect(firstValueFrom(new Couch(stub.url).up())).rejects.toMatchObject({
      name: 'ServerError',
    });
    await expect(firstValueFrom(new Couch('http://127.0.0.1:1').up())).rejects.toMatchObject({
      name: 'ConnectionError',
    });
  });

  it.each([
    ['/_reload_query_servers', (c: Couch) => c.reloadQueryServers()],
    ['/_node/_local/_config/_reload', (c: Couch) => c.node().reloadConfig()],
    ['/_node/_local/_restart', (c: Couch) => c.node().restart()],
  ])('POST %s has the JSON content type, and no body', async (_, call) => {
    stub.requests.length = 0;
    stub.answer(json(ok));
    await firstValueFrom(call(new Couch(stub.url)));
    expect(stub.requests[0]?.headers).toMatchObject({ 'content-type': 'application/json' });
    expect(stub.requests[0]?.body).toHaveLength(0);
  });

  it('replication$ errors with NotFound for a missing document, and for a deleted one', async () => {
    stub.answer(json({ error: 'not_found', reason: 'missing' }, 404));
    const never = new Couch(stub.url).replication$('r', { interval: 1 });
    await expect(lastValueFrom(never)).rejects.toMatchObject({ name: 'NotFound', deleted: false });
    let turn = 0;
    stub.answer((request, response) => {
      turn += 1;
      const answer =
        turn === 1 ? json(running) : json({ error: 'not_found', reason: 'missing' }, 404);
      answer(request, response);
    });
    const states: string[] = [];
    const gone = new Couch(stub.url).replication$('r', { interval: 1 });
    const failure: unknown = await new Promise((resolve) => {
      gone.subscribe({ next: ({ state }) => states.push(state), error: resolve });
    });
    expect(states).toEqual(['running']);
    expect(failure).toMatchObject({ name: 'NotFound', deleted: true, status: 404 });
  });
});
