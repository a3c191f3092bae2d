import { beforeAll, describe, expect, it } from '@jest/globals';
import { Couch } from 'corduroy';
import type { Database } from 'corduroy';
import { firstValueFrom, lastValueFrom, take, toArray } from 'rxjs';
import { createDatabase, needs, server } from './helpers/server.ts';

interface Item {
  n?: number;
}

const COUNT = 500;
const idOf = (n: number): string => `item-${String(n).padStart(5, '0')}`;

let db: Database<Item>;
beforeAll(async () => {
  db = new Couch(server.authenticatedUrl).use<Item>(await createDatabase());
  const items = Array.from({ length: COUNT }, (_, n) => ({ _id: idOf(n), n }));
  const design = {
    _id: '_design/d',
    views: {
      n: { map: 'function (doc) { emit(doc.n, null); }' },
      third: { map: 'function (doc) { emit(doc.n % 3, doc.n); emit(doc.n % 3, doc.n); }' },
      sum: { map: 'function (doc) { emit([doc.n % 7, doc.n], 1); }', reduce: '_sum' },
    },
  };
  await firstValueFrom(db.save([...items, design]));
});

describe('viewRows', () => {
  it('emits the rows of the view, in order', async () => {
    const stream = db.viewRows<number>('d/n');
    const rows = await lastValueFrom(stream.pipe(toArray()));
    const view = await firstValueFrom(db.view('d/n'));
    expect(rows).toEqual(view.rows);
    expect(rows).toHaveLength(COUNT);
    expect(stream.info).toEqual({ totalRows: COUNT, offset: 0, updateSeq: null });
  });

  it('emits documents, keys and reductions', async () => {
    const docs = await lastValueFrom(
      db.viewRows<number>('d/n', { includeDocs: true, limit: 3 }).pipe(toArray()),
    );
    expect(docs.map(({ doc }) => doc?.n)).toEqual([0, 1, 2]);
    const some = await lastValueFrom(
      db.viewRows('_all_docs', { keys: [idOf(7), 'nobody'] }).pipe(toArray()),
    );
    expect(some.map(({ id, error }) => [id, error])).toEqual([
      [idOf(7), null],
      [null, 'not_found'],
    ]);
    const sums = await lastValueFrom(db.viewRows('d/sum', { groupLevel: 1 }).pipe(toArray()));
    expect(sums).toEqual((await firstValueFrom(db.view('d/sum', { groupLevel: 1 }))).rows);
  });

  it('completes after take', async () => {
    const rows = await lastValueFrom(db.viewRows('_all_docs').pipe(take(10), toArray()));
    expect(rows).toHaveLength(10);
  });

  it('errors with NotFound for a missing view', async () => {
    await expect(lastValueFrom(db.viewRows('d/nothing'))).rejects.toMatchObject({
      name: 'NotFound',
    });
  });
});

describe('changeRows', () => {
  it('emits the changes, and its info has the sequence to continue from', async () => {
    const stream = db.changeRows({ limit: 100 });
    const first = await lastValueFrom(stream.pipe(toArray()));
    expect(first).toHaveLength(100);
    const since = stream.info?.lastSeq ?? '';
    const rest = await lastValueFrom(db.changeRows({ since }).pipe(toArray()));
    const ids = new Set([...first, ...rest].map(({ id }) => id));
    expect(ids.size).toBe(COUNT + 1);
  });
});

describe('findRows', () => {
  it('emits the documents, and its info has the rest of the result', async () => {
    const stream = db.findRows({ selector: { n: { $lt: 200 } }, limit: 150 });
    const first = await lastValueFrom(stream.pipe(toArray()));
    expect(first).toEqual(
      (await firstValueFrom(db.find({ selector: { n: { $lt: 200 } }, limit: 150 }))).docs,
    );
    expect(first).toHaveLength(150);
    expect(stream.info).toMatchObject({ executionStats: null });
  });
});

describe('viewPages', () => {
  it('emits each row once', async () => {
    const pages = await lastValueFrom(db.viewPages('_all_docs', { pageSize: 199 }).pipe(toArray()));
    expect(pages.map(({ length }) => length)).toEqual([199, 199, 103]);
    const ids = pages.flatMap(({ rows }) => rows.map(({ id }) => id));
    expect(new Set(ids).size).toBe(COUNT + 1);
  });

  it('reads in descending order', async () => {
    const keys: unknown[] = [];
    const pages = db.viewPages<number>('d/n', { pageSize: 3, limit: 7, descending: true });
    for await (const page of pages) keys.push(...page.rows.map(({ key }) => key));
    expect(keys).toEqual([499, 498, 497, 496, 495, 494, 493]);
  });

  it('reads groups', async () => {
    const groups = await lastValueFrom(
      db.viewPages('d/sum', { pageSize: 3, groupLevel: 1 }).pipe(toArray()),
    );
    expect(groups.flatMap(({ rows }) => rows)).toEqual(
      (await firstValueFrom(db.view('d/sum', { groupLevel: 1 }))).rows,
    );
    expect(groups).toHaveLength(3);
  });

  needs('view-paging')('emits each row once if many rows have the same key', async () => {
    const pages = await lastValueFrom(db.viewPages('d/third', { pageSize: 81 }).pipe(toArray()));
    expect(pages.flatMap(({ rows }) => rows)).toEqual(
      (await firstValueFrom(db.view('d/third'))).rows,
    );
    const one = await lastValueFrom(
      db.viewPages('d/third', { pageSize: 81, key: 1 }).pipe(toArray()),
    );
    expect(one.flatMap(({ rows }) => rows)).toEqual(
      (await firstValueFrom(db.view('d/third', { key: 1 }))).rows,
    );
  });
});
