import { describe, expect, it } from '@jest/globals';
import { NEVER, of } from 'rxjs';
import type { Observable } from 'rxjs';
import { Couch } from 'corduroy';
import type { DesignDocument, Transport, TransportResponse } from 'corduroy';
import { bytes, marbleTransport, response } from './helpers/marble-transport.ts';
import { marbles } from './helpers/run.ts';

const design: DesignDocument = { _id: '_design/d', views: { v: { map: 'function (doc) {}' } } };
const fastRetries = { backoff: { initialDelay: 4, maxDelay: 8, random: () => 0.999 } };
const deployed = { x: { deployed: true, id: '_design/d', rev: '1-a' } };

const reply = (status: number, body: object): Observable<TransportResponse> =>
  of(response(of(bytes(JSON.stringify(body))), status));
const missing = (): Observable<TransportResponse> => reply(404, { error: 'not_found' });
const oldDesign = (): Observable<TransportResponse> =>
  reply(200, { _id: '_design/d', _rev: '0-a', views: { v: { map: 'old' } } });
const written = (): Observable<TransportResponse> => reply(201, { ok: true, rev: '1-a' });

/** A server that answers view requests as `view` says, and everything else at once. */
const server = (
  view: (requestNumber: number) => Observable<TransportResponse>,
  put = written,
  current = oldDesign,
): Transport & {
  readonly requests: readonly { readonly method: string; readonly url: string }[];
} => {
  let viewRequests = 0;
  let infoRequests = 0;
  return marbleTransport(({ method, url }) => {
    if (method === 'DELETE') return written();
    if (method === 'PUT') return url.endsWith('/d') ? put() : written();
    if (url.endsWith('/_info')) {
      infoRequests += 1;
      // The first is for the temporary document. Then the deployed one has the old index, then the new
      // one in memory, then the new one on disk.
      const index = {
        signature: infoRequests === 2 ? 'old' : 'new',
        waiting_commit: infoRequests === 3,
      };
      return reply(200, { name: 'd', view_index: index });
    }
    if (url.includes('/_view/')) return view((viewRequests += 1));
    return url.endsWith('/d') ? current() : missing();
  });
};

const lines = (transport: ReturnType<typeof server>): string[] =>
  transport.requests.map(({ method, url }) => `${method} ${url.split('/db/').at(-1)}`);

describe('deploy', () => {
  it(
    'waits for the views, retries with backoff, and removes nothing before they are on disk',
    marbles(({ cold, expectObservable, flush }, scheduler) => {
      const slow = cold('---r', { r: response(of(bytes('{}'))) });
      // Two retries after 4 and 8 ms, 3 ms to build, and two polls with an interval of 500 ms.
      const expected = ' 15ms 1000ms (x|)';
      const transport = server((requestNumber) => (requestNumber < 3 ? reply(503, {}) : slow));
      const db = new Couch(undefined, { transport, scheduler }).use('db');
      expectObservable(db.designs.deploy(design, fastRetries)).toBe(expected, deployed);
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
    'writes a new design document at once, and builds its views under its name',
    marbles(({ cold, expectObservable, flush }, scheduler) => {
      const slow = cold('---r', { r: response(of(bytes('{}'))) });
      const transport = server(() => slow, written, missing);
      const db = new Couch(undefined, { transport, scheduler }).use('db');
      expectObservable(db.designs.deploy(design, fastRetries)).toBe('---(x|)', deployed);
      flush();
      expect(lines(transport)).toEqual([
        'GET _design/d',
        'PUT _design/d',
        'GET _design/d/_view/v?limit=1&reduce=false',
      ]);
    }),
  );

  it(
    'waits without a timeout while the server builds an index',
    marbles(({ expectObservable }, scheduler) => {
      const transport = server(() => NEVER);
      const db = new Couch(undefined, { transport, scheduler, timeout: 10 }).use('db');
      expectObservable(db.designs.deploy(design), '9000s !').toBe('');
    }),
  );

  it(
    'starts again on a conflict, and errors when the attempts have run out',
    marbles(({ flush }, scheduler) => {
      const conflict = (): Observable<TransportResponse> => reply(409, { error: 'conflict' });
      const transport = server(() => reply(200, {}), conflict);
      const db = new Couch(undefined, { transport, scheduler }).use('db');
      const outcome: string[] = [];
      db.designs.deploy(design, { ...fastRetries, attempts: 3 }).subscribe({
        error: ({ name }: Error) => outcome.push(`${name} at ${scheduler.now()}`),
      });
      flush();
      expect(outcome).toEqual(['Conflict at 12']);
      expect(lines(transport).filter((line) => line === 'PUT _design/d')).toHaveLength(3);
    }),
  );

  it(
    'stops at once on unsubscribe, and removes the temporary design document',
    marbles(({ expectObservable, flush }, scheduler) => {
      const transport = server(() => NEVER);
      const db = new Couch(undefined, { transport, scheduler }).use('db');
      expectObservable(db.designs.deploy(design), '-----!').toBe('');
      flush();
      expect(lines(transport).at(-1)).toBe('DELETE _design/d-deploying?rev=1-a');
    }),
  );
});
