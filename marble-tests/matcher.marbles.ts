import { describe, expect, it } from '@jest/globals';
import { collate, compareJson, isPortable } from '../src/model/collation.ts';
import { equalities } from '../src/queries/equalities.ts';
import {
  compilePath,
  compileSort,
  readColumn,
  readField,
  stepsOf,
  typeOf,
} from '../src/queries/fields.ts';
import { compileSelector } from '../src/queries/matcher.ts';
import { CAREFUL, isWhole } from '../src/queries/platform.ts';
import { all, any, every, not, some } from '../src/queries/verdict.ts';
import type { Verdict } from '../src/queries/verdict.ts';

const YES = true;
const NO = false;
/** Only CouchDB can decide. */
const OPEN = undefined;

const doc = {
  _id: 'ö',
  n: 5,
  big: 12n,
  s: 'bcd',
  u: 'ö',
  nil: null,
  yes: true,
  o: { x: 1, y: 'b', 'd.e': 2 },
  list: [1, 2, 3],
  mixed: [1, 'é'],
  pairs: [{ x: 1, y: 2 }, { x: 3 }],
  empty: [],
  none: {},
};

/** The verdict for the document above. */
const verdictOf = (selector: object): Verdict => compileSelector(selector)(doc);

describe('a selector', () => {
  it.each<[selector: object, verdict: Verdict]>([
    [{}, YES],
    [{ n: 5 }, YES],
    [{ n: 6 }, NO],
    [{ n: 5, s: 'x' }, NO],
    [{ n: 5, s: 'bcd' }, YES],
    [{ o: { x: 1 } }, YES],
    [{ 'o.x': 1 }, YES],
    [{ o: { x: 1, y: 'c' } }, NO],
    [{ 'o.d\\.e': 2 }, YES],
    [{ 'list.1': 2 }, YES],
    [{ 'pairs.1.x': 3 }, YES],
    [{ list: [1, 2, 3] }, YES],
    [{ list: [1, 2] }, NO],
    [{ none: {} }, YES],
    [{ o: {} }, NO],
    [{ missing: null }, NO],
    [{ 'n.x': 1 }, NO],
    // CouchDB refuses these, or decides by itself.
    [{ 'o.': 1 }, OPEN],
    [{ $text: 'x' }, OPEN],
    [{ n: { $later: 1 } }, OPEN],
  ])('%j compares fields: %p', (selector, verdict) => {
    expect(verdictOf(selector)).toBe(verdict);
  });

  it.each<[name: string, equal: Verdict, less: Verdict, more: Verdict]>([
    ['$eq', YES, NO, NO],
    ['$ne', NO, YES, YES],
    ['$lt', NO, YES, NO],
    ['$lte', YES, YES, NO],
    ['$gt', NO, NO, YES],
    ['$gte', YES, NO, YES],
  ])('with %s compares a value that is equal, less or more', (name, ...verdicts) => {
    const found = [5, 6, 4].map((operand) => verdictOf({ n: { [name]: operand } }));
    expect(found).toEqual(verdicts);
    const negated = [5, 6, 4].map((operand) => verdictOf({ n: { $not: { [name]: operand } } }));
    expect(negated).toEqual(verdicts.map(not));
    // A missing field fails, negated or not, and so does a field of a value without fields.
    for (const field of ['missing', 'n.x', 'list.3', 'list.x', 'list.-1'])
      for (const condition of [{ [name]: 5 }, { $not: { [name]: 5 } }])
        expect(verdictOf({ [field]: condition })).toBe(NO);
    // The order of ideographs depends on the version of ICU.
    expect(compileSelector({ a: { [name]: '漢' } })({ a: '字' })).toBe(OPEN);
  });

  it('compares ids by their bytes, and other strings by the collation of views', () => {
    const other = { _id: 'ö', s: 'ö', o: { _id: 'ö' } };
    expect(compileSelector({ _id: { $gt: 'z' } })(other)).toBe(YES);
    expect(compileSelector({ s: { $gt: 'z' } })(other)).toBe(NO);
    expect(compileSelector({ 'o._id': { $gt: 'z' } })(other)).toBe(NO);
    expect(compileSelector({ _id: { $lt: '漢' } })(other)).toBe(YES);
  });

  it.each<[selector: object, verdict: Verdict, negated: Verdict]>([
    [{ $and: [] }, NO, NO],
    [{ $and: [{ n: 5 }, { yes: true }] }, YES, NO],
    [{ $and: [{ n: 5 }, { yes: false }] }, NO, YES],
    [{ $and: [{ n: 6 }, { $text: 'x' }] }, NO, YES],
    [{ $and: [{ n: 5 }, { $text: 'x' }] }, OPEN, OPEN],
    [{ $or: [{ n: 6 }, { yes: true }] }, YES, NO],
    [{ $or: [{ n: 6 }, { yes: false }] }, NO, YES],
    [{ $or: [{ n: 5 }, { $text: 'x' }] }, YES, NO],
    [{ $or: [{ n: 6 }, { $text: 'x' }] }, OPEN, OPEN],
    [{ $nor: [{ n: 6 }, { yes: false }] }, YES, NO],
    [{ $nor: [{ n: 6 }, { yes: true }] }, NO, YES],
    [{ $nor: [{ missing: 1 }] }, NO, NO],
    [{ n: { $or: [{ $lt: 3 }, { $gt: 4 }] } }, YES, NO],
    [{ n: 5, yes: false }, NO, YES],
    [{ n: { $gt: 4, $lt: 5 } }, NO, YES],
    [{ $and: 1 }, OPEN, OPEN],
    [{ $or: { n: 5 } }, OPEN, OPEN],
    [{ $nor: 'x' }, OPEN, OPEN],
    [{ $not: 1 }, OPEN, OPEN],
    [{ n: { $exists: true } }, YES, NO],
    [{ n: { $exists: false } }, NO, YES],
    [{ missing: { $exists: false } }, YES, NO],
    [{ missing: { $exists: true } }, NO, YES],
    [{ 'n.x': { $exists: false } }, NO, NO],
    [{ 'n.x': { $exists: true } }, NO, NO],
    [{ 'list.9': { $exists: false } }, NO, NO],
    [{ nil: { $exists: true } }, YES, NO],
  ])('%j combines conditions: %p, and %p in $not', (selector, verdict, negated) => {
    expect([verdictOf(selector), verdictOf({ $not: selector })]).toEqual([verdict, negated]);
  });

  it.each<[selector: object, verdict: Verdict]>([
    [{ $or: [] }, NO],
    [{ $nor: [] }, NO],
    [{ $not: { $and: [] } }, NO],
    [{ n: { $or: [] } }, NO],
    [{ n: 5, $or: [] }, YES],
    [{ n: 5, $and: [] }, YES],
    [{ $not: {} }, OPEN],
    [{ $and: [{}] }, OPEN],
  ])(
    '%j with nothing to combine matches nothing, unless another condition is beside it: %p',
    (selector, verdict) => {
      expect(verdictOf(selector)).toBe(verdict);
    },
  );

  it('with nothing to combine matches if the platform says so', () => {
    const platform = { ...CAREFUL, refusesEmpty: false };
    expect(compileSelector({ $or: [] }, platform)(doc)).toBe(YES);
    expect(compileSelector({ $and: [] }, platform)(doc)).toBe(YES);
  });

  it.each<[condition: object, verdict: Verdict]>([
    [{ n: { $in: [4, 5] } }, YES],
    [{ n: { $in: [] } }, NO],
    [{ n: { $in: 5 } }, OPEN],
    [{ list: { $in: [9, 3] } }, YES],
    [{ list: { $in: [9] } }, NO],
    [{ mixed: { $in: ['e'] } }, NO],
    [{ u: { $in: ['漢'] } }, OPEN],
    [{ n: { $nin: [4] } }, YES],
    [{ n: { $nin: [5] } }, NO],
    [{ n: { $nin: 4 } }, OPEN],
    [{ list: { $nin: [3] } }, NO],
    [{ list: { $all: [3, 1] } }, YES],
    [{ list: { $all: [3, 9] } }, NO],
    [{ list: { $all: [] } }, NO],
    [{ list: { $all: 1 } }, OPEN],
    [{ n: { $all: [5] } }, NO],
    [{ list: { $all: [[1, 2, 3]] } }, YES],
    [{ list: { $all: [[1, 2]] } }, NO],
    [{ list: { $all: [[1, 2, 3], [1]] } }, NO],
    [{ list: { $size: 3 } }, YES],
    [{ list: { $size: 2 } }, NO],
    [{ s: { $size: 3 } }, NO],
    [{ empty: { $size: 0 } }, YES],
    [{ n: { $mod: [3, 2] } }, YES],
    [{ n: { $mod: [3, 1] } }, NO],
    [{ big: { $mod: [5, 2] } }, YES],
    [{ big: { $mod: [5, 1] } }, NO],
    [{ s: { $mod: [3, 2] } }, NO],
    [{ n: { $mod: [0, 2] } }, OPEN],
    [{ s: { $mod: [0, 2] } }, NO],
    [{ n: { $mod: [1.5, 2] } }, OPEN],
    [{ n: { $mod: [3, 0.5] } }, OPEN],
    [{ n: { $mod: 3 } }, OPEN],
    [{ s: { $beginsWith: 'bc' } }, YES],
    [{ s: { $beginsWith: 'cd' } }, NO],
    [{ s: { $beginsWith: 5 } }, NO],
    [{ n: { $beginsWith: '5' } }, NO],
    [{ u: { $beginsWith: 'ö' } }, OPEN],
    [{ u: { $beginsWith: 'x' } }, NO],
    [{ s: { $regex: '^bc' } }, YES],
    [{ s: { $regex: '^cd' } }, NO],
    [{ n: { $regex: '5' } }, NO],
    [{ s: { $regex: 5 } }, OPEN],
    [{ s: { $regex: 'b.d' } }, OPEN],
    [{ s: { $regex: 'bcd$' } }, OPEN],
    [{ s: { $regex: 'x^' } }, OPEN],
    [{ pairs: { $elemMatch: { x: 3 } } }, YES],
    [{ pairs: { $elemMatch: { x: 2 } } }, NO],
    [{ list: { $elemMatch: { $gt: 2 } } }, YES],
    [{ list: { $elemMatch: 3 } }, OPEN],
    [{ n: { $elemMatch: { $eq: 5 } } }, NO],
    [{ mixed: { $elemMatch: { $eq: '漢' } } }, OPEN],
    [{ mixed: { $elemMatch: { $eq: 1 } } }, YES],
    [{ empty: { $elemMatch: { $text: 'x' } } }, NO],
    [{ pairs: { $allMatch: { x: { $gt: 0 } } } }, YES],
    [{ pairs: { $allMatch: { y: 2 } } }, NO],
    [{ empty: { $allMatch: { $gt: 0 } } }, NO],
    [{ n: { $allMatch: { $gt: 0 } } }, NO],
    [{ list: { $allMatch: 1 } }, OPEN],
    [{ list: { $allMatch: { $text: 'x' } } }, OPEN],
    [{ o: { $keyMapMatch: { $eq: 'x' } } }, YES],
    [{ o: { $keyMapMatch: { $eq: 'z' } } }, NO],
    [{ list: { $keyMapMatch: { $eq: '0' } } }, NO],
    [{ o: { $keyMapMatch: 'x' } }, OPEN],
  ])('%j is an operator: %p', (condition, verdict) => {
    expect(verdictOf(condition)).toBe(verdict);
    const [[field, operator] = ['', {}]] = Object.entries(condition);
    expect(verdictOf({ [field]: { $not: operator } })).toBe(not(verdict));
  });

  it.each([
    ['null', null],
    ['boolean', false],
    ['number', 1.5],
    ['number', 1n],
    ['string', ''],
    ['array', []],
    ['object', {}],
  ])('tells the type %s of a value', (type, value) => {
    for (const one of ['null', 'boolean', 'number', 'string', 'array', 'object'])
      expect(compileSelector({ a: { $type: one } })({ a: value })).toBe(one === type);
    expect(typeOf(value)).toBe(type);
  });

  it.each<[condition: object, verdict: Verdict]>([
    [{}, NO],
    [{ x: 1, y: 2 }, YES],
    [{ x: 3, y: 2 }, NO],
    // A missing field matches a $not here.
    [{ $not: { z: 1 } }, YES],
    [{ x: { $not: { $gt: 0 } } }, NO],
    [{ $not: 1 }, OPEN],
    [{ $and: [{ x: 1 }, { y: 2 }] }, YES],
    [{ $and: [{ x: 3 }, { y: 2 }] }, NO],
    [{ $and: 1 }, OPEN],
    [{ $or: [{ x: 9 }, { x: 3 }] }, YES],
    [{ $or: [{ x: 9 }] }, NO],
    [{ $or: 1 }, OPEN],
    [{ y: { $exists: false } }, YES],
    [{ x: { $exists: false } }, NO],
    [{ x: { $exists: true } }, YES],
    [{ 'x.': 1 }, OPEN],
    [{ x: { $in: [3] } }, YES],
    // CouchDB cannot evaluate $nor here: neither this element nor a later one matches.
    [{ $nor: [{ x: 9 }] }, NO],
    [{ $or: [{ x: 1 }, { $nor: [] }] }, YES],
    [{ $or: [{ x: 3 }, { $nor: [] }] }, NO],
  ])('%j is a condition on an element: %p', (condition, verdict) => {
    expect(verdictOf({ pairs: { $elemMatch: condition } })).toBe(verdict);
  });

  it('fails if a condition on all elements cannot be evaluated', () => {
    expect(verdictOf({ pairs: { $allMatch: { $nor: [{ x: 9 }] } } })).toBe(NO);
    expect(verdictOf({ pairs: { $allMatch: { $or: [{ x: { $gt: 0 } }, { $nor: [] }] } } })).toBe(
      YES,
    );
  });
});

describe('verdicts', () => {
  it.each<[verdicts: Verdict[], every: Verdict, some: Verdict]>([
    [[], YES, NO],
    [[YES, YES], YES, YES],
    [[YES, NO], NO, YES],
    [[NO, NO], NO, NO],
    [[OPEN, NO], NO, OPEN],
    [[OPEN, YES], OPEN, YES],
  ])('%p are joined to %p for all, and to %p for one of them', (verdicts, whole, part) => {
    expect([every(verdicts, (one) => one), some(verdicts, (one) => one)]).toEqual([whole, part]);
    const matchers = verdicts.map((one) => () => one);
    expect(all(matchers)(0)).toBe(whole);
    expect(any(matchers)(0)).toBe(verdicts.length === 0 || part);
  });
});

describe('a path', () => {
  it.each([
    ['a', ['a']],
    ['a.b.0', ['a', 'b', '0']],
    ['a\\.b', ['a.b']],
    ['\\a', ['a']],
    ['', ['']],
    ['a.', ['a', '']],
    ['.a', ['', 'a']],
    ['a\\\\.b', ['a.b']],
  ])('%j has the steps %j', (path, steps) => {
    expect(stepsOf(path)).toEqual(steps);
  });

  it.each([
    ['o.x', 1],
    ['list.+1', 2],
    ['list.2', 3],
    ['list.3', undefined],
    ['list.length', undefined],
    ['list.1x', undefined],
    ['list.x1', undefined],
    ['o.constructor', undefined],
    ['nil.x', undefined],
    ['s.0', undefined],
    ['nil', null],
  ])('%s reads %p', (path, value) => {
    expect([readField(doc, path), compilePath(path)(doc)]).toEqual([value, value]);
  });

  it('is the first name of a column, ascending by default', () => {
    expect([readColumn('a'), readColumn({ a: 'desc', b: 'asc' }), readColumn({})]).toEqual([
      ['a', 'asc'],
      ['a', 'desc'],
      ['', 'asc'],
    ]);
  });
});

describe('a sort', () => {
  const sign = (order: number | undefined): number | undefined => order && Math.sign(order);
  it.each([
    [['a'], { a: 1 }, { a: 2 }, -1],
    [[{ a: 'desc' }], { a: 1 }, { a: 2 }, 1],
    [['a', { b: 'desc' }], { a: 1, b: 1 }, { a: 1, b: 2 }, 1],
    [['a', 'b'], { a: 1, b: 1 }, { a: 1, b: 1 }, 0],
    [['a'], { a: '漢' }, { a: '字' }, undefined],
    [['_id'], { _id: 'ö' }, { _id: 'z' }, 1],
    [['name'], { name: 'ö' }, { name: 'z' }, -1],
    [['o.x'], { o: { x: 2 } }, { o: { x: 1 } }, 1],
  ])('by %j orders %j and %j: %p', (columns, a, b, order) => {
    expect(sign(compileSort(columns as Parameters<typeof compileSort>[0])(a, b))).toBe(order);
  });
});

describe('the values that matching documents must have', () => {
  it.each<[selector: object, found: Record<string, unknown[]>]>([
    [
      { a: 1, b: 'x', c: null, d: true },
      { a: [1], b: ['x'], c: [null], d: [true] },
    ],
    [{ a: { $eq: 1 }, b: { $gt: 1 } }, { a: [1] }],
    [
      { a: { b: { c: 1 } }, 'd.e': 2 },
      { 'a.b.c': [1], 'd.e': [2] },
    ],
    [{ $and: [{ a: 1 }, { b: { $eq: 2 } }, 7] }, { a: [1], b: [2] }],
    [{ a: { $and: [{ $eq: 1 }] } }, { a: [1] }],
    [{ $or: [{ a: 1 }], $nor: [{ b: 1 }], $not: { c: 1 } }, {}],
    [{ a: [1], b: { $eq: [1] }, c: { $eq: {} } }, {}],
    [{ $eq: 1, $and: { a: 1 } }, {}],
  ])('of %j are %j', (selector, found) => {
    expect(Object.fromEntries(equalities(selector))).toEqual(found);
  });
});

describe('the platform', () => {
  it('leaves texts whose order differs between versions of ICU to CouchDB', () => {
    for (const text of ['', 'aZ~ ', 'öß', 'Ωж', 'あカ', '한', 'ẞ'])
      expect(isPortable(text)).toBe(true);
    for (const text of ['漢', 'a\u0301', '“', '\n', '🌍', 'a漢', '漢a'])
      expect(isPortable(text)).toBe(false);
  });

  it('reads numbers from 1e21 on as no integers', () => {
    expect([isWhole(1), isWhole(-5), isWhole(1e20), isWhole(1e21), isWhole(-1e21)]).toEqual([
      true,
      true,
      true,
      false,
      false,
    ]);
    expect([isWhole(1.5), isWhole('1')]).toEqual([false, false]);
  });

  it.each(['a', '^a', 'a b-,:;@#/=~%&\'"!<>_9', ''])('knows the expression %j', (source) => {
    expect(CAREFUL.expression(source)).toEqual(new RegExp(source));
  });
});

describe('the collation', () => {
  const ordered: unknown[] = [
    null,
    false,
    true,
    -1,
    0n,
    0.5,
    1,
    2n,
    '',
    'a',
    'A',
    'aa',
    'b',
    'B',
    [],
    ['a'],
    ['a', 'b'],
    ['b'],
    {},
    { a: 1 },
    { a: 2 },
    { a: 2, b: 1 },
    { b: 1 },
    { b: 2, a: 1 },
  ];

  it('orders null, booleans, numbers, strings, arrays and objects', () => {
    for (const [i, a] of ordered.entries())
      for (const [j, b] of ordered.entries()) {
        expect(Math.sign(compareJson(a, b) as number)).toBe(Math.sign(i - j));
        expect(Math.sign(collate(a, b))).toBe(Math.sign(i - j));
      }
  });

  it('finds equal values equal', () => {
    expect(compareJson({ a: [1, 'x'] }, { a: [1, 'x'] })).toBe(0);
    expect(compareJson(1, 1n)).toBe(0);
    expect(compareJson('字', '字')).toBe(0);
  });

  it('is undecided for other texts, also within arrays and objects, and for numeric names', () => {
    expect(compareJson('字', '漢')).toBeUndefined();
    expect(compareJson('a', '漢')).toBeUndefined();
    expect(compareJson(['字'], ['漢'])).toBeUndefined();
    expect(compareJson({ a: '字' }, { a: '漢' })).toBeUndefined();
    expect(compareJson({ 1: 1 }, { a: 1 })).toBeUndefined();
    expect(compareJson({ a: 1 }, { b: 1, 10: 1 })).toBeUndefined();
    expect(compareJson({ a1: 1 }, { b: 1 })).toBeLessThan(0);
    expect(compareJson({ '1a': 1 }, { b: 1 })).toBeLessThan(0);
    expect(collate({ 1: 1 }, { a: 1 })).toBe(0);
    expect(collate('字', '漢')).not.toBe(0);
  });
});
