import { beforeAll, describe, expect, it } from '@jest/globals';
import { Couch } from 'corduroy';
import type { Database, DocumentRef } from 'corduroy';
import { firstValueFrom } from 'rxjs';
import { createDatabase, needs, server } from './helpers/server.ts';

let db: Database;
beforeAll(async () => {
  db = new Couch(server.authenticatedUrl).use(await createDatabase());
});

describe('upkeep', () => {
  it('reads and sets the limit of revisions', async () => {
    expect(await firstValueFrom(db.upkeep.revsLimit())).toBeGreaterThan(0);
    expect(await firstValueFrom(db.upkeep.revsLimit(7))).toBe(7);
  });

  needs('revs-limit')('makes the server keep only that number of revisions', async () => {
    expect(await firstValueFrom(db.upkeep.revsLimit(3))).toBe(3);
    expect(await firstValueFrom(db.upkeep.revsLimit())).toBe(3);
    const doc: Partial<DocumentRef> = { _id: 'edited' };
    for (let n = 0; n < 5; n++) await firstValueFrom(db.save(doc as { _id: string }));
    expect(await firstValueFrom(db.revisions('edited'))).toHaveLength(3);
  });

  needs('purge')('lists purges, and reads and sets their limit', async () => {
    const doc: Partial<DocumentRef> = { _id: 'purged' };
    await firstValueFrom(db.save(doc as { _id: string }));
    await firstValueFrom(db.purge([doc as DocumentRef]));
    expect(await firstValueFrom(db.upkeep.purgedInfos())).toEqual([
      { id: 'purged', revs: [doc._rev] },
    ]);
    expect(await firstValueFrom(db.upkeep.purgedInfosLimit(17))).toBe(17);
    expect(await firstValueFrom(db.upkeep.purgedInfosLimit())).toBe(17);
  });

  needs('cluster')('locates the shards, and synchronizes them', async () => {
    const shards = await firstValueFrom(db.upkeep.shards());
    expect(shards.size).toBeGreaterThan(0);
    const { range, nodes } = await firstValueFrom(db.upkeep.shards('any/id'));
    expect(shards.get(range)).toEqual(nodes);
    expect(await firstValueFrom(db.upkeep.syncShards())).toEqual({ ok: true });
  });

  needs('cluster')('deletes the files of unused search indexes', async () => {
    expect(await firstValueFrom(db.search.nouveau.cleanup())).toEqual({ ok: true });
  });
});

describe('an attachment', () => {
  const bytes = Uint8Array.from({ length: 100 }, (_, n) => n);
  beforeAll(async () => {
    await firstValueFrom(db.putAttachment({ _id: 'filed' }, bytes, 'a/b.bin'));
  });

  it('is described without its bytes', async () => {
    const info = await firstValueFrom(db.getAttachment('filed', 'a/b.bin').info());
    const { _attachments: stubs } = await firstValueFrom(db.get('filed'));
    expect(info).toMatchObject({
      contentType: 'application/octet-stream',
      length: 100,
      digest: stubs?.['a/b.bin']?.digest,
    });
    await expect(firstValueFrom(db.getAttachment('filed', 'none').info())).rejects.toMatchObject({
      name: 'NotFound',
    });
  });

  needs('range')('is read in part', async () => {
    const read = db.getAttachment('filed', 'a/b.bin', { range: { start: 10, end: 13 } });
    const status = await firstValueFrom(read.status());
    expect(status).toMatchObject({ code: 206, value: Uint8Array.of(10, 11, 12, 13) });
    const rest = db.getAttachment('filed', 'a/b.bin', { range: { start: 97 } });
    expect(await firstValueFrom(rest)).toEqual(Uint8Array.of(97, 98, 99));
    const beyond = db.getAttachment('filed', 'a/b.bin', { range: { start: 1000 } });
    await expect(firstValueFrom(beyond)).rejects.toMatchObject({ status: 416 });
    expect(await firstValueFrom(db.getAttachment('filed', 'a/b.bin').info())).toMatchObject({
      acceptsRanges: true,
    });
  });
});
