import { describe, expect, it } from '@jest/globals';
import { NEVER, of } from 'rxjs';
import type { Observable } from 'rxjs';
import { Couch } from 'corduroy';
import type { DesignDocument, Transport, TransportResponse } from 'corduroy';
import { bytes, marbleTransport, response } from './helpers/marble-transport.ts';
import { marbles } from './helpers/run.ts';

const design: DesignDocument = { _id: '_design/d', views: { v: { map: 'function (doc) {}' } } };
const pace = { backoff: { initialDelay: 4, maxDelay: 8, random: () => 0.999 } };
const deployed = { x: { deployed: true, id: '_design/d', rev: '1-a' } };

const reply = (status: number, body: object): Observable<TransportResponse> =>
  of(response(of(bytes(JSON.stringify(body))), status));
const missing = (): Observable<TransportResponse> => reply(404, { error: 'not_found' });
const former = (): Observable<TransportResponse> =>
  reply(200, { _id: '_design/d', _rev: '0-a', views: { v: { map: 'old' } } });
const written = (): Observable<TransportResponse> => reply(201, { ok: true, rev: '1-a' });

/** A server on which views are built as the marbles say, and all else is done at once. */
const server = (
  view: (asked: number) => Observable<TransportResponse>,
  put = written,
  found = former,
): Transport & {
  readonly requests: readonly { readonly method: string; readonly url: string }[];
} => {
  let asked = 0;
  let told = 0;
  return marbleTransport(({ method, url }) => {
    if (method === 'DELETE') return written();
    if (method === 'PUT') return url.endsWith('/d') ? put() : written();
    if (url.endsWith('/_info')) {
      told += 1;
      // It is asked of the temporary one, and of the other until it knows of it, and has it on disk.
      const index = { signature: told === 2 ? 'old' : 'new', waiting_commit: told === 3 };
      return reply(200, { name: 'd', view_index: index });
    }
    if (url.includes('/_view/')) return view((asked += 1));
    return url.endsWith('/d') ? found() : missing();
  });
};

const lines = (transport: ReturnType<typeof server>): string[] =>
  transport.requests.map(({ method, url }) => `${method} ${url.split('/db/').at(-1)}`);

describe('deploy', () => {
  it(
    'waits for the views, asks again as paced, and removes nothing before they are on disk',
    marbles(({ cold, expectObservable, flush }, scheduler) => {
      const slow = cold('---r', { r: response(of(bytes('{}'))) });
      // Two failures, after 4 and 8 frames; 3 to build; half a second until it is asked again, twice.
      const expected = ' 15ms 1000ms (x|)';
      const transport = server((asked) => (asked < 3 ? reply(503, {}) : slow));
      const db = new Couch(undefined, { transport, scheduler }).use('db');
      expectObservable(db.designs.deploy(design, pace)).toBe(expected, deployed);
      flush();
      const view = 'GET _design/d-deploying/_view/v?limit=1&reduce=false';
      expect(lines(transport)).toEqual([
        'GET _design/d',
        'GET _design/d-deploying',
        'PUT _design/d-deploying',
        view,
        view,
        view,
        'GET _design/d-deploying/_info',
        'PUT _design/d',
        'GET _design/d/_info',
        'GET _design/d/_info',
        'GET _design/d/_info',
        'DELETE _design/d-deploying?rev=1-a',
      ]);
    }),
  );

  it(
    'writes what takes the place of nothing at once, and builds it by its own name',
    marbles(({ cold, expectObservable, flush }, scheduler) => {
      const slow = cold('---r', { r: response(of(bytes('{}'))) });
      const transport = server(() => slow, written, missing);
      const db = new Couch(undefined, { transport, scheduler }).use('db');
      expectObservable(db.designs.deploy(design, pace)).toBe('---(x|)', deployed);
      flush();
      expect(lines(transport)).toEqual([
        'GET _design/d',
        'PUT _design/d',
        'GET _design/d/_view/v?limit=1&reduce=false',
      ]);
    }),
  );

  it(
    'never takes a silent server for one that is stuck: an index takes as long as it takes',
    marbles(({ expectObservable }, scheduler) => {
      const transport = server(() => NEVER);
      const db = new Couch(undefined, { transport, scheduler, timeout: 10 }).use('db');
      expectObservable(db.designs.deploy(design), '9000s !').toBe('');
    }),
  );

  it(
    'starts again when somebody else was faster, and gives up after so many attempts',
    marbles(({ flush }, scheduler) => {
      const conflict = (): Observable<TransportResponse> => reply(409, { error: 'conflict' });
      const transport = server(() => reply(200, {}), conflict);
      const db = new Couch(undefined, { transport, scheduler }).use('db');
      const outcome: string[] = [];
      db.designs.deploy(design, { ...pace, attempts: 3 }).subscribe({
        error: ({ name }: Error) => outcome.push(`${name} at ${scheduler.now()}`),
      });
      flush();
      expect(outcome).toEqual(['Conflict at 12']);
      expect(lines(transport).filter((line) => line === 'PUT _design/d')).toHaveLength(3);
    }),
  );

  it(
    'stops at once when it is unsubscribed from, and removes what it made',
    marbles(({ expectObservable, flush }, scheduler) => {
      const transport = server(() => NEVER);
      const db = new Couch(undefined, { transport, scheduler }).use('db');
      expectObservable(db.designs.deploy(design), '-----!').toBe('');
      flush();
      expect(lines(transport).at(-1)).toBe('DELETE _design/d-deploying?rev=1-a');
    }),
  );
});
