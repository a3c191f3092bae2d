import { afterEach, beforeAll, beforeEach, describe, expect, it, jest } from '@jest/globals';
import { Conflict, Couch, Forbidden, NotFound, defineDesign, designDocument } from 'corduroy';
import type { Database, Emit, UserContext } from 'corduroy';
import { transform } from 'esbuild';
import { runInNewContext } from 'node:vm';
import { firstValueFrom, lastValueFrom, toArray } from 'rxjs';
import { call, put } from './helpers/call.ts';
import { startFaultyProxy } from './helpers/faulty-proxy.ts';
import type { FaultyProxy, Match } from './helpers/faulty-proxy.ts';
import { createDatabase, needs, server } from './helpers/server.ts';

// CouchDB writes an index to disk after five seconds, and a deployment that replaces views waits for it.
jest.setTimeout(30_000);

interface Person {
  name: string;
  age?: number;
  tags?: string[];
}

const couch = new Couch(server.authenticatedUrl);
let db: Database<Person>;
beforeAll(async () => {
  db = couch.use<Person>(await createDatabase());
  await firstValueFrom(
    db.save([
      { _id: 'ada', name: 'Ada', age: 36, tags: ['maths', 'engines'] },
      { _id: 'bob', name: 'Bob', age: 30 },
      { _id: 'cid', name: 'Cid' },
    ]),
  );
});

describe('functions', () => {
  it('run in the server with emit as a parameter', async () => {
    const design = designDocument<Person>({
      name: 'emits',
      views: {
        given: {
          map: ({ name, tags = [] }, emit) => {
            for (const tag of tags) emit([name, tag], tags.length);
          },
        },
        old: {
          map: function (doc, emit) {
            const age = doc.age;
            if (age) emit(age, null);
          },
          reduce: '_count',
        },
        sum: {
          map: (doc, emit) => emit(null, doc.age ?? 0),
          reduce: (_keys, values: readonly number[]) => values.reduce((a, b) => a + b, 0),
        },
      },
    });
    await firstValueFrom(db.designs.deploy(design));
    const keys = async (view: string, options = {}): Promise<unknown[]> =>
      (await firstValueFrom(db.view(`emits/${view}`, options))).rows.map(({ key }) => key);
    expect(await keys('given')).toEqual([
      ['Ada', 'engines'],
      ['Ada', 'maths'],
    ]);
    expect(await keys('old', { reduce: false })).toEqual([30, 36]);
    const { rows } = await firstValueFrom(db.view('emits/sum'));
    expect(rows[0]?.value).toBe(66);
  });

  it('give typed views their rows, in every kind of query', async () => {
    const people = defineDesign('typed', {
      views: {
        byAge: {
          map: (doc: Person, emit) => (doc.age ? emit(doc.age, doc.name) : undefined),
          reduce: '_count',
        },
      },
    });
    const missing = await firstValueFrom(db.designs.drift(people));
    expect(missing).toEqual({ differences: ['language', 'views'], rev: null });
    const { deployed, rev } = await firstValueFrom(db.designs.deploy(people));
    expect(deployed).toBe(true);
    expect(await firstValueFrom(db.designs.drift(people))).toEqual({ differences: [], rev });
    const changed = defineDesign('typed', {
      views: {
        byAge: { map: (doc: Person, emit) => emit(doc.name), reduce: '_count' },
        byName: { map: (doc: Person, emit) => emit(doc.name) },
      },
    });
    expect(await firstValueFrom(db.designs.drift(changed))).toEqual({
      differences: ['views.byAge.map', 'views.byName'],
      rev,
    });
    expect((await firstValueFrom(db.designs.deploy(people))).deployed).toBe(false);

    const { rows } = await firstValueFrom(db.view(people.byAge, { reduce: false, startKey: 31 }));
    expect(rows.map(({ key, value }) => `${key + 1} ${value.toUpperCase()}`)).toEqual(['37 ADA']);
    const counts = await firstValueFrom(db.view(people.byAge, { group: true }));
    expect(counts.rows.map(({ key, value }) => [key, value])).toEqual([
      [30, 1],
      [36, 1],
    ]);
    const streamed = await lastValueFrom(
      db.viewRows(people.byAge, { reduce: false }).pipe(toArray()),
    );
    expect(streamed.map(({ key }) => key)).toEqual([30, 36]);
    const page = await firstValueFrom(db.viewPages(people.byAge, { reduce: false, pageSize: 1 }));
    expect(page.rows.map(({ value }) => value)).toEqual(['Bob']);
    const live = await firstValueFrom(db.view$(people.byAge, { reduce: false }));
    expect(live.map(({ value }) => value)).toEqual(['Bob', 'Ada']);
  });

  it('run in the server after minification', async () => {
    const source = `made = {
      map: (document, emit) => { const { name: theName } = document; emit(theName); },
    };`;
    const { code } = await transform(source, { minify: true });
    expect(code).not.toContain('emit');
    const made = runInNewContext(`${code}; made`) as {
      map: (doc: Person, emit: Emit) => void;
    };
    const design = designDocument<Person>({ name: 'small', views: { v: made } });
    await firstValueFrom(db.designs.deploy(design));
    const { rows } = await firstValueFrom(db.view('small/v'));
    expect(rows.map(({ key }) => key)).toEqual(['Ada', 'Bob', 'Cid']);
  });

  it('run in the server as filters and as validation', async () => {
    const guarded = couch.use<Person>(await createDatabase());
    const design = designDocument<Person>({
      name: 'rules',
      filters: { adults: (doc, req) => (doc.age ?? 0) >= Number(req.query['from']) },
      validateDocUpdate: (newDoc, _oldDoc, userCtx: UserContext) => {
        if (!newDoc._deleted && newDoc.name === 'Eve')
          throw { forbidden: `no Eve, ${String(userCtx.name)}` };
      },
    });
    await firstValueFrom(guarded.designs.deploy(design));
    await firstValueFrom(guarded.save({ _id: 'a', name: 'Ada', age: 36 }));
    await firstValueFrom(guarded.save({ _id: 'b', name: 'Bob', age: 3 }));
    const { results } = await firstValueFrom(
      guarded.changes({ filter: 'rules/adults', query: { from: 18 } }),
    );
    expect(results.map(({ id }) => id)).toEqual(['a']);
    const refused = firstValueFrom(guarded.save({ _id: 'e', name: 'Eve' }));
    await expect(refused).rejects.toBeInstanceOf(Forbidden);
  });
});

describe('deploy', () => {
  let own: Database<Person>;
  let path: string;
  beforeEach(async () => {
    const name = await createDatabase();
    path = `/${name}`;
    own = couch.use<Person>(name);
    await firstValueFrom(own.save([{ name: 'Ada', age: 36 }, { name: 'Bob' }]));
  });

  const version = (n: number) =>
    designDocument<Person>({
      name: 'people',
      views: { v: { map: `function (doc) { emit(doc.name, ${n}); }` } },
    });

  it('writes only documents that differ, and leaves no temporary document', async () => {
    const first = await firstValueFrom(own.designs.deploy(version(1)));
    expect(first).toEqual({ deployed: true, id: '_design/people', rev: expect.any(String) });
    expect(await firstValueFrom(own.designs.deploy(version(1)))).toEqual({
      ...first,
      deployed: false,
    });
    const second = await firstValueFrom(own.designs.deploy(version(2)));
    expect([second.deployed, second.rev.startsWith('2-')]).toEqual([true, true]);
    const { rows } = await firstValueFrom(own.view('people/v'));
    expect(rows.map(({ value }) => value)).toEqual([2, 2]);
    const { rows: designs } = await firstValueFrom(own.designs.list());
    expect(designs.map(({ id }) => id)).toEqual(['_design/people']);
  });

  needs('index-signature')('builds the views before it replaces the document', async () => {
    await firstValueFrom(own.designs.deploy(version(1)));
    const { viewIndex: old } = await firstValueFrom(own.designs.info('people'));
    await firstValueFrom(own.designs.deploy(version(2)));
    // No request has queried the new view under its final name yet.
    const { rows } = await firstValueFrom(own.view('people/v', { update: false }));
    expect(rows).toHaveLength(2);
    const { viewIndex } = await firstValueFrom(own.designs.info('people'));
    expect(viewIndex['signature']).not.toBe(old['signature']);
  });

  it('keeps the attachments of the replaced document', async () => {
    await firstValueFrom(own.designs.deploy(version(1)));
    const design = await firstValueFrom(own.designs.get('people'));
    await firstValueFrom(own.putAttachment(design, '<html>', 'index.html'));
    await firstValueFrom(own.designs.deploy(version(2)));
    const bytes = await firstValueFrom(own.getAttachment('_design/people', 'index.html'));
    expect(new TextDecoder().decode(bytes)).toBe('<html>');
  });

  const isDesign: Match = ({ method, url }) => method === 'PUT' && url.endsWith('/people');
  const isView: Match = ({ url }) => url.includes('-deploying/_view/');

  describe('through a slow network', () => {
    let proxy: FaultyProxy;
    let through: Database<Person>;
    beforeEach(async () => {
      proxy = await startFaultyProxy(server.url);
      const auth = [server.username, server.password] as const;
      through = new Couch(proxy.url, { auth }).use<Person>(own.name);
    });
    afterEach(() => proxy.close());

    const temporary = async (): Promise<number> =>
      (await call(`${path}/_design/people-deploying`)).status;

    it('starts again if another client writes the document meanwhile', async () => {
      proxy.stall(isDesign);
      const arrived = proxy.nextRequest(isDesign);
      const deployed = firstValueFrom(
        through.designs.deploy(version(2), { backoff: { initialDelay: 1, maxDelay: 1 } }),
      );
      await arrived;
      await put(`${path}/_design/people`, { views: { v: { map: 'function (doc) {}' } } });
      proxy.resume();
      expect(await deployed).toMatchObject({ deployed: true, rev: expect.stringMatching(/^2-/) });
      expect(await firstValueFrom(own.designs.get('people'))).toMatchObject(version(2));
      expect(await temporary()).toBe(404);
    });

    it('errors when the attempts have run out', async () => {
      proxy.answer({ match: isDesign, status: 409, body: '{"error":"conflict","reason":"x"}' });
      const deploying = through.designs.deploy(version(2), {
        attempts: 3,
        backoff: { initialDelay: 1, maxDelay: 1 },
      });
      await expect(firstValueFrom(deploying)).rejects.toBeInstanceOf(Conflict);
      expect(proxy.requests.filter(isDesign)).toHaveLength(3);
      expect(await temporary()).toBe(404);
    });

    it('keeps the old document, and nothing else, if the views cannot be built', async () => {
      await firstValueFrom(own.designs.deploy(version(1)));
      proxy.cutAfter(0, { match: isView });
      const deploying = through.designs.deploy(version(2), { attempts: 1 });
      await expect(firstValueFrom(deploying)).rejects.toMatchObject({ transient: true });
      expect(await firstValueFrom(own.designs.get('people'))).toMatchObject(version(1));
      expect(await temporary()).toBe(404);
    });

    it('retries if the connection breaks while the views are built', async () => {
      await firstValueFrom(own.designs.deploy(version(1)));
      proxy.cutAfter(0, { match: isView, times: 2 });
      const deploying = through.designs.deploy(version(2), {
        backoff: { initialDelay: 1, maxDelay: 1 },
      });
      expect((await firstValueFrom(deploying)).deployed).toBe(true);
      expect(proxy.requests.filter(isView)).toHaveLength(3);
    });

    it('removes the temporary document on unsubscribe', async () => {
      await firstValueFrom(own.designs.deploy(version(1)));
      proxy.stall(isView);
      const arrived = proxy.nextRequest(isView);
      const removed = proxy.nextRequest(({ method }) => method === 'DELETE');
      const subscription = through.designs.deploy(version(2)).subscribe();
      await arrived;
      expect(await temporary()).toBe(200);
      subscription.unsubscribe();
      await removed;
      for (let attempts = 200; (await temporary()) !== 404; attempts -= 1) {
        if (attempts === 0) throw new Error('The temporary design document is still there');
      }
      expect(await firstValueFrom(own.designs.get('people'))).toMatchObject(version(1));
    });
  });
});

describe('design documents', () => {
  it('are saved, read, copied and deleted, by name', async () => {
    const own = couch.use(await createDatabase());
    const design = designDocument({ name: 'a/b', views: { v: { map: (_doc, emit) => emit(1) } } });
    await firstValueFrom(own.designs.save(design));
    expect(design._rev).toMatch(/^1-/);
    expect(await firstValueFrom(own.designs.get('a/b'))).toEqual(design);
    expect(await firstValueFrom(own.designs.copy('a/b', '_design/c'))).toMatchObject({
      id: '_design/c',
    });
    expect((await firstValueFrom(own.designs.info('c'))).name).toBe('c');
    const copy = await firstValueFrom(own.designs.get('c'));
    await firstValueFrom(own.designs.delete(copy));
    await expect(firstValueFrom(own.designs.get('c'))).rejects.toBeInstanceOf(NotFound);
  });
});
