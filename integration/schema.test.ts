import { afterEach, describe, expect, it, jest } from '@jest/globals';
import { type } from 'arktype';
import { Couch, SchemaError, defineDesign, isSchemaError, validateDocUpdate } from 'corduroy';
import type { Database, SchemaOptions } from 'corduroy';
import fc from 'fast-check';
import { firstValueFrom, lastValueFrom, map, take, toArray } from 'rxjs';
import type { Observable } from 'rxjs';
import * as v from 'valibot';
import { z } from 'zod';
import { createDatabase, server } from './helpers/server.ts';

// Schemas of three libraries: what is written is checked, and what is read is decoded.

const couch = new Couch(server.authenticatedUrl);

const zodPet = z.object({
  name: z.string().min(1),
  legs: z.number().int(),
  born: z.string().transform((text) => new Date(text)),
  tags: z.array(z.string()).default([]),
});
const valibotPet = v.object({
  name: v.pipe(v.string(), v.minLength(1)),
  legs: v.pipe(v.number(), v.integer()),
  born: v.pipe(
    v.string(),
    v.transform((text) => new Date(text)),
  ),
  tags: v.optional(v.array(v.string()), []),
});
const arkPet = type({
  name: 'string > 0',
  legs: 'number.integer',
  born: 'string.date.parse',
  tags: 'string[] = []',
});
type Pet = z.output<typeof zodPet>;

const BORN = '2020-05-04T00:00:00.000Z';
const ada = { _id: 'ada', name: 'Ada', legs: 4, born: BORN };
const broken = { _id: 'bob', name: 'Bob', legs: 'two', born: BORN };

/** A database with a schema, and the same without one, which holds `ada` and `bob`. */
async function databases(
  options: Partial<SchemaOptions> = {},
): Promise<{ readonly pets: Database<z.input<typeof zodPet>, Pet>; readonly raw: Database }> {
  const name = await createDatabase();
  const raw = couch.use(name);
  await lastValueFrom(raw.save([{ ...ada }, { ...broken }]));
  return { pets: couch.use(name, { schema: zodPet, ...(options as object) }), raw };
}

const first = <V>(source: Observable<V>): Promise<V> => firstValueFrom(source);
async function errorOf(source: Observable<unknown>): Promise<SchemaError> {
  try {
    await lastValueFrom(source);
  } catch (error) {
    if (isSchemaError(error)) return error;
    throw error;
  }
  throw new Error('no error');
}

afterEach(() => {
  jest.restoreAllMocks();
});

describe.each([
  ['zod', zodPet],
  ['Valibot', valibotPet],
  ['ArkType', arkPet],
])('a schema of %s', (_, schema) => {
  const open = async (): Promise<Database<z.input<typeof zodPet>, Pet>> =>
    couch.use(await createDatabase(), { schema: schema as typeof zodPet });

  it('decodes what is read, with its defaults, and keeps the fields of CouchDB', async () => {
    const pets = await open();
    await first(pets.save({ ...ada }));
    const read = await first(pets.get('ada'));
    expect(read).toEqual({
      ...ada,
      born: new Date(BORN),
      tags: [],
      _rev: expect.stringMatching(/^1-/),
    });
    // What was read can be saved again.
    await first(pets.save({ ...read, legs: 3 }));
    expect(await first(pets.get('ada'))).toMatchObject({ legs: 3, born: new Date(BORN) });
  });

  it('refuses to write what does not fit, with the path, and sends nothing', async () => {
    const pets = await open();
    const error = await errorOf(pets.save({ ...ada, legs: 'four' as never }));
    expect(error.message).toMatch(/^The document "ada" does not fit the schema .*: legs: ./);
    expect(error).toMatchObject({ id: 'ada', direction: 'write', transient: false });
    expect(error.issues[0]?.path).toEqual(['legs']);
    const tags = ['a', 5] as never;
    const inList = await errorOf(pets.save([{ ...ada }, { name: 'B', legs: 2, born: BORN, tags }]));
    expect(inList.message).toMatch(/^docs\[1\] .*does not fit .*: tags\[1\]: /);
    expect((await first(pets.allDocs())).rows).toEqual([]);
  });
});

describe('a database with a schema', () => {
  it('checks every kind of write', async () => {
    const { pets } = await databases();
    const wrong = { name: '', legs: 4, born: BORN };
    const merge = (): typeof wrong => wrong;
    for (const write of [
      pets.save(wrong),
      pets.saveAll([wrong]),
      pets.upsert('ada', () => wrong),
      pets.upsert(['ada'], () => wrong),
      pets.save({ ...ada, legs: 3 }, { merge }),
    ]) {
      const error = await errorOf(write as Observable<unknown>);
      expect(error.issues.map(({ path }) => path)).toEqual([['name']]);
    }
    const editor = pets.edit$('ada');
    const states: unknown[] = [];
    const subscription = editor.subscribe(({ value }) => states.push(value?.born));
    await first(editor);
    expect(() => editor.patch({ name: '' })).toThrow(SchemaError);
    editor.patch({ legs: 5 });
    await first(editor.save());
    subscription.unsubscribe();
    expect(states[0]).toEqual(new Date(BORN));
    expect(await first(pets.get('ada'))).toMatchObject({ legs: 5 });
  });

  it('lets deletions, design documents and local documents pass', async () => {
    const { pets } = await databases();
    const { _id, _rev } = await first(pets.get('ada'));
    await first(pets.save([{ _id, _rev, _deleted: true } as never]));
    const design = defineDesign('d', { views: { v: { map: 'function (doc) { emit(1) }' } } });
    await first(pets.designs.deploy(design));
    expect((await first(pets.designs.get('d')))._id).toBe('_design/d');
    await first(pets.local.save({ _id: '_local/a', any: 'thing' }));
  });

  const reads: [string, (db: Database<z.input<typeof zodPet>, Pet>) => Observable<unknown>][] = [
    ['get', (db) => db.get('bob')],
    ['get of a list', (db) => db.get(['ada', 'bob'])],
    ['get of the first', (db) => db.get()],
    ['allDocs', (db) => db.allDocs({ includeDocs: true })],
    ['view', (db) => db.view('_all_docs', { includeDocs: true })],
    ['viewRows', (db) => db.viewRows('_all_docs', { includeDocs: true })],
    ['viewPages', (db) => db.viewPages('_all_docs', { includeDocs: true })],
    ['find', (db) => db.find({ selector: {} })],
    ['findRows', (db) => db.findRows({ selector: {} })],
    ['upsert', (db) => db.upsert('bob', (doc) => doc)],
  ];
  it.each(reads)('names a document that does not fit in %s', async (_, read) => {
    const { pets } = await databases();
    const error = await errorOf(read(pets));
    expect(error).toMatchObject({ name: 'SchemaError', id: 'bob', direction: 'read' });
    expect(error.message).toMatch(/^The document "bob" does not fit the schema .*: legs: /);
  });

  it.each(reads)('decodes in %s, and lets a function decide what does not fit', async (_, read) => {
    const failures: string[] = [];
    const { pets } = await databases({
      onInvalid: (error, doc) => {
        failures.push(error.id ?? '');
        return { ...(doc as object), legs: 2, born: new Date(BORN), tags: [] };
      },
    });
    const values = await lastValueFrom(read(pets).pipe(toArray()));
    expect(failures.length).toBeGreaterThan(0);
    const text = JSON.stringify(values, (_key, value: unknown) => value);
    expect(text).toContain('"legs":2');
    expect(text).not.toContain('"legs":"two"');
  });

  it('keeps what does not fit, or leaves it out, as told', async () => {
    const { pets: keeping } = await databases({ onInvalid: 'keep' });
    expect(await first(keeping.get('bob'))).toMatchObject({ legs: 'two', born: BORN });
    const { pets: dropping } = await databases({ onInvalid: () => null });
    const { docs } = await first(dropping.find({ selector: {} }));
    expect(docs.map(({ _id }) => _id)).toEqual(['ada']);
    const rows = await lastValueFrom(dropping.findRows({ selector: {} }).pipe(toArray()));
    expect(rows.map(({ _id }) => _id)).toEqual(['ada']);
    await expect(first(dropping.get('bob'))).rejects.toThrow(/onInvalid must return a document/);
  });

  it('can check writes alone, or reads alone', async () => {
    const { pets: writing } = await databases({ validate: 'write' });
    expect(await first(writing.get('bob'))).toMatchObject({ legs: 'two' });
    await errorOf(writing.save({ name: '', legs: 1, born: BORN }));
    const { pets: reading } = await databases({ validate: 'read' });
    await errorOf(reading.get('bob'));
    await first(reading.save({ name: '', legs: 1, born: BORN }));
  });

  it('never ends a feed: what does not fit has no document there, and is reported', async () => {
    const warn = jest.spyOn(console, 'warn').mockImplementation(() => {});
    const { pets } = await databases();
    const batch = await first(pets.changes$({ since: 0, includeDocs: true, latency: 0 }));
    const seen = new Map(batch.changes.map(({ id, doc }) => [id, doc]));
    const rest = await first(pets.changes({ includeDocs: true }));
    for (const { id, doc } of rest.results) seen.set(id, doc);
    expect(seen.get('ada')).toMatchObject({ born: new Date(BORN) });
    expect(seen.get('bob')).toBeNull();
    const lines = await lastValueFrom(pets.changeRows({ includeDocs: true }).pipe(toArray()));
    expect(lines.filter(({ doc }) => doc === null).map(({ id }) => id)).toEqual(['bob']);
    const handled: unknown[] = [];
    const consumer = pets.consume(
      ({ id, doc }) => {
        handled.push([id, (doc as Pet | null)?.born]);
        if (handled.length === 2) consumer.stop();
      },
      { name: 'schema', includeDocs: true, since: 0 },
    );
    await lastValueFrom(consumer);
    expect(handled).toHaveLength(2);
    expect(handled).toEqual(
      expect.arrayContaining([
        ['ada', new Date(BORN)],
        ['bob', undefined],
      ]),
    );
    expect(warn.mock.calls[0]?.[0]).toMatch(
      /^corduroy: The document "bob" does not fit the schema/,
    );
  });

  it('never ends a live query, which keeps the identity of what did not change', async () => {
    jest.spyOn(console, 'warn').mockImplementation(() => {});
    const { pets, raw } = await databases();
    expect(await first(pets.doc$('bob'))).toBeNull();
    expect((await first(pets.doc$('ada')))?.born).toEqual(new Date(BORN));
    expect((await first(pets.docs$(['bob', 'ada']))).map((doc) => doc?._id)).toEqual([
      undefined,
      'ada',
    ]);
    const rows = await first(pets.allDocs$({ includeDocs: true }));
    expect(rows.map(({ doc }) => doc?.born)).toEqual([new Date(BORN), undefined]);
    const found = lastValueFrom(pets.find$({ selector: {} }).pipe(take(2), toArray()));
    await first(pets.find$({ selector: {} }));
    await first(raw.save({ ...ada, _id: 'cid' }));
    const [before, after] = await found;
    expect(before?.map(({ _id }) => _id)).toEqual(['ada']);
    expect(after?.map(({ _id }) => _id)).toEqual(['ada', 'cid']);
    expect(after?.[0]).toBe(before?.[0]);
    const selected = pets.find$({ selector: { born: { $lt: '2021' } } });
    expect((await first(selected)).map(({ born }) => born.getFullYear())).toEqual([2020, 2020]);
  });

  it('gives merges and changes the decoded documents', async () => {
    const { pets } = await databases();
    const later = await first(
      pets.upsert('ada', (doc) => ({
        ...(doc as Pet),
        born: new Date((doc as Pet).born.getTime() + 1),
      })),
    );
    expect(later?.born).toEqual(new Date(Date.parse(BORN) + 1));
    const resolution = await first(
      pets.save(
        { ...ada, legs: 7 },
        { merge: (local, other) => ({ ...local, tags: [String(other?.born.getFullYear())] }) },
      ),
    );
    expect(resolution.pending.size).toBe(0);
    expect(await first(pets.get('ada'))).toMatchObject({ legs: 7, tags: ['2020'] });
  });

  it('shows a schema the fields of CouchDB only if it asks for them', async () => {
    const name = await createDatabase();
    const strict = couch.use(name, { schema: z.strictObject({ n: z.number() }) });
    await first(strict.save({ _id: 'a', n: 1 }));
    expect(await first(strict.get('a'))).toMatchObject({ _id: 'a', n: 1 });
    const withId = couch.use(name, {
      schema: z.object({ _id: z.string().brand('ItemId'), n: z.number() }),
    });
    const item = await first(withId.get('a').pipe(map(({ _id, n }) => ({ _id, n }))));
    expect(item).toEqual({ _id: 'a', n: 1 });
  });

  it.each<[string, object, RegExp]>([
    ['no schema', { schema: {} }, /^use: schema must be a Standard Schema, such as an object sch/],
    ['a schema of JSON', { schema: { type: 'object' } }, /^use: schema must be a Standard Schema/],
    ['another moment', { schema: zodPet, validate: 'always' }, /^use: validate must be one of 're/],
    ['another reaction', { schema: zodPet, onInvalid: 'throw' }, /^use: onInvalid must be 'error'/],
    ['a reaction without schema', { onInvalid: 'keep' }, /^use: schema must be a Standard Schema/],
    ['an unknown option', { schemas: zodPet }, /unknown option 'schemas'; did you mean 'schema'\?/],
  ])('refuses %s', (_, options, message) => {
    expect(() => couch.use('pets', options as never)).toThrow(TypeError);
    expect(() => couch.use('pets', options as never)).toThrow(message);
  });

  it('refuses a schema that checks asynchronously', async () => {
    const schema = z.object({ n: z.number().refine(async (n) => Promise.resolve(n > 0)) });
    const db = couch.use(await createDatabase(), { schema });
    await expect(first(db.save({ n: 1 }))).rejects.toThrow(/schema must check without Promises/);
  });
});

describe('validateDocUpdate', () => {
  const strict = z.strictObject({
    name: z.string().min(2).max(5).regex(/^A/u),
    legs: z.number().int().min(0).max(8).multipleOf(2),
    kind: z.enum(['cat', 'dog']).optional(),
    owner: z.object({ name: z.string(), tags: z.array(z.string()).min(1).max(2) }).optional(),
    size: z.union([z.number(), z.literal('big'), z.null()]).optional(),
    place: z.tuple([z.number(), z.string()]).optional(),
    ages: z.record(z.string(), z.number()).optional(),
  });
  const good = { name: 'Ada', legs: 4 };

  it('makes CouchDB refuse what does not fit, with the path, from every client', async () => {
    const raw = couch.use(await createDatabase());
    const design = defineDesign('rules', { validateDocUpdate: validateDocUpdate(strict) });
    await first(raw.designs.deploy(design));
    const reasonOf = async (doc: object): Promise<string | null> => {
      const { pending } = await first(raw.save([doc]));
      return [...pending.values()][0]?.reason ?? null;
    };
    for (const more of [
      {},
      { kind: 'cat' },
      { owner: { name: 'Bob', tags: ['a'] } },
      { size: 5 },
      { size: 'big' },
      { size: null },
      { place: [1, 'a'] },
      { ages: { a: 1, constructor: 2 } },
    ])
      expect(await reasonOf({ ...good, ...more })).toBeNull();
    for (const [more, reason] of [
      [{ name: undefined }, 'name is missing'],
      [{ name: 5 }, 'name must be of the type string'],
      [{ name: 'A' }, 'name must have at least 2 characters'],
      [{ name: 'Adalbert' }, 'name must have at most 5 characters'],
      [{ name: 'Bob' }, 'name must match ^A'],
      [{ legs: 2.5 }, 'legs must be of the type integer'],
      [{ legs: -2 }, 'legs must be at least 0'],
      [{ legs: 10 }, 'legs must be at most 8'],
      [{ legs: 3 }, 'legs must be a multiple of 2'],
      [{ kind: 'cow' }, 'kind must be one of ["cat","dog"]'],
      [{ owner: { name: 'Bob', tags: [] } }, 'owner.tags must have at least 1 items'],
      [{ owner: { name: 'Bob', tags: ['a', 5] } }, 'owner.tags[1] must be of the type string'],
      [{ size: 'small' }, 'size must be of the type number'],
      [{ place: [1, 2] }, 'place[1] must be of the type string'],
      [{ place: [1, 'a', 3] }, /^place(\[2\] must not be there| must have at most 2 items)$/],
      [{ ages: { a: 'b' } }, 'ages.a must be of the type number'],
      [{ colour: 'red' }, 'colour must not be there'],
    ] as const) {
      const received = await reasonOf({ ...good, ...more });
      if (typeof reason === 'string') expect(received).toBe(reason);
      else expect(received).toMatch(reason);
    }
    // Deletions pass.
    const { resolved } = await first(raw.save([{ ...good }]));
    const [{ _id, _rev } = { _id: '', _rev: '' }] = [...resolved.values()];
    await first(raw.delete({ _id, _rev }));
  });

  it('agrees with the schema about random documents', async () => {
    const value = fc.oneof(
      fc.constantFrom('Ada', 'A', 'Bob', 'cat', 'dog', 'big', null, true, 0, 2, 3, 9, -2),
      fc.record({ name: fc.constantFrom('Bob', 5), tags: fc.constantFrom(['a'], [], [1], 'a') }),
      fc.constantFrom([1, 'a'], [1], ['a', 1], { a: 1 }, { a: 'b' }),
    );
    const keys = ['name', 'legs', 'kind', 'owner', 'size', 'place', 'ages', 'colour'];
    const document = fc.dictionary(fc.constantFrom(...keys), value, { maxKeys: 4 });
    const docs = fc.sample(document, { numRuns: 400, seed: 7 }).map((doc, i) => ({
      name: 'Ada',
      legs: 4,
      ...doc,
      _id: `doc-${i}`,
    }));
    const raw = couch.use(await createDatabase());
    const design = defineDesign('rules', { validateDocUpdate: validateDocUpdate(strict) });
    await first(raw.designs.deploy(design));
    const { pending } = await first(raw.save(docs.map((doc) => ({ ...doc }))));
    const wrong = docs.filter(
      ({ _id, ...doc }) => pending.has(_id) === strict.safeParse(doc).success,
    );
    expect(wrong).toEqual([]);
    expect(pending.size).toBeGreaterThan(50);
    expect(pending.size).toBeLessThan(390);
  });

  it('takes a JSON Schema with definitions', async () => {
    const tree = {
      type: 'object',
      properties: { root: { $ref: '#/$defs/node' } },
      $defs: {
        node: {
          type: 'object',
          required: ['n'],
          properties: { n: { type: 'number' }, children: { items: { $ref: '#/$defs/node' } } },
        },
      },
    };
    const raw = couch.use(await createDatabase());
    const design = defineDesign('rules', { validateDocUpdate: validateDocUpdate(tree) });
    await first(raw.designs.deploy(design));
    await first(raw.save({ root: { n: 1, children: [{ n: 2 }] } }));
    await expect(first(raw.save({ root: { n: 1, children: [{}] } }))).rejects.toThrow(
      /root\.children\[0\]\.n is missing/,
    );
  });

  it.each<[string, unknown, RegExp]>([
    [
      'no schema',
      null,
      /^validateDocUpdate: schema must be a Standard Schema or a JSON Schema \(received null\)/,
    ],
    ['a schema without JSON Schema', valibotPet, /does not know its JSON Schema; convert it/],
    ['a keyword', { patternProperties: {} }, /schema\.patternProperties: this keyword cannot be/],
    [
      'a nested keyword',
      { properties: { a: { if: {} } } },
      /schema\.properties\.a\.if: this keyword/,
    ],
    ['a remote definition', { $ref: 'https://a.test/b' }, /\$ref: only definitions of the schema/],
    ['a pattern', { pattern: '(' }, /schema\.pattern must be a regular expression/],
  ])('refuses %s', (_, schema, message) => {
    expect(() => validateDocUpdate(schema as never)).toThrow(TypeError);
    expect(() => validateDocUpdate(schema as never)).toThrow(message);
  });
});
