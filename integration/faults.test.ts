import { describe, expect, it } from '@jest/globals';
import { Couch, isTimeoutError } from 'corduroy';
import type { ConnectionError, CouchOptions, Database, RequestEvent } from 'corduroy';
import { faults } from 'corduroy/testing';
import type { FaultsLink, FaultsOptions } from 'corduroy/testing';
import { firstValueFrom } from 'rxjs';
import { createDatabase, deleteAtEnd, rawFetch, server, uniqueName } from './helpers/server.ts';

// Each fault of `faults()` over a real server: it looks as it does if a network causes it.

interface Order {
  readonly total: number;
}

interface Setup {
  readonly couch: Couch;
  readonly db: Database<Order>;
  readonly link: FaultsLink;
}

/** A database with one document, and a link with these faults in front of it. */
async function setUp(options: FaultsOptions, more: CouchOptions = {}): Promise<Setup> {
  const name = await createDatabase();
  const stored = await rawFetch(`/${name}/a`, { method: 'PUT', body: { total: 3 } });
  expect(stored.status).toBe(201);
  await stored.arrayBuffer();
  const link = faults(options);
  const couch = new Couch(server.authenticatedUrl, { networkLinks: [link], ...more });
  return { couch, db: couch.use<Order>(name), link };
}

/** Retries almost at once. */
const quick = { retry: { initialDelay: 1 } };

async function failure(source: Parameters<typeof firstValueFrom>[0]): Promise<ConnectionError> {
  return firstValueFrom(source).then(
    (value) => Promise.reject(new Error(`It emitted ${JSON.stringify(value)}`)),
    (error: unknown) => error as ConnectionError,
  );
}

async function exists(path: string): Promise<boolean> {
  const { status } = await rawFetch(path, { method: 'HEAD' });
  return status === 200;
}

const KINDS: readonly (readonly [kind: string, options: FaultsOptions])[] = [
  ['a status', { status: 503 }],
  ['a status with Retry-After', { status: 429, retryAfter: 0 }],
  ['a refused connection', { fail: 'refused' }],
  ['a reset', { fail: 'reset' }],
  ['a stale connection', { fail: 'stale' }],
  ['a lost response', { fail: 'lost' }],
  ['a truncated body', { truncate: 4 }],
];

describe('faults() as a network link', () => {
  it.each(KINDS)('%s: a read heals', async (_, options) => {
    const { couch, db, link } = await setUp({ ...options, times: 2 }, quick);
    const events: RequestEvent[] = [];
    const watching = couch.requests$.subscribe((event) => events.push(event));
    expect(await firstValueFrom(db.get('a'))).toMatchObject({ _id: 'a', total: 3 });
    watching.unsubscribe();
    expect(link.injected).toBe(2);
    expect(events.filter(({ type }) => type === 'retry')).toHaveLength(2);
    expect(events.at(-1)).toMatchObject({ type: 'end', attempt: 3, status: 200 });
  });

  it.each(KINDS)(
    '%s: without retries a read fails, and the next one succeeds',
    async (_, options) => {
      const { db } = await setUp({ ...options, times: 1 }, { retry: false });
      expect(await failure(db.get('a'))).toMatchObject({ transient: true, mayBeWritten: false });
      expect(await firstValueFrom(db.get('a'))).toMatchObject({ total: 3 });
    },
  );

  it.each<[string, FaultsOptions, string, boolean]>([
    ['a status', { status: 503 }, 'ServerError', false],
    ['a reset', { fail: 'reset' }, 'ConnectionError', false],
    ['a stale connection', { fail: 'stale' }, 'ConnectionError', false],
    ['a lost response', { fail: 'lost' }, 'ConnectionError', true],
    ['a truncated body', { truncate: 4 }, 'ProtocolError', true],
  ])('%s: a write is sent once, and may be written', async (_, options, error, isWritten) => {
    const { couch, link } = await setUp({ ...options, reads: false }, quick);
    const name = deleteAtEnd(uniqueName());
    expect(await failure(couch.create(name))).toMatchObject({ name: error, mayBeWritten: true });
    expect(link.injected).toBe(1);
    expect(await exists(`/${name}`)).toBe(isWritten);
  });

  it.each<[string, FaultsOptions]>([
    ['429', { status: 429 }],
    ['503 with Retry-After', { status: 503, retryAfter: 0 }],
    ['a refused connection', { fail: 'refused' }],
  ])('%s: a write heals, because the server has done nothing', async (_, options) => {
    const { couch, link } = await setUp({ ...options, reads: false, times: 2 }, quick);
    const name = deleteAtEnd(uniqueName());
    await firstValueFrom(couch.create(name));
    expect(link.injected).toBe(2);
    expect(await exists(`/${name}`)).toBe(true);
  });

  it('a lost response: a save finds out that it is written, and writes once', async () => {
    const { db, link } = await setUp({ fail: 'lost', reads: false, times: 1 }, quick);
    const { resolved } = await firstValueFrom(db.save({ _id: 'b', total: 1 }));
    expect(link.injected).toBe(1);
    const { _rev } = await firstValueFrom(db.get('b'));
    expect(_rev).toMatch(/^1-/);
    expect(resolved.get('b')).toMatchObject({ _rev, total: 1 });
  });

  it('a stale connection: a save is written, because a read finds nothing', async () => {
    const { db, link } = await setUp({ fail: 'stale', reads: false, times: 1 }, quick);
    const { resolved } = await firstValueFrom(db.save({ _id: 'b', total: 1 }));
    expect(link.injected).toBe(1);
    const { _rev } = await firstValueFrom(db.get('b'));
    expect(resolved.get('b')).toMatchObject({ _rev, total: 1 });
  });

  it('a delay without end: the timeout ends it', async () => {
    const { db } = await setUp({ delay: Infinity }, { timeout: 50, retry: false });
    expect(isTimeoutError(await failure(db.get('a')))).toBe(true);
  });

  it('a delay: the answer is that of the server', async () => {
    const { db, link } = await setUp({ delay: 5 });
    expect(await firstValueFrom(db.get('a'))).toMatchObject({ total: 3 });
    expect(link.injected).toBe(1);
  });

  it('a cut feed: the feed resumes, and loses nothing', async () => {
    const match = ({ endless }: { readonly endless: boolean }): boolean => endless;
    const { db, link } = await setUp({ truncate: 10, match, times: 1 });
    const feed = db.changes$({
      since: 0,
      latency: 0,
      feed: 'continuous',
      backoff: { initialDelay: 1 },
    });
    const { changes } = await firstValueFrom(feed);
    expect(changes.map(({ id }) => id)).toEqual(['a']);
    expect(link.injected).toBe(1);
  });
});

describe('faults() as a link', () => {
  it.each(KINDS)('%s: Corduroy does not retry, so that the program can', async (_, options) => {
    const link = faults({ ...options, times: 1 });
    const { db } = await setUp({ status: 503, times: 0 }, { links: [link], networkLinks: [] });
    expect(await failure(db.get('a'))).toMatchObject({ transient: true });
    expect(link.injected).toBe(1);
    expect(await firstValueFrom(db.get('a'))).toMatchObject({ total: 3 });
  });
});
