/** The compiler checks that types flow from what is saved to what is read. */
import { Database, withState } from 'corduroy';
import type {
  AnyFields,
  Change,
  ConflictResolution,
  CorduroyError,
  Document,
  FindResult,
  Json,
  JsonFields,
  LiveDocument,
  LiveQuery,
  Merge,
  Operation,
  RowStream,
  Selector,
  Tombstone,
} from 'corduroy';
import { expectTypeOf } from 'expect-type';
import { map } from 'rxjs';
import type { Observable } from 'rxjs';

// What is read is what JSON makes of what is saved.

interface Person {
  name: string;
  born: Date;
  pets?: readonly { since: Date | null }[];
  greet(): string;
}
declare const persons: Database<Person>;
declare const person: Person;
persons.save(person);
persons.get('a').subscribe((read) => {
  expectTypeOf(read.born).toEqualTypeOf<string>();
  expectTypeOf(read.pets).toEqualTypeOf<readonly { since: string | null }[] | undefined>();
  // @ts-expect-error -- a method does not arrive
  read.greet();
  // What was read can be saved.
  persons.save(read);
  persons.save({ ...read, name: 'Ada' });
});
persons.doc$('a').subscribe((read) => expectTypeOf(read?.born).toEqualTypeOf<string | undefined>());
persons.changes$({ includeDocs: true }).subscribe(({ changes: [change] }) => {
  if (change?.deleted !== true) expectTypeOf(change?.doc?.born).toEqualTypeOf<string | undefined>();
});
persons.upsert('a', (read) => {
  expectTypeOf(read).toEqualTypeOf<Document<JsonFields<Person>> | null>();
  return read === null ? person : { ...read, born: new Date().toISOString() };
});
persons.save(person, { merge: (_local, server) => server });
persons.find({ selector: { born: { $gt: '2020-01-01' } }, sort: ['born'], fields: ['born'] });
// @ts-expect-error -- CouchDB compares strings
persons.find({ selector: { born: { $gt: new Date() } } });
persons.edit$('a').patch({ born: '2020-01-01' });

// A type that JSON does not change stays the same type.

interface Tree {
  name: string;
  children?: Tree[];
  parent: Tree | null;
}
type Mixed = {
  a: unknown;
  b: AnyFields;
  c: [number, string];
  d?: Record<string, boolean>;
  e: never;
};
expectTypeOf<JsonFields<Tree>>().toEqualTypeOf<Tree>();
expectTypeOf<JsonFields<Mixed>>().toEqualTypeOf<Mixed>();
expectTypeOf<JsonFields<AnyFields>>().toEqualTypeOf<AnyFields>();
// oxlint-disable-next-line typescript/no-explicit-any -- a database of any
expectTypeOf<JsonFields<any>>().toBeAny();
expectTypeOf<Json<[Date, { at: Date }]>>().toEqualTypeOf<[string, { at: string }]>();
expectTypeOf<Json<{ run(): void; toJSON(): { at: Date } }>>().toEqualTypeOf<{ at: string }>();
expectTypeOf<Json<Date | undefined>>().toEqualTypeOf<string | undefined>();

// A selector narrows a union.

interface Cat {
  type: 'cat';
  name: string;
  lives: number;
}
interface Dog {
  type: 'dog';
  name: string;
  tricks: string[];
}
declare const animals: Database<Cat | Dog>;
type Found<T extends object> = Operation<FindResult<Document<T>>>;
expectTypeOf(animals.find({ selector: { type: 'dog' } })).toEqualTypeOf<Found<Dog>>();
expectTypeOf(animals.find({ selector: { type: { $eq: 'dog' } } })).toEqualTypeOf<Found<Dog>>();
expectTypeOf(animals.find({ selector: { type: { $in: ['cat'] } } })).toEqualTypeOf<Found<Cat>>();
expectTypeOf(animals.find({ selector: { type: 'cat', lives: { $lt: 9 } } })).toEqualTypeOf<
  Found<Cat>
>();
for (const selector of [{ name: 'ada' }, { type: { $ne: 'dog' } }, {}] as const)
  expectTypeOf(animals.find({ selector })).toEqualTypeOf<Found<Cat | Dog>>();
declare const either: 'cat' | 'dog';
expectTypeOf(animals.find({ selector: { type: either } })).toEqualTypeOf<Found<Cat | Dog>>();
expectTypeOf(animals.find$({ selector: { type: 'dog' } })).toEqualTypeOf<
  LiveQuery<readonly LiveDocument<Dog>[]>
>();
animals.findRows({ selector: { type: 'dog' } }).subscribe(({ tricks }) => tricks.length);
animals
  .partition('p')
  .find({ selector: { type: 'dog' } })
  .subscribe(({ docs }) => docs[0]?.tricks);
animals.find({ selector: { type: 'dog' }, fields: ['tricks', '_id'] }).subscribe(({ docs }) => {
  expectTypeOf(docs).toEqualTypeOf<readonly { tricks: string[]; _id: string }[]>();
});

// Sorts, fields and indexes take the fields of every member.

animals.find({ selector: { type: 'dog' }, sort: ['lives'], fields: ['tricks', 'lives'] });
animals.find({ selector: { $or: [{ lives: 9 }, { tricks: { $size: 2 } }] } });
animals.find$({ selector: { tricks: { $size: 2 } }, sort: [{ tricks: 'desc' }] });
animals.indexes.create({ fields: ['lives'] });
// @ts-expect-error -- no animal has wings
animals.indexes.create({ fields: ['wings'] });
// @ts-expect-error -- an unknown type of animal
animals.find({ selector: { type: 'cow' } });

// A database without a declared type takes every object, and a declared type is checked.

interface Pet {
  name: string;
  legs: number;
}
class Animal {
  readonly name: string = 'ada';
  speak(): string {
    return this.name;
  }
}
declare const untyped: Database;
declare const pet: Pet;
declare const pets: Database<Pet>;
untyped.save(pet);
untyped.save([pet, new Animal()]);
untyped.save(new Animal());
untyped.upsert('a', () => pet);
untyped.local.save({ _id: 'state', seq: 5 });
pets.save({ name: 'a', legs: 4, _attachments: { 'a.txt': { stub: true } } });
pets.save([{ name: 'a', legs: 4, _attachments: { 'a.txt': { stub: true } } }]);
expectTypeOf(pets.save(pet)).toEqualTypeOf<Operation<ConflictResolution<Pet>>>();
// @ts-expect-error -- a field is missing
pets.save({ name: 'a' });
// @ts-expect-error -- a field is missing in a list
pets.save([{ name: 'a' }]);
// @ts-expect-error -- a misspelled field
pets.save({ name: 'a', legs: 4, leggs: 4 });

// Read-only documents, and fields whose names are numbers or begin with a dollar.

interface Listed {
  readonly tags: readonly string[];
  readonly list: readonly { readonly x: number }[];
}
declare const listed: Database<Listed>;
listed.save({ tags: ['a'], list: [{ x: 1 }] } as const);
listed.find({ selector: { tags: { $all: ['a'] }, 'tags.0': 'a', 'list.0.x': 1 } });
declare const numbered: Database<{ 11111: number; '22222.33333': string; $key: string }>;
numbered.find({ selector: { 11111: 5, '22222\\.33333': 'x', '\\$key': 'y' }, sort: ['11111'] });

// Design documents as CouchDB stores them.

untyped.designs.save({
  _id: '_design/a',
  views: {
    lib: { a: 'exports.x = 1' },
    v: { map: 'function () {}', options: { include_design: true } },
  },
});
untyped.designs.save({
  _id: '_design/b',
  language: 'query',
  views: { v: { map: { fields: { a: 'asc' } }, reduce: '_count' } },
});

// A generic repository.

export class Repo<T extends { name: string }> {
  readonly db: Database<T>;

  constructor(db: Database<T>) {
    this.db = db;
  }

  nameOf(id: string): Observable<string> {
    return this.db.get(id).pipe(map(({ name }) => name));
  }

  firstNamed(name: string): Observable<string | undefined> {
    const found$ = this.db.find({ selector: { name }, sort: ['name'] });
    return found$.pipe(map(({ docs }) => docs[0]?.name));
  }

  add(doc: T): void {
    this.db.save(doc).subscribe();
  }

  rename(id: string, name: string): void {
    this.db.upsert(id, (doc) => (doc === null ? null : { ...doc, name })).subscribe();
  }
}

/** For documents that JSON does not change, `Database<T, T>` reads what it saves. */
export class PlainRepo<T extends { name: string }> {
  readonly db: Database<T, T>;

  constructor(db: Database<T, T>) {
    this.db = db;
  }

  all(name: string): Observable<readonly Document<T>[]> {
    return this.db.find({ selector: { name } }).pipe(map(({ docs }) => docs));
  }
}
void [new Repo(pets), new PlainRepo(pets), new Repo<Dog>(new Database<Dog>('dogs'))];

// The kind of a change tells what it contains, and errors have a type.

declare const change: Change<Pet>;
if (change.deleted === true) {
  expectTypeOf(change.doc).toEqualTypeOf<Tombstone | null | undefined>();
} else {
  expectTypeOf(change.doc).toEqualTypeOf<Document<Pet> | null | undefined>();
}
expectTypeOf(pets.changeRows()).toExtend<RowStream<Change<Pet>, unknown>>();
pets
  .doc$('a')
  .pipe(withState())
  .subscribe(({ error }) => expectTypeOf(error).toEqualTypeOf<CorduroyError | null>());
pets
  .partition('p')
  .allDocs({ keys: ['p:a'] })
  .subscribe(({ rows: [row] }) => {
    // @ts-expect-error -- a missing id has no value
    void row?.value.rev;
    void row?.value?.rev;
  });

const kept: Selector<Cat | Dog> = { type: 'dog', tricks: { $size: 1 } };
animals.find({ selector: kept });
const merge: Merge<Pet> = (local, server) => ({ ...server, ...local });
pets.save(pet, { merge });
