import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { Couch } from 'corduroy';
import type { AnyFields } from 'corduroy';
import { firstValueFrom } from 'rxjs';
import { compileSelector } from '../src/queries/matcher.ts';
import { createDatabase, needs, server } from './helpers/server.ts';

// For random selectors and documents, the matcher decides as CouchDB does, or leaves the decision to
// CouchDB.

const scalar = fc.oneof(
  fc.constantFrom<unknown>(null, true, false, '', 'a', 'B', 'b', '2024-01-02', 'a b', 'a-b', 'é'),
  fc.integer({ min: -3, max: 3 }),
  fc.constantFrom(1.5, 10, 100),
);
const value: fc.Arbitrary<unknown> = fc.oneof(
  { weight: 4, arbitrary: scalar },
  { weight: 1, arbitrary: fc.array(scalar, { maxLength: 3 }) },
  { weight: 1, arbitrary: fc.dictionary(fc.constantFrom('x', 'y'), scalar, { maxKeys: 2 }) },
);
const doc = fc.record({ a: value, b: value, c: value }, { requiredKeys: [] });
const name = fc.constantFrom('a', 'b', 'c', 'a.x', 'b.0', 'a.x.y');
const kinds = fc.constantFrom('string', 'number', 'null', 'boolean', 'array', 'object');
const operator: fc.Arbitrary<object> = fc.oneof(
  fc.record({ $eq: value }),
  fc.record({ $ne: value }),
  fc.record({ $gt: value }),
  fc.record({ $gte: value }),
  fc.record({ $lt: value }),
  fc.record({ $lte: value }),
  fc.record({ $exists: fc.boolean() }),
  fc.record({ $type: kinds }),
  fc.record({ $in: fc.array(scalar, { maxLength: 3 }) }),
  fc.record({ $nin: fc.array(scalar, { maxLength: 3 }) }),
  fc.record({ $all: fc.array(scalar, { maxLength: 2 }) }),
  fc.record({ $size: fc.integer({ min: 0, max: 3 }) }),
  fc.record({ $mod: fc.tuple(fc.constantFrom(2, 3), fc.constantFrom(0, 1)) }),
  fc.record({ $beginsWith: fc.constantFrom('a', '2024', '') }),
  fc.record({ $regex: fc.constantFrom('^a', 'b', '2024-') }),
  fc.record({ $elemMatch: fc.record({ $gt: scalar }) }),
  fc.record({ $allMatch: fc.record({ $lte: scalar }) }),
  fc.record({ $keyMapMatch: fc.record({ $eq: fc.constantFrom('x', 'z') }) }),
  fc.record({ $gte: scalar, $lt: scalar }),
);
const condition: fc.Arbitrary<unknown> = fc.oneof(
  { weight: 5, arbitrary: operator },
  { weight: 1, arbitrary: scalar },
  { weight: 1, arbitrary: operator.map((one) => ({ $not: one })) },
);
const leaf = fc.tuple(name, condition).map(([field, one]) => ({ [field]: one }));
const { selector } = fc.letrec<{ selector: object }>((tie) => ({
  selector: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    leaf,
    fc.tuple(leaf, leaf).map(([one, other]) => ({ ...one, ...other })),
    fc.record({ $and: fc.array(tie('selector'), { minLength: 1, maxLength: 2 }) }),
    fc.record({ $or: fc.array(tie('selector'), { minLength: 1, maxLength: 2 }) }),
    fc.record({ $nor: fc.array(tie('selector'), { minLength: 1, maxLength: 2 }) }),
    fc.record({ $not: tie('selector') }),
  ),
}));

describe('compileSelector', () => {
  const documents: AnyFields[] = fc
    .sample(doc, { numRuns: 150, seed: 7 })
    .map((fields, i) => ({ ...(fields as AnyFields), _id: `d${String(i).padStart(3, '0')}` }));
  const couch = new Couch(server.authenticatedUrl);
  let db = couch.use('unused');
  beforeAll(async () => {
    db = couch.use(await createDatabase());
    await firstValueFrom(db.save(documents.map((one) => ({ ...one }))));
  });
  let decided = 0;
  let undecided = 0;
  afterAll(() =>
    console.log(`matcher: ${decided} verdicts like CouchDB's, ${undecided} left to it`),
  );

  // In the embedded server a missing field matches $ne, and strings are ordered by code points.
  needs('collation')(
    'decides as CouchDB does, or leaves the decision to CouchDB',
    async () => {
      await fc.assert(
        fc.asyncProperty(selector, async (wanted) => {
          const { docs } = await firstValueFrom(
            db.find({ selector: { ...wanted }, limit: 1000, fields: ['_id'] }),
          );
          const found = new Set(docs.map((one) => one['_id']));
          const matches = compileSelector(wanted);
          for (const one of documents) {
            const verdict = matches(one);
            if (verdict === undefined) undecided += 1;
            else {
              decided += 1;
              if (verdict !== found.has(one['_id'])) {
                throw new Error(
                  `${JSON.stringify(one)} ${verdict ? 'matches' : 'does not match'} here`,
                );
              }
            }
          }
        }),
        { numRuns: 400 },
      );
      expect(decided).toBeGreaterThan(undecided * 4);
    },
    120_000,
  );

  it('is undecided if only CouchDB can decide', () => {
    const only = { name: 'é', text: 'abc' };
    for (const wanted of [
      { $text: 'words' },
      { text: { $regex: '(?i)ABC' } },
      { text: { $later: 1 } },
      { name: { $gt: 'z' } },
      { name: 'e' },
    ]) {
      expect(compileSelector(wanted)(only)).toBeUndefined();
    }
    // A decided part can settle the whole, whatever the undecided part is.
    expect(compileSelector({ text: 'x', name: { $gt: 'z' } })(only)).toBe(false);
    expect(compileSelector({ $or: [{ text: 'abc' }, { $text: 'x' }] })(only)).toBe(true);
  });
});
