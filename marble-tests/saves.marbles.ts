import { describe, expect, it } from '@jest/globals';
import { catchError, map, of, throwError } from 'rxjs';
import type { Observable } from 'rxjs';
import type { CorduroyError, Database, PendingWrite } from 'corduroy';
import { marbleTests, memoryServer, status } from 'corduroy/testing';

// What saves and upserts check before they send anything, what they send, and what they know after a failure.

const marbles = marbleTests((actual, expected) => expect(actual).toEqual(expected));

interface Note {
  text: string;
}
const stored = { _id: 'a', _rev: '1-a', text: 'old' };
const makeServer = (): ReturnType<typeof memoryServer> =>
  memoryServer({ latency: 0, databases: { notes: [stored] } });

const nameOf = (source: Observable<unknown>): Observable<unknown> =>
  source.pipe(
    map(() => 'value'),
    catchError((error: CorduroyError) => of(error.name)),
  );

describe('a save', () => {
  const draft = { _id: 'b', text: 'new' };
  const merge = (local: Note): Note => local;

  it.each<[what: string, call: (db: Database<Note>) => unknown, message: RegExp]>([
    ['of no document', (db) => db.save(null as never), /^The document must be an object/],
    ['of a list with a string', (db) => db.save(['a'] as never), /^docs\[0\] must be an object/],
    [
      'with merge and force',
      (db) => db.save(draft, { merge, force: true }),
      /either merge or force/,
    ],
    [
      'with no function as merge',
      (db) => db.save(draft, { merge: 5 as never }),
      /save: merge must/,
    ],
    [
      'with newEdits: false and a merge',
      (db) => db.save({ ...draft, _rev: '1-b' }, { newEdits: false, merge }),
      /newEdits: false causes no conflicts/,
    ],
    [
      'with newEdits: false and force',
      (db) => db.save({ ...draft, _rev: '1-b' }, { newEdits: false, force: true }),
      /newEdits: false causes no conflicts/,
    ],
    [
      'with newEdits: false and no revision',
      (db) => db.save(draft, { newEdits: false }),
      /the document/i,
    ],
    [
      'of a list with newEdits: false and no revision',
      (db) => db.save([{ ...draft, _rev: '1-b' }, draft], { newEdits: false }),
      /docs\[1\]/,
    ],
    [
      'with newEdits: false of an id that is a path',
      (db) => db.save({ _id: '..', _rev: '1-b', text: '' }, { newEdits: false }),
      /no URL can hold the id/,
    ],
  ])('%s throws at the call, and sends nothing', (_, call, message) => {
    const server = makeServer();
    expect(() => call(server.couch().use<Note>('notes'))).toThrow(message);
    expect(server.requests).toEqual([]);
  });

  it(
    'requests ids only for the documents without one, and keeps them in the next subscription',
    marbles(({ flush }) => {
      const server = makeServer();
      const db = server.couch().use<Note>('notes');
      const docs = [{ text: 'x' }, draft];
      const save$ = db.save(docs);
      save$.subscribe();
      flush();
      const [first] = docs;
      save$.subscribe({ error: () => undefined });
      flush();
      expect(docs[0]).toBe(first);
      expect(server.requestLines.map((line) => line.replace(/\?.*/, ''))).toEqual([
        'GET /_uuids',
        'POST /notes/_bulk_docs',
        'POST /notes/_bulk_docs',
      ]);
      const bodies = server.requests.flatMap(
        ({ body }) => (body as { docs?: [] } | null)?.docs ?? [],
      );
      expect(new Set(bodies.map(({ _id }) => _id)).size).toBe(2);
    }),
  );

  it(
    'reads the document again at each subscription, and checks it before it sends',
    marbles(({ expectObservable }) => {
      const server = makeServer();
      const changing: { _id: string; text: unknown } = { _id: 'c', text: 'x' };
      const save$ = server.couch().use('notes').save([changing]);
      changing.text = Number.NaN;
      expectObservable(nameOf(save$)).toBe('(e|)', { e: 'TypeError' });
      expect(server.requests).toEqual([]);
    }),
  );

  it(
    'tells with the error which document may have been written',
    marbles(({ flush }) => {
      const server = makeServer();
      server.once(
        'PUT /notes/b',
        throwError(() => new Error('socket hang up')),
      );
      const seen: unknown[] = [];
      server
        .couch({ retry: false })
        .use<Note>('notes')
        .save({ ...draft })
        .subscribe({
          error: ({ name, resolution }: CorduroyError) => {
            const pending = resolution?.pending as ReadonlyMap<string, PendingWrite> | undefined;
            seen.push(name, ...[...(pending ?? [])].map(([id, { error }]) => [id, error]));
          },
        });
      flush();
      expect(seen).toEqual(['ConnectionError', ['b', 'unknown']]);
    }),
  );

  it(
    'has no resolution in an error before which nothing was written',
    marbles(({ flush }) => {
      const server = makeServer();
      server.once('PUT /notes/b', status(403));
      const seen: unknown[] = [];
      server
        .couch()
        .use<Note>('notes')
        .save({ ...draft })
        .subscribe({ error: ({ resolution }: CorduroyError) => seen.push(resolution) });
      flush();
      expect(seen).toEqual([null]);
    }),
  );

  it(
    'records the revision on the documents that were written alone',
    marbles(({ flush }) => {
      const server = makeServer();
      const docs = [{ _id: 'a', text: 'late' }, { ...draft }];
      server.couch().use<Note>('notes').save(docs).subscribe();
      flush();
      expect(docs.map((doc) => '_rev' in doc)).toEqual([false, true]);
    }),
  );
});

describe('an upsert', () => {
  const change = (doc: Note | null): Note => ({ text: `${doc?.text ?? 'none'}!` });

  it.each<[what: string, call: (db: Database<Note>) => unknown, message: RegExp]>([
    ['of an empty id', (db) => db.upsert('', change), /id/],
    ['of a list with an empty id', (db) => db.upsert(['a', ''], change), /upsert: ids\[1\]/],
    ['without a function', (db) => db.upsert('a', 5 as never), /upsert: change must be a function/],
    ['of a list without a function', (db) => db.upsert(['a'], 5 as never), /upsert: change must/],
  ])('%s throws at the call, and sends nothing', (_, call, message) => {
    const server = makeServer();
    expect(() => call(server.couch().use<Note>('notes'))).toThrow(message);
    expect(server.requests).toEqual([]);
  });

  it(
    'changes a document, creates a missing one, and leaves one for which the change is null',
    marbles(({ expectObservable }) => {
      const db = makeServer().couch().use<Note>('notes');
      const text = map((doc: Note | null) => doc?.text ?? null);
      expectObservable(db.upsert('a', change).pipe(text)).toBe('(t|)', { t: 'old!' });
      expectObservable(db.upsert('b', change).pipe(text)).toBe('(t|)', { t: 'none!' });
      expectObservable(db.upsert('c', () => null).pipe(text)).toBe('(t|)', { t: null });
    }),
  );

  it(
    'errors with another failure than a conflict or a missing document, without a second attempt',
    marbles(({ expectObservable, flush }) => {
      const server = makeServer();
      server.on('GET /notes/:id', status(403));
      const db = server.couch({ retry: false }).use<Note>('notes');
      expectObservable(nameOf(db.upsert('a', change))).toBe('(e|)', { e: 'Forbidden' });
      flush();
      expect(server.requestLines).toEqual(['GET /notes/a']);
    }),
  );

  it(
    'of no ids sends nothing',
    marbles(({ expectObservable }) => {
      const server = makeServer();
      const sizes$ = server
        .couch()
        .use<Note>('notes')
        .upsert([], change)
        .pipe(map(({ pending, resolved }) => [pending.size, resolved.size]));
      expectObservable(sizes$).toBe('(n|)', { n: [0, 0] });
      expect(server.requests).toEqual([]);
    }),
  );

  it(
    'keeps the attachments unless the result names some, and drops those that the server does not have',
    marbles(({ flush }) => {
      const file = { content_type: 'text/plain', data: 'aGk=' };
      const server = memoryServer({
        latency: 0,
        databases: { notes: [{ ...stored, _attachments: { 'a.txt': file } }] },
      });
      const db = server.couch().use<Note>('notes');
      const names: unknown[] = [];
      const note = (doc: { _attachments?: object } | null): void => {
        names.push(Object.keys(doc?._attachments ?? {}));
      };
      const stub = { content_type: 'text/plain', stub: true } as const;
      db.upsert('a', () => ({ text: '1' })).subscribe(note);
      flush();
      db.upsert('a', () => ({ text: '2', _attachments: { gone: stub } })).subscribe(note);
      flush();
      expect(names).toEqual([['a.txt'], []]);
    }),
  );
});
