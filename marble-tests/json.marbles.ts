import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { byId, byWinner, generation, isTombstone, recordRevision } from '../src/model/document.ts';
import {
  asWritten,
  assertJson,
  assertQuery,
  canonical,
  equal,
  hasToJson,
  isAscii,
  isNumeric,
  isWellFormed,
  nameOf,
  plainCopy,
} from '../src/model/json.ts';
import { Row, View } from '../src/model/view.ts';

const LONE = '\ud800';

class Point {
  readonly x = 1;
}
const point = new Point();
const cycle: { own?: unknown } = {};
cycle.own = cycle;
const cyclicDate = { date: { toJSON: (): unknown => cyclicDate } };
const thenable = new Point();
Reflect.set(thenable, 'then', () => 1);
const returning = (value: unknown): object => ({ toJSON: () => value });

describe('a value that JSON holds', () => {
  it.each<[what: string, value: unknown]>([
    ['a text', 'ä🌍'],
    ['booleans, null and numbers', [true, false, null, -1.5, 0]],
    ['nested objects', { a: { b: [{ c: 1 }] } }],
    ['an object without a prototype', Object.assign(Object.create(null) as object, { a: 1 })],
    ['an object of a class with fields', new Point()],
    ['an undefined field', { a: undefined }],
    ['a date', { at: new Date(0) }],
    ['objects of primitive values', [Object(1), Object('a'), Object(false)]],
    ['the same object twice', [point, point]],
    ['a toJSON that returns a text', returning('x')],
    ['a toJSON that returns an object', returning({ a: 1 })],
    ['a URL', new URL('http://a')],
  ])('passes: %s', (_, value) => {
    expect(() => assertJson(value, 'doc')).not.toThrow();
  });

  it.each<[problem: string, value: unknown]>([
    ['undefined', undefined],
    ['NaN at a', { a: NaN }],
    ['Infinity at [1]', [0, Infinity]],
    ['undefined at a[1]', { a: [1, undefined] }],
    ['undefined at [0]', [, 1]], // oxlint-disable-line no-sparse-arrays
    ['a function at a.b', { a: { b: () => 1 } }],
    ['a symbol at [0]', [Symbol('x')]],
    ['a bigint at n', { n: 1n }],
    ['a bigint at n', { n: Object(1n) as unknown }],
    ['NaN at n', { n: Object(NaN) as unknown }],
    ['a lone surrogate, which is half a character at a', { a: LONE }],
    ['a lone surrogate, which is half a character at a', { a: Object(LONE) as unknown }],
    ['a lone surrogate, which is half a character, in the key at a.\\ud800', { a: { [LONE]: 1 } }],
    ['a cycle at own', cycle],
    ['an invalid date at at', { at: new Date(NaN) }],
    ['a Map (use an object or an array) at m', { m: new Map() }],
    ['a Set (use an object or an array)', new Set()],
    ['a Promise (await it first) at p', { p: Promise.resolve() }],
    ['a Promise (await it first) at p', { p: thenable }],
    [
      'a Observable (read it first) at s',
      {
        s: new (class Observable {
          pipe(): void {}
        })(),
      },
    ],
    ['binary data (save it as an attachment) at b', { b: new Uint8Array(2) }],
    ['binary data (save it as an attachment) at b', { b: new ArrayBuffer(2) }],
    ['binary data (save it as an attachment) at b', { b: new SharedArrayBuffer(2) }],
    ['an Error at [0]', [new Error('x')]],
    ['a RegExp at r', { r: /x/ }],
    ['a WeakMap at w', { w: new WeakMap() }],
    ['a Blob at b', { b: new Blob([]) }],
    ['an object of the class Headers, which has no fields at h', { h: new Headers() }],
    ['a Map (use an object or an array) at d', { d: returning(new Map()) }],
    ['undefined at d', { d: returning(undefined) }],
    ['NaN at d.x', { d: returning({ x: NaN }) }],
    [
      'a toJSON that returns a Date (JSON calls toJSON only once) at d',
      { d: returning(new Date(0)) },
    ],
    ['a cycle at date', cyclicDate],
  ])('is not %s', (problem, value) => {
    expect(() => assertJson(value, 'doc')).toThrow(TypeError);
    expect(() => assertJson(value, () => 'doc')).toThrow(
      `doc cannot be written as JSON: ${problem}`,
    );
    // The path is the end of the message.
    expect(() => assertJson({ deep: [value] }, 'doc')).toThrow(/ at deep\[0\]/);
  });

  it('is asked for its replacement with the name of its field, as JSON does', () => {
    const named = { toJSON: (name: string): string => (name === 'a' || name === '' ? 'x' : LONE) };
    expect(() => assertJson(named, 'doc')).not.toThrow();
    expect(() => assertJson({ a: named }, 'doc')).not.toThrow();
    expect(() => assertJson({ b: named }, 'doc')).toThrow('a lone surrogate');
  });

  it('has the whole path of a problem in its error, or none', () => {
    expect(() => assertJson(NaN, 'doc')).toThrow(/JSON: NaN$/);
    expect(() => assertJson({ a: { b: NaN } }, 'doc')).toThrow(/JSON: NaN at a\.b$/);
  });

  it('has no undefined field if it restricts a query', () => {
    expect(() => assertQuery({ a: [{ b: 1 }] }, 'selector')).not.toThrow();
    expect(() => assertQuery({ a: [{ b: undefined }] }, 'selector')).toThrow(
      'selector cannot be written as JSON: undefined at a[0].b',
    );
  });

  it('includes what only the codec of the connection can write', () => {
    const codec = {
      parse: JSON.parse,
      stringify: (value: unknown): string =>
        typeof value === 'bigint'
          ? String(value)
          : value instanceof Map
            ? JSON.stringify([...value.keys()])
            : JSON.stringify(value),
    };
    expect(() => assertJson({ a: 1n, b: new Map([[1, 2]]) }, 'doc', codec)).not.toThrow();
    expect(() => assertJson({ a: new Set() }, 'doc', codec)).toThrow('a Set');
    expect(() => assertJson({ a: NaN }, 'doc', codec)).toThrow('NaN at a');
    expect(() => assertJson({ a: () => 1 }, 'doc', codec)).toThrow('a function at a');
    const failing = {
      parse: JSON.parse,
      stringify: (): string => {
        throw new Error('no');
      },
    };
    expect(() => assertJson({ a: 1n }, 'doc', failing)).toThrow('a bigint at a');
  });

  it('is the same before and after JSON', () => {
    fc.assert(
      fc.property(fc.jsonValue(), (value) => {
        expect(() => assertQuery(value, 'value')).not.toThrow();
        const copy = plainCopy(value);
        expect([equal(value, copy), canonical(copy)]).toEqual([true, canonical(value)]);
        expect(JSON.parse(canonical(value))).toEqual(copy);
      }),
    );
  });
});

describe('equality', () => {
  it.each<[a: unknown, b: unknown, isEqual: boolean]>([
    [1, 1, true],
    [1, 1n, true],
    [2, 1n, false],
    ['1', 1n, false],
    [0n, 1n, false],
    [NaN, 1n, false],
    [{ a: 1, b: 2 }, { b: 2, a: 1 }, true],
    [{ a: 1 }, { a: 1, b: undefined }, true],
    [{ a: 1, b: undefined }, { a: 1 }, true],
    [{ a: 1 }, { a: 1, b: 2 }, false],
    [{ a: 1, b: 2 }, { a: 1, c: 2 }, false],
    [{ a: 1, b: 2 }, { a: 1 }, false],
    [{ toString: 1 }, { a: 1 }, false],
    [[1, 2], [1, 2], true],
    [[1, 2], [1], false],
    [[1], [2], false],
    [[], {}, false],
    [{}, [], false],
    [[1], { 0: 1 }, false],
    [null, {}, false],
    [{}, null, false],
    ['a', {}, false],
    [{}, 'a', false],
    [new Date(0), '1970-01-01T00:00:00.000Z', true],
    [new Date(0), new Date(1), false],
    [{ at: new Date(0) }, { at: '1970-01-01T00:00:00.000Z' }, true],
    [Object(1), 1, true],
    [Object(1), Object(2), false],
    [{ constructor: {} }, { constructor: {} }, true],
  ])('of %p and %p is %p', (a, b, isEqual) => {
    expect([equal(a, b), equal(b, a)]).toEqual([isEqual, isEqual]);
  });
});

describe('the canonical text', () => {
  it.each<[value: unknown, text: string]>([
    [{ b: 1, a: [true, null, 'x'] }, '{"a":[true,null,"x"],"b":1}'],
    [{ a: undefined }, '{}'],
    [undefined, 'null'],
    [[undefined], '[null]'],
    [12n, '12'],
    [new Date(0), '"1970-01-01T00:00:00.000Z"'],
    [{ a: Object('x') as unknown }, '{"a":"x"}'],
    [null, 'null'],
    ['a"b', '"a\\"b"'],
  ])('of %p is %s', (value, text) => {
    expect(canonical(value)).toBe(text);
  });

  it('leaves out the own toJSON of a value that replaces itself', () => {
    const self = { a: 1, toJSON: (): unknown => self };
    expect(canonical(self)).toBe('{"a":1}');
    expect(() => assertJson(self, 'doc')).not.toThrow();
    // A field of that name that is no function is an ordinary field.
    expect(canonical({ toJSON: 1 })).toBe('{"toJSON":1}');
  });
});

describe('a value as JSON writes it', () => {
  it('is a primitive for its object, and the result of toJSON', () => {
    expect([asWritten(Object(true)), asWritten(Object(1n)), asWritten(returning(5))]).toEqual([
      true,
      1n,
      5,
    ]);
    const plain = { a: 1 };
    expect([asWritten(plain), asWritten(null), asWritten(returning(null)), asWritten('a')]).toEqual(
      [plain, null, null, 'a'],
    );
    expect(asWritten(returning(Object(7)))).toBe(7);
    expect([hasToJson(new Date()), hasToJson({}), hasToJson({ toJSON: 1 })]).toEqual([
      true,
      false,
      false,
    ]);
  });

  it('is a number, a bigint or another value', () => {
    expect([isNumeric(0), isNumeric(0n), isNumeric('0'), isNumeric(null)]).toEqual([
      true,
      true,
      false,
      false,
    ]);
  });

  it('may have a name that is made when an error needs it', () => {
    expect([nameOf('a'), nameOf(() => 'b')]).toEqual(['a', 'b']);
  });
});

describe('a text', () => {
  it.each([
    ['', true, true],
    [' ~aZ', true, true],
    ['ä', false, true],
    ['\n', false, true],
    ['aä', false, true],
    ['äa', false, true],
    ['🌍', false, true],
    [LONE, false, false],
    [`a${LONE}b`, false, false],
    ['\udc00', false, false],
  ])('%j is ASCII: %p, and well-formed: %p', (text, ascii, wellFormed) => {
    expect([isAscii(text), isWellFormed(text)]).toEqual([ascii, wellFormed]);
    // As on a platform without the method.
    const old = Object.assign(Object(text) as string, { isWellFormed: undefined });
    expect(isWellFormed(old as never)).toBe(wellFormed);
  });
});

describe('a revision', () => {
  it.each([
    ['3-917fa', 3],
    ['12', 12],
    ['x-1', 0],
    ['', 0],
    ['1.5-a', 0],
    ['-1', 0],
  ])('%j has the generation %d', (rev, number) => {
    expect(generation(rev)).toBe(number);
  });

  it('wins with a higher generation, then with a later hash', () => {
    const revs = ['2-a', '10-a', '2-b', '1-z', '2-a'];
    expect(revs.sort(byWinner)).toEqual(['10-a', '2-b', '2-a', '2-a', '1-z']);
    expect([byWinner('1-a', '1-a'), byWinner('1-a', '1-b'), byWinner('1-b', '1-a')]).toEqual([
      0, 1, -1,
    ]);
  });

  it('is recorded on the saved object, unless the object refuses it', () => {
    const doc = { a: 1 };
    recordRevision(doc, 'x', '1-a');
    expect(doc).toEqual({ a: 1, _id: 'x', _rev: '1-a' });
    recordRevision(doc, 'y', undefined);
    expect(doc).toEqual({ a: 1, _id: 'y', _rev: '1-a' });
    const frozen = Object.freeze({ _id: 'x', _rev: '1-a' });
    recordRevision(frozen, 'y', '2-b');
    expect(frozen).toEqual({ _id: 'x', _rev: '1-a' });
    const refusing = {
      set _rev(_: string) {
        throw new Error('no');
      },
    };
    expect(() => recordRevision(refusing, 'x', '1-a')).not.toThrow();
  });

  it('is a tombstone only if `_deleted` is true', () => {
    const found = [{ _deleted: true }, { _deleted: false }, { _deleted: 1 }, {}].map(isTombstone);
    expect(found).toEqual([true, false, false, false]);
  });
});

describe('the order of ids', () => {
  it('is the order of their bytes in UTF-8', () => {
    const encoder = new TextEncoder();
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), fc.string({ unit: 'binary' }), (a, b) => {
        const [left, right] = [encoder.encode(a), encoder.encode(b)];
        expect(Math.sign(byId(a, b))).toBe(Buffer.compare(left, right));
      }),
    );
    expect(['b', 'ab', 'a', '\uffff', '🌍', ''].sort(byId)).toEqual([
      '',
      'a',
      'ab',
      'b',
      '\uffff',
      '🌍',
    ]);
    expect(byId('x🌍', 'x🌎')).toBeLessThan(0);
  });
});

describe('the text of', () => {
  it('a row has its key, value and document', () => {
    const texts = [
      new Row('a', ['k', 1], { v: 1 }, null, null),
      new Row(null, null, 7, null, null),
      new Row(null, 'k', null, null, 'not_found'),
    ].map(String);
    expect(texts).toEqual([
      '<Row: ["k",1] → {"v":1} of a>',
      '<Row: null → 7>',
      '<Row: "k" error not_found>',
    ]);
  });

  it.each([
    [1, null, '<View: 1 row>'],
    [2, null, '<View: 2 rows>'],
    [2, 2, '<View: 2 rows>'],
    [2, 5, '<View: 2 rows of 5>'],
    [0, 1, '<View: 0 rows of 1>'],
  ])('a view of %d rows of %p is %s', (length, totalRows, text) => {
    const rows = Array.from({ length }, (_, i) => i);
    const view = new View(rows, { totalRows, offset: 3, updateSeq: '7' }, { limit: 1 });
    expect(String(view)).toBe(text);
    expect([...view]).toEqual(rows);
    expect(view).toMatchObject({ length, offset: 3, updateSeq: '7', options: { limit: 1 } });
  });
});
