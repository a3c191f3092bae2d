import { catchError, defer, isObservable, of } from 'rxjs';
import type { Observable, SchedulerLike } from 'rxjs';
import { requireDatabaseName } from '../../http/url.ts';
import { describeValue } from '../../model/invalid-argument.ts';
import { byId } from '../../model/document.ts';
import { assertJson } from '../../model/json.ts';
import type { JsonCodec } from '../../model/json.ts';
import { Refusal, badRequest, isRecord, json, missing, notImplemented } from '../reply.ts';
import type { Reply } from '../reply.ts';
import { segmentsOf } from '../route.ts';
import type { MemoryRequest } from './request.ts';
import { attachmentReply } from './attachments.ts';
import { changes, sequenceOf } from './changes.ts';
import { MemoryDatabase } from './database.ts';
import type { Validate } from './database.ts';
import { hasValidation, validateWrite } from './designs.ts';
import type { UserContext } from './designs.ts';
import {
  bulkDocs,
  bulkGet,
  documentReply,
  localReply,
  missingRevisions,
  purge,
  writeOne,
} from './documents.ts';
import { readDraft } from './draft.ts';
import { explain, find } from './find.ts';
import { listDocuments, queryView } from './listings.ts';
import { indexReply } from './mango-indexes.ts';
import { hex, md5 } from './revision-hash.ts';
import { MemoryUsers, protectPassword, requireAccess, requireServerAdmin } from './users.ts';

const NAME_RULE =
  'Only lowercase characters (a-z), digits (0-9), and any of the characters _, $, (, ), +, -, ' +
  'and / are allowed. Must begin with a letter.';
const NAME = /^[a-z][a-z0-9_$()+/-]*$/;

/** The initial content of a database: see `MemoryServerOptions.databases`. */
export interface DatabaseSeed {
  readonly docs?: readonly object[];
  /** Mango indexes, as `db.indexes.create` takes them. */
  readonly indexes?: readonly object[];
  readonly local?: readonly object[];
  readonly security?: object;
  readonly partitioned?: boolean;
}

/** The databases of an in-memory server, and the routing of requests. */
export class MemoryRouter {
  readonly #databases = new Map<string, MemoryDatabase>();
  readonly #scheduler: SchedulerLike;
  readonly #codec: JsonCodec;
  readonly #users: MemoryUsers;
  #databaseCount = 0;
  #idCount = 0;

  constructor(
    scheduler: SchedulerLike,
    codec: JsonCodec,
    admins: Readonly<Record<string, string>> = {},
  ) {
    this.#codec = codec;
    this.#scheduler = scheduler;
    this.#users = new MemoryUsers(admins, () => this.#databases.get('_users'));
  }

  /** Creates a database with its content. Documents with a `_rev` keep it, as after a replication. */
  fill(name: string, content: readonly object[] | DatabaseSeed): void {
    requireDatabaseName(name);
    const seed: DatabaseSeed = Array.isArray(content)
      ? { docs: content as object[] }
      : (content as DatabaseSeed);
    const { docs = [], indexes = [], local = [], security, partitioned = false } = seed;
    const db = this.#create(name, partitioned);
    for (const doc of docs) this.#seed(db, this.#copy(doc, name));
    for (const doc of local) {
      const copy = this.#copy(doc, name);
      const { _id: id = this.#newId() } = copy;
      this.#seed(db, { ...copy, _id: `_local/${id.replace(/^_local\//, '')}` });
    }
    for (const definition of indexes) {
      const {
        fields,
        partialFilterSelector: partial,
        ...others
      } = definition as {
        readonly fields: unknown;
        readonly partialFilterSelector?: unknown;
      };
      const index = { fields, ...(partial !== undefined && { partial_filter_selector: partial }) };
      const body = { index, ...others };
      seeding(name, `the index ${JSON.stringify(definition)}`, () =>
        indexReply(
          db,
          [],
          { method: 'POST', path: '', query: {}, body },
          this.#validate(db, ADMIN),
        ),
      );
    }
    if (security !== undefined) db.security = security;
  }

  /** Deletes a database, and creates it again with its content. */
  replace(name: string, content: readonly object[] | DatabaseSeed = []): void {
    const old = this.#databases.get(name);
    if (old === undefined) throw new TypeError(`replaceDatabase: there is no database ${name}`);
    this.#databases.delete(name);
    this.fill(name, content);
    old.close();
  }

  /** Adds a user to the database of users. */
  addUser(
    name: string,
    { password, roles = [] }: { readonly password: string; readonly roles?: readonly string[] },
  ): void {
    if (!this.#databases.has('_users')) this.#create('_users', false);
    const db = this.#databases.get('_users') as MemoryDatabase;
    this.#seed(db, {
      _id: `org.couchdb.user:${name}`,
      name,
      type: 'user',
      roles,
      password,
    } as SeedDocument);
  }

  #copy(doc: object, name: string): SeedDocument {
    assertJson(doc, `memoryServer: a document of ${name}`, this.#codec);
    return this.#codec.parse(this.#codec.stringify(doc)) as SeedDocument;
  }

  #seed(db: MemoryDatabase, doc: SeedDocument): void {
    const { _id: id = this.#newId(), _rev: rev } = doc;
    const body = { docs: [{ ...doc, _id: id }], new_edits: rev === undefined };
    seeding(db.name, `the document ${describeValue(id)}`, () => this.#bulk(db, body, ADMIN));
  }

  #bulk(db: MemoryDatabase, body: unknown, user: UserContext): Reply {
    const reply = bulkDocs(
      db,
      this.#prepared(db, body),
      () => this.#newId(),
      this.#validate(db, user),
    );
    return reply;
  }

  /** Hides the passwords of users. */
  #prepared(db: MemoryDatabase, body: unknown): unknown {
    if (db.name !== '_users' || !isRecord(body)) return body;
    const { docs } = body;
    if (!Array.isArray(docs)) return protectPassword(body);
    return {
      ...body,
      docs: docs.map((doc: unknown) => (isRecord(doc) ? protectPassword(doc) : doc)),
    };
  }

  #validate(db: MemoryDatabase, user: UserContext): Validate {
    return {
      run: (id, content, rev, old) => {
        if (id.startsWith('_design/')) requireAccess(db.security, user, 'admins');
        validateWrite(db, user, id, content, rev, old);
      },
      hasFunctions: hasValidation,
    };
  }

  /** Answers a request when it is subscribed to. Never errors: a mistake of this server is a 500. */
  respond(request: MemoryRequest): Observable<Reply> {
    return defer(() => {
      const answer = this.#answer(request);
      return isObservable(answer) ? answer : of(answer);
    }).pipe(
      catchError((error: unknown) => {
        if (error instanceof Refusal) return of(error.reply());
        const reason = error instanceof Error ? `${error.name}: ${error.message}` : String(error);
        return of(new Refusal(500, 'in_memory_server', reason).reply());
      }),
    );
  }

  #answer(request: MemoryRequest): Reply | Observable<Reply> {
    const segments = pathOf(request.path);
    const [first, ...rest] = segments;
    if (first === undefined) return welcome();
    if (first === '_session') return this.#users.sessionReply(request);
    const user = this.#users.identify(request);
    if (first.startsWith('_') && first !== '_users' && first !== '_replicator')
      return this.#serverReply(first, request, user);
    if (rest.length === 0) return this.#databaseReply(first, request, user);
    const db = this.#databases.get(first);
    if (db === undefined) throw missing('Database does not exist.');
    requireAccess(db.security, user, 'members');
    const [name = '', second, ...more] = rest;
    if (name === '_design' && second !== undefined)
      return this.#designReply(db, `_design/${second}`, more, request, user);
    if (name === '_local' || name.startsWith('_local/')) {
      const id = name === '_local' ? second : name.slice('_local/'.length);
      if (id === undefined || id === '') throw badRequest('Invalid _local document id.');
      if (more.length > 0) throw badRequest('_local documents do not accept attachments.');
      return localReply(db, `_local/${id}`, request);
    }
    if (name.startsWith('_design/'))
      return this.#designReply(db, name, rest.slice(1), request, user);
    if (name.startsWith('_')) {
      const reply = this.#collectionReply(db, name, rest.slice(1), request, user);
      if (reply !== undefined) return reply;
    }
    return this.#documentReply(db, name, rest.slice(1), request, user);
  }

  #documentReply(
    db: MemoryDatabase,
    id: string,
    path: readonly string[],
    request: MemoryRequest,
    user: UserContext,
  ): Reply | Observable<Reply> {
    const validate = this.#validate(db, user);
    if (path.length > 0) return attachmentReply(db, id, path.join('/'), request, validate);
    const body = request.method === 'PUT' ? this.#prepared(db, request.body) : request.body;
    return documentReply(db, id, { ...request, body }, validate);
  }

  #designReply(
    db: MemoryDatabase,
    id: string,
    path: readonly string[],
    request: MemoryRequest,
    user: UserContext,
  ): Reply | Observable<Reply> {
    const [part, name, ...more] = path;
    if (part === undefined || !part.startsWith('_'))
      return this.#documentReply(db, id, path, request, user);
    if (part === '_view' && name !== undefined) {
      if (more[0] === 'queries') throw notImplemented('run several queries of a view at once');
      return queryView(db, id, name, request);
    }
    if (part === '_info') {
      if (db.find(id) === undefined)
        throw missing(db.tree(id) === undefined ? 'missing' : 'deleted');
      return json(200, { name: id.replace('_design/', ''), view_index: VIEW_INDEX });
    }
    const feature = DESIGN_FUNCTIONS.get(part);
    if (feature !== undefined) throw notImplemented(feature);
    return this.#documentReply(db, id, path, request, user);
  }

  #serverReply(name: string, { method, query, body }: MemoryRequest, user: UserContext): Reply {
    switch (`${method} ${name}`) {
      case 'GET _all_dbs':
        return json(200, this.#names(query));
      case 'GET _dbs_info':
        return json(
          200,
          this.#names(query).map((one) => this.#keyedInfo(one)),
        );
      case 'POST _dbs_info': {
        const keys = isRecord(body) ? body['keys'] : undefined;
        if (!Array.isArray(keys)) throw badRequest('`keys` member must exist.');
        return json(
          200,
          keys.map((one) => this.#keyedInfo(String(one))),
        );
      }
      case 'GET _up':
        return json(200, { status: 'ok', seeds: {} });
      case 'GET _uuids': {
        const count = Number(query['count'] ?? 1);
        return json(200, { uuids: Array.from({ length: count }, () => this.#newId()) });
      }
      case 'GET _active_tasks':
        requireServerAdmin(user);
        return json(200, []);
      default:
        if (KNOWN_ENDPOINTS.test(name)) throw notImplemented(`answer ${method} /${name}`);
        throw new Refusal(400, 'illegal_database_name', `Name: '${name}'. ${NAME_RULE}`);
    }
  }

  #names(query: MemoryRequest['query']): readonly string[] {
    const bound = (...names: readonly string[]): string | undefined => {
      const text = names.map((name) => query[name]).find((one) => one !== undefined);
      return text === undefined ? undefined : (JSON.parse(text) as string);
    };
    const key = bound('key');
    const start = key ?? bound('startkey', 'start_key');
    const end = key ?? bound('endkey', 'end_key');
    const sign = query['descending'] === 'true' ? -1 : 1;
    const skip = Number(query['skip'] ?? 0);
    return [...this.#databases.keys()]
      .sort((a, b) => byId(a, b) * sign)
      .filter((name) => start === undefined || byId(name, start) * sign >= 0)
      .filter((name) => {
        const order = end === undefined ? -1 : byId(name, end) * sign;
        return order < 0 || (order === 0 && query['inclusive_end'] !== 'false');
      })
      .slice(skip, skip + Number(query['limit'] ?? Infinity));
  }

  #keyedInfo(name: string): object {
    const db = this.#databases.get(name);
    return db === undefined ? { key: name, error: 'not_found' } : { key: name, info: infoOf(db) };
  }

  #databaseReply(name: string, request: MemoryRequest, user: UserContext): Reply {
    const { method, body, query } = request;
    const db = this.#databases.get(name);
    if (method === 'PUT') {
      if (!NAME.test(name) && !name.startsWith('_'))
        throw new Refusal(400, 'illegal_database_name', `Name: '${name}'. ${NAME_RULE}`);
      requireServerAdmin(user);
      if (db !== undefined) {
        const reason = 'The database could not be created, the file already exists.';
        throw new Refusal(412, 'file_exists', reason);
      }
      this.#create(name, query['partitioned'] === 'true');
      return json(201, { ok: true });
    }
    if (db === undefined) throw missing('Database does not exist.');
    switch (method) {
      case 'GET':
      case 'HEAD':
        requireAccess(db.security, user, 'members');
        return json(200, infoOf(db));
      case 'DELETE':
        requireServerAdmin(user);
        if (query['rev'] !== undefined)
          throw badRequest(
            'You tried to DELETE a database with a ?=rev parameter. Did you mean to DELETE a document instead?',
          );
        this.#databases.delete(name);
        db.close();
        return json(200, { ok: true });
      case 'POST': {
        requireAccess(db.security, user, 'members');
        const draft = readDraft(this.#prepared(db, body));
        const id = draft.id === '' ? this.#newId() : draft.id;
        return writeOne(
          db,
          { ...draft, id },
          { ...query, rev: undefined } as never,
          this.#validate(db, user),
        );
      }
      default:
        throw methodNotAllowed('DELETE,GET,HEAD,POST');
    }
  }

  /** Undefined for the id of a document. */
  #collectionReply(
    db: MemoryDatabase,
    name: string,
    path: readonly string[],
    request: MemoryRequest,
    user: UserContext,
  ): Reply | undefined {
    const { method, body } = request;
    const validate = this.#validate(db, user);
    const allowed = METHODS.get(name);
    if (allowed !== undefined && !allowed.split(',').includes(method))
      throw methodNotAllowed(allowed);
    if (method === 'POST' && JSON_ONLY.has(name)) requireJson(request);
    switch (name) {
      case '_bulk_docs':
        return this.#bulk(db, body, user);
      case '_bulk_get':
        return bulkGet(db, body, request.query);
      case '_all_docs':
      case '_design_docs':
      case '_local_docs':
        if (path[0] === 'queries') throw notImplemented(`run several queries of ${name} at once`);
        return listDocuments(db, name, request);
      case '_changes':
        return changes(db, request, this.#scheduler, user);
      case '_index':
        return indexReply(db, path, request, validate);
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
        requireAccess(db.security, user, 'admins');
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

  #create(name: string, partitioned: boolean): MemoryDatabase {
    this.#databaseCount += 1;
    const db = new MemoryDatabase(name, String(1_700_000_000 + this.#databaseCount), partitioned);
    this.#databases.set(name, db);
    return db;
  }

  #newId(): string {
    this.#idCount += 1;
    return hex(md5(new TextEncoder().encode(`id ${this.#idCount}`)));
  }
}

type SeedDocument = { readonly _id?: string; readonly _rev?: string } & Readonly<
  Record<string, unknown>
>;

const ADMIN: UserContext = { name: null, roles: ['_admin'] };

/** Runs a step of the seeding. A refusal is a mistake in the options of the test. */
function seeding(database: string, what: string, step: () => Reply): void {
  try {
    step();
  } catch (error) {
    const reason = error instanceof Refusal ? error.message : String(error);
    throw new TypeError(`memoryServer: ${database}: ${what}: ${reason}`, { cause: error });
  }
}

function pathOf(path: string): readonly string[] {
  try {
    return segmentsOf(path);
  } catch {
    throw badRequest('Invalid percent-encoding in the path');
  }
}

function methodNotAllowed(allowed: string): Refusal {
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

function requireSecurity(value: unknown): void {
  // The shards of CouchDB refuse it, and no reason arrives.
  const refusal = new Refusal(500, 'error', 'no_majority');
  if (!isRecord(value)) throw refusal;
  for (const level of ['admins', 'members'] as const) {
    const entries = value[level];
    if (entries === undefined) continue;
    if (!isRecord(entries)) throw refusal;
    for (const list of ['names', 'roles'] as const) {
      const items = entries[list];
      if (items !== undefined && !Array.isArray(items)) throw refusal;
    }
  }
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

const KNOWN_ENDPOINTS =
  /^_(?:all_dbs|active_tasks|cluster_setup|db_updates|dbs_info|membership|node|nouveau_analyze|replicate|reshard|scheduler|search_analyze|session|stats|up|utils|uuids)$/;

function welcome(): Reply {
  return json(200, {
    couchdb: 'Welcome',
    version: '3.5.0',
    git_sha: 'memory',
    uuid: '0'.repeat(32),
    features: ['partitioned'],
    vendor: { name: 'corduroy/testing' },
  });
}

function infoOf(db: MemoryDatabase): object {
  return {
    db_name: db.name,
    purge_seq: sequenceOf(db.purgeSeq),
    update_seq: sequenceOf(db.lastSeq),
    sizes: { file: 0, external: 0, active: 0 },
    props: db.partitioned ? { partitioned: true } : {},
    doc_del_count: db.deletedCount,
    doc_count: db.live.length,
    disk_format_version: 8,
    compact_running: false,
    cluster: { q: 1, n: 1, w: 1, r: 1 },
    instance_start_time: db.instanceStartTime,
  };
}
