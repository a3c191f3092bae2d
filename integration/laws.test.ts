import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { Couch, fetchTransport, gotTransport, relax } from 'corduroy';
import type { Transport } from 'corduroy';
import { firstValueFrom } from 'rxjs';
import type { Observable } from 'rxjs';
import { startStub } from './helpers/stub-server.ts';
import type { StubServer } from './helpers/stub-server.ts';

// The laws of the design that every operation must keep, operation by operation.

let stub: StubServer;
beforeAll(async () => {
  stub = await startStub();
});
afterAll(() => stub.close());
beforeEach(() => {
  stub.requests.length = 0;
});

const doc = (): { _id: string; _rev: string } => ({ _id: 'a', _rev: '1-a' });

/** Every operation that sends something; what is added to the surface is added here. */
const operations: Record<string, (couch: Couch) => Observable<unknown>> = {
  'couch.version': (couch) => couch.version(),
  'couch.allDbs': (couch) => couch.allDbs(),
  'couch.uuids': (couch) => couch.uuids(2),
  'couch.create': (couch) => couch.create('db'),
  'couch.delete': (couch) => couch.delete('db'),
  'couch.db': (couch) => couch.db('db', { createIfMissing: true }),
  'db.exists': (couch) => couch.use('db').exists(),
  'db.info': (couch) => couch.use('db').info(),
  'db.get one': (couch) => couch.use('db').get('a'),
  'db.get many': (couch) => couch.use('db').get(['a', 'b']),
  'db.get first': (couch) => couch.use('db').get(),
  'db.save one': (couch) => couch.use('db').save(doc()),
  'db.save nameless': (couch) => couch.use('db').save({ n: 1 }),
  'db.save many': (couch) => couch.use('db').save([doc()]),
  'db.delete': (couch) => couch.use('db').delete(doc()),
  'db.view': (couch) => couch.use('db').view('d/v'),
  'db.view with keys': (couch) => couch.use('db').view('d/v', { keys: [1] }),
  'db.changes': (couch) => couch.use('db').changes(),
  'db.changes$': (couch) => couch.use('db').changes$({ since: 0 }),
  'db.changes$ from now': (couch) => couch.use('db').changes$(),
  relax: (couch) =>
    relax(function* () {
      return yield* couch.use('db').get('a');
    }),
};

const transports: [string, () => Transport][] = [
  ['gotTransport', gotTransport],
  ['fetchTransport', fetchTransport],
];

describe.each(transports)('over %s', (_, make) => {
  const couchOf = (): Couch => new Couch(stub.url, { transport: make() });

  describe.each(Object.keys(operations))('%s', (name) => {
    const call = operations[name] as (couch: Couch) => Observable<unknown>;

    it('law 1: sends nothing until it is subscribed to, and anew at each subscription', async () => {
      stub.answer((_request, response) => response.writeHead(400).end('{"error":"bad_request"}'));
      const operation = call(couchOf());
      // Whatever was sent at the call would have arrived before the answer to this.
      await fetch(`${stub.url}/marker`);
      expect(stub.requests.map(({ url }) => url)).toEqual(['/marker']);
      for (let round = 2; round <= 3; round++) {
        const failure = await firstValueFrom(operation).catch((error: unknown) => error);
        expect(failure).toMatchObject({ name: 'BadRequest' });
        expect(stub.requests).toHaveLength(round);
      }
    });

    it('law 2: unsubscribing closes the socket at once, before the head and in the body', async () => {
      for (const begin of [false, true]) {
        let arrived = (): void => {};
        const arrival = new Promise<void>((resolve) => (arrived = resolve));
        stub.answer((_request, response) => {
          if (begin) response.writeHead(200).write('{');
          // By then the head is on its way to the client, or will never be.
          setTimeout(arrived, 5);
        });
        const closed = stub.aborted();
        const events: unknown[] = [];
        const subscription = call(couchOf()).subscribe({
          next: (value) => events.push(value),
          error: (error) => events.push(error),
          complete: () => events.push('complete'),
        });
        await arrival;
        subscription.unsubscribe();
        await closed;
        expect(events).toEqual([]);
      }
    });
  });
});

describe('law 7: misuse is thrown at the call, synchronously', () => {
  const db = new Couch().use('db');
  const misuses: Record<string, () => unknown> = {
    'an empty id': () => db.get(''),
    'a list with an empty id': () => db.get(['a', '']),
    'NaN in a document': () => db.save({ n: Number.NaN }),
    'NaN in one of many': () => db.save([{ n: 1 }, { n: Number.NaN }]),
    'delete without _id': () => db.delete({} as never),
    'an unknown option': () => db.view('d/v', { grouping: true } as never),
    'a bad option': () => db.view('d/v', { limit: 1.5 }),
    'a bad since': () => db.changes({ since: '' }),
    'two filters': () => db.changes({ docIds: [], view: 'a/b' }),
    'a bad heartbeat': () => db.changes$({ heartbeat: 0.5 }),
    'a bad database name': () => new Couch().create('Upper'),
    'a bad count': () => new Couch().uuids(0),
    'no generator': () => relax(undefined as never),
  };
  it.each(Object.keys(misuses))('%s', (name) => {
    let thrown: unknown;
    try {
      misuses[name]?.();
    } catch (error) {
      thrown = error;
    }
    expect(['TypeError', 'RangeError']).toContain((thrown as Error | undefined)?.name);
    expect((thrown as Error).message).not.toBe('');
  });
});
