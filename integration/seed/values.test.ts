import { describe, expect, it } from '@jest/globals';
import { createHash } from 'node:crypto';
import { emptyDatabase, value } from './steps.ts';

const SCRIPTS = [
  ['Latin', 'Grüße aus Århus'],
  ['Greek', 'Αλφάβητο'],
  ['Cyrillic', 'Съешь же ещё'],
  ['Hebrew', 'שלום עולם'],
  ['Chinese', '漢字と仮名 🀄'],
] as const;

describe('utf-8 in five scripts', () => {
  it.each(SCRIPTS)('%s as an id', async (_, text) => {
    const db = await emptyDatabase();
    await value(db.save({ _id: text, n: 1 }));
    expect(await value(db.get(text))).toMatchObject({ _id: text, n: 1 });
    expect((await value(db.get([text])))[0]).toMatchObject({ _id: text });
    await value(db.copy(text, `${text}/2`));
    expect(await value(db.get(`${text}/2`))).toMatchObject({ _id: `${text}/2` });
    await value(db.delete(await value(db.get(text))));
  });

  it.each(SCRIPTS)('%s as a value and a field', async (_, text) => {
    const db = await emptyDatabase();
    await value(db.save({ _id: 'a', [text]: [text, { [text]: text }] }));
    expect(await value(db.get('a'))).toMatchObject({ [text]: [text, { [text]: text }] });
  });

  it('as keys of a view', async () => {
    const db = await emptyDatabase<{ text: string }>();
    await value(db.save(SCRIPTS.map(([script, text]) => ({ _id: script, text }))));
    const map = 'function (doc) { if (doc.text) emit(doc.text, null); }';
    await value(db.save({ _id: '_design/texts', views: { byText: { map } } } as never));
    for (const [script, text] of SCRIPTS) {
      const found = await value(db.view<string>('texts/byText', { key: text }));
      expect(found.rows.map(({ id, key }) => [id, key])).toEqual([[script, text]]);
      const many = await value(db.view<string>('texts/byText', { keys: [text, 'none'] }));
      expect(many.rows.map(({ id }) => id)).toEqual([script]);
    }
  });
});

describe('ids', () => {
  it.each(['a/b', 'a+b', 'a b', 'a?b#c', 'a%2Fb', '100%', 'a&b=c', '"quoted"', '.', '..'])(
    '%j is an id like any other',
    async (id) => {
      const db = await emptyDatabase();
      await value(db.save({ _id: id, here: true }));
      expect(await value(db.get(id))).toMatchObject({ _id: id, here: true });
      expect((await value(db.view('_all_docs', { key: id }))).rows.map((row) => row.id)).toEqual([
        id,
      ]);
    },
  );
});

describe('bodies', () => {
  it('of 1.1 MB go there and back', async () => {
    const db = await emptyDatabase<{ text: string }>();
    const text = 'ünïcödé and ascii, '.repeat(50_000);
    expect(Buffer.byteLength(text)).toBeGreaterThan(1_100_000);
    await value(db.save({ _id: 'big', text }));
    const { text: back } = await value(db.get('big'));
    const digest = (of: string): string => createHash('sha256').update(of).digest('hex');
    expect(digest(back)).toBe(digest(text));
  });

  it('keep the numbers, the empties and the order of fields', async () => {
    const db = await emptyDatabase();
    const doc = { z: 1, a: [0, -1, 1.5, 1e100, 2 ** 53], empty: { o: {}, l: [], s: '', n: null } };
    await value(db.save({ _id: 'all', ...doc, yes: true, no: false }));
    const { _id, _rev, ...back } = await value(db.get('all'));
    expect(back).toEqual({ ...doc, yes: true, no: false });
    expect(Object.keys(back)).toEqual(['z', 'a', 'empty', 'yes', 'no']);
  });

  it.each([
    ['NaN', { deep: [{ n: Number.NaN }] }, /NaN at deep\[0\]\.n/],
    ['Infinity', { deep: { n: Infinity } }, /Infinity at deep\.n/],
    ['-Infinity', { n: -Infinity }, /-Infinity at n/],
    ['BigInt', { deep: { list: [1, 2n] } }, /a bigint at deep\.list\[1\]/],
  ])('with %s are refused, with a path to the culprit', async (_, fields, why) => {
    const db = await emptyDatabase();
    expect(() => db.save(fields)).toThrow(TypeError);
    expect(() => db.save(fields)).toThrow(why);
    expect(() => db.save([{ fine: 1 }, fields])).toThrow(why);
  });

  it('with a cycle are refused, with a path to the culprit', async () => {
    const db = await emptyDatabase();
    const chapter: Record<string, unknown> = { title: 'one' };
    chapter['next'] = { previous: chapter };
    expect(() => db.save({ chapters: [chapter] })).toThrow(
      /cycle at chapters\[0\]\.next\.previous/,
    );
  });

  it('with the same object twice are no cycle', async () => {
    const db = await emptyDatabase();
    const shared = { n: 1 };
    await value(db.save({ _id: 'twice', a: shared, b: shared }));
    expect(await value(db.get('twice'))).toMatchObject({ a: { n: 1 }, b: { n: 1 } });
  });
});
