import { createHash, randomBytes } from 'node:crypto';
import { json, missing, Refusal } from './answers.mjs';
import { createDatabase } from './databases.mjs';

/** POST /_replicate with PouchDB's replication: one-time, continuous, and cancel. */
export class Replication {
  #running = new Map();
  #last = new Map();

  async handle(request, engine) {
    if (request.segments[0] !== '_replicate' || request.method !== 'POST') return undefined;
    request.needJson();
    const job = request.jsonObject();
    if (job.cancel === true) return this.#cancel(job);
    if (!job.source || !job.target) {
      throw new Refusal(500, 'error', 'Missing replicator database');
    }
    const source = await open(request, engine, job.source);
    const target = await open(request, engine, job.target, job.create_target === true);
    const options = {
      ...(job.doc_ids && { doc_ids: job.doc_ids }),
      ...(job.selector && { selector: job.selector }),
      ...(job.filter && { filter: job.filter, query_params: job.query_params }),
      checkpoint: job.use_checkpoints !== false,
    };
    const id = idOf(job);
    if (job.continuous === true) return this.#follow(engine, id, source, target, options);
    return this.#once(engine, id, source, target, options);
  }

  #follow(engine, id, source, target, options) {
    if (!this.#running.has(id)) {
      const live = engine.PouchDB.replicate(source, target, {
        ...options,
        live: true,
        retry: true,
      });
      live.catch(() => this.#running.delete(id));
      this.#running.set(id, live);
    }
    return json(202, { ok: true, _local_id: id });
  }

  #cancel(job) {
    const id = job.replication_id ?? job._local_id ?? idOf(job);
    const live = this.#running.get(id);
    if (!live) throw missing();
    live.cancel();
    this.#running.delete(id);
    return json(200, { ok: true, _local_id: id });
  }

  async #once(engine, id, source, target, options) {
    const done = await engine.PouchDB.replicate(source, target, options);
    const before = this.#last.get(id);
    if (before && done.docs_written === 0)
      return json(200, { ok: true, no_changes: true, ...before });
    const session = randomBytes(16).toString('hex');
    const counts = {
      docs_read: done.docs_read,
      docs_written: done.docs_written,
      doc_write_failures: done.doc_write_failures,
    };
    const times = { start_time: printTime(done.start_time), end_time: printTime(done.end_time) };
    const last = typeof done.last_seq === 'number' ? `${done.last_seq}-embedded` : done.last_seq;
    const entry = {
      session_id: session,
      ...times,
      start_last_seq: before?.source_last_seq ?? 0,
      end_last_seq: last,
      recorded_seq: last,
      missing_checked: done.docs_read,
      missing_found: done.docs_read,
      ...counts,
    };
    const answer = {
      session_id: session,
      source_last_seq: last,
      replication_id_version: 4,
      ...times,
      ...counts,
      history: [entry, ...(before?.history ?? [])],
    };
    this.#last.set(id, answer);
    return json(200, { ok: true, ...answer });
  }
}

const printTime = (time) => new Date(time).toUTCString();

/** The id of a job. Equal for the requests that start and cancel it. */
function idOf({ source, target, doc_ids, selector, filter, query_params, continuous }) {
  const what = JSON.stringify([source, target, doc_ids, selector, filter, query_params]);
  const hash = createHash('md5').update(what).digest('hex');
  return continuous ? `${hash}+continuous` : hash;
}

/** An endpoint of a replication: a name, a URL, or an object with a URL and credentials. */
async function open(request, engine, end, create = false) {
  const { url: place, headers = {}, auth } = typeof end === 'string' ? { url: end } : end;
  const url = /^https?:/.test(place) ? new URL(place) : undefined;
  const here = url === undefined || url.host === request.headers.host;
  if (!here) return openRemote(engine, url, { headers, auth, create });
  // A database of this server is opened directly, without HTTP.
  const name = decodeURIComponent(url ? url.pathname.replaceAll(/^\/|\/$/g, '') : place);
  if (!(await engine.has(name))) {
    if (!create) throw notFound(`http://${request.headers.host}/${encodeURIComponent(name)}/`);
    await createDatabase(request, engine, name);
  }
  return engine.open(name);
}

async function openRemote(engine, url, { headers, auth, create }) {
  const basic = auth?.basic ?? {
    username: decodeURIComponent(url.username),
    password: decodeURIComponent(url.password),
  };
  const bare = `${url.origin}${url.pathname.replace(/\/$/, '')}`;
  const all = {
    ...headers,
    ...(basic.username && {
      authorization: `Basic ${Buffer.from(`${basic.username}:${basic.password}`).toString('base64')}`,
    }),
  };
  const response = await fetch(bare, { headers: all, method: create ? 'PUT' : 'GET' }).catch(
    () => null,
  );
  await response?.arrayBuffer();
  if (!response?.ok && !(create && response?.status === 412)) throw notFound(`${bare}/`);
  return new engine.PouchDB(bare, {
    skip_setup: true,
    fetch(address, options = {}) {
      const sent = new Headers(options.headers);
      for (const [name, value] of Object.entries(all)) sent.set(name, value);
      return fetch(address, { ...options, headers: sent });
    },
  });
}

const notFound = (place) => new Refusal(500, 'db_not_found', `could not open ${place}`);
