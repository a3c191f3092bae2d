import { randomBytes } from 'node:crypto';
import { badRequest, conflict, json, missing, notAllowed, Refusal, valueOf } from './answers.mjs';
import { locationOf } from './databases.mjs';
import { ordered } from './layout.mjs';

// One document: adds the checks of CouchDB that express-pouchdb lacks, and converts its responses
// to those of CouchDB.

const KNOWN_MEMBERS = new Set([
  '_attachments',
  '_conflicts',
  '_deleted',
  '_deleted_conflicts',
  '_id',
  '_local_seq',
  '_rev',
  '_revisions',
  '_revs_info',
]);

/** The id in a path, or undefined if the path is not that of a document. */
export function documentId([, first, second, ...rest]) {
  if (first === undefined) return undefined;
  if (first === '_design' || first === '_local') {
    return second !== undefined && rest.length === 0 ? `${first}/${second}` : undefined;
  }
  return second === undefined ? first : undefined;
}

export async function documents(request, engine) {
  const { segments, method } = request;
  const [name] = segments;
  if (segments.length === 1 && method === 'POST') return post(request, engine, name);
  const id = documentId(segments);
  // As in CouchDB, an unknown path with an underscore is a document id for reads and writes.
  if (id === undefined) return undefined;
  await engine.need(name);
  if (method === 'GET') return get(request, engine, id);
  if (method === 'PUT') return put(request, engine, id);
  if (method === 'DELETE') return remove(request, engine, id);
  if (method === 'COPY') return copy(request, engine, id);
  throw notAllowed('DELETE,GET,HEAD,POST,PUT,COPY');
}

export function checkId(id) {
  if (typeof id !== 'string') {
    throw new Refusal(400, 'illegal_docid', 'Document id must be a string');
  }
  if (id === '') throw new Refusal(400, 'illegal_docid', 'Document id must not be empty');
  if (id.startsWith('_') && !/^_(design|local)\/./.test(id)) {
    throw new Refusal(
      400,
      'illegal_docid',
      'Only reserved document ids may start with underscore.',
    );
  }
}

export function checkMembers(doc) {
  const unknown = Object.keys(doc).find((key) => key.startsWith('_') && !KNOWN_MEMBERS.has(key));
  if (unknown !== undefined) {
    throw new Refusal(400, 'doc_validation', `Bad special document member: ${unknown}`);
  }
  checkRev(doc._rev);
}

function checkRev(rev) {
  if (rev !== undefined && !/^\d+-[0-9a-f]{1,32}$/.test(rev))
    throw badRequest('Invalid rev format');
}

/** Converts an error of express-pouchdb to that of CouchDB. */
export async function inCouchWords(answer, db, id) {
  const { error, reason } = valueOf(answer) ?? {};
  if (answer.status === 409) throw conflict();
  if (answer.status === 404) {
    const failure = await db.get(id).catch((caught) => caught);
    throw missing(failure.reason === 'deleted' ? 'deleted' : 'missing');
  }
  if (answer.status === 500 && reason?.startsWith('Bad special document member')) {
    throw new Refusal(400, 'doc_validation', reason);
  }
  if (answer.status >= 500)
    throw new Refusal(answer.status, 'internal_server_error', String(reason));
  return json(answer.status, { error, reason });
}

async function get(request, engine, id) {
  const [name] = request.segments;
  const db = await engine.open(name);
  const { rev } = Object.fromEntries(request.query);
  checkRev(rev);
  const answer = await engine.ask(request.with({ segments: [name, id] }));
  const value = valueOf(answer);
  if (answer.status !== 200) return inCouchWords(answer, db, id);
  if (Array.isArray(value)) {
    return json(
      200,
      value.map((leaf) => (leaf.ok ? { ok: ordered(leaf.ok) } : leaf)),
    );
  }
  const etag = `"${value._rev}"`;
  if (request.headers['if-none-match'] === etag) {
    return { status: 304, headers: { etag }, body: Buffer.alloc(0) };
  }
  return json(200, ordered(value), { etag });
}

/** The revision in the query, the If-Match header or the body. */
function revisionOf(request, doc = {}) {
  const header = request.headers['if-match']?.replaceAll('"', '');
  const query = request.query.get('rev') ?? undefined;
  if (doc._rev !== undefined && query !== undefined && doc._rev !== query) {
    throw badRequest('Document rev from request body and query string have different values');
  }
  if (header !== undefined && (doc._rev ?? query ?? header) !== header) {
    throw badRequest('Document rev and etag have different values');
  }
  return doc._rev ?? query ?? header;
}

async function put(request, engine, id) {
  checkId(id);
  const [name] = request.segments;
  const type = request.headers['content-type'] ?? '';
  if (type.startsWith('multipart/')) {
    const answer = await engine.ask(request.with({ segments: [name, id] }));
    return answer.status === 201
      ? written(request, answer, id)
      : inCouchWords(answer, await engine.open(name), id);
  }
  const value = request.json();
  if (value === null || typeof value !== 'object' || Array.isArray(value)) {
    throw badRequest('Document must be a JSON object');
  }
  // CouchDB uses the id in the URL and ignores the one in the body.
  return save(request, engine, { ...value, _id: id });
}

async function post(request, engine, name) {
  await engine.need(name);
  request.needJson();
  const value = request.json();
  if (value === null || typeof value !== 'object' || Array.isArray(value)) {
    throw badRequest('Document must be a JSON object');
  }
  const id = value._id ?? randomBytes(16).toString('hex');
  checkId(id);
  return save(request, engine, { ...value, _id: id });
}

/** Writes one document with express-pouchdb, so that validation functions run. */
async function save(request, engine, doc) {
  const [name] = request.segments;
  checkMembers(doc);
  const rev = revisionOf(request, doc);
  const db = await engine.open(name);
  const query = Object.fromEntries(request.query);
  for (const key of ['rev', 'batch', 'w']) delete query[key];
  const body = { ...doc, ...(rev !== undefined && { _rev: rev }) };
  const write = request.withJson(body, { method: 'PUT', segments: [name, doc._id], query });
  const answer = await engine.ask(write);
  if (answer.status !== 201) return inCouchWords(answer, db, doc._id);
  return written(request, answer, doc._id, rev);
}

/** `given` is the revision for new_edits=false, for which express-pouchdb returns none. */
function written(request, answer, id, given) {
  const [name] = request.segments;
  const { rev = given } = valueOf(answer);
  const location = locationOf(request, name, id);
  // With batch=ok CouchDB returns no revision.
  if (request.query.get('batch') === 'ok') return json(202, { ok: true, id }, { location });
  return json(201, { ok: true, id, rev }, { location, etag: `"${rev}"` });
}

async function remove(request, engine, id) {
  const [name] = request.segments;
  const db = await engine.open(name);
  const rev = revisionOf(request);
  checkRev(rev);
  const present = await db.get(id).catch((failure) => failure);
  if (present.status === 404) throw missing(present.reason === 'deleted' ? 'deleted' : 'missing');
  if (rev === undefined) throw conflict();
  // The tombstone does not contain the fields of the document.
  const answer = await engine.ask(
    request.withJson(
      { _id: id, _rev: rev, _deleted: true },
      { method: 'PUT', segments: [name, id], query: {} },
    ),
  );
  if (answer.status !== 201) return inCouchWords(answer, db, id);
  const { rev: gone } = valueOf(answer);
  if (request.query.get('batch') === 'ok') return json(202, { ok: true, id });
  return json(200, { ok: true, id, rev: gone }, { etag: `"${gone}"` });
}

async function copy(request, engine, id) {
  const [name] = request.segments;
  const { destination } = request.headers;
  if (!destination) throw badRequest('Destination header is mandatory for COPY.');
  if (/^https?:/.test(destination)) throw badRequest('Destination URL must be relative.');
  const [path, search] = destination.split('?');
  const target = decodeURIComponent(path);
  checkId(target);
  const source = await engine.ask(
    request.with({
      method: 'GET',
      segments: [name, id],
      query: { ...Object.fromEntries(request.query), attachments: 'true' },
    }),
  );
  if (source.status !== 200) return inCouchWords(source, await engine.open(name), id);
  const { _rev, ...doc } = valueOf(source);
  const rev = new URLSearchParams(search).get('rev');
  return save(request.with({ query: {} }), engine, {
    ...doc,
    _id: target,
    ...(rev && { _rev: rev }),
  });
}
