import { Refusal, badRequest, isRecord, json } from '../reply.ts';
import type { Reply } from '../reply.ts';
import type { MemoryDatabase, Validate, Written } from './database.ts';
import { nextLocal, openRevs, readOptions, requireHistory } from './documents.ts';
import { parseRev, parseRevs, readDraft } from './draft.ts';
import type { Draft } from './draft.ts';
import { requireId, requirePartition, requireShard } from './ids.ts';
import { toDocument } from './reads.ts';
import type { ReadOptions } from './reads.ts';
import type { MemoryRequest } from './request.ts';
import { compareRevs, generationOf } from './revision-tree.ts';
import type { RevisionTree } from './revision-tree.ts';

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
    const id = draft.id === '' ? newId() : draft.id;
    requirePartition(db, id);
    if (newEdits === false) requireHistory(draft);
    return { ...draft, id };
  });
  if (typeof newEdits !== 'boolean') throw badRequest('`new_edits` parameter must be a boolean.');
  if (newEdits && allOrNothing === true) return json(417, drafts.map(notAtomic));
  const written = writeDrafts(db, drafts, newEdits, validate);
  const results = drafts.map((draft, i) => bulkResult(draft, written[i]));
  return json(201, newEdits ? results : results.filter((result) => 'error' in result));
}

/** CouchDB has no transactions over several documents. */
function notAtomic({ id, history }: Draft): object {
  const [rev = '0-'] = history;
  return { id, rev, error: 'not_implemented', reason: 'all_or_nothing is not supported' };
}

/** Writes drafts, local ones too. Returns an outcome for each. */
export function writeDrafts(
  db: MemoryDatabase,
  drafts: readonly Draft[],
  newEdits: boolean,
  validate: Validate,
): readonly (Written | undefined)[] {
  const stored = drafts.filter((draft) => !isLocal(draft));
  for (const { id, fields, history } of drafts.filter(isLocal))
    db.local.set(id, { rev: `0-${nextLocal(history[0] ?? '0-0')}`, fields });
  const written = newEdits ? db.edit(stored, validate) : db.replicate(stored, validate);
  return drafts.map((draft) =>
    isLocal(draft) ? localResult(db, draft) : written[stored.indexOf(draft)],
  );
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

function failure(id: unknown, rev: unknown, error: string, reason: string): object {
  return { id, docs: [{ error: { id, rev, error, reason } }] };
}

/** Reads many revisions: `_bulk_get`. Without a `rev` it returns all leaves. */
export function bulkGet(db: MemoryDatabase, body: unknown, query: MemoryRequest['query']): Reply {
  const { docs } = requireObject(body);
  if (docs === undefined) throw badRequest("Missing JSON list of 'docs'.");
  if (!Array.isArray(docs)) throw badRequest("Missing JSON list of 'docs'.");
  const { revs, attachments } = readOptions(query);
  const options = { revs, attachments } as ReadOptions;
  const results = docs.map((one: unknown) => {
    if (!isRecord(one) || Object.keys(one).length === 0)
      return failure(null, null, 'bad_request', 'document must be a JSON object');
    const { id, rev } = one;
    if (id === undefined) return failure(null, null, 'bad_request', 'document id missed');
    try {
      requireId(id);
      requirePartition(db, id as string);
      if (rev !== undefined) parseRev(rev);
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      const of = error.error === 'bad_request' ? rev : null;
      return failure(id, of ?? null, error.error, error.message);
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
    requireShard(db, id);
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
  for (const [id] of wanted) requireShard(db, id);
  const purged = db.purge(wanted);
  const entries = wanted.map(([id], i) => [id, purged[i]] as const);
  return json(201, { purge_seq: null, purged: Object.fromEntries(entries) });
}
