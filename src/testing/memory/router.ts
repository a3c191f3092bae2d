import { catchError, defer, isObservable, of } from 'rxjs';
import type { Observable, SchedulerLike } from 'rxjs';
import { requireDatabaseName } from '../../http/url.ts';
import { byId } from '../../model/document.ts';
import type { JsonCodec } from '../../model/json.ts';
import { Refusal, badRequest, isRecord, json, missing, notImplemented } from '../reply.ts';
import type { Reply } from '../reply.ts';
import { segmentsOf } from '../route.ts';
import { sequenceOf } from './changes.ts';
import { MemoryDatabase } from './database.ts';
import type { UserContext } from './designs.ts';
import { answerBelow, methodNotAllowed, postDocument } from './endpoints.ts';
import type { Scope } from './endpoints.ts';
import type { MemoryRequest } from './request.ts';
import { hex, md5 } from './revision-hash.ts';
import { fillDatabase, write } from './seed.ts';
import type { DatabaseSeed } from './seed.ts';
import { MemoryUsers, requireAccess, requireServerAdmin } from './users.ts';

const NAME_RULE =
  'Only lowercase characters (a-z), digits (0-9), and any of the characters _, $, (, ), +, -, ' +
  'and / are allowed. Must begin with a letter.';
const NAME = /^[a-z][a-z0-9_$()+/-]*$/;

/** The options of a {@link MemoryRouter}. */
export interface RouterOptions {
  readonly scheduler: SchedulerLike;
  readonly latency: number;
  readonly codec: JsonCodec;
  readonly admins: Readonly<Record<string, string>>;
}

/** The databases of an in-memory server, and the routing of requests. */
export class MemoryRouter {
  readonly #databases = new Map<string, MemoryDatabase>();
  readonly #scope: Scope;
  readonly #codec: JsonCodec;
  readonly #users: MemoryUsers;
  #databaseCount = 0;
  #idCount = 0;

  constructor({ scheduler, latency, codec, admins }: RouterOptions) {
    this.#codec = codec;
    this.#scope = { scheduler, latency, newId: () => this.#newId() };
    this.#users = new MemoryUsers(admins, () => this.#databases.get('_users'));
    if (this.#users.hasAdmins) this.#create('_users', false);
  }

  has(name: string): boolean {
    return this.#databases.has(name);
  }

  /** Creates a database with its content. Documents with a `_rev` keep it, as after a replication. */
  fill(name: string, content: readonly object[] | DatabaseSeed): void {
    requireDatabaseName(name);
    const seed: DatabaseSeed = Array.isArray(content)
      ? { docs: content as object[] }
      : (content as DatabaseSeed);
    const db = this.#create(name, seed.partitioned ?? false);
    fillDatabase(this.#scope, db, seed, this.#codec);
  }

  /** Deletes a database, and creates it again with its content. */
  replace(name: string, content: readonly object[] | DatabaseSeed = []): void {
    const old = this.#databases.get(name);
    if (old === undefined)
      throw new TypeError(`replaceDatabase: there is no database ${JSON.stringify(name)}`);
    this.#databases.delete(name);
    this.fill(name, content);
    old.close();
  }

  /** Adds a user to the database of users. */
  addUser(
    name: string,
    { password, roles = [] }: { readonly password: string; readonly roles?: readonly string[] },
  ): void {
    const db = this.#databases.get('_users') ?? this.#create('_users', false);
    const user = { name, type: 'user', roles, password };
    write(this.#scope, db, { _id: `org.couchdb.user:${name}`, ...user });
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
    if (request.isMalformed === true) throw badRequest('invalid_url_encoding');
    const segments = segmentsOf(request.path);
    const [first, ...rest] = segments;
    if (first === undefined) return welcome();
    if (first === '_session') return this.#users.sessionReply(request);
    const user = this.#users.identify(request);
    if (first.startsWith('_') && first !== '_users' && first !== '_replicator')
      return this.#serverReply(first, request, user);
    if (rest.length === 0) return this.#databaseReply(first, request, user);
    const db = this.#databases.get(first);
    if (db === undefined) throw missing('Database does not exist.');
    return answerBelow(this.#scope, db, rest, request, user);
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
        throw missing('Database does not exist.');
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
    const { method, query } = request;
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
      case 'POST':
        return postDocument(this.#scope, db, request, user);
      default:
        throw methodNotAllowed('DELETE,GET,HEAD,POST');
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
