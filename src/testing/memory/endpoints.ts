import type { Observable, SchedulerLike } from 'rxjs';
import { Refusal, badRequest, isRecord, json, missing, notImplemented } from '../reply.ts';
import type { Reply } from '../reply.ts';
import { attachmentReply } from './attachments.ts';
import { bulkDocs, bulkGet, missingRevisions, purge } from './bulk.ts';
import { changes } from './changes.ts';
import type { MemoryDatabase, Validate } from './database.ts';
import { hasValidation, validateWrite } from './designs.ts';
import type { UserContext } from './designs.ts';
import { documentReply, localReply, writeOne } from './documents.ts';
import { readDraft } from './draft.ts';
import { explain } from './explain.ts';
import { find } from './find.ts';
import { requirePartition } from './ids.ts';
import { listDocuments, queryView } from './listings.ts';
import { indexReply } from './mango-indexes.ts';
import { partitionReply } from './partitions.ts';
import type { MemoryRequest } from './request.ts';
import { hasAccess, protectPassword, requireAccess, requireSecurity } from './users.ts';

/** The parts of the server that the endpoints of a database need. */
export interface Scope {
  readonly scheduler: SchedulerLike;
  /** The time from the response of a write to its change, in milliseconds. */
  readonly latency: number;
  readonly newId: () => string;
}

/** Returns the rules for writes of a user. */
export function rulesFor(db: MemoryDatabase, user: UserContext): Validate {
  return {
    run: (id, content, rev, old) => {
      if (id.startsWith('_design/')) requireAccess(db.security, user, 'admins');
      validateWrite(db, user, id, content, rev, old);
    },
    hasFunctions: hasValidation,
  };
}

/** Writes a document with an id of the server, unless it has one: `POST /{db}`. */
export function postDocument(
  { newId }: Scope,
  db: MemoryDatabase,
  { body, query }: MemoryRequest,
  user: UserContext,
): Reply {
  requireAccess(db.security, user, 'members');
  const draft = readDraft(withHiddenPasswords(db, body));
  const id = draft.id === '' ? newId() : draft.id;
  const { rev: _rev, ...options } = query;
  requirePartition(db, id);
  return writeOne(db, { ...draft, id }, options, rulesFor(db, user));
}

/** Writes documents: `_bulk_docs`. */
export function writeAll(
  { newId }: Scope,
  db: MemoryDatabase,
  body: unknown,
  user: UserContext,
): Reply {
  return bulkDocs(db, withHiddenPasswords(db, body), newId, rulesFor(db, user));
}

/** Replaces the passwords of users by their hashes. */
function withHiddenPasswords(db: MemoryDatabase, body: unknown): unknown {
  if (db.name !== '_users' || !isRecord(body)) return body;
  const { docs } = body;
  if (!Array.isArray(docs)) return protectPassword(body);
  const hidden = docs.map((doc: unknown) => (isRecord(doc) ? protectPassword(doc) : doc));
  return { ...body, docs: hidden };
}

/** Answers a request to a path below a database. Throws a `Refusal` for what CouchDB refuses. */
export function answerBelow(
  scope: Scope,
  db: MemoryDatabase,
  path: readonly string[],
  request: MemoryRequest,
  user: UserContext,
): Reply | Observable<Reply> {
  requireAccess(db.security, user, 'members');
  const [name = '', second, ...more] = path;
  if (name === '_design' && second !== undefined)
    return designEndpoint(db, `_design/${second}`, more, request, user);
  if (name === '_local' || name.startsWith('_local/')) {
    const id = name === '_local' ? second : name.slice('_local/'.length);
    if (id === undefined || id === '') throw badRequest('Invalid _local document id.');
    if (more.length > 0) throw badRequest('_local documents do not accept attachments.');
    return localReply(db, `_local/${id}`, request);
  }
  if (name.startsWith('_design/')) return designEndpoint(db, name, path.slice(1), request, user);
  const reply = name.startsWith('_')
    ? endpoint(scope, db, name, path.slice(1), request, user)
    : undefined;
  return reply ?? documentEndpoint(db, name, path.slice(1), request, user);
}

function documentEndpoint(
  db: MemoryDatabase,
  id: string,
  path: readonly string[],
  request: MemoryRequest,
  user: UserContext,
): Reply | Observable<Reply> {
  const rules = rulesFor(db, user);
  if (path.length > 0) return attachmentReply(db, id, path.join('/'), request, rules);
  const body = request.method === 'PUT' ? withHiddenPasswords(db, request.body) : request.body;
  return documentReply(db, id, { ...request, body }, rules);
}

function designEndpoint(
  db: MemoryDatabase,
  id: string,
  path: readonly string[],
  request: MemoryRequest,
  user: UserContext,
): Reply | Observable<Reply> {
  const [part = '', name, ...more] = path;
  if (part === '_view' && name !== undefined) {
    if (more[0] === 'queries') throw notImplemented('run several queries of a view at once');
    return queryView(db, id, name, request);
  }
  if (part === '_info') {
    if (db.find(id) === undefined) throw missing(db.tree(id) === undefined ? 'missing' : 'deleted');
    return json(200, { name: id.replace('_design/', ''), view_index: VIEW_INDEX });
  }
  const feature = DESIGN_FUNCTIONS.get(part);
  if (feature !== undefined) throw notImplemented(feature);
  return documentEndpoint(db, id, path, request, user);
}

/** Undefined for the id of a document. */
function endpoint(
  scope: Scope,
  db: MemoryDatabase,
  name: string,
  path: readonly string[],
  request: MemoryRequest,
  user: UserContext,
): Reply | undefined {
  const { method, body } = request;
  const allowed = METHODS.get(name);
  if (allowed !== undefined && !allowed.split(',').includes(method))
    throw methodNotAllowed(allowed);
  if (method === 'POST' && JSON_ONLY.has(name)) requireJson(request);
  switch (name) {
    case '_bulk_docs':
      return writeAll(scope, db, body, user);
    case '_bulk_get':
      return bulkGet(db, body, request.query);
    case '_all_docs':
    case '_design_docs':
    case '_local_docs':
      if (path[0] === 'queries') throw notImplemented(`run several queries of ${name} at once`);
      return listDocuments(db, name, request);
    case '_changes':
      return changes(db, request, scope, user);
    case '_index':
      return indexReply(db, path, request, rulesFor(db, user));
    case '_find':
      return find(db, body);
    case '_explain':
      return explain(db, body);
    case '_revs_diff':
      return missingRevisions(db, body, true);
    case '_missing_revs':
      return missingRevisions(db, body, false);
    case '_purge':
      return purge(db, body);
    case '_security':
      if (method === 'GET') return json(200, db.security);
      // The shards refuse it, and no reason arrives.
      if (!hasAccess(db.security, user, 'admins')) throw new Refusal(500, 'error', 'no_majority');
      requireSecurity(body);
      db.setSecurity(body);
      return json(200, { ok: true });
    case '_revs_limit':
      if (method === 'GET') return json(200, db.revsLimit);
      if (!Number.isInteger(body) || (body as number) < 1)
        throw new Refusal(500, 'unknown_error', 'function_clause');
      db.setRevsLimit(body as number);
      return json(200, { ok: true });
    case '_ensure_full_commit':
      return json(201, { ok: true, instance_start_time: db.instanceStartTime });
    case '_compact':
    case '_view_cleanup':
      return json(202, { ok: true });
    case '_partition':
      return partitionReply(db, path, request);
    case '_shards':
    case '_sync_shards':
    case '_purged_infos':
    case '_purged_infos_limit':
    case '_nouveau_cleanup':
    case '_search_cleanup':
      throw notImplemented(`answer ${method} /{db}/${name}`);
    default:
      return undefined;
  }
}

/** The refusal of a method. */
export function methodNotAllowed(allowed: string): Refusal {
  return new Refusal(405, 'method_not_allowed', `Only ${allowed} allowed`);
}

/** The methods of the endpoints of a database. */
const METHODS: ReadonlyMap<string, string> = new Map(
  Object.entries({
    _bulk_docs: 'POST',
    _bulk_get: 'POST',
    _all_docs: 'GET,HEAD,POST',
    _design_docs: 'GET,HEAD,POST',
    _local_docs: 'GET,HEAD,POST',
    _changes: 'GET,POST,HEAD',
    _find: 'POST',
    _explain: 'POST',
    _revs_diff: 'POST',
    _missing_revs: 'POST',
    _purge: 'POST',
    _security: 'PUT,GET',
    _revs_limit: 'PUT,GET',
    _ensure_full_commit: 'POST',
    _compact: 'POST',
    _view_cleanup: 'POST',
  }),
);

const JSON_ONLY = new Set([
  '_bulk_docs',
  '_bulk_get',
  '_all_docs',
  '_changes',
  '_find',
  '_explain',
  '_index',
  '_revs_diff',
  '_missing_revs',
  '_purge',
]);

function requireJson({ headers = {}, body }: MemoryRequest): void {
  const type = headers['content-type'] ?? '';
  if (headers['content-type'] !== undefined && !/^application\/json/i.test(type))
    throw new Refusal(415, 'bad_content_type', 'Content-Type must be application/json');
  if (typeof body === 'string') throw badRequest('invalid UTF-8 JSON');
}

const DESIGN_FUNCTIONS: ReadonlyMap<string, string> = new Map(
  Object.entries({
    _show: 'run show functions',
    _list: 'run list functions',
    _update: 'run update functions',
    _rewrite: 'run rewrites',
    _search: 'search text',
    _search_info: 'search text',
    _nouveau: 'search text',
    _nouveau_info: 'search text',
  }),
);

const VIEW_INDEX = {
  updater_running: false,
  compact_running: false,
  waiting_commit: false,
  waiting_clients: 0,
  updates_pending: { minimum: 0, preferred: 0, total: 0 },
  sizes: { file: 0, external: 0, active: 0 },
  language: 'javascript',
  signature: '0',
};
