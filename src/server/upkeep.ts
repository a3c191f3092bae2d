import { defer, filter, map, mergeMap, repeat, take } from 'rxjs';
import { arrayField, asArray, asObject, stringField } from '../http/decode.ts';
import type { Answer } from '../http/exchange.ts';
import { Operation, operation } from '../http/operation.ts';
import { count } from '../http/query.ts';
import type { DatabaseScope } from '../http/scope.ts';
import { designAt, designName, endpoint, requireId, segment } from '../http/url.ts';
import { invalidArgument, requireOptions } from '../model/invalid-argument.ts';
import { assertJson } from '../model/json.ts';
import { grant, readSecurity, revoke, writeSecurity } from './security.ts';
import type { Grant, Security } from './security.ts';

/** The options of `compact`. */
export interface CompactOptions {
  /** Whether it emits when the compaction has ended, instead of started. @defaultValue false */
  readonly wait?: boolean;
  /** With `wait`: the time between two polls, in milliseconds. @defaultValue 500 */
  readonly interval?: number;
}

/** CouchDB requires the JSON content type for these requests, although they have no body. */
const AS_JSON = { 'content-type': 'application/json' };

export function cleanup(db: DatabaseScope): Operation<{ readonly ok: true }> {
  return post(db, '/_view_cleanup').mapValue(() => ({ ok: true }));
}

export function commit(db: DatabaseScope): Operation<{ readonly ok: true }> {
  return post(db, '/_ensure_full_commit').mapValue(() => ({ ok: true }));
}

export function compact(
  db: DatabaseScope,
  ddoc: string | undefined,
  options: CompactOptions,
): Operation<{ readonly ok: true }> {
  requireOptions(options, 'compact', ['wait', 'interval']);
  const { wait = false, interval = 500 } = options;
  if (typeof interval !== 'number' || !(interval > 0))
    throw invalidArgument('compact: interval', 'milliseconds above 0', interval, RangeError);
  const design = ddoc === undefined ? undefined : designName(ddoc, 'compact');
  const begin = design === undefined ? post(db, '/_compact') : post(db, '/_compact/{ddoc}', design);
  if (!wait) return begin.mapValue(() => ({ ok: true }));
  const running = db.connection.json(
    () => (design === undefined ? endpoint(db, '') : endpoint(designAt(db, design), '/_info')),
    (body) => {
      const info = asObject(body);
      return asObject(info['view_index'] ?? info)['compact_running'] === true;
    },
  );
  return new Operation(
    begin.status().pipe(
      map((status) => {
        if (!status.ok) throw status.exception;
      }),
      mergeMap(() =>
        defer(() => running).pipe(
          repeat({ delay: () => db.connection.after(interval) }),
          filter(({ value }) => !value),
          take(1),
        ),
      ),
      map((answer): Answer<{ readonly ok: true }> => ({ ...answer, value: { ok: true } })),
    ),
  );
}

/** Sends a POST request without a body, for a task that leaves nothing to do for a second request. */
function post(
  db: DatabaseScope,
  template: string,
  ...values: readonly string[]
): Operation<Readonly<Record<string, unknown>>> {
  return operation(
    db.connection,
    () => ({
      ...endpoint(db, template, '', ...values),
      method: 'POST',
      repeatable: true,
      headers: AS_JSON,
      body: '',
    }),
    asObject,
  );
}

/** Purged revisions of a document. */
export interface PurgedInfo {
  readonly id: string;
  readonly revs: readonly string[];
}

/** The shard of a document id. */
export interface ShardLocation {
  /** The range of hashes, for example `'00000000-7fffffff'`. */
  readonly range: string;
  readonly nodes: readonly string[];
}

/** The settings of the automatic purge of deleted documents. */
export interface AutoPurge {
  /** For example `'30_day'`. Empty means never. */
  readonly deleted_document_ttl?: string;
  readonly [field: string]: unknown;
}

/**
 * The administrator's methods of a database: `db.upkeep`.
 *
 * Every method returns a cold `Operation`. Methods that change something error with `Unauthorized`
 * for all but administrators.
 */
export class Upkeep {
  readonly #db: DatabaseScope;

  /** @internal */
  constructor(db: DatabaseScope) {
    this.#db = db;
  }

  /**
   * Reads or sets the number of revisions that CouchDB keeps of each document's history. Emits the
   * limit.
   *
   * A limit below the number of edits between two replications causes false conflicts.
   *
   * @throws RangeError if `limit` is not a whole number from 1.
   * @see https://docs.couchdb.org/en/stable/api/database/misc.html#db-revs-limit
   */
  revsLimit(limit?: number): Operation<number> {
    return this.#limit('/_revs_limit', limit, 'revsLimit');
  }

  /**
   * Reads or sets the number of purges that CouchDB keeps, so that replicas and indexes can apply
   * them. Emits the limit.
   *
   * @throws RangeError if `limit` is not a whole number from 1.
   * @see https://docs.couchdb.org/en/stable/api/database/misc.html#db-purged-infos-limit
   */
  purgedInfosLimit(limit?: number): Operation<number> {
    return this.#limit('/_purged_infos_limit', limit, 'purgedInfosLimit');
  }

  /**
   * Lists the purges that CouchDB still keeps.
   *
   * @see https://docs.couchdb.org/en/stable/api/database/misc.html#db-purged-infos
   */
  purgedInfos(): Operation<PurgedInfo[]> {
    const db = this.#db;
    return operation(
      db.connection,
      () => endpoint(db, '/_purged_infos'),
      (body) =>
        arrayField(body, 'purged_infos').map((info) => ({
          id: stringField(info, 'id'),
          revs: arrayField(info, 'revs').map(String),
        })),
    );
  }

  /**
   * Reads or sets when CouchDB purges deleted documents automatically. Emits the settings.
   *
   * Errors with `NotFound` if nothing is set, and on CouchDB 3.5.0 and older.
   *
   * @throws TypeError for a value that is not an object.
   */
  autoPurge(value?: AutoPurge): Operation<AutoPurge> {
    const db = this.#db;
    const address = endpoint(db, '/_auto_purge');
    if (value === undefined) {
      return operation(
        db.connection,
        () => address,
        (body) => asObject(body) as AutoPurge,
      );
    }
    if (typeof value !== 'object' || value === null)
      throw invalidArgument('autoPurge: value', 'an object', value);
    assertJson(value, 'autoPurge: value', db.connection.codec);
    return operation(
      db.connection,
      () => ({ ...address, method: 'PUT', repeatable: true, json: value }),
      () => value,
    );
  }

  /**
   * Emits the nodes of each shard of the database, by the shard's range of hashes.
   *
   * With an id, emits the shard of that document id, whether the document exists or not.
   *
   * @see https://docs.couchdb.org/en/stable/api/database/shard.html
   */
  shards(): Operation<ReadonlyMap<string, readonly string[]>>;
  shards(id: string): Operation<ShardLocation>;
  shards(
    ...args: [] | [string]
  ): Operation<ReadonlyMap<string, readonly string[]>> | Operation<ShardLocation> {
    const db = this.#db;
    const shards = endpoint(db, '/_shards');
    if (args.length === 0) {
      return operation(
        db.connection,
        () => shards,
        (body) =>
          new Map(
            Object.entries(asObject(asObject(body)['shards'])).map(([range, nodes]) => [
              range,
              asArray(nodes).map(String),
            ]),
          ),
      );
    }
    const [id] = args;
    requireId(id);
    const address = endpoint(shards, '/{docid}', '', segment(id, 'upkeep.shards: id'));
    return operation(
      db.connection,
      () => address,
      (body) => ({
        range: stringField(body, 'range'),
        nodes: arrayField(body, 'nodes').map(String),
      }),
    );
  }

  /**
   * Synchronizes the copies of each shard. Emits when the server has started.
   *
   * @see https://docs.couchdb.org/en/stable/api/database/shard.html#db-sync-shards
   */
  syncShards(): Operation<{ readonly ok: true }> {
    return post(this.#db, '/_sync_shards').mapValue(() => ({ ok: true }));
  }

  /**
   * Reads or replaces the security object: the members, who read and write, and the administrators.
   * Emits the security object that is then in use.
   *
   * Errors with `Unauthorized` for all but administrators.
   *
   * @throws TypeError for a value that is not an object.
   * @see https://docs.couchdb.org/en/stable/api/database/security.html
   */
  security(value?: Security): Operation<Security> {
    return value === undefined ? readSecurity(this.#db) : writeSecurity(this.#db, value);
  }

  /**
   * Adds users and roles to the members or the administrators of the database. Emits the security
   * object.
   *
   * CouchDB gives the security object no revision, so a concurrent write can be lost. Corduroy
   * applies its own edits one after the other, reads them back, and repeats an edit that another
   * program has overwritten. Errors with `Conflict` if that happens ten times.
   *
   * @throws TypeError for entries without members or admins, and for an unknown group.
   * @example
   * orders.upkeep.grant({ members: { roles: ['staff'] }, admins: { names: ['ada'] } })
   * @see https://docs.couchdb.org/en/stable/api/database/security.html
   */
  grant(entries: Grant): Operation<Security> {
    return grant(this.#db, entries);
  }

  /**
   * Removes users and roles from the members or the administrators. Otherwise as
   * {@link Upkeep.grant}.
   *
   * A database without members is open to everyone.
   */
  revoke(entries: Grant): Operation<Security> {
    return revoke(this.#db, entries);
  }

  #limit(name: string, limit: number | undefined, method: string): Operation<number> {
    const db = this.#db;
    const address = endpoint(db, name);
    if (limit === undefined) {
      return operation(
        db.connection,
        () => address,
        (body) => {
          if (typeof body !== 'number') throw new TypeError('expected a number');
          return body;
        },
      );
    }
    count(limit, `${method}: limit`);
    if (limit === 0)
      throw invalidArgument(`${method}: limit`, 'a whole number from 1', limit, RangeError);
    return operation(
      db.connection,
      () => ({ ...address, method: 'PUT', repeatable: true, json: limit }),
      () => limit,
    );
  }
}
