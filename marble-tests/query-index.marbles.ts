import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { QueryIndex } from '../src/live/query-index.ts';
import type { LiveEntry } from '../src/live/live-entry.ts';
import type { Document } from '../src/model/document.ts';
import { equalities } from '../src/queries/equalities.ts';
import { compileSelector } from '../src/queries/matcher.ts';
import { sampleDocuments, selector } from '../integration/helpers/selectors.ts';

const entryOf = (doc: object, i: number): LiveEntry => ({
  id: `d${i}`,
  rev: '1-x',
  doc: doc as Document,
  conflicts: [],
});

describe('the index of queries', () => {
  it('finds every query that a document may match, for random selectors', () => {
    const entries = sampleDocuments(100, 3).map(entryOf);
    const plain = fc.tuple(
      fc.constantFrom('a', 'b', 'c', 'a.x'),
      fc.constantFrom<unknown>(null, true, 'a', 'B', 'é', 1, 1.5, 10, ''),
    );
    const wanted = fc.oneof(
      selector,
      plain.map(([field, one]) => ({ [field]: one })),
      fc
        .tuple(plain, selector)
        .map(([[field, one], other]) => ({ ...other, [field]: { $eq: one } })),
      fc
        .tuple(plain, selector)
        .map(([[field, one], other]) => ({ $and: [{ [field]: one }, other] })),
    );
    let skipped = 0;
    fc.assert(
      fc.property(wanted, (one) => {
        const index = new QueryIndex<string>();
        index.add('query', { fields: equalities(one) });
        const matches = compileSelector(one);
        for (const after of entries) {
          const found = index.affected([{ before: undefined, after }]).has('query');
          const left = index.affected([{ before: after, after: { ...after, doc: null } }]);
          expect(left.has('query')).toBe(found);
          if (!found) {
            skipped += 1;
            expect(matches(after.doc as Document)).not.toBe(true);
          }
        }
      }),
      { numRuns: 500 },
    );
    // Otherwise the index would save nothing.
    expect(skipped).toBeGreaterThan(1000);
  });

  it('leads no change to a query for no documents, and every change to one without constants', () => {
    const index = new QueryIndex<string>();
    index.add('no ids', { ids: [] });
    index.add('one id', { ids: ['d1', 'd1'] });
    index.add('no fields', { fields: new Map() });
    const changes = [0, 1].map((i) => ({ before: undefined, after: entryOf({}, i) }));
    expect([...index.affected(changes)].map(([query, { length }]) => [query, length])).toEqual([
      ['one id', 1],
      ['no fields', 2],
    ]);
  });
});
