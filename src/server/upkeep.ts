import { arrayField, asArray, asObject, stringField } from '../http/decode.ts';
import { operation } from '../http/operation.ts';
import type { Operation } from '../http/operation.ts';
import { count } from '../http/query.ts';
import type { DatabaseScope } from '../http/scope.ts';
import { requireId, segment } from '../http/url.ts';
import { invalidArgument } from '../model/invalid-argument.ts';
import { post } from './maintenance.ts';
import { grant, readSecurity, revoke, writeSecurity } from './security.ts';
import type { Grant, Security } from './security.ts';

/** Revisions of a document that were purged. */
export interface PurgedInfo {
  readonly id: string;
  readonly revs: readonly string[];
}

/** Where the document of an id is kept. */
export interface ShardLocation {
  /** The range of hashes, as in `'00000000-7fffffff'`. */
  readonly range: string;
  readonly nodes: readonly string[];
}

/** When deleted documents are purged without being asked to. */
export interface AutoPurge {
  /** As in `'30_day'`; empty for never. */
  readonly deleted_document_ttl?: string;
  readonly [field: string]: unknown;
}

/** What an administrator sees to: `db.upkeep`. All of it is cold. */
export class Upkeep {
  readonly #db: DatabaseScope;

  /** @internal */
  constructor(db: DatabaseScope) {
    this.#db = db;
  }

  /**
   * Reads or writes how many revisions of a document are remembered; emits what holds now.
   *
   * Fewer than there are edits between two replications make conflicts that are none.
   *
   * @see https://docs.couchdb.org/en/stable/api/database/misc.html#db-revs-limit
   */
  revsLimit(limit?: number): Operation<number> {
    return this.#limit('/_revs_limit', limit, 'revsLimit');
  }

  /**
   * Reads or writes how many purges are remembered, for copies and indexes that have not heard of
   * them; emits what holds now.
   *
   * @see https://docs.couchdb.org/en/stable/api/database/misc.html#db-purged-infos-limit
   */
  purgedInfosLimit(limit?: number): Operation<number> {
    return this.#limit('/_purged_infos_limit', limit, 'purgedInfosLimit');
  }

  /**
   * Emits what was purged, as far as it is remembered.
   *
   * @see https://docs.couchdb.org/en/stable/api/database/misc.html#db-purged-infos
   */
  purgedInfos(): Operation<PurgedInfo[]> {
    const db = this.#db;
    return operation(
      db.connection,
      () => ({ path: `${db.path}/_purged_infos` }),
      (body) =>
        arrayField(body, 'purged_infos').map((info) => ({
          id: stringField(info, 'id'),
          revs: arrayField(info, 'revs').map(String),
        })),
    );
  }

  /**
   * Reads or writes when deleted documents are purged by themselves; emits what holds now.
   *
   * Errors with `NotFound` where nothing was set, and on servers that do not have it: it came after
   * CouchDB 3.5.0.
   */
  autoPurge(value?: AutoPurge): Operation<AutoPurge> {
    const db = this.#db;
    const path = `${db.path}/_auto_purge`;
    if (value === undefined) {
      return operation(
        db.connection,
        () => ({ path }),
        (body) => asObject(body) as AutoPurge,
      );
    }
    if (typeof value !== 'object' || value === null)
      throw invalidArgument('autoPurge: value', 'an object', value);
    return operation(
      db.connection,
      () => ({ method: 'PUT', path, json: value }),
      () => value,
    );
  }

  /**
   * Emits where the database is kept: the nodes of each shard, by its range of hashes; or where the
   * document of an id is, whether there is one or not.
   *
   * @see https://docs.couchdb.org/en/stable/api/database/shard.html
   */
  shards(): Operation<ReadonlyMap<string, readonly string[]>>;
  shards(id: string): Operation<ShardLocation>;
  shards(
    ...args: [] | [string]
  ): Operation<ReadonlyMap<string, readonly string[]>> | Operation<ShardLocation> {
    const db = this.#db;
    const path = `${db.path}/_shards`;
    if (args.length === 0) {
      return operation(
        db.connection,
        () => ({ path }),
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
    return operation(
      db.connection,
      () => ({ path: `${path}/${segment(id)}` }),
      (body) => ({
        range: stringField(body, 'range'),
        nodes: arrayField(body, 'nodes').map(String),
      }),
    );
  }

  /**
   * Has the copies of each shard compared and brought to the same state; emits when that has begun.
   *
   * @see https://docs.couchdb.org/en/stable/api/database/shard.html#db-sync-shards
   */
  syncShards(): Operation<{ readonly ok: true }> {
    return post(this.#db, '/_sync_shards').mapValue(() => ({ ok: true }));
  }

  /**
   * Reads or replaces the rights to the database: its members, who read and write, and its
   * administrators. Emits the rights that hold afterwards.
   *
   * Cold. Errors with `Unauthorized` for all but administrators.
   *
   * @see https://docs.couchdb.org/en/stable/api/database/security.html
   */
  security(value?: Security): Operation<Security> {
    return value === undefined ? readSecurity(this.#db) : writeSecurity(this.#db, value);
  }

  /**
   * Adds users and roles to the members or the administrators of the database. Emits the rights that
   * hold afterwards.
   *
   * Cold. CouchDB gives these rights no revision, so a concurrent write can be lost. Corduroy applies
   * its own edits one after the other, reads them back, and repeats an edit that another program has
   * overwritten. Errors with `Conflict` if that happens ten times.
   *
   * @example
   * orders.upkeep.grant({ members: { roles: ['staff'] }, admins: { names: ['ada'] } })
   * @see https://docs.couchdb.org/en/stable/api/database/security.html
   */
  grant(entries: Grant): Operation<Security> {
    return grant(this.#db, entries);
  }

  /**
   * Removes users and roles from the members or the administrators, as {@link Upkeep.grant} adds
   * them. A database without any member is open to everybody.
   */
  revoke(entries: Grant): Operation<Security> {
    return revoke(this.#db, entries);
  }

  #limit(below: string, limit: number | undefined, what: string): Operation<number> {
    const db = this.#db;
    const path = db.path + below;
    if (limit === undefined) {
      return operation(
        db.connection,
        () => ({ path }),
        (body) => {
          if (typeof body !== 'number') throw new TypeError('expected a number');
          return body;
        },
      );
    }
    count(limit, `${what}: limit`);
    if (limit === 0)
      throw invalidArgument(`${what}: limit`, 'a whole number from 1', limit, RangeError);
    return operation(
      db.connection,
      () => ({ method: 'PUT', path, json: limit }),
      () => limit,
    );
  }
}
