import { randomBytes } from 'node:crypto';
import { badRequest, json, missing, notAllowed, notHere, Refusal, valueOf } from './answers.mjs';
import { printSeq } from './sequences.mjs';

const LEGAL_NAME = /^[a-z][a-z0-9_$()+/-]*$/;
/** Endpoints of CouchDB that this server does not have. */
const ELSEWHERE = new Set([
  '_cluster_setup',
  '_db_updates',
  '_nouveau_analyze',
  '_reshard',
  '_scheduler',
  '_search_analyze',
  '_utils',
]);
const SYSTEM = new Set(['_users', '_replicator', '_global_changes']);

/** Requests whose path has at most one segment: the server, and whole databases. */
export async function databases(request, engine) {
  const [name] = request.segments;
  if (request.segments.length > 1) {
    if (ELSEWHERE.has(name)) throw notHere(name);
    await engine.need(name);
    return undefined;
  }
  if (name === undefined) return welcome();
  if (name === '_up') return json(200, { status: 'ok', seeds: {} });
  if (name === '_all_dbs') return allDatabases(request, engine);
  if (name === '_dbs_info') return databasesInfo(request, engine);
  if (name === '_uuids') return uuids(request);
  if (ELSEWHERE.has(name)) throw notHere(name);
  if (request.method === 'PUT') return create(request, engine, name);
  if (request.method === 'DELETE') return remove(request, engine, name);
  if (request.method === 'GET') return json(200, await info(engine, name));
  if (request.method !== 'POST') throw notAllowed('DELETE,GET,HEAD,POST');
  return undefined;
}

function welcome() {
  return json(200, {
    couchdb: 'Welcome',
    version: 'express-pouchdb 4.2.0 (embedded)',
    features: [],
    vendor: { name: 'Corduroy, for tests and demonstrations' },
  });
}

async function allDatabases(request, engine) {
  const names = await engine.names();
  const { query } = request;
  const first = query.get('startkey') ?? query.get('start_key');
  const last = query.get('endkey') ?? query.get('end_key');
  const skip = Number(query.get('skip') ?? 0);
  const limit = Number(query.get('limit') ?? Infinity);
  const found = names
    .filter((name) => first === null || name >= JSON.parse(first))
    .filter((name) => last === null || name <= JSON.parse(last));
  if (request.flag('descending')) found.reverse();
  return json(200, found.slice(skip, skip + limit));
}

async function databasesInfo(request, engine) {
  if (request.method === 'POST') request.needJson();
  const keys = request.method === 'POST' ? request.jsonObject().keys : await engine.names();
  if (!Array.isArray(keys)) throw badRequest('`keys` member must exist.');
  const rows = keys.map(async (key) =>
    (await engine.has(key)) ? { key, info: await info(engine, key) } : { key, error: 'not_found' },
  );
  return json(200, await Promise.all(rows));
}

function uuids(request) {
  const count = request.query.get('count') ?? '1';
  if (!/^\d+$/.test(count)) throw badRequest('count must be a positive integer');
  if (Number(count) > 1000) throw badRequest('count parameter too large');
  const made = Array.from({ length: Number(count) }, () => randomBytes(16).toString('hex'));
  return json(200, { uuids: made }, { 'cache-control': 'no-cache', pragma: 'no-cache' });
}

export function checkName(name) {
  if (LEGAL_NAME.test(name) || SYSTEM.has(name)) return;
  throw new Refusal(
    400,
    'illegal_database_name',
    `Name: '${name}'. Only lowercase characters (a-z), digits (0-9), and any of the characters ` +
      '_, $, (, ), +, -, and / are allowed. Must begin with a letter.',
  );
}

async function create(request, engine, name) {
  checkName(name);
  if (await engine.has(name)) throw exists();
  await createDatabase(request, engine, name);
  return json(201, { ok: true }, { location: locationOf(request, name) });
}

const exists = () =>
  new Refusal(412, 'file_exists', 'The database could not be created, the file already exists.');

export async function createDatabase(request, engine, name) {
  const segments = [name];
  const answer = await engine.ask(
    request.with({ method: 'PUT', segments, query: {}, body: Buffer.alloc(0) }),
  );
  if (answer.status === 412) throw exists();
  if (answer.status !== 201) {
    throw new Refusal(answer.status, 'internal_server_error', valueOf(answer)?.reason ?? 'unknown');
  }
}

export function locationOf(request, ...segments) {
  return `http://${request.headers.host}/${segments.map(encodeURIComponent).join('/')}`;
}

async function remove(request, engine, name) {
  if (request.query.has('rev')) {
    throw badRequest(
      'You tried to DELETE a database with a ?=rev parameter. Did you mean to DELETE a document instead?',
    );
  }
  if (!(await engine.has(name))) throw missing('Database does not exist.');
  await engine.ask(request);
  await engine.forget(name);
  return json(200, { ok: true });
}

/** The response to GET /db. Sizes are estimates, because memory has no files. */
async function info(engine, name) {
  const db = await engine.open(name);
  const { doc_count: count, update_seq: seq } = await db.info();
  const instance = engine.instance(name);
  const { results } = await db.changes({ return_docs: true });
  const size = 4096 + seq * 256;
  return {
    instance_start_time: instance.startTime,
    db_name: name,
    purge_seq: printSeq(0, instance),
    update_seq: printSeq(seq, instance),
    sizes: { file: size, external: count * 64, active: count * 128 },
    props: {},
    doc_del_count: results.filter(({ deleted }) => deleted).length,
    doc_count: count,
    disk_format_version: 8,
    compact_running: false,
    cluster: { q: 1, n: 1, w: 1, r: 1 },
  };
}
