import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { Couch } from 'corduroy';
import { firstValueFrom } from 'rxjs';
import { compileSelector } from '../src/queries/matcher.ts';
import { sampleDocuments, selector } from './helpers/selectors.ts';
import { createDatabase, needs, server } from './helpers/server.ts';

// For random selectors and documents, the matcher decides as CouchDB does, or leaves the decision to
// CouchDB.

describe('compileSelector', () => {
  const documents = sampleDocuments(150, 7);
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
    // Versions of ICU order ideographs in different ways.
    const only = { name: '漢', text: 'abc' };
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
