import { Refusal, badRequest, isRecord, json, missing } from '../reply.ts';
import type { Reply } from '../reply.ts';
import type { MemoryRequest } from './request.ts';
import type { MemoryDatabase, Validate, Written } from './database.ts';
import { parseRev, parseRevs, readDraft, requireId } from './draft.ts';
import type { Draft } from './draft.ts';
import { parseJson } from './parameters.ts';
import { requirePartition, revisionAt, toDocument, treeOf, winnerOf } from './reads.ts';
import type { ReadOptions } from './reads.ts';
import { compareRevs, generationOf } from './revision-tree.ts';
import type { Revision, RevisionTree } from './revision-tree.ts';

type Query = MemoryRequest['query'];

/** Answers a request for one document. */
export function documentReply(
  db: MemoryDatabase,
  id: string,
  request: MemoryRequest,
  validate: Validate,
): Reply {
  const { method, query, body, headers } = request;
  switch (method) {
    case 'GET':
    case 'HEAD':
      return 'open_revs' in query ? openRevisions(db, id, query) : read(db, id, query);
    case 'PUT': {
      requireId(id);
      return writeOne(db, { ...readDraft(body), id }, query, validate);
    }
    case 'DELETE': {
      winnerOf(db, id);
      const { rev } = query;
      const draft = readDraft({ _deleted: true, ...(rev !== undefined && { _rev: rev }) });
      return writeOne(db, { ...draft, id }, {}, validate);
    }
    case 'COPY':
      return copy(db, id, query, headers?.['destination'], validate);
    case 'POST':
      // It takes the forms of browsers alone.
      throw badRequest('Referer header required.');
    default:
      throw new Refusal(405, 'method_not_allowed', 'Only DELETE,GET,HEAD,POST,PUT,COPY allowed');
  }
}

/** Writes one document. */
export function writeOne(
  db: MemoryDatabase,
  draft: Draft,
  query: Query,
  validate: Validate,
): Reply {
  const { id } = draft;
  const rev = query['rev'] === undefined ? undefined : parseRev(query['rev']);
  const [own] = draft.history;
  if (rev !== undefined && own !== undefined && rev !== own)
    throw badRequest('Document rev from request body and query string have different values');
  const history = own === undefined && rev !== undefined ? [rev] : draft.history;
  requirePartition(db, id);
  const isReplicated = query['new_edits'] === 'false';
  const [written] = isReplicated
    ? db.replicate([requireHistory({ ...draft, history })], validate)
    : db.edit([{ ...draft, history }], validate);
  if (query['batch'] === 'ok') return json(202, { ok: true, id });
  if (written instanceof Refusal) throw written;
  const status = draft.deleted ? 200 : 201;
  return json(status, { ok: true, id, rev: written?.rev }, { etag: `"${written?.rev}"` });
}

function requireHistory(draft: Draft): Draft {
  if (draft.history.length > 0) return draft;
  throw badRequest('When `new_edits: false`, the document needs `_rev` or `_revisions` specified');
}

function copy(
  db: MemoryDatabase,
  id: string,
  query: Query,
  destination: string | undefined,
  validate: Validate,
): Reply {
  if (destination === undefined) throw badRequest('Destination header is mandatory for COPY.');
  const [target = '', parameters = ''] = destination.split('?');
  const targetId = requireId(decodeURIComponent(target));
  const targetRev = new URLSearchParams(parameters).get('rev');
  const history = targetRev === null ? [] : [parseRev(targetRev)];
  const rev = query['rev'];
  const source = rev === undefined ? winnerOf(db, id) : revisionAt(db, id, parseRev(rev));
  const { fields = {}, attachments = new Map(), deleted = false } = source.content ?? {};
  const draft = { id: targetId, history, deleted, fields, attachments: [...attachments] };
  const [written] = db.edit([draft], validate);
  if (written === undefined || written instanceof Refusal) throw written ?? missing();
  const { rev: newRev } = written;
  return json(201, { ok: true, id: targetId, rev: newRev }, { etag: `"${newRev}"` });
}

function read(db: MemoryDatabase, id: string, query: Query): Reply {
  const { rev } = query;
  const options = readOptions(query);
  if (rev !== undefined) parseRev(rev);
  // With `latest`, CouchDB reads the winner, whatever the revision.
  if (rev === undefined || query['latest'] === 'true') {
    const winner = winnerOf(db, id);
    const hasMetadata =
      options.conflicts || options.deletedConflicts || options.revsInfo || options.localSeq;
    const doc = toDocument(db, id, winner, options);
    return json(200, doc, hasMetadata === true ? {} : { etag: `"${winner.rev}"` });
  }
  const found = revisionAt(db, id, parseRev(rev));
  // CouchDB adds no metadata to a revision that a request names.
  const { revs, attachments, attsSince } = options;
  const doc = toDocument(db, id, found, { revs, attachments, attsSince } as ReadOptions);
  return json(200, doc, { etag: `"${found.rev}"` });
}

/** Reads the options of a read. CouchDB ignores other values than true. */
export function readOptions(query: Query): ReadOptions {
  const has = (name: string): boolean => query[name] === 'true';
  const meta = has('meta');
  const since = query['atts_since'];
  return {
    revs: has('revs'),
    revsInfo: meta || has('revs_info'),
    conflicts: meta || has('conflicts'),
    deletedConflicts: meta || has('deleted_conflicts'),
    localSeq: has('local_seq'),
    attachments: has('attachments'),
    ...(since !== undefined && { attsSince: parseRevs(parseJson(since)) }),
  };
}

function openRevisions(db: MemoryDatabase, id: string, query: Query): Reply {
  const { open_revs: wanted = 'all' } = query;
  const { revs, attachments, attsSince } = readOptions(query);
  const options = { revs, attachments, attsSince } as ReadOptions;
  const tree = db.tree(id);
  if (wanted === 'all') {
    if (tree === undefined) throw missing();
    return json(
      200,
      byRev(tree.leaves).map((leaf) => ({ ok: toDocument(db, id, leaf, options) })),
    );
  }
  const answers = openRevs(db, id, parseRevs(parseJson(wanted)), query['latest'] === 'true');
  return json(
    200,
    answers.map((one) =>
      typeof one === 'string' ? { missing: one } : { ok: toDocument(db, id, one, options) },
    ),
  );
}

/** Returns revisions, or for each that is not known its name. Each is answered once. */
function openRevs(
  db: MemoryDatabase,
  id: string,
  revs: readonly string[],
  latest: boolean,
): readonly (Revision | string)[] {
  const tree = db.tree(id);
  const found = sortedRevs(revs).flatMap((rev): readonly (Revision | string)[] => {
    const known = tree?.find(rev);
    if (tree === undefined || known === undefined) return [rev];
    if (latest) return tree.latest(rev);
    return known.content === null ? [rev] : [known];
  });
  const known = found.filter((one): one is Revision => typeof one !== 'string');
  return [...byRev(new Set(known)), ...found.filter((one) => typeof one === 'string')];
}

function byRev(revisions: Iterable<Revision>): readonly Revision[] {
  return [...revisions].sort((a, b) => compareRevs(a.rev, b.rev));
}

/** CouchDB sorts the revisions of a request, and asks for each once. */
function sortedRevs(revs: readonly string[]): readonly string[] {
  return [...new Set(revs)].sort(compareRevs);
}

/** Answers a request for a local document. It has no history and no conflicts. */
export function localReply(db: MemoryDatabase, id: string, request: MemoryRequest): Reply {
  const { method, body, query, headers } = request;
  const known = db.local.get(id);
  const save = (target: string, fields: Readonly<Record<string, unknown>>, rev: string): Reply => {
    const next = `0-${nextLocal(rev)}`;
    db.local.set(target, { rev: next, fields });
    return json(201, { ok: true, id: target, rev: next }, { etag: `"${next}"` });
  };
  switch (method) {
    case 'GET':
    case 'HEAD':
      if (known === undefined) throw missing();
      return json(200, { _id: id, _rev: known.rev, ...known.fields });
    case 'PUT': {
      const { history, deleted, fields } = readDraft(body);
      const rev = query['rev'] ?? history[0] ?? '0-0';
      if (!deleted) return save(id, fields, rev);
      if (!db.local.delete(id)) throw missing();
      return json(200, { ok: true, id, rev: '0-0' });
    }
    case 'DELETE':
      if (!db.local.delete(id)) throw missing();
      return json(200, { ok: true, id, rev: '0-0' });
    case 'COPY':
      if (known === undefined) throw missing();
      return save(decodeURIComponent(headers?.['destination'] ?? ''), known.fields, '0-0');
    default:
      throw new Refusal(405, 'method_not_allowed', 'Only DELETE,GET,HEAD,POST,PUT,COPY allowed');
  }
}

function nextLocal(rev: string): number {
  const number = Number(/^0-(\d+)$/.exec(rev)?.[1]);
  if (Number.isNaN(number)) throw badRequest('Invalid rev format');
  return number + 1;
}

/** Writes many documents: `_bulk_docs`. CouchDB reads all of them before it writes the first. */
export function bulkDocs(
  db: MemoryDatabase,
  body: unknown,
  newId: () => string,
  validate: Validate,
): Reply {
  const { docs, new_edits: newEdits = true, all_or_nothing: allOrNothing } = requireObject(body);
  if (docs === undefined) throw badRequest('POST body must include `docs` parameter.');
  if (!Array.isArray(docs)) throw badRequest('`docs` parameter must be an array.');
  const drafts = docs.map((doc: unknown) => {
    const draft = readDraft(doc);
    if (newEdits === false) requireHistory(draft);
    const id = draft.id === '' ? newId() : draft.id;
    requirePartition(db, id);
    return { ...draft, id };
  });
  if (typeof newEdits !== 'boolean') throw badRequest('`new_edits` parameter must be a boolean.');
  if (allOrNothing === true)
    throw new Refusal(417, 'expectation_failed', '`all_or_nothing` is not supported');
  const [local, stored] = [drafts.filter(isLocal), drafts.filter((draft) => !isLocal(draft))];
  for (const { id, fields, history } of local)
    db.local.set(id, { rev: `0-${nextLocal(history[0] ?? '0-0')}`, fields });
  const written = newEdits ? db.edit(stored, validate) : db.replicate(stored, validate);
  const results = drafts.map((draft) =>
    bulkResult(draft, isLocal(draft) ? localResult(db, draft) : written[stored.indexOf(draft)]),
  );
  return json(201, newEdits ? results : results.filter((result) => 'error' in result));
}

function isLocal({ id }: Draft): boolean {
  return id.startsWith('_local/');
}

function localResult(db: MemoryDatabase, { id }: Draft): Written {
  return { rev: db.local.get(id)?.rev ?? '0-0' };
}

function bulkResult({ id, history }: Draft, written: Written | undefined): object {
  if (written === undefined) return { id };
  if (!(written instanceof Refusal)) return { ok: true, id, rev: written.rev };
  const { error, message: reason } = written;
  // CouchDB names the revision if it refuses one that a replication writes.
  return { id, ...(error === 'conflict' ? {} : { rev: history[0] }), error, reason };
}

export function requireObject(body: unknown): Readonly<Record<string, unknown>> {
  if (!isRecord(body)) throw badRequest('Request body must be a JSON object');
  return body;
}

/** Reads many revisions: `_bulk_get`. Without a `rev` it returns all leaves. */
export function bulkGet(db: MemoryDatabase, body: unknown, query: Query): Reply {
  const { docs } = requireObject(body);
  if (docs === undefined) throw badRequest("Missing JSON list of 'docs'.");
  if (!Array.isArray(docs)) throw badRequest("Missing JSON list of 'docs'.");
  const { revs, attachments } = readOptions(query);
  const options = { revs, attachments } as ReadOptions;
  const results = docs.map((one: unknown) => {
    const failure = (id: unknown, rev: unknown, error: string, reason: string): object => ({
      id,
      docs: [{ error: { id, rev, error, reason } }],
    });
    if (!isRecord(one) || Object.keys(one).length === 0)
      return failure(null, null, 'bad_request', 'document must be a JSON object');
    const { id, rev } = one;
    if (id === undefined) return failure(null, null, 'bad_request', 'document id missed');
    try {
      requireId(id);
      if (rev !== undefined) parseRev(rev);
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      return failure(id, rev ?? null, error.error, error.message);
    }
    const tree = db.tree(id as string);
    const answers =
      rev === undefined
        ? (tree?.leaves ?? [])
        : openRevs(db, id as string, [parseRev(rev)], query['latest'] === 'true');
    if (answers.length === 0) return failure(id, 'undefined', 'not_found', 'missing');
    return {
      id,
      docs: answers.map((found) =>
        typeof found === 'string'
          ? { error: { id, rev: found, error: 'not_found', reason: 'missing' } }
          : { ok: toDocument(db, id as string, found, options) },
      ),
    };
  });
  return json(200, { results });
}

/** Tells which revisions are missing: `_revs_diff`, or `_missing_revs`. */
export function missingRevisions(db: MemoryDatabase, body: unknown, withAncestors: boolean): Reply {
  const entries = Object.entries(requireObject(body)).flatMap(([id, revs]) => {
    if (!Array.isArray(revs)) throw new Refusal(500, 'unknown_error', 'function_clause');
    const wanted = parseRevs(revs);
    const tree = db.tree(id);
    const absent = tree === undefined ? wanted : absentFrom(tree, wanted);
    if (absent.length === 0) return [];
    const newest = Math.max(...absent.map(generationOf));
    const ancestors = (tree?.ranked ?? [])
      .map(({ rev }) => rev)
      .filter((rev) => generationOf(rev) < newest);
    const difference = {
      missing: absent,
      ...(ancestors.length > 0 && { possible_ancestors: ancestors }),
    };
    return [[id, withAncestors ? difference : absent] as const];
  });
  const found = Object.fromEntries(entries);
  return json(200, withAncestors ? found : { missing_revs: found });
}

/** CouchDB finds each revision once, even if the request names it twice. */
function absentFrom(tree: RevisionTree, wanted: readonly string[]): readonly string[] {
  const found = new Set<string>();
  return [...wanted].sort(compareRevs).filter((rev) => {
    if (tree.find(rev) === undefined || found.has(rev)) return true;
    found.add(rev);
    return false;
  });
}

/** Forgets revisions: `_purge`. */
export function purge(db: MemoryDatabase, body: unknown): Reply {
  const wanted = Object.entries(requireObject(body)).map(
    ([id, revs]) => [id, parseRevs(revs)] as const,
  );
  const purged = db.purge(wanted);
  const entries = wanted.map(([id], i) => [id, purged[i]] as const);
  return json(201, { purge_seq: null, purged: Object.fromEntries(entries) });
}

export { treeOf };
