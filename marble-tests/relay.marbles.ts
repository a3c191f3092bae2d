import { describe, expect, it } from '@jest/globals';
import { LineReader } from '../src/http/shared-response.ts';
import { readChangesQuery } from '../src/relay/changes-query.ts';
import { acceptAll, byIds, bySelector, isSameForAll } from '../src/relay/row-filter.ts';
import { Slices } from '../src/relay/slices.ts';
import { ChangesWindow } from '../src/relay/window.ts';
import type { WindowRow } from '../src/relay/window.ts';

const rowOf = (n: number, doc?: object): WindowRow => {
  const change = { seq: `${n}-x`, id: `id${n}`, changes: [{ rev: '1-a' }], ...(doc && { doc }) };
  return { change: change as WindowRow['change'], text: JSON.stringify(change) };
};

/** Returns random numbers that are the same in each run. */
function randomFrom(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state * 1_103_515_245 + 12_345) % 2_147_483_648;
    return Math.floor((state / 2_147_483_648) * below);
  };
}

describe('the window of a relay', () => {
  it('knows the rows after each sequence as long as it has them, over random sequences', () => {
    for (let seed = 1; seed <= 300; seed += 1) {
      const random = randomFrom(seed);
      const most = 1 + random(40);
      const window = new ChangesWindow('0', { rows: most, bytes: Infinity });
      const all: WindowRow[] = [];
      /** How many rows come before each sequence that was ever known. */
      const before = new Map<string, number>([['0', 0]]);
      for (let step = 0; step < 80; step += 1) {
        if (random(4) === 0) {
          window.advance(`moved-${step}`);
          before.set(`moved-${step}`, all.length);
        } else {
          const rows = Array.from({ length: random(6) }, (_, n) => rowOf(all.length + n + 1));
          window.append(rows);
          for (const row of rows) before.set(row.change.seq ?? '', all.push(row));
        }
        expect(window.end).toBe(all.length);
        expect(window.end - window.first).toBe(Math.min(all.length, most));
        // One assertion for each step: there are hundreds of sequences.
        const wrong = [...before].filter(([seq, count]) => {
          const position = window.positionOf(seq);
          // Only sequences before the window, or of a feed that moved without rows, are forgotten.
          if (position === null) return seq.endsWith('-x') && count >= window.first;
          const rest: WindowRow[] = [];
          for (let at = position; at < window.end; at += 1) rest.push(window.at(at));
          const isRest =
            rest.length === all.length - count && rest.every((row, n) => row === all[count + n]);
          return position !== count || !isRest || before.get(window.seqAt(position)) !== position;
        });
        expect(wrong).toEqual([]);
      }
    }
  });

  it('knows which rows came since a time', () => {
    const window = new ChangesWindow('0', { rows: 4, bytes: Infinity });
    window.append([10, 20, 20, 30, 40].map((at, n) => ({ ...rowOf(n + 1), at })));
    expect([0, 20, 21, 30, 31, 41].map((time) => window.positionAt(time))).toEqual([
      1, 1, 3, 3, 4, 5,
    ]);
  });

  it('stays the same when it gives memory back', () => {
    const window = new ChangesWindow('0', { rows: 50, bytes: Infinity });
    const all = Array.from({ length: 5000 }, (_, n) => rowOf(n + 1));
    for (let n = 0; n < all.length; n += 7) {
      window.append(all.slice(n, n + 7));
      const rows = Array.from({ length: window.end - window.first }, (_, i) =>
        window.at(window.first + i),
      );
      expect(rows).toEqual(all.slice(Math.max(0, window.end - 50), window.end));
      expect(window.seq).toBe(rows.at(-1)?.change.seq);
      expect(window.seqAt(window.first + 1)).toBe(rows[0]?.change.seq);
      expect(window.positionOf(rows[0]?.change.seq ?? '')).toBe(window.first + 1);
    }
  });

  it('is bounded in memory, and forgets the sequences of a feed that moves without rows', () => {
    const window = new ChangesWindow('0', { rows: 1000, bytes: 50_000 });
    for (let n = 1; n < 5000; n += 1) window.append([rowOf(n, { text: 'x'.repeat(n % 2000) })]);
    expect(window.bytes).toBeLessThanOrEqual(50_000);
    expect(window.positionOf('1-x')).toBe(null);
    const quiet = new ChangesWindow('0', { rows: 10, bytes: 1000 });
    for (let n = 0; n < 1000; n += 1) quiet.advance(`moved-${n}`);
    expect(quiet.positionOf('moved-5')).toBe(null);
    expect(quiet.positionOf('moved-999')).toBe(0);
  });
});

describe('slices', () => {
  const window = new ChangesWindow('0', { rows: 100, bytes: Infinity });
  window.append([1, 2, 3, 4].map((n) => rowOf(n, { n })));

  it('are made once for all who want the same', () => {
    const slices = new Slices('', window, acceptAll, 'continuous', true);
    expect(slices.take(1, Infinity)).toBe(slices.take(1, Infinity));
    expect(slices.take(1, Infinity)).toMatchObject({ rows: 3, to: 4, isUndecided: false });
    expect(slices.take(1, 2)).toMatchObject({ rows: 2, to: 3 });
    expect(slices.take(1, Infinity)).toMatchObject({ rows: 3 });
  });

  it('have the rows that the filter passes, without the documents that only the filter needs', () => {
    const slices = new Slices('', window, bySelector({ n: { $gt: 2 } }), 'continuous', false);
    const { data, rows } = slices.take(0, Infinity);
    expect(rows).toBe(2);
    const texts = data.toString().trim().split('\n');
    expect(texts.map((text) => JSON.parse(text) as object)).toEqual(
      [3, 4].map((n) => ({ seq: `${n}-x`, id: `id${n}`, changes: [{ rev: '1-a' }] })),
    );
    expect(new Slices('', window, byIds(['id2']), 'longpoll', false).take(0, Infinity).rows).toBe(
      1,
    );
  });

  it('follow the window, and have another form for each feed', () => {
    const other = new ChangesWindow('0', { rows: 100, bytes: Infinity });
    const slices = new Slices('key', other, acceptAll, 'eventsource', true);
    expect([slices.key, slices.take(0, 5).rows]).toEqual(['key', 0]);
    other.append([rowOf(1)]);
    const { text } = rowOf(1);
    expect(slices.take(0, 5).data.toString()).toBe(`data: ${text}\nid: "1-x"\n\n`);
    other.append([rowOf(2)]);
    expect(slices.take(0, 5).rows).toBe(2);
    const polls = new Slices('', other, acceptAll, 'longpoll', true);
    expect(polls.take(1, 5).data.toString()).toBe(`,\r\n${rowOf(2).text}`);
    const docs = new Slices('', window, bySelector({ n: 4 }), 'continuous', true);
    expect(docs.take(0, 5).data.toString()).toBe(`${rowOf(4, { n: 4 }).text}\n`);
  });

  it('have a limited size, so that a slow listener keeps little', () => {
    const large = new ChangesWindow('0', { rows: 100, bytes: Infinity });
    large.append(Array.from({ length: 50 }, (_, n) => rowOf(n + 1, { text: 'x'.repeat(10_000) })));
    const slice = new Slices('', large, acceptAll, 'continuous', true).take(0, Infinity);
    expect([slice.rows, slice.to]).toEqual([7, 7]);
  });

  it('stop before a row about which only CouchDB can decide', () => {
    const other = new ChangesWindow('0', { rows: 100, bytes: Infinity });
    other.append([rowOf(1, { n: 1 }), rowOf(2, { name: 'b' }), rowOf(3, { n: 1 })]);
    const selector = { $or: [{ n: 1 }, { name: { $regex: '^(a|b)' } }] };
    const slices = new Slices('', other, bySelector(selector), 'continuous', true);
    expect(slices.take(0, Infinity)).toMatchObject({ rows: 1, to: 1, isUndecided: true });
  });
});

describe('a filter function is the same for all users', () => {
  const SAME = [
    'function (doc) { return doc.type === "a"; }',
    'function(doc, req){ return doc.type == req.query.type }',
    'function cats(doc, req) { if (req.query.all) return true; return doc.kind == req . query . kind; }',
    'function () { return true; }',
    '(doc, req) => doc._id === req.query.id',
    'doc => doc.a > 1',
    'function (d, $r) { return $r.query.x; }',
  ];
  const DIFFERENT = [
    'function (doc, req) { return doc.owner === req.userCtx.name; }',
    'function (doc, req) { return req["userCtx"].name; }',
    'function (doc, req) { var r = req; return r.userCtx; }',
    'function (doc, req) { return f(req); }',
    'function (doc) { return arguments[1].userCtx.name === doc.owner; }',
    'function (doc, req) { return req/**/.userCtx; }',
    'function (doc, req) { return r\\u0065q.userCtx; }',
    'function (doc, { userCtx }) { return userCtx.name; }',
    'function (doc, req = {}) { return req.query; }',
    'function (doc, ...rest) { return rest[0].userCtx; }',
    'function (doc, req) { return req.queryUser; }',
    'function (doc, req) { // req.query\n return req.query.x; }',
    'function (doc, req) { /* a */ return req.query.x; }',
    'function (doc, req, more) { return true; }',
    'function (doc, req) { return true; }; function (doc, r) { return req; }',
    'function (doc, req) { return `${req.query.x}`; }',
    'function (doc, req) { return eval("re" + "q").userCtx; }',
    'function (doc, req) { return this.req; }',
    'function (doc, req) { return (function (x) { return x; })(req.query) && a.req.query; }',
    'var x = 1; function (doc) {}',
    'exports.filter = function (doc) { return true; }',
    '',
  ];
  for (const source of SAME) it(`yes: ${source}`, () => expect(isSameForAll(source)).toBe(true));
  for (const source of DIFFERENT)
    it(`no: ${source}`, () => expect(isSameForAll(source)).toBe(false));
});

describe('a request for changes', () => {
  const read = (query: string, body: object | null = null, lastEventId?: string) =>
    readChangesQuery(
      new URLSearchParams(query),
      lastEventId,
      body === null ? null : JSON.stringify(body),
    );

  it('is shared by what it asks CouchDB for', () => {
    expect(read('feed=continuous&since=5-x&heartbeat=true')).toMatchObject({
      feed: 'continuous',
      since: '5-x',
      limit: Infinity,
      heartbeat: 60_000,
      timeout: 60_000,
      parameters: {},
    });
    expect(read('feed=live&heartbeat=99999999')).toMatchObject({
      feed: 'continuous',
      heartbeat: 60_000,
    });
    expect(read('feed=longpoll&timeout=100&limit=3')).toMatchObject({
      since: '0',
      heartbeat: null,
      timeout: 100,
      limit: 3,
    });
    expect(read('feed=eventsource&since=1-a', null, '"2-b"')?.since).toBe('2-b');
    expect(read('feed=continuous&since=1-a', null, '"2-b"')?.since).toBe('1-a');
    expect(
      read('feed=longpoll&include_docs=true&conflicts=true&style=all_docs')?.parameters,
    ).toEqual({
      includeDocs: true,
      conflicts: true,
      style: 'all_docs',
    });
    expect(read('feed=longpoll&filter=d/f&kind=cat')?.parameters).toEqual({
      filter: 'd/f',
      query: { kind: 'cat' },
    });
    expect(read('feed=longpoll&filter=_view&view=d/v')?.parameters).toEqual({ view: 'd/v' });
    expect(read('feed=longpoll&filter=_doc_ids', { doc_ids: ['a'] })?.filter.key).toBe(
      read('feed=longpoll&filter=_doc_ids', { doc_ids: ['a', 'a'] })?.filter.key,
    );
    const selected = read('feed=longpoll&filter=_selector', { selector: { a: 1 } });
    expect(selected).toMatchObject({ includeDocs: false, parameters: { includeDocs: true } });
    expect(selected?.own.toString()).toBe('filter=_selector');
  });

  it('has the parameters that CouchDB gets, and no others', () => {
    const parametersOf = (query: string, body: object | null = null) =>
      read(`feed=longpoll&${query}`, body)?.parameters;
    expect(parametersOf('')).toStrictEqual({});
    expect(parametersOf('filter=des/fil')).toEqual({ filter: 'des/fil', query: {} });
    expect(parametersOf('include_docs=false&conflicts=false')).toEqual({});
    expect(parametersOf('conflicts=true')).toEqual({});
    expect(parametersOf('include_docs=true')).toEqual({ includeDocs: true });
    expect(parametersOf('style=main_only')).toEqual({});
    expect(parametersOf('attachments=false&descending=false')).toEqual({});
    expect(parametersOf('filter=d/f&view=v&doc_ids=a&x=1')).toEqual({
      filter: 'd/f',
      query: { x: '1' },
    });
    expect(parametersOf('filter=_selector&style=all_docs', { selector: { a: 1 } })).toEqual({
      style: 'all_docs',
      selector: { a: 1 },
    });
    expect(read('feed=longpoll')?.includeDocs).toBe(false);
    expect(read('feed=longpoll&include_docs=true')?.includeDocs).toBe(true);
    expect(read('feed=longpoll&heartbeat=false')?.heartbeat).toBe(null);
    expect(read('feed=longpoll&since=%22a%22b')?.since).toBe('"a"b');
    expect(read('feed=longpoll&since=a%22b%22')?.since).toBe('a"b"');
  });

  it('has a filter of the relay', () => {
    const acceptsOf = (query: string, id: string, body: object | null = null) =>
      read(`feed=longpoll&filter=${query}`, body)?.filter.accepts({
        id,
        seq: '1',
        changes: [],
      });
    expect([acceptsOf('_design', '_design/a'), acceptsOf('_design', 'a_design/')]).toEqual([
      true,
      false,
    ]);
    const ids = encodeURIComponent('["a","b"]');
    expect([
      acceptsOf(`_doc_ids&doc_ids=${ids}`, 'b'),
      acceptsOf(`_doc_ids&doc_ids=${ids}`, 'c'),
    ]).toEqual([true, false]);
    expect(acceptsOf('_doc_ids', 'a', { doc_ids: ['a'] })).toBe(true);
    const keyOf = (ids_: readonly string[]) =>
      read('feed=longpoll&filter=_doc_ids', { doc_ids: ids_ })?.filter.key;
    expect(keyOf(['a', 'b'])).toBe(keyOf(['b', 'a']));
    expect(keyOf(['a', 'b'])).not.toBe(keyOf(['a']));
    const selectorKey = (selector: object) =>
      read('feed=longpoll&filter=_selector', { selector })?.filter.key;
    expect(selectorKey({ a: 1 })).not.toBe(selectorKey({ a: 2 }));
  });

  const LEFT = [
    'feed=normal',
    '',
    'feed=what',
    'feed=longpoll&descending=true',
    'feed=longpoll&attachments=true',
    'feed=longpoll&seq_interval=5',
    'feed=longpoll&limit=x',
    'feed=longpoll&limit=0',
    'feed=longpoll&heartbeat=0',
    'feed=longpoll&heartbeat=soon',
    'feed=longpoll&timeout=-1',
    'feed=longpoll&include_docs=maybe',
    'feed=longpoll&style=other',
    'feed=longpoll&filter=name',
    'feed=longpoll&filter=_view',
    'feed=longpoll&filter=_doc_ids',
    'feed=longpoll&filter=_selector',
    'feed=longpoll&filter=_view&view=v',
    'feed=longpoll&filter=d/f/g',
    'feed=longpoll&filter=/f',
    'feed=longpoll&filter=d/',
    'feed=longpoll&filter=_doc_ids&doc_ids=x',
    'feed=longpoll&filter=_doc_ids&doc_ids=[1]',
    'feed=longpoll&limit=5x',
    'feed=longpoll&limit=x5',
  ];
  for (const query of LEFT)
    it(`is left to CouchDB: ${query}`, () => expect(read(query)).toBe(null));

  it('is left to CouchDB if its body is not what the filter needs', () => {
    const path = 'feed=longpoll&filter=';
    expect(read(`${path}_doc_ids`, { doc_ids: 'a' })).toBe(null);
    expect(read(`${path}_doc_ids`, { doc_ids: [1] })).toBe(null);
    expect(read(`${path}_doc_ids`, { doc_ids: ['a', 1] })).toBe(null);
    expect(read(`${path}_selector`, { selector: [] })).toBe(null);
    expect(read(`${path}_selector`, { selector: null })).toBe(null);
    expect(read(`${path}_selector`, { selector: 'x' })).toBe(null);
    expect(read(`${path}_selector`, { selector: 5 })).toBe(null);
    expect(read(`${path}_selector`, { selector: {}, fields: ['a'] })).toBe(null);
  });
});

describe('the lines of a stream', () => {
  const LINES = [
    '{"stream":"name"}',
    'o1 {"a":1}',
    'r1 2',
    '{"seq":"1"}',
    'r7 9 is a row here',
    'o2 {}',
    'r2 0',
    'r1 1',
    'e1',
    'e1',
    'f3 {"status":404}',
    'c2',
  ];

  it('mean the same, wherever the blocks end', () => {
    const read = (sizes: readonly number[]): readonly unknown[] => {
      const events: unknown[] = [];
      const reader = new LineReader({
        named: (name) => events.push(['named', name]),
        told: (id, kind, rest) => events.push([kind, id, rest]),
        delivered: (id, rows) => events.push(...rows.map((row) => ['row', id, row])),
      });
      for (let at = 0, n = 0; at < LINES.length; n += 1) {
        const size = sizes[n % sizes.length] ?? 1;
        reader.read(LINES.slice(at, at + size));
        at += size;
      }
      return events;
    };
    const whole = read([LINES.length]);
    expect(whole).toEqual([
      ['named', 'name'],
      ['o', 1, '{"a":1}'],
      ['row', 1, '{"seq":"1"}'],
      ['row', 1, 'r7 9 is a row here'],
      ['o', 2, '{}'],
      ['row', 2, ''],
      ['row', 1, 'e1'],
      ['e', 1, ''],
      ['f', 3, '{"status":404}'],
      ['c', 2, ''],
    ]);
    for (const sizes of [[1], [2], [3], [4], [5], [1, 2], [3, 1], [1, 4, 2]])
      expect(read(sizes)).toEqual(whole);
  });
});
