import { isRecord } from './reply.ts';
import { reversed, byCodeUnits, findTree } from './memory-database.ts';
import type { MemoryDatabase } from './memory-database.ts';
import { Refusal, badRequest, json, missing, notImplemented } from './reply.ts';
import type { Reply } from './reply.ts';
import type { Revision, RevisionTree } from './revision-tree.ts';
import type { ServerRequest } from './route.ts';

type Query = ServerRequest['query'];

/** Answers a request for one document. */
export function documentReply(db: MemoryDatabase, id: string, request: ServerRequest): Reply {
  const { method, query, body } = request;
  if (id.startsWith('_local/')) return localReply(db, id, request);
  switch (method) {
    case 'GET':
    case 'HEAD':
      return 'open_revs' in query ? openRevisions(db, id, query) : read(db, id, query);
    case 'PUT':
      return write(db, id, body, query);
    case 'DELETE': {
      if (findTree(db, id).winner.deleted) throw missing('deleted');
      const { rev } = query;
      const deleted = { _deleted: true, ...(rev !== undefined && { _rev: rev }) };
      return json(200, { ok: true, ...db.write(id, deleted) });
    }
    default:
      throw notImplemented(`support ${method} on documents`);
  }
}

/** Writes one document. */
export function write(db: MemoryDatabase, id: string, body: unknown, query: Query): Reply {
  const { rev } = query;
  const doc = rev === undefined || !isRecord(body) ? body : { ...body, _rev: rev };
  const written = query['new_edits'] === 'false' ? db.writeReplicated(id, doc) : db.write(id, doc);
  if (query['batch'] === 'ok') return json(202, { ok: true, id });
  return json(201, { ok: true, ...written }, { etag: `"${written.rev}"` });
}

function read(db: MemoryDatabase, id: string, query: Query): Reply {
  const tree = findTree(db, id);
  const { rev, latest } = query;
  const found =
    rev === undefined ? tree.winner : latest === 'true' ? tree.latest(rev) : tree.find(rev);
  if (found === undefined || found.fields === null) throw missing();
  if (rev === undefined && found.deleted) throw missing('deleted');
  return json(200, toDocument(db, id, found, query), { etag: `"${found.rev}"` });
}

function openRevisions(db: MemoryDatabase, id: string, query: Query): Reply {
  const tree = findTree(db, id);
  const { open_revs: openRevs = 'all' } = query;
  if (openRevs === 'all') {
    return json(
      200,
      tree.leaves.map((leaf) => ({ ok: toDocument(db, id, leaf, query) })),
    );
  }
  const revs: unknown = JSON.parse(openRevs);
  if (!Array.isArray(revs)) throw badRequest('open_revs must be a JSON list');
  const answers = revs.map((rev: string) => {
    const found = query['latest'] === 'true' ? tree.latest(rev) : tree.find(rev);
    if (found === undefined || found.fields === null) return { missing: rev };
    return { ok: toDocument(db, id, found, query) };
  });
  return json(200, answers);
}

/** Returns a revision as a document, with the metadata that the query asks for. */
export function toDocument(
  db: MemoryDatabase,
  id: string,
  revision: Revision,
  query: Query,
): Readonly<Record<string, unknown>> {
  const tree = findTree(db, id);
  const allMetadata = query['meta'] === 'true';
  const includes = (name: string): boolean => allMetadata || query[name] === 'true';
  const doc: Record<string, unknown> = { _id: id, _rev: revision.rev, ...revision.fields };
  if (revision.deleted) doc['_deleted'] = true;
  if (query['revs'] === 'true') doc['_revisions'] = ancestryOf(tree, revision.rev);
  if (includes('revs_info')) {
    doc['_revs_info'] = tree.ancestry(revision.rev).map((rev) => {
      const found = tree.find(rev);
      const isMissing = found === undefined || found.fields === null;
      return { rev, status: isMissing ? 'missing' : found.deleted ? 'deleted' : 'available' };
    });
  }
  const others = tree.leaves.filter(({ rev }) => rev !== revision.rev);
  addRevisions(
    doc,
    '_conflicts',
    includes('conflicts') ? others.filter((leaf) => !leaf.deleted) : [],
  );
  addRevisions(
    doc,
    '_deleted_conflicts',
    includes('deleted_conflicts') ? others.filter((leaf) => leaf.deleted) : [],
  );
  if (query['local_seq'] === 'true') {
    doc['_local_seq'] = db.seqs.find(([changedId]) => changedId === id)?.[1];
  }
  return doc;
}

function addRevisions(
  doc: Record<string, unknown>,
  name: string,
  revisions: readonly Revision[],
): void {
  if (revisions.length > 0) doc[name] = revisions.map(({ rev }) => rev);
}

function ancestryOf(tree: RevisionTree, rev: string): object {
  const revs = tree.ancestry(rev);
  return {
    start: Number.parseInt(rev, 10),
    ids: revs.map((ancestor) => ancestor.slice(ancestor.indexOf('-') + 1)),
  };
}

/** Answers a request for a local document. It has no history and no conflicts. */
function localReply(db: MemoryDatabase, id: string, request: ServerRequest): Reply {
  const { method, body, query } = request;
  const known = db.local.get(id);
  if (method === 'GET' || method === 'HEAD') {
    if (known === undefined) throw missing();
    return json(200, { _id: id, _rev: `0-${known.revisionNumber}`, ...known.fields });
  }
  if (method === 'PUT') {
    if (!isRecord(body)) throw badRequest('Document must be a JSON object');
    const { _id, _rev: rev = query['rev'] ?? '0-0', ...fields } = body;
    const revisionNumber = Number(/^0-(\d+)$/.exec(String(rev))?.[1]) + 1;
    if (Number.isNaN(revisionNumber)) throw new Refusal(500, 'error', 'Invalid rev format');
    db.local.set(id, { revisionNumber, fields });
    return json(201, { ok: true, id, rev: `0-${revisionNumber}` });
  }
  if (method === 'DELETE') {
    if (!db.local.delete(id)) throw missing();
    return json(200, { ok: true, id, rev: '0-0' });
  }
  throw notImplemented(`support ${method} on documents`);
}

/** Writes many documents: `_bulk_docs`. Each succeeds or fails independently. */
export function bulkDocs(db: MemoryDatabase, body: unknown, newId: () => string): Reply {
  if (!isRecord(body) || !Array.isArray(body['docs']))
    throw badRequest('POST body must include `docs` parameter.');
  if (body['all_or_nothing'] === true) throw notImplemented('support all_or_nothing');
  const isReplicated = body['new_edits'] === false;
  const results: object[] = [];
  for (const doc of body['docs'] as readonly unknown[]) {
    if (!isRecord(doc)) throw badRequest('Document must be a JSON object');
    const { _id: id = newId() } = doc as { readonly _id?: string };
    try {
      const written = isReplicated ? db.writeReplicated(id, doc) : db.write(id, doc);
      if (!isReplicated) results.push({ ok: true, ...written });
    } catch (error) {
      if (!(error instanceof Refusal) || error.status !== 409) throw error;
      results.push({ id, error: error.error, reason: error.message });
    }
  }
  return json(201, results);
}

/** Reads many revisions: `_bulk_get`. Without a `rev` it returns all leaves. */
export function bulkGet(db: MemoryDatabase, body: unknown, query: Query): Reply {
  if (!isRecord(body) || !Array.isArray(body['docs']))
    throw badRequest('Missing JSON list of `docs`.');
  const results = (body['docs'] as readonly { id: string; rev?: string }[]).map(({ id, rev }) => {
    const tree = db.tree(id);
    const notFound = {
      error: { id, rev: rev ?? 'undefined', error: 'not_found', reason: 'missing' },
    };
    if (tree === undefined) return { id, docs: [notFound] };
    const latest = query['latest'] === 'true';
    const revisions =
      rev === undefined ? tree.leaves : [latest ? tree.latest(rev) : tree.find(rev)];
    const docs = revisions.map((one) =>
      one === undefined || one.fields === null ? notFound : { ok: toDocument(db, id, one, query) },
    );
    return { id, docs };
  });
  return json(200, { results });
}

/** Lists the documents by id: `_all_docs`. */
export function allDocs(db: MemoryDatabase, { query, body }: ServerRequest): Reply {
  const options = isRecord(body) ? body : {};
  const option = (...names: readonly string[]): unknown => {
    for (const name of names) {
      if (name in options) return options[name];
      const text = query[name];
      if (text !== undefined) return parse(text);
    }
    return undefined;
  };
  const { ids } = db;
  const keys = option('keys');
  const skip = Number(option('skip') ?? 0);
  const limit = Number(option('limit') ?? Infinity);
  const descending = option('descending') === true;
  const includeDocs = option('include_docs') === true;
  const row = (id: string): object => rowOf(db, id, includeDocs, query);
  if (Array.isArray(keys)) {
    const ordered: readonly string[] = descending ? reversed(keys) : keys;
    const rows = ordered.slice(skip, skip + limit).map(row);
    return json(200, { total_rows: ids.length, offset: null, rows });
  }
  const key = option('key');
  const start = key ?? option('startkey', 'start_key');
  const end = key ?? option('endkey', 'end_key');
  const inclusive = option('inclusive_end') !== false;
  const compare = (a: string, b: unknown): number =>
    byCodeUnits(a, String(b)) * (descending ? -1 : 1);
  const all = descending ? reversed(ids) : ids;
  const before = start === undefined ? 0 : all.filter((id) => compare(id, start) < 0).length;
  const inRange = all.filter(
    (id) =>
      (start === undefined || compare(id, start) >= 0) &&
      (end === undefined || compare(id, end) < (inclusive ? 1 : 0)),
  );
  const rows = inRange.slice(skip, skip + limit).map(row);
  return json(200, { total_rows: ids.length, offset: before + skip, rows });
}

function rowOf(db: MemoryDatabase, id: string, includeDocs: boolean, query: Query): object {
  const tree = db.tree(id);
  if (tree === undefined) return { key: id, error: 'not_found' };
  const { winner } = tree;
  if (winner.deleted) {
    const value = { rev: winner.rev, deleted: true };
    return { id, key: id, value, ...(includeDocs && { doc: null }) };
  }
  const doc = includeDocs && { doc: toDocument(db, id, winner, query) };
  return { id, key: id, value: { rev: winner.rev }, ...doc };
}

/** Parses a JSON parameter. */
export function parse(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    throw badRequest('invalid UTF-8 JSON');
  }
}
