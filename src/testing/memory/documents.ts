import { Refusal, badRequest, json, missing } from '../reply.ts';
import type { Reply } from '../reply.ts';
import type { MemoryRequest } from './request.ts';
import type { MemoryDatabase, Validate } from './database.ts';
import { parseRev, parseRevs, readDraft } from './draft.ts';
import type { Draft } from './draft.ts';
import { requireId, requirePartition, requireShard } from './ids.ts';
import { parseJson } from './parameters.ts';
import { revisionAt, toDocument, winnerOf } from './reads.ts';
import type { ReadOptions } from './reads.ts';
import { compareRevs } from './revision-tree.ts';
import type { Revision } from './revision-tree.ts';

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
      if (query['rev'] !== undefined) parseRev(query['rev']);
      requirePartition(db, id);
      return writeOne(db, { ...readDraft(body), id }, query, validate);
    }
    case 'DELETE': {
      requireShard(db, id);
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
  const isReplicated = query['new_edits'] === 'false';
  const [written] = isReplicated
    ? db.replicate([requireHistory({ ...draft, history })], validate)
    : db.edit([{ ...draft, history }], validate);
  if (query['batch'] === 'ok') return json(202, { ok: true, id });
  if (written instanceof Refusal) throw written;
  const status = draft.deleted ? 200 : 201;
  return json(status, { ok: true, id, rev: written?.rev }, { etag: `"${written?.rev}"` });
}

export function requireHistory(draft: Draft): Draft {
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
  requireShard(db, id);
  requirePartition(db, targetId);
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
  requireShard(db, id);
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
  const { revs: withRevs, attachments, attsSince } = readOptions(query);
  const options = { revs: withRevs, attachments, attsSince } as ReadOptions;
  const revs = wanted === 'all' ? undefined : parseRevs(parseJson(wanted));
  requireShard(db, id);
  const tree = db.tree(id);
  if (revs === undefined) {
    if (tree === undefined) throw missing();
    return json(
      200,
      byRev(tree.leaves).map((leaf) => ({ ok: toDocument(db, id, leaf, options) })),
    );
  }
  const answers = openRevs(db, id, revs, query['latest'] === 'true');
  return json(
    200,
    answers.map((one) =>
      typeof one === 'string' ? { missing: one } : { ok: toDocument(db, id, one, options) },
    ),
  );
}

/** Returns revisions, or for each that is not known its name. Each is answered once. */
export function openRevs(
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

export function nextLocal(rev: string): number {
  const number = Number(/^0-(\d+)$/.exec(rev)?.[1]);
  // CouchDB lets this error pass as it is thrown.
  if (Number.isNaN(number)) throw new Refusal(500, 'error', 'Invalid rev format');
  return number + 1;
}
