import fc from 'fast-check';
import type { AnyFields } from 'corduroy';

// Random documents and Mango selectors: every operator, nested, negated and combined, over fields that are
// missing or have any JSON type.

export const scalar = fc.oneof(
  fc.constantFrom<unknown>(null, true, false, '', 'a', 'B', 'b', '2024-01-02', 'a b', 'a-b', 'é'),
  fc.integer({ min: -3, max: 3 }),
  fc.constantFrom(1.5, 10, 100),
);
const object = fc.dictionary(fc.constantFrom('x', 'y'), scalar, { maxKeys: 2 });
export const value: fc.Arbitrary<unknown> = fc.oneof(
  { weight: 4, arbitrary: scalar },
  { weight: 1, arbitrary: fc.array(scalar, { maxLength: 3 }) },
  { weight: 1, arbitrary: fc.array(object, { maxLength: 3 }) },
  { weight: 1, arbitrary: object },
);
const doc = fc.record({ a: value, b: value, c: value }, { requiredKeys: [] });
const name = fc.constantFrom('a', 'b', 'c', 'a.x', 'b.0', 'a.x.y', 'a\\.x', '\\a', 'c\\\\.x');
const kinds = fc.constantFrom('string', 'number', 'null', 'boolean', 'array', 'object');
/** Conditions on elements and keys, with negations, combinations, and empty ones. */
const { element } = fc.letrec<{ element: object }>((tie) => {
  const some = fc.array(tie('element'), { maxLength: 2 });
  return {
    element: fc.oneof(
      { depthSize: 'small', withCrossShrink: true },
      fc.record({ $gt: scalar }),
      fc.record({ $lte: scalar }),
      fc.record({ $eq: fc.constantFrom('x', 'z', 1) }),
      fc.record({ x: fc.oneof(scalar, fc.record({ $gt: scalar })) }),
      fc.record({ x: fc.record({ $exists: fc.boolean() }) }),
      fc.record({
        x: fc.record({ $not: fc.record({ $gt: scalar }) }),
        y: fc.record({ $ne: scalar }),
      }),
      fc.constant({}),
      fc.record({ $not: tie('element') }),
      fc.record({ $and: some }),
      fc.record({ $or: some }),
      fc.record({ $nor: some }),
      fc.record({ $elemMatch: tie('element') }),
    ),
  };
});
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
  fc.record({ $elemMatch: element }),
  fc.record({ $allMatch: element }),
  fc.record({ $keyMapMatch: element }),
  fc.record({ $gte: scalar, $lt: scalar }),
);
const condition: fc.Arbitrary<unknown> = fc.oneof(
  { weight: 5, arbitrary: operator },
  { weight: 1, arbitrary: scalar },
  { weight: 1, arbitrary: operator.map((one) => ({ $not: one })) },
);
const leaf = fc.tuple(name, condition).map(([field, one]) => ({ [field]: one }));
export const { selector } = fc.letrec<{ selector: object }>((tie) => ({
  selector: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    leaf,
    fc.tuple(leaf, leaf).map(([one, other]) => ({ ...one, ...other })),
    fc.record({ $and: fc.array(tie('selector'), { maxLength: 2 }) }),
    fc.record({ $or: fc.array(tie('selector'), { maxLength: 2 }) }),
    fc.record({ $nor: fc.array(tie('selector'), { maxLength: 2 }) }),
    fc.record({ $not: tie('selector') }),
  ),
}));

/** Returns the same random documents for the same seed, with ids in their order. */
export function sampleDocuments(count: number, seed: number): AnyFields[] {
  return fc
    .sample(doc, { numRuns: count, seed })
    .map((fields, i) => ({ ...(fields as AnyFields), _id: `d${String(i).padStart(3, '0')}` }));
}
