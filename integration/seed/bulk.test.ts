import { describe, expect, it } from '@jest/globals';
import { HTTPError } from 'corduroy';
import type { Draft } from 'corduroy';
import { emptyDatabase, waitFor, failure, look, value } from './steps.ts';

interface Card {
  n: number;
}

describe('save of many', () => {
  it('a bulk update with one conflict reports one pending and the others resolved', async () => {
    const db = await emptyDatabase<Card>();
    const docs: Draft<Card>[] = [0, 1, 2, 3].map((n) => ({ _id: `card-${n}`, n }));
    expect(String(await value(db.save(docs)))).toBe('<Success: 4 docs updated>');
    const theirs = await value(db.get('card-2'));
    await value(db.save(theirs));
    for (const doc of docs) doc.n += 10;
    const { pending, resolved } = await value(db.save(docs));
    expect([...pending.keys()]).toEqual(['card-2']);
    expect(pending.get('card-2')).toMatchObject({ doc: docs[2], error: 'conflict' });
    expect([...resolved.keys()]).toEqual(['card-0', 'card-1', 'card-3']);
    expect(docs.map(({ _rev }) => _rev?.[0])).toEqual(['2', '2', '1', '2']);
    const stored = await value(db.get(docs.map(({ _id }) => _id as string)));
    expect(stored.map((doc) => doc?.n)).toEqual([10, 11, 2, 13]);
  });

  it('prints as <Success: 3 docs updated>, or names what is in conflict', async () => {
    const db = await emptyDatabase<Card>();
    const docs = [1, 2, 3].map((n) => ({ _id: `card-${n}`, n }));
    expect(String(await value(db.save(docs)))).toBe('<Success: 3 docs updated>');
    const again = [1, 2].map((n) => ({ _id: `card-${n}`, n }));
    expect(String(await value(db.save(again)))).toBe('<Conflict: card-1, card-2>');
  });

  it('gives ids to those without, and keeps the order', async () => {
    const db = await emptyDatabase<Card>();
    const docs: Draft<Card>[] = [{ n: 1 }, { _id: 'mine', n: 2 }, { n: 3 }];
    const { resolved } = await value(db.save(docs));
    expect([...resolved.values()].map(({ n }) => n)).toEqual([1, 2, 3]);
    expect(docs.every(({ _id, _rev }) => _id !== undefined && _rev !== undefined)).toBe(true);
  });

  it('deletes what has _deleted', async () => {
    const db = await emptyDatabase<Card>();
    const docs: Draft<Card>[] = [1, 2].map((n) => ({ _id: `card-${n}`, n }));
    await value(db.save(docs));
    (docs[0] as Draft<Card>)._deleted = true;
    await value(db.save(docs));
    expect((await value(db.get(['card-1', 'card-2']))).map((doc) => doc?.n ?? null)).toEqual([
      null,
      2,
    ]);
  });

  it('with something that is no object in the list is refused', async () => {
    const db = await emptyDatabase<Card>();
    for (const wrong of ['text', 7, null, undefined, [], true]) {
      expect(() => db.save([{ n: 1 }, wrong as never])).toThrow(/^docs\[1\] must be an object/);
    }
    expect((await value(db.info())).docCount).toBe(0);
  });

  it('allOrNothing is refused by 3.x with 417, and writes nothing', async () => {
    const db = await emptyDatabase<Card>();
    const error = await failure(db.save([{ n: 1 }, { n: 2 }], { allOrNothing: true }));
    expect(error).toBeInstanceOf(HTTPError);
    expect(error).toMatchObject({ status: 417 });
    expect((await value(db.info())).docCount).toBe(0);
  });
});

describe("batch: 'ok'", () => {
  it('gives no revision, and the document comes later', async () => {
    const db = await emptyDatabase<Card>();
    const doc: Draft<Card> = { _id: 'soon', n: 1 };
    const status = await value(db.save(doc, { batch: 'ok' }).status());
    expect(status.code).toBe(202);
    expect([...(status.value?.resolved.keys() ?? [])]).toEqual(['soon']);
    expect(doc._rev).toBeUndefined();
    const stored = await waitFor(async () => {
      const found = await look(`/${db.name}/soon`);
      return found['_id'] === 'soon' ? found : undefined;
    }, 'the document that was saved in a batch');
    expect(stored['n']).toBe(1);
  });

  it('is for one document, and not for a list', async () => {
    const db = await emptyDatabase<Card>();
    expect(await attempt(() => db.save([{ n: 1 }], { batch: 'ok' } as never))).toBeInstanceOf(
      TypeError,
    );
  });
});

/** What is thrown at the call, or errors after it. */
async function attempt(make: () => Parameters<typeof failure>[0]): Promise<unknown> {
  try {
    return await failure(make());
  } catch (error) {
    return error;
  }
}
