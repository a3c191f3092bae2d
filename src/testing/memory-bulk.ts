import { isRecord } from './collate.ts';
import { backwards, byCodeUnits } from './memory-database.ts';
import type { MemoryDatabase } from './memory-database.ts';
import { present } from './memory-documents.ts';
import { Refusal, badRequest, notImplemented } from './refusal.ts';
import { json } from './reply.ts';
import type { Reply } from './reply.ts';
import type { ServerRequest } from './request.ts';

type Query = ServerRequest['query'];

/** Writes many documents: `_bulk_docs`. Each fails for itself. */
export function bulkDocs(db: MemoryDatabase, body: unknown, newId: () => string): Reply {
  if (!isRecord(body) || !Array.isArray(body['docs']))
    throw badRequest('POST body must include `docs` parameter.');
  if (body['all_or_nothing'] === true) throw notImplemented('write all or nothing');
  const asElsewhere = body['new_edits'] === false;
  const results: object[] = [];
  for (const doc of body['docs'] as readonly unknown[]) {
    if (!isRecord(doc)) throw badRequest('Document must be a JSON object');
    const { _id: id = newId() } = doc as { readonly _id?: string };
    try {
      const written = asElsewhere ? db.graft(id, doc) : db.write(id, doc);
      if (!asElsewhere) results.push({ ok: true, ...written });
    } catch (error) {
      if (!(error instanceof Refusal) || error.status !== 409) throw error;
      results.push({ id, error: error.error, reason: error.message });
    }
  }
  return json(201, results);
}

/** Reads many revisions: `_bulk_get`. Without a revision every live leaf is answered. */
export function bulkGet(db: MemoryDatabase, body: unknown, query: Query): Reply {
  if (!isRecord(body) || !Array.isArray(body['docs']))
    throw badRequest('Missing JSON list of `docs`.');
  const results = (body['docs'] as readonly { id: string; rev?: string }[]).map(({ id, rev }) => {
    const tree = db.tree(id);
    const lost = {
      error: { id, rev: rev ?? 'undefined', error: 'not_found', reason: 'missing' },
    };
    if (tree === undefined) return { id, docs: [lost] };
    const latest = query['latest'] === 'true';
    const revisions =
      rev === undefined ? tree.leaves : [latest ? tree.latest(rev) : tree.find(rev)];
    const docs = revisions.map((one) =>
      one === undefined || one.fields === null ? lost : { ok: present(db, id, one, query) },
    );
    return { id, docs };
  });
  return json(200, { results });
}

/** Lists the documents by id: `_all_docs`. */
export function allDocs(db: MemoryDatabase, { query, body }: ServerRequest): Reply {
  const asked = isRecord(body) ? body : {};
  const option = (...names: readonly string[]): unknown => {
    for (const name of names) {
      if (name in asked) return asked[name];
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
    const wanted: readonly string[] = descending ? backwards(keys) : keys;
    const rows = wanted.slice(skip, skip + limit).map(row);
    return json(200, { total_rows: ids.length, offset: null, rows });
  }
  const key = option('key');
  const start = key ?? option('startkey', 'start_key');
  const end = key ?? option('endkey', 'end_key');
  const inclusive = option('inclusive_end') !== false;
  const order = (a: string, b: unknown): number =>
    byCodeUnits(a, String(b)) * (descending ? -1 : 1);
  const all = descending ? backwards(ids) : ids;
  const begin = start === undefined ? 0 : all.filter((id) => order(id, start) < 0).length;
  const within = all.filter(
    (id) =>
      (start === undefined || order(id, start) >= 0) &&
      (end === undefined || order(id, end) < (inclusive ? 1 : 0)),
  );
  const rows = within.slice(skip, skip + limit).map(row);
  return json(200, { total_rows: ids.length, offset: begin + skip, rows });
}

function rowOf(db: MemoryDatabase, id: string, includeDocs: boolean, query: Query): object {
  const tree = db.tree(id);
  if (tree === undefined) return { key: id, error: 'not_found' };
  const { winner } = tree;
  if (winner.deleted) {
    const value = { rev: winner.rev, deleted: true };
    return { id, key: id, value, ...(includeDocs && { doc: null }) };
  }
  const doc = includeDocs && { doc: present(db, id, winner, query) };
  return { id, key: id, value: { rev: winner.rev }, ...doc };
}

/** Reads a parameter that is JSON. */
export function parse(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    throw badRequest('invalid UTF-8 JSON');
  }
}
