import { describe, expect, it, jest } from '@jest/globals';
import { Couch } from 'corduroy';
import type { Database, Link, SaveProgress } from 'corduroy';
import {
  EMPTY,
  NEVER,
  Observable,
  ReplaySubject,
  Subject,
  concat,
  from,
  lastValueFrom,
  map,
  materialize,
  mergeMap,
  take,
  throwError,
  toArray,
} from 'rxjs';
import { createDatabase, server } from './helpers/server.ts';

// Imports and copies of any size: batches, back-pressure, progress, and resuming after a failure.

jest.setTimeout(60_000);

interface Item {
  n: number;
}
const idOf = (n: number): string => `item-${String(n).padStart(6, '0')}`;
const item = (n: number): Item & { readonly _id: string } => ({ _id: idOf(n), n });
const items = (count: number): ReturnType<typeof item>[] =>
  Array.from({ length: count }, (_, n) => item(n));

async function database(links: readonly Link[] = []): Promise<Database<Item>> {
  return new Couch(server.authenticatedUrl, { links, retry: false }).use<Item>(
    await createDatabase(),
  );
}

const all = <V>(source: Observable<V>): Promise<V[]> => lastValueFrom(source.pipe(toArray()));

async function storedIds(db: Database<Item>): Promise<(string | null)[]> {
  return (await lastValueFrom(db.allDocs())).rows.map(({ id }) => id);
}

/** Collects the progress, and the error after it. */
async function run(
  source: Observable<SaveProgress<Item>>,
): Promise<{ readonly progress: SaveProgress<Item>[]; readonly error: unknown }> {
  const events = await all(source.pipe(materialize()));
  return {
    progress: events.flatMap((event) => (event.kind === 'N' ? [event.value] : [])),
    error: events.flatMap((event) => (event.kind === 'E' ? [event.error as unknown] : []))[0],
  };
}

const isBulk = ({ path }: { readonly path: string }): boolean => path.includes('_bulk_docs');

describe('saveAll', () => {
  it.each<[string, () => Parameters<Database<Item>['saveAll']>[0]]>([
    ['an array', () => items(25)],
    [
      'a generator',
      function* () {
        yield* items(25);
      },
    ],
    [
      'an async generator',
      async function* () {
        for (const one of items(25)) yield await Promise.resolve(one);
      },
    ],
    ['an Observable', () => from(items(25))],
    ['a set', () => new Set(items(25))],
  ])('saves the documents of %s in batches', async (_, makeSource) => {
    const db = await database();
    const progress = await all(
      db.saveAll(makeSource() as Item[], { batchSize: 10, concurrency: 1 }),
    );
    expect(progress.map(({ written }) => written)).toEqual([10, 20, 25]);
    expect(progress.map(({ resumeAfter }) => resumeAfter)).toEqual([9, 19, 24].map(idOf));
    expect(progress.map(({ outcome }) => outcome.resolved.size)).toEqual([10, 10, 5]);
    const { bytes, refused, perSecond } = progress.at(-1) as SaveProgress<Item>;
    expect(bytes).toBe(items(25).reduce((sum, one) => sum + JSON.stringify(one).length, 0));
    expect(refused).toBe(0);
    expect(perSecond).toBeGreaterThan(0);
    expect(await storedIds(db)).toEqual(items(25).map(({ _id }) => _id));
  });

  it('emits nothing for a source without documents, and sends nothing', async () => {
    const requests: string[] = [];
    const db = await database([
      (request, next) => {
        requests.push(request.path);
        return next(request);
      },
    ]);
    for (const source of [[], EMPTY]) expect(await all(db.saveAll(source as []))).toEqual([]);
    expect(requests).toEqual([]);
  });

  it('reads the source only when a request is free', async () => {
    const [gate$, arrived$] = [new Subject<void>(), new ReplaySubject<void>()];
    const db = await database([
      (request, next) => {
        if (!isBulk(request)) return next(request);
        arrived$.next();
        return gate$.pipe(mergeMap(() => next(request)));
      },
    ]);
    let read = 0;
    function* source(): Generator<Item> {
      while (read < 1000) yield item(read++);
    }
    const saving = db.saveAll(source(), { batchSize: 10 }).subscribe();
    await lastValueFrom(arrived$.pipe(take(2)));
    await new Promise((resolve) => setImmediate(resolve));
    expect(read).toBe(20);
    saving.unsubscribe();
  });

  it('tells which documents were refused, and writes the others', async () => {
    const db = await database();
    await lastValueFrom(
      db.save([
        { ...item(3), n: -3 },
        { ...item(12), n: -12 },
      ]),
    );
    const [first, second] = await all(db.saveAll(items(20), { batchSize: 10, concurrency: 1 }));
    expect([...(first?.outcome.pending.keys() ?? [])]).toEqual([idOf(3)]);
    expect(second?.outcome.pending.get(idOf(12))).toMatchObject({ error: 'conflict' });
    expect([second?.written, second?.refused]).toEqual([18, 2]);
  });

  it('merges documents in conflict, as save does', async () => {
    const db = await database();
    await lastValueFrom(db.save([{ ...item(3), n: 100 }]));
    const merge = (local: Item, other: Item | null): Item => ({ n: local.n + (other?.n ?? 0) });
    const [only] = await all(db.saveAll(items(5), { merge }));
    expect([only?.written, only?.refused]).toEqual([5, 0]);
    expect(await lastValueFrom(db.get(idOf(3)))).toMatchObject({ n: 103 });
  });

  it('counts documents as written that are there already, with the same content', async () => {
    const db = await database();
    await all(db.saveAll(items(20)));
    const [again] = await all(db.saveAll(items(20)));
    expect([again?.written, again?.refused]).toEqual([20, 0]);
    const revs = (await lastValueFrom(db.allDocs())).rows.map(({ value }) => value.rev);
    expect(revs.every((rev) => rev.startsWith('1-'))).toBe(true);
  });

  it('continues after a failure, and writes each document once', async () => {
    let batches = 0;
    let broken = true;
    const db = await database([
      (request, next) => {
        if (isBulk(request) && broken && ++batches === 4)
          return throwError(() => new Error('the link has broken'));
        return next(request);
      },
    ]);
    const failed = await run(db.saveAll(items(100), { batchSize: 10 }));
    expect(failed.error).toBeInstanceOf(Error);
    const { resumeAfter, written } = failed.progress.at(-1) as SaveProgress<Item>;
    // The request beside the failed one has ended, and was emitted.
    expect(written).toBe((await storedIds(db)).length);
    expect(resumeAfter).toBe(idOf(29));
    broken = false;
    const resumed = await run(db.saveAll(items(100), { batchSize: 10, resumeAfter }));
    expect(resumed.error).toBeUndefined();
    expect(resumed.progress.at(-1)).toMatchObject({ written: 70, refused: 0 });
    const { rows } = await lastValueFrom(db.allDocs());
    expect(rows.map(({ id }) => id)).toEqual(items(100).map(({ _id }) => _id));
    expect(rows.every(({ value }) => value.rev.startsWith('1-'))).toBe(true);
  });

  it('says if the source lacks the document to continue after, and writes nothing', async () => {
    const db = await database();
    const { error } = await run(db.saveAll(items(20), { resumeAfter: 'item-20' }));
    expect(error).toBeInstanceOf(RangeError);
    expect((error as Error).message).toBe(
      'saveAll: resumeAfter: the source has no document "item-20"',
    );
    expect(await storedIds(db)).toEqual([]);
  });

  it('names a value that is no document by its place, writes those before, and closes the source', async () => {
    const db = await database();
    let closed = false;
    function* source(): Generator<Item> {
      try {
        yield* items(12);
        yield { ...item(12), n: Number.NaN };
        yield* items(100).slice(13);
      } finally {
        closed = true;
      }
    }
    const { progress, error } = await run(db.saveAll(source(), { batchSize: 10, concurrency: 1 }));
    expect(error).toBeInstanceOf(TypeError);
    expect((error as Error).message).toBe(
      'saveAll: document 12 of the source "item-000012" cannot be written as JSON: NaN at n',
    );
    expect(progress.at(-1)?.resumeAfter).toBe(idOf(9));
    expect(closed).toBe(true);
  });

  it('errors as the source does', async () => {
    const db = await database();
    const broken = throwError(() => new Error('the file has ended'));
    const { error } = await run(db.saveAll(concat(from(items(25)), broken), { batchSize: 10 }));
    expect((error as Error).message).toBe('the file has ended');
  });

  it('closes the source and sends nothing more when it is unsubscribed from', async () => {
    const db = await database();
    let unsubscribed = 0;
    const silent = new Observable<Item>((subscriber) => {
      for (const one of items(10)) subscriber.next(one);
      return () => (unsubscribed += 1);
    });
    await new Promise<void>((resolve) => {
      const saving = db.saveAll(silent, { batchSize: 10 }).subscribe(() => {
        // The second request waits for the source.
        queueMicrotask(() => {
          saving.unsubscribe();
          resolve();
        });
      });
    });
    expect(unsubscribed).toBe(1);
    const never = db.saveAll(NEVER).subscribe();
    never.unsubscribe();
    expect(await storedIds(db)).toHaveLength(10);
  });

  it('ends a batch of large documents at 8 MiB', async () => {
    const db = await database();
    const text = 'x'.repeat(3_000_000);
    const docs = items(5).map((one) => ({ ...one, text }));
    const progress = await all(db.saveAll(docs as Item[], { concurrency: 1 }));
    expect(progress.map(({ outcome }) => outcome.resolved.size)).toEqual([3, 2]);
  });

  it('copies a database in one line, revisions and attachments included', async () => {
    const [pets, copy] = [await database(), await database()];
    await all(pets.saveAll(items(120)));
    await lastValueFrom(pets.putAttachment({ ...item(200) }, 'a text', 'note.txt'));
    await lastValueFrom(pets.upsert(idOf(5), () => ({ n: 55 })));
    const pages = pets.viewPages('_all_docs', {
      includeDocs: true,
      attachments: true,
      pageSize: 50,
    });
    await all(
      copy.saveAll(pages, { documents: ({ rows }) => rows.map(({ doc }) => doc), newEdits: false }),
    );
    const revsOf = async (db: Database<Item>): Promise<unknown[]> =>
      (await lastValueFrom(db.allDocs())).rows.map(({ id, value }) => [id, value]);
    expect(await revsOf(copy)).toEqual(await revsOf(pets));
    const bytes = await lastValueFrom(copy.getAttachment(idOf(200), 'note.txt'));
    expect(new TextDecoder().decode(bytes)).toBe('a text');
  });

  it('takes the documents of an item in several batches, and skips those that are null', async () => {
    const db = await database();
    const source = [items(25), null, [item(30), null, undefined, item(31)]];
    const progress = await all(
      db.saveAll(source, { documents: (list) => list as Item[] | null, batchSize: 10 }),
    );
    expect(progress.at(-1)).toMatchObject({ written: 27, refused: 0 });
    expect(progress.map(({ outcome }) => outcome.resolved.size).sort((a, b) => a - b)).toEqual([
      7, 10, 10,
    ]);
    const { error } = await run(db.saveAll([item(40), null] as Item[]));
    expect((error as Error).message).toBe(
      'saveAll: document 1 of the source must be an object (received null)',
    );
  });

  it('copies changes and rows, streamed', async () => {
    const [pets, copy] = [await database(), await database()];
    await all(pets.saveAll(items(120)));
    await all(
      copy.saveAll(pets.changeRows({ includeDocs: true }), {
        documents: (change) => (change.deleted ? null : (change.doc as Item)),
        newEdits: false,
      }),
    );
    expect(await storedIds(copy)).toHaveLength(120);
    const rows = pets.viewRows('_all_docs', { includeDocs: true });
    const again = await all(
      copy.saveAll(rows.pipe(map(({ doc }) => doc as Item)), { newEdits: false }),
    );
    expect(again.at(-1)).toMatchObject({ written: 120, refused: 0 });
  });

  it.each<[string, unknown, object, RegExp]>([
    ['a source that is none', 5, {}, /^saveAll: source must be an Iterable, .* \(received 5\)$/],
    ['text as a source', 'abc', {}, /^saveAll: source must be an Iterable/],
    ['a batch', [], { batch: 10 }, /^saveAll: unknown option 'batch'; did you mean 'batchSize'\?$/],
    ['no batch', [], { batchSize: 0 }, /^saveAll: batchSize must be a whole number from 1/],
    ['no request', [], { concurrency: 0 }, /^saveAll: concurrency must be a whole number from 1/],
    ['a part of a request', [], { concurrency: 1.5 }, /^saveAll: concurrency must be a whole/],
    ['a number to resume after', [], { resumeAfter: 5 }, /^saveAll: resumeAfter must be/],
    ['documents that are no function', [], { documents: [] }, /^saveAll: documents must be a func/],
    ['merge and force', [], { merge: () => null, force: true }, /either merge or force/],
    ['no quorum', [], { w: 'all' }, /w must be a whole number/],
  ])('refuses %s', async (_, source, options, message) => {
    const db = await database();
    expect(() => db.saveAll(source as [], options)).toThrow(message);
  });
});
