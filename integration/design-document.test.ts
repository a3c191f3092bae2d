import { describe, expect, it } from '@jest/globals';
import { Couch, designDocument } from 'corduroy';
import type { Emit } from 'corduroy';
import { firstValueFrom } from 'rxjs';
import { createDatabase, server } from './helpers/server.ts';

/** The global of CouchDB, which does not exist in a test. */
declare const emit: Emit;

interface Person {
  name: string;
  age?: number;
}

describe('designDocument', () => {
  it('encodes functions as text, and everything else as JSON', () => {
    const design = designDocument<Person>({
      name: 'people',
      views: {
        byName: { map: (doc) => emit(doc.name), reduce: '_count' },
        byAge: {
          map: (doc, add) => add(doc.age),
          reduce: (_keys, values: readonly number[]) => values.length,
        },
        asText: { map: 'function (doc) { emit(doc._id); }' },
      },
      filters: { adults: (doc) => (doc.age ?? 0) > 17 },
      validateDocUpdate: function (newDoc) {
        if (!newDoc.name) throw { forbidden: 'a name, please' };
      },
      indexes: { text: { index: (doc, index) => index('name', doc.name), analyzer: 'german' } },
      nouveau: {
        text: { index: (doc, index) => index('text', 'name', doc.name), defaultAnalyzer: 'german' },
      },
      partitioned: false,
      autoupdate: false,
    });
    expect(design).toMatchObject({
      _id: '_design/people',
      language: 'javascript',
      views: {
        byName: { map: '(doc)=>emit(doc.name)', reduce: '_count' },
        byAge: {
          map: 'function (doc) { return ((doc, add)=>add(doc.age))(doc, emit); }',
          reduce: '(_keys, values)=>values.length',
        },
        asText: { map: 'function (doc) { emit(doc._id); }' },
      },
      validate_doc_update: expect.stringMatching(/^function\s?\(newDoc\)/),
      indexes: {
        text: { index: expect.stringMatching(/^function \(doc\) { return .*\(doc, index\); }$/) },
      },
      nouveau: { text: { default_analyzer: 'german' } },
      options: { partitioned: false },
      autoupdate: false,
    });
  });

  it.each<[string, unknown, RegExp]>([
    ['an async function', async () => {}, /views\.v\.map: the server runs no async functions/],
    ['a generator', function* () {}, /views\.v\.map: the server runs no generators/],
    ['a method', Object.values({ map(_doc: unknown) {} })[0], /not a method: "map ?\(_doc\)/],
    ['an async method', Object.values({ async map(_doc: unknown) {} })[0], /no async functions/],
    [
      'a class',
      class {
        n = 1;
      },
      /the server cannot call a class/,
    ],
    ['a built-in function', encodeURI, /a bound or built-in function has no source text/],
    ['a number', 7, /must be a function or its source text \(received 7\)/],
    ['nothing', undefined, /must be a function or its source text \(received undefined\)/],
    ['empty text', ' ', /must be a function or its source text/],
  ])('refuses %s', (_, map, why) => {
    expect(() => designDocument({ name: 'd', views: { v: { map } } } as never)).toThrow(why);
    expect(() => designDocument({ name: 'd', views: { v: { map } } } as never)).toThrow(TypeError);
  });

  it('refuses an unknown option, a missing name and a missing view', () => {
    expect(() => designDocument({ name: 'd', view: {} } as never)).toThrow(/unknown option 'view'/);
    expect(() => designDocument({} as never)).toThrow(/name must be a string/);
    expect(() => designDocument({ name: 'd', views: { v: null } } as never)).toThrow(/views\.v/);
  });
});

it('functions can use the global emit of the server', async () => {
  const db = new Couch(server.authenticatedUrl).use<Person>(await createDatabase());
  await firstValueFrom(db.save([{ name: 'Ada' }, { name: 'Bob' }]));
  const people = designDocument<Person>({
    name: 'people',
    views: { byName: { map: (doc) => emit(doc.name), reduce: '_count' } },
  });
  await firstValueFrom(db.designs.deploy(people));
  const { rows } = await firstValueFrom(db.view('people/byName', { reduce: false }));
  expect(rows.map(({ key }) => key)).toEqual(['Ada', 'Bob']);
  expect((await firstValueFrom(db.view('people/byName'))).rows[0]?.value).toBe(2);
});
