import { describe, expect, it } from '@jest/globals';
import { Couch } from 'corduroy';
import type { CoalesceOptions, TransportRequest, TransportResponse } from 'corduroy';
import { NEVER, map, mergeMap, of } from 'rxjs';
import type { Observable, SchedulerLike } from 'rxjs';
import { bytes, marbleTransport, response } from './helpers/marble-transport.ts';
import { marbles } from './helpers/run.ts';

type Cold = (
  marbles: string,
  values: Record<string, TransportResponse>,
) => Observable<TransportResponse>;

/** A server that answers reads after two frames, single or combined. */
const server = (cold: Cold) =>
  marbleTransport(({ url, body }: TransportRequest) => {
    const doc = (id: string): unknown => ({ _id: id, _rev: '1-a' });
    const answer = url.endsWith('/_bulk_get')
      ? {
          results: (JSON.parse(body as string) as { docs: { id: string }[] }).docs.map(
            ({ id }) => ({
              id,
              docs: [{ ok: doc(id) }],
            }),
          ),
        }
      : doc(url.slice(url.lastIndexOf('/') + 1));
    return cold('--h', { h: response(of(bytes(JSON.stringify(answer)))) });
  });

const database = (
  transport: ReturnType<typeof marbleTransport>,
  scheduler: SchedulerLike,
  coalesce: boolean | CoalesceOptions,
) => new Couch(undefined, { transport, scheduler, coalesce }).use('db');

const sent = (requests: readonly TransportRequest[]): string[] =>
  requests.map(({ method, url, body }) => {
    const path = url.replace('http://127.0.0.1:5984/db/', '');
    return `${method} ${path}${typeof body === 'string' ? ` ${body}` : ''}`;
  });

describe('coalesced reads', () => {
  it(
    'of one turn are combined into one request',
    marbles(({ cold, expectObservable, flush }, scheduler) => {
      const transport = server(cold);
      const db = database(transport, scheduler, true);
      const a = db.get('a').pipe(map(({ _id }) => _id));
      const b = db.get('b').pipe(map(({ _id }) => _id));
      expectObservable(a).toBe('--(a|)');
      expectObservable(b).toBe('--(b|)');
      expectObservable(a, '----^').toBe('------(a|)');
      flush();
      expect(sent(transport.requests)).toEqual([
        'POST _bulk_get {"docs":[{"id":"a"},{"id":"b"}]}',
        'GET a',
      ]);
    }),
  );

  it(
    'wait for maxWait, or until maxSize of them have arrived',
    marbles(({ cold, expectObservable, flush }, scheduler) => {
      const transport = server(cold);
      const db = database(transport, scheduler, { maxWait: 5, maxSize: 3 });
      // The third fills the request. The fourth opens another one.
      const ids = cold('abc-d|');
      const expected = '----(abc)--(d|)';
      expectObservable(
        ids.pipe(
          mergeMap((id) => db.get(id)),
          map(({ _id }) => _id),
        ),
      ).toBe(expected);
      flush();
      expect(sent(transport.requests)).toEqual([
        'POST _bulk_get {"docs":[{"id":"a"},{"id":"b"},{"id":"c"}]}',
        'GET d',
      ]);
    }),
  );

  it(
    'continue when one subscriber unsubscribes, and are aborted when all have',
    marbles(({ cold, expectObservable, expectSubscriptions, flush }, scheduler) => {
      const head = cold('---h', { h: response(NEVER) });
      const transport = marbleTransport(() => head);
      const db = database(transport, scheduler, { maxWait: 2 });
      expectObservable(db.get('a'), '-^--!     ').toBe('-----');
      expectObservable(db.get('b'), '-^----!   ').toBe('-----');
      expectSubscriptions(head.subscriptions).toBe('---^--!');
      flush();
      expect(sent(transport.requests)).toEqual(['POST _bulk_get {"docs":[{"id":"a"},{"id":"b"}]}']);
    }),
  );

  it(
    'send a single request if all but one subscriber unsubscribe before, and abort it too',
    marbles(({ cold, expectObservable, expectSubscriptions, flush }, scheduler) => {
      const head = cold('---h', { h: response(NEVER) });
      const transport = marbleTransport(() => head);
      const db = database(transport, scheduler, { maxWait: 2 });
      expectObservable(db.get('a'), '-^!       ').toBe('-----');
      expectObservable(db.get('b'), '-^----!   ').toBe('-----');
      expectSubscriptions(head.subscriptions).toBe('---^--!');
      flush();
      expect(sent(transport.requests)).toEqual(['GET b']);
    }),
  );

  it(
    'are not sent if all subscribers unsubscribe before',
    marbles(({ cold, expectObservable, flush }, scheduler) => {
      const transport = server(cold);
      const db = database(transport, scheduler, { maxWait: 5 });
      expectObservable(db.get('a'), '^--!').toBe('----');
      expectObservable(db.get('b'), '^-!').toBe('----');
      expectObservable(db.get('c').pipe(map(({ _id }) => _id)), '------^').toBe(
        '-------------(c|)',
      );
      flush();
      expect(sent(transport.requests)).toEqual(['GET c']);
    }),
  );
});

describe('coalesced writes', () => {
  it(
    'send documents as they were when they were saved, and each id once per request',
    marbles(({ cold, expectObservable, flush }, scheduler) => {
      const transport = marbleTransport(({ url, body }) => {
        const docs = url.endsWith('/_bulk_docs')
          ? (JSON.parse(body as string) as { docs: { _id: string }[] }).docs
          : undefined;
        const result = (id: string): unknown => ({ ok: true, id, rev: '1-a' });
        const answer = docs?.map(({ _id }) => result(_id)) ?? result(url.slice(-1));
        return cold('--h', { h: response(of(bytes(JSON.stringify(answer)))) });
      });
      const db = database(transport, scheduler, { maxWait: 2 });
      const a = { _id: 'a', n: 1 };
      const save = (doc: { _id: string; n: number }): Observable<string> =>
        db.save(doc).pipe(map(({ resolved }) => [...resolved.keys()].join()));
      expectObservable(save(a)).toBe('--(x|)', { x: 'a' });
      expectObservable(save({ _id: 'b', n: 1 })).toBe('--(x|)', { x: 'b' });
      // The object is read on subscription.
      scheduler.schedule(() => (a.n = 2), 0);
      expectObservable(save(a)).toBe('----(x|)', { x: 'a' });
      flush();
      expect(sent(transport.requests)).toEqual([
        'POST _bulk_docs {"docs":[{"_id":"a","n":1},{"_id":"b","n":1}]}',
        'PUT a {"_id":"a","n":2}',
      ]);
    }),
  );
});
