import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { startLanguageServer } from './helpers/language-server.ts';
import type { LanguageServer } from './helpers/language-server.ts';

// The completions that an editor offers in a query.

let editor: LanguageServer;
beforeAll(async () => {
  editor = await startLanguageServer();
});
afterAll(() => editor.close());

const preamble = `
import { Database } from '../src/index.ts';
interface Person {
  name: string;
  age?: number;
  address: { city: string };
  tags: string[];
  orders: { total: number }[];
}
declare const db: Database<Person>;
`;
const fields = ['_id', 'name', 'age', 'address', 'address.city', 'tags', 'orders'];
const always = ['$eq', '$gt', '$in', '$exists', '$type', '$not'];

describe('an editor offers', () => {
  it.each<[string, string, string[], string[]]>([
    ['the fields', 'db.find({ selector: { | } })', [...fields, '$or'], ['$gt', '_revisions']],
    ['quoted paths', "db.find({ selector: { '|' } })", fields, ['city']],
    [
      'operators for text',
      'db.find({ selector: { name: { | } } })',
      [...always, '$regex'],
      ['$size', '$mod'],
    ],
    [
      'operators for numbers',
      'db.find({ selector: { age: { | } } })',
      [...always, '$mod'],
      ['$regex'],
    ],
    [
      'operators for arrays',
      'db.find({ selector: { tags: { | } } })',
      [...always, '$size', '$all'],
      ['$mod'],
    ],
    ['nested fields', 'db.find({ selector: { address: { | } } })', ['city', '$exists'], ['name']],
    [
      'the fields of elements',
      'db.find({ selector: { orders: { $elemMatch: { | } } } })',
      ['total'],
      ['name'],
    ],
    ['the fields in $or', 'db.find({ selector: { $or: [{ | }] } })', fields, ['$gt']],
    ['fields to read', "db.find({ selector: {}, fields: ['|'] })", fields, ['$or']],
    ['fields to sort by', 'db.find({ selector: {}, sort: [{ | }] })', fields, ['$or']],
    ['fields to index', "db.indexes.create({ fields: ['|'] })", fields, ['$or']],
    ['options', 'db.find({ selector: {}, | })', ['limit', 'bookmark', 'useIndex'], ['selector']],
  ])('%s', async (_, code, offered, not) => {
    const names = await editor.completions(preamble + code);
    expect(names).toEqual(expect.arrayContaining(offered));
    expect(names.filter((name) => not.includes(name))).toEqual([]);
  });
});
