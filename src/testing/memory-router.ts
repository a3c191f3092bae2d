import type { SchedulerLike } from 'rxjs';
import { requireDatabaseName } from '../http/url.ts';
import { assertJson } from '../model/json.ts';
import { describeValue } from '../model/invalid-argument.ts';
import { allDocs, bulkDocs, bulkGet, toDocument } from './memory-documents.ts';
import { readSort } from './memory-indexes.ts';
import { changes, sequenceOf } from './memory-changes.ts';
import { MemoryDatabase, byCodeUnits } from './memory-database.ts';
import { documentReply, write } from './memory-documents.ts';
import { collate, fieldOf, isRecord, matches } from './matcher.ts';
import { Refusal, badRequest, missing, notImplemented } from './reply.ts';
import { json } from './reply.ts';
import type { Reply } from './reply.ts';
import { segmentsOf } from './route.ts';
import type { ServerRequest } from './route.ts';
import { digest } from './revision-tree.ts';

type Doc = Readonly<Record<string, unknown>>;

const NAME_RULE =
  'Only lowercase characters (a-z), digits (0-9), and any of the characters _, $, (, ), +, -, ' +
  'and / are allowed. Must begin with a letter.';
const NAME = /^[a-z][a-z0-9_$()+/-]*$/;

/** The databases of an in-memory server, and the routing of requests. */
export class MemoryRouter {
  readonly #databases = new Map<string, MemoryDatabase>();
  readonly #scheduler: SchedulerLike;
  #databaseCount = 0;
  #idCount = 0;

  constructor(scheduler: SchedulerLike) {
    this.#scheduler = scheduler;
  }

  /** Creates a database with documents. Documents with a `_rev` keep it, as after a replication. */
  fill(name: string, docs: readonly object[]): void {
    requireDatabaseName(name);
    const db = this.#create(name);
    for (const doc of docs) {
      assertJson(doc, `memoryServer: a document of ${name}`);
      const copy = JSON.parse(JSON.stringify(doc)) as {
        readonly _id?: string;
        readonly _rev?: string;
      };
      const { _id: id = this.#newId(), _rev: rev } = copy;
      try {
        if (rev === undefined) db.write(id, copy);
        else db.writeReplicated(id, copy);
      } catch (error) {
        const reason = error instanceof Refusal ? error.message : String(error);
        throw new TypeError(`memoryServer: ${name}: the document ${describeValue(id)}: ${reason}`, {
          cause: error,
        });
      }
    }
  }

  /** Answers a request. Throws a `Refusal` if CouchDB would answer with an error. */
  answer(request: ServerRequest): Reply {
    const [first, ...rest] = segmentsOf(request.path);
    if (first === undefined) return welcome();
    if (first.startsWith('_') && first !== '_users' && first !== '_replicator')
      return this.#serverReply(first, request);
    if (rest.length === 0) return this.#databaseReply(first, request);
    const db = this.#databases.get(first);
    if (db === undefined) throw missing('Database does not exist.');
    const [name = '', second, ...more] = rest;
    const prefixed = name === '_design' || name === '_local';
    if (name.startsWith('_') && !(prefixed && second !== undefined))
      return this.#collectionReply(db, name, request);
    const id = prefixed ? `${name}/${second}` : name;
    const [part] = prefixed ? more : [second];
    if (part === undefined) return documentReply(db, id, request);
    throw notImplemented(DESIGN_FUNCTIONS[part] ?? 'support attachments');
  }

  #serverReply(name: string, { method, query, body }: ServerRequest): Reply {
    const names = (): string[] => [...this.#databases.keys()].sort(byCodeUnits);
    switch (`${method} ${name}`) {
      case 'GET _all_dbs':
        return json(200, names());
      case 'GET _up':
        return json(200, { status: 'ok', seeds: {} });
      case 'GET _uuids':
        return json(200, {
          uuids: Array.from({ length: Number(query['count'] ?? 1) }, () => this.#newId()),
        });
      case 'GET _session':
        return json(200, { ok: true, userCtx: { name: null, roles: ['_admin'] }, info: {} });
      case 'POST _session': {
        const user = isRecord(body) ? body['name'] : null;
        return json(200, { ok: true, name: user, roles: ['_admin'] });
      }
      case 'DELETE _session':
        return json(200, { ok: true });
      default:
        throw notImplemented(`answer ${method} /${name}`);
    }
  }

  #databaseReply(name: string, { method, body, query }: ServerRequest): Reply {
    const db = this.#databases.get(name);
    if (method === 'PUT') {
      if (!NAME.test(name) && !name.startsWith('_'))
        throw new Refusal(400, 'illegal_database_name', `Name: '${name}'. ${NAME_RULE}`);
      if (db !== undefined) {
        const reason = 'The database could not be created, the file already exists.';
        throw new Refusal(412, 'file_exists', reason);
      }
      if (query['partitioned'] === 'true') throw notImplemented('support partitioned databases');
      this.#create(name);
      return json(201, { ok: true });
    }
    if (db === undefined) throw missing('Database does not exist.');
    switch (method) {
      case 'GET':
      case 'HEAD':
        return json(200, infoOf(db));
      case 'DELETE':
        this.#databases.delete(name);
        db.close();
        return json(200, { ok: true });
      case 'POST': {
        if (!isRecord(body)) throw badRequest('Document must be a JSON object');
        const { _id: id = this.#newId() } = body as { readonly _id?: string };
        return write(db, id, body, query);
      }
      default:
        throw notImplemented(`support ${method} on databases`);
    }
  }

  #collectionReply(db: MemoryDatabase, name: string, request: ServerRequest): Reply {
    const { method, body, query } = request;
    switch (`${method} ${name}`) {
      case 'POST _bulk_docs':
        return bulkDocs(db, body, () => this.#newId());
      case 'POST _bulk_get':
        return bulkGet(db, body, query);
      case 'GET _all_docs':
      case 'POST _all_docs':
        return allDocs(db, request);
      case 'GET _changes':
      case 'POST _changes':
        return changes(db, request, this.#scheduler);
      case 'POST _index':
        return db.indexes.create(body);
      case 'GET _index':
        return db.indexes.list();
      case 'DELETE _index':
        return db.indexes.remove(segmentsOf(request.path).slice(2));
      case 'POST _find':
        return find(db, body);
      default:
        if (method === 'PUT') return documentReply(db, name, request);
        throw notImplemented(`answer ${method} /{db}/${name}`);
    }
  }

  #create(name: string): MemoryDatabase {
    this.#databaseCount += 1;
    const db = new MemoryDatabase(name, String(1_700_000_000 + this.#databaseCount));
    this.#databases.set(name, db);
    return db;
  }

  #newId(): string {
    this.#idCount += 1;
    return digest(`id ${this.#idCount}`);
  }
}

const DESIGN_FUNCTIONS: Readonly<Record<string, string>> = {
  _view: 'run views',
  _show: 'run show functions',
  _list: 'run list functions',
  _update: 'run update functions',
  _rewrite: 'run rewrites',
  _info: 'support indexes of design documents',
};

function welcome(): Reply {
  return json(200, { couchdb: 'Welcome', version: '3.5.0', vendor: { name: 'corduroy/testing' } });
}

function infoOf(db: MemoryDatabase): object {
  return {
    db_name: db.name,
    doc_count: db.ids.length,
    doc_del_count: db.deletedCount,
    update_seq: sequenceOf(db.lastSeq),
    purge_seq: '0',
    compact_running: false,
    sizes: { file: 0, external: 0, active: 0 },
    props: {},
    instance_start_time: db.instanceStartTime,
  };
}

/**
 * Finds documents with a selector: `_find`. A sort needs an index, which only contains documents
 * with its fields.
 */
function find(db: MemoryDatabase, body: unknown): Reply {
  if (!isRecord(body)) throw badRequest('Request body must be a JSON object');
  const { selector, sort = [], limit = 25, skip = 0, fields, bookmark } = body;
  if (!isRecord(selector))
    throw new Refusal(400, 'missing_required_key', 'Missing required key: selector');
  const keys = (sort as readonly unknown[]).map(readSort);
  const indexFields = keys.length === 0 ? [] : db.indexes.forSort(keys, selector);
  if (indexFields === null)
    throw new Refusal(
      400,
      'no_usable_index',
      'No index exists for this sort, try indexing by the sort fields.',
    );
  const found = db.ids
    .filter((id) => !id.startsWith('_design/'))
    .flatMap((id) => {
      const tree = db.tree(id);
      return tree === undefined ? [] : [toDocument(db, id, tree.winner, {})];
    })
    .filter((doc) => matches(selector, doc))
    .filter((doc) => indexFields.every((field) => fieldOf(doc, field) !== undefined))
    .sort(bySort(keys));
  // A bookmark contains the number of documents before the page.
  const start = Number(/^memory-(\d+)$/.exec(String(bookmark))?.[1] ?? skip);
  const docs = found.slice(start, start + Number(limit));
  const next = docs.length === 0 ? 'nil' : `memory-${start + docs.length}`;
  return json(200, {
    docs: Array.isArray(fields) ? docs.map((doc) => pick(doc, fields as string[])) : docs,
    bookmark: next,
  });
}

function bySort(keys: readonly (readonly [string, string])[]): (a: Doc, b: Doc) => number {
  return (a, b) => {
    for (const [field, direction] of keys) {
      const difference = collate(fieldOf(a, field), fieldOf(b, field));
      if (difference !== 0) return direction === 'desc' ? -difference : difference;
    }
    return 0;
  };
}

function pick(doc: Doc, fields: readonly string[]): Doc {
  const picked: Record<string, unknown> = {};
  for (const field of fields) {
    const value = fieldOf(doc, field);
    if (value !== undefined) setField(picked, field.split('.'), value);
  }
  return picked;
}

/** Sets a field below its path, as in the document: `address.city` sets `city` of `address`. */
function setField(target: Record<string, unknown>, names: readonly string[], value: unknown): void {
  const [name = '', ...rest] = names;
  if (rest.length === 0) {
    target[name] = value;
    return;
  }
  const nested = isRecord(target[name]) ? { ...target[name] } : {};
  target[name] = nested;
  setField(nested, rest, value);
}
