import { describeValue } from '../../model/invalid-argument.ts';
import { assertJson } from '../../model/json.ts';
import type { JsonCodec } from '../../model/json.ts';
import { Refusal } from '../reply.ts';
import type { MemoryDatabase } from './database.ts';
import type { UserContext } from './designs.ts';
import { readDraft } from './draft.ts';
import { rulesFor } from './endpoints.ts';
import type { Scope } from './endpoints.ts';
import { writeDrafts } from './bulk.ts';
import { indexReply } from './mango-indexes.ts';
import { protectPassword } from './users.ts';

/** The initial content of a database: see `MemoryServerOptions.databases`. */
export interface DatabaseSeed {
  /**
   * Documents, also with inline attachments, design documents and local documents. A document keeps its
   * `_rev`; without one it gets a new revision. Two documents with the same `_id` are in conflict.
   */
  readonly docs?: readonly object[];
  /** Mango indexes, as `db.indexes.create` takes them. */
  readonly indexes?: readonly object[];
  /** Local documents; their ids need no `_local/`. */
  readonly local?: readonly object[];
  /** The security object, as `db.security` takes it. */
  readonly security?: object;
  /** Whether the database is partitioned. @defaultValue false */
  readonly partitioned?: boolean;
}

type SeedDocument = { readonly _id?: string; readonly _rev?: string } & Readonly<
  Record<string, unknown>
>;

export const ADMIN: UserContext = { name: null, roles: ['_admin'] };

/** Fills a database with its initial content. Throws a TypeError for what CouchDB would refuse. */
export function fillDatabase(
  scope: Scope,
  db: MemoryDatabase,
  { docs = [], indexes = [], local = [], security }: DatabaseSeed,
  codec: JsonCodec,
): void {
  const copy = (doc: object): SeedDocument => {
    assertJson(doc, `memoryServer: a document of ${db.name}`, codec);
    return codec.parse(codec.stringify(doc)) as SeedDocument;
  };
  for (const doc of docs) write(scope, db, copy(doc));
  for (const doc of local) {
    const { _id: id = scope.newId(), ...fields } = copy(doc);
    write(scope, db, { ...fields, _id: `_local/${id.replace(/^_local\//, '')}` });
  }
  for (const definition of indexes) createIndex(db, definition);
  if (security !== undefined) db.security = security;
}

/** Writes a document of the seed. */
export function write(scope: Scope, db: MemoryDatabase, doc: SeedDocument): void {
  const { _id: id = scope.newId(), _rev: rev } = doc;
  const fields = db.name === '_users' ? protectPassword(doc) : doc;
  seeding(db, `the document ${describeValue(id)}`, () => {
    const draft = { ...readDraft(fields), id };
    const [written] = writeDrafts(db, [draft], rev === undefined, rulesFor(db, ADMIN));
    if (written instanceof Refusal) throw written;
  });
}

function createIndex(db: MemoryDatabase, definition: object): void {
  const { fields, partialFilterSelector, ...others } = definition as Readonly<
    Record<string, unknown>
  >;
  const partial = partialFilterSelector !== undefined && {
    partial_filter_selector: partialFilterSelector,
  };
  const body = { index: { fields, ...partial }, ...others };
  const request = { method: 'POST', path: '', query: {}, body };
  seeding(db, `the index ${JSON.stringify(definition)}`, () =>
    indexReply(db, [], request, rulesFor(db, ADMIN)),
  );
}

/** Runs a step of the seeding. A refusal is a mistake in the options of the test. */
function seeding(db: MemoryDatabase, what: string, step: () => void): void {
  try {
    step();
  } catch (error) {
    const reason = error instanceof Refusal ? error.message : String(error);
    throw new TypeError(`memoryServer: ${db.name}: ${what}: ${reason}`, { cause: error });
  }
}
