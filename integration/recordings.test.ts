import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { Couch } from 'corduroy';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { gunzipSync, gzipSync } from 'node:zlib';
import { firstValueFrom } from 'rxjs';
import { compareJson } from '../src/model/collation.ts';
import { compileSelector } from '../src/queries/matcher.ts';
import {
  atOnce,
  differences,
  playInMemory,
  playOn,
  readRecording,
  record as recordOperations,
} from './helpers/recorded/recording.ts';
import type { Difference } from './helpers/recorded/recording.ts';
import { sampleSequences } from './helpers/recorded/operations.ts';
import { sampleDocuments, selector, value } from './helpers/selectors.ts';
import { createDatabase, needs, server } from './helpers/server.ts';

// The verdicts and the order of a real CouchDB, recorded, so that CI compares them without one.
// `npm run record` records them; CORDUROY_RECORD=2 uses another seed.

const file = fileURLToPath(new URL('recordings/mango.json.gz', import.meta.url));

interface Recording {
  readonly couchdb: string;
  readonly seed: number;
  readonly documents: readonly (Record<string, unknown> & { readonly _id: string })[];
  /** Each selector, with the indexes of the documents that it finds. */
  readonly verdicts: readonly (readonly [selector: object, found: readonly number[]])[];
  /** Values in the order of a view: those with equal positions are equal keys. */
  readonly sorted: readonly unknown[];
}

const STRINGS = [
  ...Array.from('aAbB zZ-_,;:!?.\'"()[]{}@*/\\&#%`^+<=>|~$0129'),
  'a b',
  'a-b',
  'ab',
  'aB',
  'Ab',
  'item-2',
  'item-10',
  'Zoe',
  'zoe',
];

async function record(seed: number): Promise<void> {
  const couch = new Couch(server.authenticatedUrl);
  const db = couch.use(await createDatabase());
  const documents = sampleDocuments(200, seed) as Recording['documents'][number][];
  await firstValueFrom(db.save(documents.map((one) => ({ ...one }))));
  const selectors = fc.sample(selector, { numRuns: 5000, seed });
  const verdicts: [object, number[]][] = [];
  for (const wanted of selectors) {
    const query = { selector: { ...wanted }, limit: 1000, fields: ['_id'] };
    const { docs } = await firstValueFrom(db.find(query));
    verdicts.push([wanted, docs.map((one) => Number(one['_id'].slice(1)))]);
  }
  const values = [...STRINGS, ...fc.sample(value, { numRuns: 400, seed })];
  const other = couch.use(await createDatabase());
  const map = 'function (doc) { if ("v" in doc) emit(doc.v, null); }';
  await firstValueFrom(other.save(values.map((v, i) => ({ _id: `v${i}`, v }))));
  await firstValueFrom(other.save({ _id: '_design/d', views: { v: { map } } } as never));
  const { rows } = await firstValueFrom(other.view('d/v'));
  const recording: Recording = {
    couchdb: await firstValueFrom(couch.version()),
    seed,
    documents,
    verdicts,
    sorted: rows.map(({ key }) => key),
  };
  await mkdir(fileURLToPath(new URL('recordings/', import.meta.url)), { recursive: true });
  await writeFile(file, gzipSync(JSON.stringify(recording), { level: 9 }));
}

describe('the recorded answers of CouchDB', () => {
  const recordSeed = process.env['CORDUROY_RECORD'];
  if (recordSeed !== undefined) it('are recorded', () => record(Number(recordSeed) || 1), 600_000);

  const read = async (): Promise<Recording> =>
    JSON.parse(gunzipSync(await readFile(file)).toString()) as Recording;

  it('are those of the matcher, which leaves less than 1 % of them to the server', async () => {
    const { documents, verdicts } = await read();
    let undecided = 0;
    const wrong: unknown[] = [];
    for (const [wanted, found] of verdicts) {
      const expected = new Set(found);
      const matches = compileSelector(wanted);
      for (const [i, one] of documents.entries()) {
        const verdict = matches(one);
        if (verdict === undefined) undecided += 1;
        else if (verdict !== expected.has(i)) wrong.push({ wanted, one, expected: !verdict });
      }
    }
    expect(wrong).toEqual([]);
    expect(verdicts.length).toBe(5000);
    expect(undecided).toBeLessThan(verdicts.length * documents.length * 0.01);
  });

  it('have the order of the comparator, which leaves strings beyond ASCII to the server', async () => {
    const { sorted } = await read();
    const wrong: unknown[] = [];
    const undecided: unknown[] = [];
    for (let i = 1; i < sorted.length; i++) {
      const order = compareJson(sorted[i - 1], sorted[i]);
      if (order === undefined) undecided.push([sorted[i - 1], sorted[i]]);
      else if (order > 0) wrong.push([sorted[i - 1], sorted[i]]);
    }
    expect(wrong).toEqual([]);
    for (const pair of undecided) expect(JSON.stringify(pair)).toMatch(/[^\x20-\x7e]/);
    expect(sorted.length).toBeGreaterThan(400);
  });
});

describe('random operations', () => {
  const recordSeed = process.env['CORDUROY_RECORD'];
  if (recordSeed !== undefined)
    it('are recorded', async () => {
      const couch = new Couch(server.authenticatedUrl);
      const count = Number(process.env['CORDUROY_SEQUENCES'] ?? 2100);
      expect(await recordOperations(couch, count, Number(recordSeed) || 1)).toBeGreaterThan(0);
    }, 3_600_000);

  it('have the recorded answers of CouchDB on an in-memory server', async () => {
    const { sequences } = await readRecording();
    const found: Difference[] = [];
    for (const [i, recorded] of sequences.entries()) {
      const received = await playInMemory(recorded);
      found.push(...differences(i, recorded, recorded, received));
      // Lets the process notice what happens to its connections meanwhile.
      await new Promise((resolve) => setImmediate(resolve));
    }
    expect(found).toEqual([]);
    expect(sequences.length).toBeGreaterThanOrEqual(2000);
  }, 120_000);

  // CORDUROY_OPERATIONS=20000 plays more; CORDUROY_SEED uses others.
  needs('recorded-answers')(
    'have the same answers on CouchDB and on an in-memory server',
    async () => {
      const couch = new Couch(server.authenticatedUrl);
      const least = Number(process.env['CORDUROY_OPERATIONS'] ?? 400);
      const seed = Number(process.env['CORDUROY_SEED'] ?? Date.now());
      const sequences = sampleSequences(Math.ceil(least / 35), seed);
      const found = await atOnce(sequences, async (sequence, i) => {
        const expected = await playOn(couch, sequence);
        const received = await playInMemory(sequence);
        const differing = differences(i, sequence, expected, received);
        // What CouchDB answers in another way the next time says nothing about the in-memory server.
        const again = differing.length === 0 ? expected : await playOn(couch, sequence);
        return differences(i, sequence, expected, again).length === 0 ? differing : [];
      });
      expect({ seed, found: found.flat() }).toEqual({ seed, found: [] });
      const played = sequences.flatMap(({ operations }) => operations);
      expect(played.length).toBeGreaterThan(least / 2);
    },
    600_000,
  );
});
