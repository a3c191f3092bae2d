import { defineDesign } from 'corduroy';
import type { Database, Emit, Row, RowWithDoc, Stats, ViewName } from 'corduroy';
import { expectTypeOf } from 'expect-type';

// What the compiler knows of the rows of a view, from the design document.

interface Pet {
  name: string;
  legs: number;
  born: Date;
  kind: 'cat' | 'dog';
  tags: readonly string[];
}

declare const pets: Database<Pet>;

const design = defineDesign('pets', {
  views: {
    byLegs: { map: (doc: Pet, emit) => emit(doc.legs, doc.name), reduce: '_count' },
    byKind: { map: (doc: Pet, emit) => emit([doc.kind, doc.legs], 1), reduce: '_sum' },
    byName: { map: (doc: Pet, emit) => emit(doc.name) },
    byBirth: { map: (doc: Pet, emit) => emit(doc.born, { legs: doc.legs }) },
    byTag: {
      map: (doc: Pet, emit) => doc.tags.map((tag) => emit(tag, doc.legs)),
      reduce: '_stats',
    },
    some: { map: (doc: Pet, emit) => (doc.legs > 2 ? emit(doc.kind, doc.legs) : undefined) },
    two: { map: (doc: Pet, emit) => [emit(doc.name, 1), emit(doc.legs, 'two')] },
    typed: {
      map: (doc: Pet, emit: Emit<string, number>) => {
        for (const tag of doc.tags) emit(tag, 1);
      },
      reduce: (_keys, values) => values.length > 1,
    },
    block: {
      map: (doc: Pet, emit) => {
        emit(doc.name);
      },
    },
    text: { map: 'function (doc) { emit(doc.name) }' },
  },
  filters: { cats: (doc: Pet) => doc.kind === 'cat' },
});

expectTypeOf(design.byLegs).toEqualTypeOf<ViewName<number, string, number>>();
expectTypeOf(design.byKind).toEqualTypeOf<ViewName<['cat' | 'dog', number], number, number>>();
expectTypeOf(design.byName).toEqualTypeOf<ViewName<string, null>>();
expectTypeOf(design.byBirth).toEqualTypeOf<ViewName<string, { legs: number }>>();
expectTypeOf(design.byTag).toEqualTypeOf<ViewName<string, number, Stats>>();
expectTypeOf(design.some).toEqualTypeOf<ViewName<'cat' | 'dog', number>>();
expectTypeOf(design.two).toEqualTypeOf<ViewName<string | number, number | string>>();
expectTypeOf(design.typed).toEqualTypeOf<ViewName<string, number, boolean>>();
expectTypeOf(design.block).toEqualTypeOf<ViewName>();
expectTypeOf(design.text).toEqualTypeOf<ViewName>();
expectTypeOf(design.byLegs).toExtend<string>();

// @ts-expect-error -- there is no such view
pets.view(design.byLgs);

pets.designs.deploy(design).subscribe();
pets.designs.drift(design).subscribe(({ differences }) => differences.length);

// A view without a reduce function has the rows of its map function.
pets.view(design.byName).subscribe(({ rows }) => {
  expectTypeOf(rows).toEqualTypeOf<readonly Row<string, null>[]>();
});
pets.view(design.byName, { includeDocs: true }).subscribe(({ rows: [row] }) => {
  expectTypeOf(row!).toExtend<RowWithDoc<string, null, { born: string }>>();
  expectTypeOf(row!.doc!.born).toEqualTypeOf<string>();
});

// A view with one is reduced, to one row or by its keys.
pets.view(design.byLegs).subscribe(({ rows }) => {
  expectTypeOf(rows).toEqualTypeOf<readonly Row<null, number>[]>();
});
pets.view(design.byLegs, { group: true }).subscribe(({ rows }) => {
  expectTypeOf(rows).toEqualTypeOf<readonly Row<number, number>[]>();
});
pets.view(design.byLegs, { reduce: false, startKey: 2 }).subscribe(({ rows }) => {
  expectTypeOf(rows).toEqualTypeOf<readonly Row<number, string>[]>();
});
pets
  .view(design.byKind, { groupLevel: 1, startKey: ['cat'], endKey: ['cat', {}] })
  .subscribe((view) => {
    expectTypeOf(view.rows).toEqualTypeOf<
      readonly Row<readonly ('cat' | 'dog' | number)[], number>[]
    >();
  });
pets.view(design.byKind, { groupLevel: 'exact' }).subscribe((view) => {
  expectTypeOf(view.rows).toEqualTypeOf<readonly Row<['cat' | 'dog', number], number>[]>();
});
pets.view(design.byTag).subscribe(({ rows: [row] }) => {
  expectTypeOf(row!.value.sumsqr).toEqualTypeOf<number>();
});
const isReduced: boolean = pets.name === 'a';
pets.view(design.byLegs, { reduce: isReduced }).subscribe(({ rows: [row] }) => {
  expectTypeOf(row!).toEqualTypeOf<Row<null, number> | Row<number, string>>();
});

// The same for streams, pages, live queries and partitions.
pets.viewRows(design.byLegs, { reduce: false }).subscribe((row) => {
  expectTypeOf(row).toEqualTypeOf<Row<number, string>>();
});
pets.viewPages(design.byLegs, { reduce: false, pageSize: 10 }).subscribe(({ rows }) => {
  expectTypeOf(rows).toEqualTypeOf<readonly Row<number, string>[]>();
});
pets.view$(design.byLegs, { group: true }).subscribe((rows) => {
  expectTypeOf(rows).toEqualTypeOf<readonly Row<number, number>[]>();
});
pets
  .partition('a')
  .view(design.byLegs, { key: 4 })
  .subscribe(({ rows }) => {
    expectTypeOf(rows).toEqualTypeOf<readonly Row<null, number>[]>();
  });

// @ts-expect-error -- the keys are numbers
pets.view(design.byLegs, { startKey: 'two' });
// @ts-expect-error -- the keys are numbers
pets.view(design.byLegs, { keys: ['two'] });
// @ts-expect-error -- there is no such option
pets.view(design.byLegs, { starKey: 2 });
// @ts-expect-error -- the first elements are kinds
pets.view(design.byKind, { startKey: [true] });

// Names that know nothing are names as before.
const name: string = design.byLegs;
pets.view<number, string>(name, { startKey: 'anything' }).subscribe(({ rows }) => {
  expectTypeOf(rows).toEqualTypeOf<readonly Row<number, string>[]>();
});
