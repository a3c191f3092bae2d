import { createHash } from 'node:crypto';
import { json, missing, notAllowed, notHere, Refusal } from './answers.mjs';

const DEFAULT_SECURITY = { members: { roles: ['_admin'] }, admins: { roles: ['_admin'] } };

/** The settings and the maintenance of a database. Most have no effect in memory. */
export async function upkeep(request, engine) {
  const [name, route, ...rest] = request.segments;
  if (route === '_design' && rest[1] === '_info' && request.method === 'GET') {
    return designInfo(engine, name, rest[0]);
  }
  if (!Object.hasOwn(routes, route ?? '')) return undefined;
  return routes[route](request, engine, rest);
}

const routes = {
  async _security(request, engine) {
    const [name] = request.segments;
    const instance = engine.instance(name);
    if (request.method === 'GET') return json(200, securityOf(engine, name));
    if (request.method !== 'PUT') throw notAllowed('PUT,GET,HEAD');
    instance.security = request.jsonObject();
    return json(200, { ok: true });
  },
  async _compact(request, engine, [ddoc]) {
    onlyPost(request);
    if (ddoc !== undefined) await designDocument(engine, request.segments[0], ddoc);
    return json(202, { ok: true });
  },
  async _view_cleanup(request) {
    onlyPost(request);
    return json(202, { ok: true });
  },
  async _ensure_full_commit(request, engine) {
    onlyPost(request);
    const { startTime } = engine.instance(request.segments[0]);
    return json(201, { ok: true, instance_start_time: startTime });
  },
  async _revs_limit(request, engine) {
    const instance = engine.instance(request.segments[0]);
    if (request.method === 'GET') return json(200, instance.revsLimit ?? 1000);
    if (request.method !== 'PUT') throw notAllowed('PUT,GET,HEAD');
    const limit = request.json();
    if (!Number.isInteger(limit) || limit < 1) {
      throw new Refusal(500, 'unknown_error', 'function_clause');
    }
    instance.revsLimit = limit;
    return json(200, { ok: true });
  },
  _purge: refuse,
  _purged_infos_limit: refuse,
  _purged_infos: refuse,
  _shards: refuse,
  _sync_shards: refuse,
  _auto_purge: refuse,
};

async function refuse(request) {
  throw notHere(request.segments[1]);
}

function onlyPost(request) {
  if (request.method !== 'POST') throw notAllowed('POST');
  request.needJson();
}

export function securityOf(engine, name) {
  return engine.instance(name).security ?? DEFAULT_SECURITY;
}

async function designDocument(engine, name, ddoc) {
  const db = await engine.open(name);
  return db.get(`_design/${ddoc}`).catch(({ reason }) => {
    throw missing(reason === 'deleted' ? 'deleted' : 'missing');
  });
}

async function designInfo(engine, name, ddoc) {
  const doc = await designDocument(engine, name, ddoc);
  const db = await engine.open(name);
  const { update_seq: seq } = await db.info();
  const views = JSON.stringify(doc.views ?? {});
  return json(200, {
    name: ddoc,
    view_index: {
      updates_pending: { minimum: 0, preferred: 0, total: 0 },
      waiting_commit: false,
      waiting_clients: 0,
      updater_running: false,
      update_seq: seq,
      sizes: { file: 4096, external: 0, active: 0 },
      signature: createHash('md5').update(views).digest('hex'),
      purge_seq: 0,
      language: doc.language ?? 'javascript',
      compact_running: false,
    },
  });
}
