/** The compiler checks the types of Mango queries. */
import { Database } from 'corduroy';
import type {
  AnyFields,
  Document,
  Explanation,
  FieldPath,
  FindQuery,
  FindResult,
  IndexCreated,
  JsonFields,
  Operation,
  Projected,
  Selector,
  StoredFields,
} from 'corduroy';
import { expectTypeOf } from 'expect-type';

interface Person {
  name: string;
  age?: number;
  nick: string | null;
  role: 'admin' | 'user';
  address: { city: string; geo?: { lat: number; lon: number } };
  tags: string[];
  orders: { total: number; items: { sku: string }[] }[];
  meta: Record<string, number>;
  born: Date;
  anything: unknown;
  'dotted.name': number;
}

const taken: Selector<Person>[] = [
  {},
  { name: 'ada' },
  { age: 36, role: 'admin', nick: null },
  { age: { $gt: 30, $lte: 40, $mod: [2, 0] } },
  { name: { $regex: '^a', $beginsWith: 'a', $gt: null } },
  { role: { $in: ['admin'] } },
  { address: { city: 'Bonn' } },
  { address: { city: { $ne: 'Bonn' }, geo: { lat: { $gt: 50 } } } },
  { address: { $eq: { city: 'Bonn' } } },
  { 'address.city': 'Bonn', 'address.geo.lat': { $lt: 51 } },
  { 'tags.0': 'a', tags: { $all: ['a'], $size: 2, $elemMatch: { $regex: '^a' } } },
  { tags: ['a', 'b'] },
  { tags: { $in: ['a'] } },
  { orders: { $elemMatch: { total: { $gt: 5 }, items: { $allMatch: { sku: 'x' } } } } },
  { 'orders.0.total': 5, 'orders.1.items': { $size: 1 } },
  { meta: { $keyMapMatch: { $eq: 'x' }, x: { $gt: 1 } }, 'meta.x': 1 },
  { born: { $exists: true, $type: 'string' } },
  { anything: { $whatever: 1 } },
  { 'dotted\\.name': 5 },
  { $or: [{ name: 'ada' }, { 'address.city': 'Bonn' }], $nor: [{ age: 1 }], $not: { age: 2 } },
  { age: { $or: [{ $lt: 5 }, { $gt: 60 }], $not: { $eq: 7 } } },
  { _id: { $gt: 'a' }, _rev: { $beginsWith: '1-' }, _attachments: { $exists: true } },
  { $text: 'bonn' },
];
void taken;

const refused: Selector<Person>[] = [
  // @ts-expect-error -- a dot in a name is escaped
  { 'dotted.name': 5 },
  // @ts-expect-error -- a misspelled field
  { nmae: 'ada' },
  // @ts-expect-error -- a misspelled field with others
  { name: 'ada', agee: 1 },
  // @ts-expect-error -- a misspelled nested field
  { 'address.town': 'Bonn' },
  // @ts-expect-error -- a misspelled field of a nested selector
  { address: { town: 'Bonn' } },
  // @ts-expect-error -- a misspelled field in a combination
  { $or: [{ nmae: 'ada' }] },
  // @ts-expect-error -- a misspelled field of an element
  { orders: { $elemMatch: { totl: 1 } } },
  // @ts-expect-error -- a misspelled operator
  { age: { $gtt: 1 } },
  // @ts-expect-error -- a misspelled combination
  { $and_: [] },
  // @ts-expect-error -- another type
  { age: 'old' },
  // @ts-expect-error -- another type by path
  { 'address.geo.lat': 'north' },
  // @ts-expect-error -- an operand of another type
  { name: { $gt: 5 } },
  // @ts-expect-error -- an operator for arrays
  { name: { $size: 5 } },
  // @ts-expect-error -- an operator for strings
  { age: { $regex: '5' } },
  // @ts-expect-error -- an unknown role
  { role: 'root' },
  // @ts-expect-error -- elements are conditions, not values
  { tags: { $elemMatch: 'a' } },
  // @ts-expect-error -- $in needs an array
  { name: { $in: 'ada' } },
];
void refused;

// A selector can contain `_conflicts`, but no other metadata of an answer.
void ({ _conflicts: { $exists: true } } satisfies Selector<Person>);
// @ts-expect-error -- `_revisions` is no field of a query
void ({ _revisions: { $exists: true } } satisfies Selector<Person>);

// Without a type, any field is valid, but combinations still need arrays.
const any: Selector[] = [{ a: 1, 'b.c': { $gt: 1 }, $or: [{ d: 1 }] }];
void any;
// @ts-expect-error -- an array is needed
void ({ $or: { a: 1 } } satisfies Selector);

expectTypeOf<'address.geo.lat'>().toExtend<FieldPath<Person>>();
expectTypeOf<'orders.0.total'>().toExtend<FieldPath<Person>>();
expectTypeOf<'born.getTime'>().not.toExtend<FieldPath<Person>>();
expectTypeOf<FieldPath>().toEqualTypeOf<string>();
expectTypeOf<Projected<Person & StoredFields, '_id' | 'age' | 'address.city'>>().toEqualTypeOf<{
  _id: string;
  age?: number;
  address: { city: string };
}>();

interface Tree {
  name: string;
  parent?: Tree;
  children: Tree[];
}
const deep: Selector<Tree>[] = [
  { 'parent.parent.parent.name': 'a' },
  { children: { $elemMatch: { parent: { parent: { parent: { parent: { name: 'a' } } } } } } },
];
void deep;

type Either = { type: 'a'; a: number } | { type: 'b'; b: { c: string } };
const either: Selector<Either>[] = [{ type: 'a', a: 1 }, { 'b.c': 'x' }, { type: 'b' }];
void either;
// @ts-expect-error -- an unknown type
void ({ type: 'c' } satisfies Selector<Either>);

// Queries
declare const db: Database<Person>;
expectTypeOf(db.find({ selector: { name: 'ada' } })).toEqualTypeOf<
  Operation<FindResult<Document<JsonFields<Person>>>>
>();
db.find({ selector: {}, fields: ['_id', 'age', 'address.city'] }).subscribe(({ docs }) => {
  expectTypeOf(docs).toEqualTypeOf<
    readonly { _id: string; age?: number; address: { city: string } }[]
  >();
});
const kept: FindQuery<Person> = { selector: {}, sort: ['name', { 'address.city': 'desc' }] };
expectTypeOf(db.find(kept)).toEqualTypeOf<Operation<FindResult<Document<JsonFields<Person>>>>>();
expectTypeOf<JsonFields<Person>['born']>().toEqualTypeOf<string>();
expectTypeOf(db.indexes.explain(kept)).toEqualTypeOf<Operation<Explanation>>();
// @ts-expect-error -- a misspelled field in the selector
db.find({ selector: { nmae: 'ada' } });
// @ts-expect-error -- a misspelled field among those to read
db.find({ selector: {}, fields: ['nmae'] });
// @ts-expect-error -- a misspelled field to sort by
db.find({ selector: {}, sort: ['nmae'] });
// @ts-expect-error -- a misspelled field to sort by backwards
db.find({ selector: {}, sort: [{ nmae: 'desc' }] });
db.find({ selector: {}, sort: ['name:string', { 'age:number': 'desc' }] });
// @ts-expect-error -- no selector
db.find({ limit: 5 });
// @ts-expect-error -- an unknown option
db.find({ selector: {}, use_index: 'a' });

expectTypeOf(db.indexes.create({ fields: ['name', { 'address.city': 'asc' }] })).toEqualTypeOf<
  Operation<IndexCreated>
>();
// @ts-expect-error -- a misspelled field
db.indexes.create({ fields: ['nmae'] });
// @ts-expect-error -- a misspelled field of a partial index
db.indexes.create({ fields: ['name'], partialFilterSelector: { agee: 1 } });

const untyped = new Database('x');
untyped.find({ selector: { anything: { $gt: 1 } }, sort: [{ goes: 'asc' }] });
untyped.find({ selector: {}, fields: ['a'] }).subscribe(({ docs }) => {
  expectTypeOf(docs).toEqualTypeOf<readonly AnyFields[]>();
});
