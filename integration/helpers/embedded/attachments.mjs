import { conflict, json, missing, valueOf } from './answers.mjs';
import { locationOf } from './databases.mjs';

/**
 * Attachments of one document. express-pouchdb stores them, but its errors for missing ones differ.
 */
export async function attachments(request, engine) {
  const path = split(request.segments);
  if (!path || !['GET', 'PUT', 'DELETE'].includes(request.method)) return undefined;
  const { name, id, file } = path;
  const db = await engine.open(name);
  const rev = request.query.get('rev') ?? request.headers['if-match']?.replaceAll('"', '');
  if (request.method === 'GET') return read(request, engine, db, path);
  if (request.method === 'DELETE') {
    const doc = await db.get(id).catch(absent);
    if (!doc._attachments?.[file]) throw missing('Document is missing attachment');
    if (rev === undefined) throw conflict();
  }
  const answer = await engine.ask(request.with({ query: rev === undefined ? {} : { rev } }));
  if (answer.status === 409) throw conflict();
  if (answer.status >= 400) return answer;
  const { rev: newRev } = valueOf(answer);
  const location = { location: locationOf(request, name, id, file) };
  const put = request.method === 'PUT';
  return json(put ? 201 : 200, { ok: true, id, rev: newRev }, put ? location : {});
}

function split([name, first, second, third, ...rest]) {
  if (first === undefined || second === undefined) return undefined;
  if (first === '_design') {
    // _view, _show and the like are routes of a design document, not files on it.
    if (third === undefined || third.startsWith('_')) return undefined;
    return { name, id: `_design/${second}`, file: [third, ...rest].join('/') };
  }
  if (first.startsWith('_')) return undefined;
  return {
    name,
    id: first,
    file: [second, third, ...rest].filter((part) => part !== undefined).join('/'),
  };
}

function absent({ reason }) {
  throw missing(reason === 'deleted' ? 'deleted' : 'missing');
}

async function read(request, engine, db, { id, file }) {
  const rev = request.query.get('rev') ?? undefined;
  const doc = await db.get(id, rev === undefined ? {} : { rev }).catch(absent);
  const stub = doc._attachments?.[file];
  if (!stub) throw missing('Document is missing attachment');
  const etag = `"${stub.digest.replace(/^md5-/, '')}"`;
  if (request.headers['if-none-match'] === etag) {
    return { status: 304, headers: { etag }, body: Buffer.alloc(0) };
  }
  const { status, body } = await engine.ask(request);
  return {
    status,
    headers: { etag, 'content-type': stub.content_type, 'accept-ranges': 'none' },
    body,
  };
}
