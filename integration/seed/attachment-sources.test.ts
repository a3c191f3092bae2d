import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { NotFound } from 'corduroy';
import type { AttachmentProgress } from 'corduroy';
import { createReadStream } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { from, map, toArray } from 'rxjs';
import { begin, bytesOf, utf8 } from './attached.ts';
import { failure, value } from './steps.ts';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'corduroy-'));
});
afterAll(() => rm(folder, { recursive: true }));

describe('an attachment from', () => {
  it('a File, with type and name guessed', async () => {
    const { db, doc, typeOf } = await begin();
    const file = new File([bytesOf(10)], 'photo.jpg', { type: 'image/jpeg' });
    await value(db.putAttachment(doc, file));
    expect(await value(db.getAttachment('owner', 'photo.jpg'))).toEqual(bytesOf(10));
    expect(await typeOf('photo.jpg')).toBe('image/jpeg');
    await value(db.putAttachment(doc, new Blob(['<p>']), 'page.html'));
    expect(await typeOf('page.html')).toMatch(/^text\/html/);
  });

  it('a stream that reads a file, with type and name guessed', async () => {
    const { db, doc, typeOf } = await begin();
    const path = join(folder, 'table.csv');
    const rows = 'a,b\n'.repeat(50_000);
    await writeFile(path, rows);
    await value(db.putAttachment(doc, createReadStream(path)));
    expect(utf8(await value(db.getAttachment('owner', 'table.csv')))).toBe(rows);
    expect(await typeOf('table.csv')).toMatch(/^text\/csv/);
  });

  it('an Observable of chunks', async () => {
    const { db, doc } = await begin();
    const chunks$ = from([1, 2, 3]).pipe(map((n) => new Uint8Array(1000).fill(n)));
    await value(db.putAttachment(doc, chunks$, 'chunks.bin'));
    const bytes = await value(db.getAttachment('owner', 'chunks.bin'));
    expect([bytes.length, bytes[0], bytes[1000], bytes[2999]]).toEqual([3000, 1, 2, 3]);
  });
});

describe('progress', () => {
  it('of an upload is told, and completes', async () => {
    const { db, doc } = await begin();
    const told: AttachmentProgress[] = [];
    let completed = false;
    const progress = {
      next: (one: AttachmentProgress) => told.push(one),
      complete: () => {
        completed = true;
      },
    };
    await value(db.putAttachment(doc, bytesOf(300_000), 'big.bin', { progress }));
    expect(told.length).toBeGreaterThan(1);
    expect(told.at(-1)).toEqual({ done: 300_000, total: 300_000 });
    expect(told.map(({ done }) => done)).toEqual([...told].map(({ done }) => done).sort(ascending));
    expect(completed).toBe(true);
  });
  const ascending = (a: number, b: number): number => a - b;

  it('of a download comes with its chunks', async () => {
    const { db, doc } = await begin();
    await value(db.putAttachment(doc, bytesOf(300_000), 'big.bin'));
    const chunks = await value(db.getAttachment('owner', 'big.bin').chunks().pipe(toArray()));
    expect(Buffer.concat(chunks.map(({ bytes }) => bytes))).toEqual(Buffer.from(bytesOf(300_000)));
    expect(chunks.at(-1)).toMatchObject({ done: 300_000, total: 300_000 });
    expect(await failure(db.getAttachment('owner', 'none').chunks())).toBeInstanceOf(NotFound);
  });
});
