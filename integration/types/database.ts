/** The compiler checks the types of the database's groups. */
import { designDocument, isTombstone } from 'corduroy';
import type {
  AllDocsOptions,
  AllDocsRow,
  BulkGetResult,
  Database,
  DeployResult,
  DesignDocument,
  Document,
  Emit,
  LocalDocument,
  Operation,
  PartitionInfo,
  RevisionOutcome,
  RevisionValue,
  RevsDifference,
  RowWithDoc,
  SearchResult,
  ShardLocation,
  View,
  ViewOptions,
  WriteResult,
} from 'corduroy';
import { expectTypeOf } from 'expect-type';

interface Person {
  name: string;
  age?: number;
}
declare const db: Database<Person>;

// Listings
expectTypeOf(db.allDocs({ limit: 5 })).toEqualTypeOf<Operation<View<AllDocsRow, AllDocsOptions>>>();
db.allDocs().subscribe(({ rows }) => {
  for (const { key, value } of rows) {
    expectTypeOf(key).toEqualTypeOf<string>();
    expectTypeOf(value.rev).toEqualTypeOf<string>();
  }
});
expectTypeOf(db.allDocs({ includeDocs: true })).toEqualTypeOf<
  Operation<View<AllDocsRow<Document<Person>>, AllDocsOptions>>
>();
// With keys, a row may have no value.
expectTypeOf(db.allDocs({ keys: ['a'] })).toEqualTypeOf<
  Operation<View<AllDocsRow<null, RevisionValue | null>, AllDocsOptions>>
>();
expectTypeOf(db.allDocs({ keys: ['a'], includeDocs: true })).toEqualTypeOf<
  Operation<View<AllDocsRow<Document<Person> | null, RevisionValue | null>, AllDocsOptions>>
>();
// CouchDB compares numbers with ids, as it does in db.view('_all_docs').
db.allDocs({ key: 1, keys: [1, 'a'], startKey: 0, endKey: 9 });
// @ts-expect-error -- an id is a string, and no object
db.allDocs({ key: {} });
// @ts-expect-error -- _all_docs has no reduce function
db.allDocs({ reduce: false });
db.designs.list({ includeDocs: true }).subscribe(({ rows }) => {
  expectTypeOf(rows[0]?.doc).toEqualTypeOf<Document<DesignDocument> | null | undefined>();
});
expectTypeOf(db.viewQueries<string, number>('d/v', [{ limit: 1 }])).toEqualTypeOf<
  Operation<View<RowWithDoc<string, number, Person>, ViewOptions>[]>
>();
// @ts-expect-error -- an unknown option
db.viewQueries('d/v', [{ startkey: 1 }]);

// Revisions
expectTypeOf(db.revs.bulkGet(['a', { id: 'b', rev: '1-b' }])).toEqualTypeOf<
  Operation<BulkGetResult<Person>[]>
>();
// @ts-expect-error -- `id`, not `_id`
db.revs.bulkGet([{ _id: 'a' }]);
expectTypeOf(db.revs.open('a', 'all')).toEqualTypeOf<Operation<RevisionOutcome<Person>[]>>();
// @ts-expect-error -- an array or 'all'
db.revs.open('a', '1-a');
declare const outcome: RevisionOutcome<Person>;
if (outcome.ok) {
  if (!isTombstone(outcome.doc)) expectTypeOf(outcome.doc).toEqualTypeOf<Document<Person>>();
} else {
  expectTypeOf(outcome.error).toEqualTypeOf<string>();
}
expectTypeOf(db.revs.current('a')).toEqualTypeOf<Operation<string | null>>();
expectTypeOf(db.revs.diff({ a: ['1-a'] })).toEqualTypeOf<
  Operation<ReadonlyMap<string, RevsDifference>>
>();
db.save({ name: 'ada', _id: 'a', _rev: '1-a' }, { newEdits: false });

// Local documents
expectTypeOf(db.local.get<{ at: number }>('a')).toEqualTypeOf<
  Operation<LocalDocument<{ at: number }>>
>();
expectTypeOf(db.local.save({ _id: 'a' })).toEqualTypeOf<Operation<WriteResult>>();
// @ts-expect-error -- without an id
db.local.save({});
// @ts-expect-error -- local documents are never listed with their fields
db.local.list({ includeDocs: true });

// Partitions
const partition = db.partition('p');
expectTypeOf(partition.info()).toEqualTypeOf<Operation<PartitionInfo>>();
partition.find({ selector: { name: 'ada' } });
// @ts-expect-error -- a misspelled field
partition.find({ selector: { nmae: 'ada' } });

// Upkeep
expectTypeOf(db.upkeep.revsLimit()).toEqualTypeOf<Operation<number>>();
expectTypeOf(db.upkeep.shards()).toEqualTypeOf<Operation<ReadonlyMap<string, readonly string[]>>>();
expectTypeOf(db.upkeep.shards('a')).toEqualTypeOf<Operation<ShardLocation>>();

// Search
expectTypeOf(db.search('d/i', { q: 'a' })).toEqualTypeOf<Operation<SearchResult<Person>>>();
// @ts-expect-error -- the query has no q
db.search('d/i', { limit: 1 });

// Design documents
const design = designDocument<Person>({
  name: 'people',
  views: {
    byName: {
      map: (doc, emit) => {
        expectTypeOf(doc).toEqualTypeOf<Person>();
        expectTypeOf(emit).toEqualTypeOf<Emit>();
        emit(doc.name);
      },
      reduce: '_count',
    },
    top: { map: 'function (doc) {}', reduce: '_top_5' },
    summed: {
      map: (doc, emit) => emit(doc.name, 1),
      reduce: (_keys, values: readonly number[], rereduce) => (rereduce ? 0 : values.length),
    },
  },
  filters: { adults: (doc, req) => (doc.age ?? 0) > Number(req.query['from']) },
  validateDocUpdate: (newDoc, oldDoc) => {
    expectTypeOf(newDoc._id).toEqualTypeOf<string>();
    expectTypeOf(oldDoc).toEqualTypeOf<Person | null>();
  },
});
expectTypeOf(design).toEqualTypeOf<DesignDocument>();
expectTypeOf(db.designs.deploy(design)).toEqualTypeOf<Operation<DeployResult>>();
// @ts-expect-error -- an unknown field of Person
designDocument<Person>({ name: 'd', views: { v: { map: (doc, emit) => emit(doc.nmae) } } });
// @ts-expect-error -- a view without a map
designDocument({ name: 'd', views: { v: { reduce: '_count' } } });
// @ts-expect-error -- an unknown part
designDocument({ name: 'd', view: {} });
// @ts-expect-error -- a design document's id begins with _design/
db.designs.save({ _id: 'd' });
