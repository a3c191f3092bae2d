import { beforeAll, describe, expect, it } from '@jest/globals';
import { BadRequest, HTTPError, NotFound } from 'corduroy';
import type { Database } from 'corduroy';
import { emptyDatabase, failure, value } from './steps.ts';

interface Fruit {
  name?: string;
  weight?: number;
}

const DESIGN = {
  _id: '_design/fruit',
  language: 'javascript',
  views: { byWeight: { map: 'function (doc) { if (doc.weight) emit(doc.weight, doc.name); }' } },
  shows: {
    label: `function (doc, req) {
      return { headers: { 'Content-Type': 'text/html', 'X-Kind': 'label' },
               body: '<b>' + (doc ? doc.name : 'nothing') + '</b>' + (req.query.note || '') };
    }`,
    data: `function (doc) {
      return { headers: { 'Content-Type': 'application/json' },
               body: JSON.stringify({ name: doc.name }) };
    }`,
    whose: "function (doc, req) { return 'id ' + req.id + ', doc ' + (doc === null); }",
  },
  lists: {
    lines: `function (head, req) {
      start({ headers: { 'Content-Type': 'text/plain' } });
      send('[' + (req.query.title || '') + ']');
      var row; while ((row = getRow())) send(' ' + row.key + '=' + row.value);
    }`,
    json: `function () {
      start({ headers: { 'Content-Type': 'application/json' } });
      var rows = [], row; while ((row = getRow())) rows.push(row.value);
      send(JSON.stringify({ rows: rows }));
    }`,
  },
  updates: {
    touch: `function (doc, req) {
      if (!doc) return [{ _id: req.id || req.uuid, made: true, asked: req.query.by || null },
                        'created'];
      doc.touched = (doc.touched || 0) + 1;
      return [doc, 'touched'];
    }`,
    form: 'function (doc, req) { return [null, { json: req.form }]; }',
    body: 'function (doc, req) { return [null, req.body]; }',
  },
};
const OTHER = {
  _id: '_design/other',
  language: 'javascript',
  views: { byName: { map: 'function (doc) { if (doc.name) emit(doc.name, doc.weight); }' } },
};

let db: Database<Fruit>;
beforeAll(async () => {
  db = await emptyDatabase<Fruit>();
  const fruit = ['apple', 'grape', 'melon'].map((name, i) => ({
    _id: name,
    name,
    weight: 10 ** i,
  }));
  await value(db.save([...fruit, DESIGN, OTHER]));
});

describe('show', () => {
  it('with an id gives headers and body', async () => {
    const { headers, body } = await value(db.show('fruit/label', 'apple'));
    expect(body).toBe('<b>apple</b>');
    expect(headers['content-type']).toMatch(/^text\/html/);
    expect(headers['x-kind']).toBe('label');
  });

  it('without an id, and with params', async () => {
    expect((await value(db.show('fruit/label'))).body).toBe('<b>nothing</b>');
    const params = { note: 'fünf & sechs' };
    expect((await value(db.show('fruit/label', 'grape', params))).body).toBe(
      '<b>grape</b>fünf & sechs',
    );
    expect((await value(db.show('fruit/whose', 'nobody'))).body).toBe('id nobody, doc true');
  });

  it('decodes what it says is JSON', async () => {
    expect((await value(db.show('fruit/data', 'melon'))).body).toEqual({ name: 'melon' });
  });

  it('of a function that is not there is NotFound', async () => {
    expect(await failure(db.show('fruit/none'))).toBeInstanceOf(NotFound);
    expect(await failure(db.show('none/none'))).toBeInstanceOf(HTTPError);
    expect(() => db.show('fruit')).toThrow(/design-document\/function/);
  });
});

describe('list', () => {
  it('over a view of the same design document', async () => {
    const { headers, body } = await value(db.list('fruit/lines', 'byWeight'));
    expect(body).toBe('[] 1=apple 10=grape 100=melon');
    expect(headers['content-type']).toMatch(/^text\/plain/);
  });

  it('over a view of another design document', async () => {
    const { body } = await value(db.list('fruit/lines', 'other/byName'));
    expect(body).toBe('[] apple=1 grape=10 melon=100');
  });

  it('with keys and range, and with params', async () => {
    const read = async (...rest: [object, { title?: string }?]): Promise<unknown> =>
      (await value(db.list('fruit/lines', 'byWeight', ...rest))).body;
    expect(await read({ keys: [100, 1] })).toBe('[] 100=melon 1=apple');
    expect(await read({ key: 10 })).toBe('[] 10=grape');
    expect(await read({ startKey: 5, endKey: 50 })).toBe('[] 10=grape');
    expect(await read({ descending: true, limit: 1 })).toBe('[] 100=melon');
    expect(await read({ startKey: 5 }, { title: 'a & b' })).toBe('[a & b] 10=grape 100=melon');
    expect(await read({}, { title: 't' })).toBe('[t] 1=apple 10=grape 100=melon');
  });

  it('decodes what it says is JSON', async () => {
    const { body } = await value(db.list('fruit/json', 'byWeight'));
    expect(body).toEqual({ rows: ['apple', 'grape', 'melon'] });
  });

  it('over a view that is not there is NotFound', async () => {
    expect(await failure(db.list('fruit/lines', 'none'))).toBeInstanceOf(NotFound);
    expect(() => db.list('fruit', 'byWeight')).toThrow(TypeError);
    expect(() => db.list('fruit/lines', '')).toThrow(TypeError);
  });
});

describe('update', () => {
  it('by POST without an id makes a document', async () => {
    const { body, id, rev } = await value(db.update('fruit/touch'));
    expect(body).toBe('created');
    expect(rev).toMatch(/^1-/);
    expect(id).toEqual(expect.any(String));
    expect(await value(db.get(id as string))).toMatchObject({ _rev: rev, made: true });
  });

  it('by PUT of a new id makes it', async () => {
    const { id, rev } = await value(db.update('fruit/touch', 'new one', undefined, { by: 'me' }));
    expect([id, rev]).toEqual(['new one', expect.stringMatching(/^1-/)]);
    expect(await value(db.get('new one'))).toMatchObject({ made: true, asked: 'me' });
  });

  it('by PUT of an existing id changes it', async () => {
    const { body, id, rev } = await value(db.update('fruit/touch', 'apple'));
    expect([body, id, rev?.[0]]).toEqual(['touched', 'apple', '2']);
    expect(await value(db.get('apple'))).toMatchObject({ touched: 1, name: 'apple' });
  });

  it('sends a dict form-encoded', async () => {
    const form = { name: 'fünf', n: 5, yes: true, both: 'a&b=c+d' };
    const answer = await value(db.update('fruit/form', undefined, form));
    expect(answer.body).toEqual({ name: 'fünf', n: '5', yes: 'true', both: 'a&b=c+d' });
    expect([answer.id, answer.rev]).toEqual([null, null]);
  });

  it('sends a string as it is', async () => {
    const text = '{"not": "parsed"} fünf';
    expect((await value(db.update('fruit/body', undefined, text))).body).toBe(text);
    expect((await value(db.update('fruit/body', 'apple', text))).body).toBe(text);
    expect(() => db.update('fruit/body', 'apple', 7 as never)).toThrow(TypeError);
  });

  it('of a function that is not there is an error', async () => {
    const error = await failure(db.update('fruit/none'));
    expect(error).toBeInstanceOf(HTTPError);
    expect(error).not.toBeInstanceOf(BadRequest);
  });
});
