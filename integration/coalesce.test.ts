import { beforeAll, describe, expect, it } from '@jest/globals';
import { Couch, isNotFound } from 'corduroy';
import type { Database } from 'corduroy';
import { firstValueFrom, map } from 'rxjs';
import { createDatabase, server } from './helpers/server.ts';

// Coalesced requests must have the same results as single requests.

let alone: Database;
let together: Database;
let name: string;
beforeAll(async () => {
  name = await createDatabase();
  const couch = new Couch(server.authenticatedUrl);
  alone = couch.use(name);
  together = couch.use(name, { coalesce: true });
  const file = { f: { content_type: 'text/plain', data: btoa('hello') } };
  await firstValueFrom(
    alone.save([{ _id: 'plain', n: 1 }, { _id: 'file', _attachments: file }, { _id: 'deleted' }]),
  );
  const doomed = await firstValueFrom(alone.get('deleted'));
  await firstValueFrom(alone.delete(doomed));
  const branch = (id: string, rev: string, more = {}): { _id: string; _rev: string } => ({
    _id: id,
    _rev: `2-${rev.repeat(32)}`,
    ...more,
  });
  await firstValueFrom(
    alone.save(
      [
        branch('conflict', 'a', { n: 1 }),
        branch('conflict', 'b', { n: 2 }),
        branch('half', 'a', { n: 1 }),
        branch('half', 'b', { _deleted: true }),
        branch('gone', 'a', { _deleted: true }),
        branch('gone', 'b', { _deleted: true }),
        { _id: 'with/slash ü', _rev: `1-${'a'.repeat(32)}` },
      ],
      { newEdits: false },
    ),
  );
});

const outcome = (db: Database, id: string): Promise<unknown> =>
  firstValueFrom(db.get(id)).catch((error: Error) => ({
    name: error.name,
    message: error.message,
    deleted: isNotFound(error) && error.deleted,
  }));

describe('coalesced reads', () => {
  it('have the results of single requests', async () => {
    const ids = ['plain', 'file', 'deleted', 'conflict', 'half', 'gone', 'with/slash ü', 'nobody'];
    const expected = [];
    for (const id of ids) expected.push(await outcome(alone, id));
    expect(await Promise.all(ids.map((id) => outcome(together, id)))).toEqual(expected);
  });

  it('error with NotFound if the database does not exist', async () => {
    const nowhere = new Couch(server.authenticatedUrl, { coalesce: true }).use(`${name}-not`);
    const failures = await Promise.all(['a', 'b'].map((id) => outcome(nowhere, id)));
    expect(failures).toMatchObject([{ name: 'NotFound' }, { name: 'NotFound' }]);
  });
});

describe('coalesced writes', () => {
  const save = (db: Database, doc: Record<string, unknown>): Promise<unknown> =>
    firstValueFrom(db.save(doc).pipe(map(() => 'saved'))).catch((error: Error) => error.message);

  it('have the results of single requests', async () => {
    const docs = (suffix: string): Record<string, unknown>[] => [
      { _id: `new-${suffix}`, n: 1 },
      { _id: 'plain', n: 2 },
      { _id: `bad-${suffix}`, _unknown: true },
      { n: 3 },
    ];
    const expected = [];
    for (const doc of docs('x')) expected.push(await save(alone, doc));
    const found = await Promise.all(docs('x2').map((doc) => save(together, doc)));
    expect(found.map((text) => String(text).replaceAll('x2', 'x'))).toEqual(expected);
    expect(await firstValueFrom(alone.get('new-x2'))).toMatchObject({ n: 1 });
  });

  it('record the revision, so that the next save works', async () => {
    const docs = Array.from({ length: 250 }, (_, n) => ({ _id: `many-${n}`, n }));
    for (let round = 1; round <= 2; round++) {
      await Promise.all(docs.map((doc) => firstValueFrom(together.save(doc))));
      expect(docs.map((doc) => (doc as { _rev?: string })._rev?.[0])).toEqual(
        docs.map(() => String(round)),
      );
    }
  });
});
