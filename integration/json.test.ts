import { runInNewContext } from 'node:vm';
import { describe, expect, it } from '@jest/globals';
import { equal } from '../src/model/json.ts';

/** Makes a new value at each call, so that no two operands are the same object. */
const parse = (text: string): unknown => JSON.parse(text);

describe('equal', () => {
  it.each([
    '{"constructor":{"a":1}}',
    '{"a":{"constructor":{"constructor":[]}}}',
    '{"__proto__":{"a":1}}',
    '{"hasOwnProperty":{},"toString":null}',
    '[{"a":[1,"2",true,null]},[],{}]',
    '{"":0}',
  ])('finds %s equal to a copy', (text) => {
    expect(equal(parse(text), parse(text))).toBe(true);
  });

  it('ignores the order of keys, at every depth', () => {
    expect(equal({ a: 1, b: { c: 2, d: 3 } }, { b: { d: 3, c: 2 }, a: 1 })).toBe(true);
  });

  it('compares values from another realm, and objects without a prototype', () => {
    const bare = Object.assign(Object.create(null) as object, { a: [1] });
    expect(equal(runInNewContext('({ a: [1] })'), { a: [1] })).toBe(true);
    expect(equal(bare, { a: [1] })).toBe(true);
  });

  it.each([
    ['an array and an object', [], {}],
    ['an array and an object with its keys', ['a'], { 0: 'a' }],
    ['arrays in another order', [1, 2], [2, 1]],
    ['arrays of other lengths', [1], [1, 2]],
    ['an object and one with more fields', { a: 1 }, { a: 1, b: 2 }],
    ['objects with other keys', { a: 1 }, { b: 1 }],
    ['a field and an inherited property', { toString: 1 }, { a: 1 }],
    ['constructors with other contents', { constructor: { a: 1 } }, { constructor: { a: 2 } }],
    ['null and an object', null, {}],
    ['null and a missing field', { a: null }, {}],
    ['a number and its text', 1, '1'],
    ['zero and false', 0, false],
  ])('tells %s apart', (_, a, b) => {
    expect(equal(a, b)).toBe(false);
    expect(equal(b, a)).toBe(false);
  });

  it('compares numbers as JSON does: 0 equals -0, and NaN is no JSON value', () => {
    expect(equal({ n: 0 }, { n: -0 })).toBe(true);
    expect(equal({ n: Number.NaN }, { n: null })).toBe(false);
    expect(equal({ n: Number.NaN }, { n: Number.NaN })).toBe(false);
  });
});
