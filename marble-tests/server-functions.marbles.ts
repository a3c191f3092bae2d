import { describe, expect, it } from '@jest/globals';
import { transformSync } from '@swc/core';
import { transform } from 'esbuild';
import { runInNewContext } from 'node:vm';
import { defineDesign, designDocument } from 'corduroy';
import { foreignNames } from '../src/queries/foreign-names.ts';

// Functions for the server: what their text may use, and what compilers put into it.

describe('the names that a function takes from outside', () => {
  it.each<[source: string, names: readonly string[]]>([
    ['(doc) => emit(doc.name)', []],
    ['(doc, emit) => emit(doc.name, FACTOR)', ['FACTOR']],
    ['(doc) => emit(FACTOR * doc.n)', ['FACTOR']],
    ['(doc) => { const f = 2; emit(f * doc.n); }', []],
    ['function (doc) { helper(doc); }', ['helper']],
    ['function (doc) { helper(doc); function helper(d) { emit(d.n); } }', []],
    ['(doc) => { const { a, b: c, ...rest } = doc; emit(a, [c, rest]); }', []],
    ['(doc) => { const { a = LIMIT } = doc; emit(a); }', ['LIMIT']],
    ['({ name, tags: [first] }) => emit(name, first)', []],
    ['(doc) => { for (const [k, v] of Object.entries(doc)) emit(k, v); }', []],
    ['(doc) => { for (let i = 0, n = doc.tags.length; i < n; i++) emit(i); }', []],
    ['(doc) => { var a, b; a = b = doc.n; emit(a, b); }', []],
    ['(doc) => doc.tags.map((tag, i) => emit(tag, i))', []],
    ['(doc) => doc.tags.forEach(tag => emit(tag))', []],
    ['(doc) => { try { emit(doc.a.b); } catch (error) { log(error); } }', []],
    ['(doc) => { try { emit(doc.a.b); } catch { log("no b"); } }', []],
    ['(doc) => emit({ kind: doc.kind, n })', ['n']],
    ['(doc) => emit({ kind: doc.kind, get n() { return 1; }, m(x) { return x; } })', []],
    ['(doc) => emit(doc?.owner?.name ?? Missing)', ['Missing']],
    ['(doc) => emit(\'FACTOR // text\', "doc.x")', []],
    ['(doc) => emit(`${doc.name} of ${PLACE} and ${`${doc.n}`}`)', ['PLACE']],
    ['(doc) => emit(doc.name.replace(/[/"\'`]a{2}/g, "b"))', []],
    ['(doc) => { if (doc.n) /x y/.test(doc.name) && emit(doc.n / 2 / 3); }', []],
    ['(doc) => { /* uses FACTOR */ emit(doc.n); // FACTOR\n }', []],
    ['(doc) => { outer: for (const a of doc.a) { if (a) continue outer; emit(a); } }', []],
    ['(doc) => typeof window === "undefined" && emit(1)', []],
    ['(doc) => { class Point { constructor(x) { this.x = x; } } emit(new Point(1)); }', []],
    ['(doc) => emit(new Date(doc.at).getFullYear(), Math.max(1, NaN))', []],
    ['(doc) => { const lib = require("views/lib/a"); emit(lib.b(doc)); }', []],
    ['(doc) => emit(process.env.A, Buffer.from("a"))', ['process', 'Buffer']],
    ['(doc) => setTimeout(() => console.log(doc))', ['setTimeout', 'console']],
    ['(doc) => emit(doc.a ? doc.b : OTHER)', ['OTHER']],
    ['(doc) => { switch (doc.kind) { case CAT: emit(1); break; default: emit(2); } }', ['CAT']],
    ['(doc) => { cov_1.f[0]++; emit(doc.n); }', ['cov_1']],
    ['(doc) => emit(_object_spread({}, doc))', ['_object_spread']],
    ['(doc) => emit(module_1.FACTOR)', ['module_1']],
    ['(doc) => emit(0x1f + 1_000n + 1e5)', []],
    ['(doc) => { let großes = doc.n; emit(großes); }', []],
  ])('in %s', (source, names) => {
    expect(foreignNames(source)).toEqual(names);
  });
});

const LIMIT = 5;
const mapOf = (map: unknown): string => {
  const { views } = designDocument({ name: 'd', views: { v: { map: map as string } } });
  return (views as { v: { map: string } }).v.map;
};

/** Runs a script, and returns what it assigns to `made`. */
function madeBy(script: string): unknown {
  const context: { made?: unknown } = {};
  runInNewContext(script, context);
  return context.made;
}

/** Runs the text of a map function as CouchDB does. Returns the rows. */
function rowsOf(map: string, doc: object): unknown[] {
  const rows: unknown[] = [];
  const emit = (key: unknown, value: unknown = null): unknown => rows.push([key, value]);
  runInNewContext(`(${map})(doc)`, { emit, doc });
  return rows;
}

describe('a function of a design document', () => {
  const code = `made = (doc, emit) => {
    const double = (n) => n * 2;
    const all = { ...doc, n: double(doc.n) };
    for (const tag of [...all.tags]) emit(tag, all.n);
  };`;
  const doc = { n: 4, tags: ['a', 'b'] };
  const expected = [
    ['a', 8],
    ['b', 8],
  ];

  it('runs on the server after esbuild with keepNames, as tsx compiles it', async () => {
    const { code: output } = await transform(code, { keepNames: true, target: 'es2022' });
    expect(output).toContain('__name(');
    expect(rowsOf(mapOf(madeBy(output)), doc)).toEqual(expected);
  });

  it('runs on the server after a compiler for modern syntax', () => {
    const { code: output } = transformSync(code, { jsc: { target: 'es2022' } });
    expect(rowsOf(mapOf(madeBy(output)), doc)).toEqual(expected);
  });

  it('is refused after a compiler for old syntax, with its helper', () => {
    const { code: output } = transformSync(code, { jsc: { target: 'es5' } });
    expect(() => mapOf(madeBy(output))).toThrow(
      /^designDocument: views\.v\.map: the compiler has put a call to its helper '_\w+' into the fu/,
    );
  });

  it.each<[string, unknown, RegExp]>([
    ['a constant', (d: { n: number }) => d.n > LIMIT, /the function uses 'LIMIT', which CouchDB/],
    ['a global of Node', () => process.pid, /the function uses 'process'/],
    ['instrumentation', madeBy('made = () => cov_2x().s[0]++'), /its helper 'cov_2x'/],
  ])('is refused with %s', (_, map, message) => {
    expect(() => mapOf(map)).toThrow(TypeError);
    expect(() => mapOf(map)).toThrow(message);
  });
});

describe('defineDesign', () => {
  const design = defineDesign('pets', {
    views: {
      byLegs: { map: (pet: { legs: number }, emit) => emit(pet.legs), reduce: '_count' },
      toJSON: { map: 'function (doc) { emit(1) }' },
    },
    filters: { tall: (pet: { legs: number }) => pet.legs > 2 },
  });

  it('returns the names of its views', () => {
    expect(Object.entries(design)).toEqual([
      ['byLegs', 'pets/byLegs'],
      ['toJSON', 'pets/toJSON'],
    ]);
    expect(defineDesign('_design/a/b', { views: { v: { map: 'x' } } }).v).toBe('a/b/v');
  });

  it('shows as JSON what is written', () => {
    const plain = defineDesign('pets', { views: { v: { map: 'function (doc) {}' } } });
    expect(JSON.parse(JSON.stringify(plain))).toEqual({
      _id: '_design/pets',
      language: 'javascript',
      views: { v: { map: 'function (doc) {}' } },
    });
  });

  it.each<[string, () => unknown, RegExp]>([
    ['no name', () => defineDesign('', {}), /^defineDesign: name must be a string that is not/],
    ['no definition', () => defineDesign('a', null as never), /^defineDesign: definition must be/],
    [
      'an unknown field',
      () => defineDesign('a', { view: {} } as never),
      /^defineDesign: unknown option 'view'; did you mean 'views'\?/,
    ],
    [
      'an async function',
      () => defineDesign('a', { views: { v: { map: async () => {} } } }),
      /^defineDesign: views\.v\.map: the server runs no async functions/,
    ],
    [
      'a view without a map function',
      () => defineDesign('a', { views: { v: {} as never } }),
      /^defineDesign: views\.v\.map must be a function or its source text/,
    ],
  ])('refuses %s', (_, call, message) => {
    expect(call).toThrow(TypeError);
    expect(call).toThrow(message);
  });
});
