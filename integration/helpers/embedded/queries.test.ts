import { describe, expect, it } from '@jest/globals';
import { call, del, newDatabase, post, put } from '../call.ts';

// Tests of the embedded server that pass on CouchDB 3.5 too.

describe('queries', () => {
  const ddoc = {
    views: {
      plain: { map: 'function (doc) { emit(doc.n, null); }' },
      counted: { map: 'function (doc) { emit(doc.n, 1); }', reduce: '_count' },
    },
  };

  async function filled(): Promise<string> {
    const path = await newDatabase();
    const docs = [1, 2, 3].map((n) => ({ _id: `d${n}`, n }));
    await post(`${path}/_bulk_docs`, { docs });
    await put(`${path}/_design/d`, ddoc);
    return path;
  }

  it('write one row per line', async () => {
    const path = await filled();
    const { text, headers } = await call(`${path}/_design/d/_view/plain`);
    expect(text.split('\r\n')).toEqual([
      '{"total_rows":3,"offset":0,"rows":[',
      '{"id":"d1","key":1,"value":null},',
      '{"id":"d2","key":2,"value":null},',
      '{"id":"d3","key":3,"value":null}',
      ']}\n',
    ]);
    expect(headers.get('etag')).toBeNull();
    const all = await call(`${path}/_all_docs?include_docs=true&endkey=%22d1%22`);
    expect(all.text).toMatch(/^\{"total_rows":4,"offset":0,"rows":\[\r\n\{"id":"_design\/d"/);
    expect(all.text).toMatch(/"doc":\{"_id":"d1","_rev":"1-\w+","n":1\}\}\r\n\]\}\n$/);
  });

  it('return an error for each missing key', async () => {
    const path = await filled();
    const { body } = await post(`${path}/_all_docs`, { keys: ['d2', 'none'] });
    expect(body).toMatchObject({
      total_rows: 4,
      offset: null,
      rows: [
        { id: 'd2', key: 'd2' },
        { key: 'none', error: 'not_found' },
      ],
    });
  });

  it('reduce, and run several queries in one request', async () => {
    const path = await filled();
    const view = `${path}/_design/d/_view/counted`;
    expect((await call(view)).body).toEqual({ rows: [{ key: null, value: 3 }] });
    const asked = {
      queries: [
        { reduce: false, limit: 1 },
        { group: true, keys: [2] },
      ],
    };
    const { body } = await post(`${view}/queries`, asked);
    expect(body['results']).toEqual([
      { total_rows: 3, offset: 0, rows: [{ id: 'd1', key: 1, value: 1 }] },
      { rows: [{ key: 2, value: 1 }] },
    ]);
    const { body: all } = await post(`${path}/_all_docs/queries`, { queries: [{ keys: ['d1'] }] });
    expect(all['results']).toMatchObject([{ rows: [{ id: 'd1' }] }]);
  });

  it.each([
    ['limit=-1', 'query_parse_error'],
    ['limit=abc', 'query_parse_error'],
    ['descending=maybe', 'query_parse_error'],
    ['group=true', 'query_parse_error'],
    ['startkey=2&endkey=1', 'query_parse_error'],
    ['key=abc', 'bad_request'],
    ['startkey=foo', 'bad_request'],
  ])('refuse %s', async (query, error) => {
    const path = await filled();
    const answer = await call(`${path}/_design/d/_view/plain?${query}`);
    expect(answer).toMatchObject({ status: 400, body: { error } });
  });

  it('reject missing views', async () => {
    const path = await filled();
    expect((await call(`${path}/_design/d/_view/none`)).body).toEqual({
      error: 'not_found',
      reason: 'missing_named_view',
    });
    expect((await call(`${path}/_design/none/_view/none`)).status).toBe(404);
    expect((await post(`${path}/_temp_view`, { map: 'function () {}' })).status).toBe(410);
  });

  it('return update_seq as an opaque string', async () => {
    const path = await filled();
    const { body } = await call(`${path}/_design/d/_view/plain?update_seq=true&limit=0`);
    expect(body['update_seq']).toEqual(expect.stringMatching(/^4-/));
  });

  it('find by a selector, page by page', async () => {
    const path = await filled();
    const selector = { n: { $gt: 0 } };
    const { body: first } = await post(`${path}/_find`, { selector, limit: 2 });
    expect(first['docs']).toHaveLength(2);
    const { bookmark } = first;
    const { body: second } = await post(`${path}/_find`, { selector, limit: 2, bookmark });
    expect(second['docs']).toMatchObject([{ _id: 'd3' }]);
    expect((await post(`${path}/_find`, {})).body).toMatchObject({ error: 'missing_required_key' });
    const index = { index: { fields: ['n'] }, name: 'by-n', ddoc: 'by-n' };
    expect((await post(`${path}/_index`, index)).body).toMatchObject({ result: 'created' });
    expect((await del(`${path}/_index/_design/by-n/json/by-n`)).body).toEqual({ ok: true });
    expect((await del(`${path}/_index/_design/by-n/json/by-n`)).status).toBe(404);
  });

  it('run show, list and update functions', async () => {
    const path = await filled();
    await put(`${path}/_design/f`, {
      ...ddoc,
      shows: { s: 'function (doc) { return { body: "n=" + doc.n }; }' },
      lists: { l: 'function () { var r, s = ""; while ((r = getRow())) s += r.id; return s; }' },
      updates: { u: 'function (doc, req) { doc.n = 9; return [doc, "done"]; }' },
    });
    expect((await call(`${path}/_design/f/_show/s/d1`)).text).toBe('n=1');
    expect((await call(`${path}/_design/f/_list/l/plain`)).text).toBe('d1d2d3');
    expect((await put(`${path}/_design/f/_update/u/d1`, '')).text).toBe('done');
    expect((await call(`${path}/d1`)).body).toMatchObject({ n: 9 });
  });
});
