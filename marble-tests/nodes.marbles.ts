import { describe, expect, it } from '@jest/globals';
import { NEVER, catchError, map, merge, mergeMap, of, throwError, timer, toArray } from 'rxjs';
import type { Observable, SchedulerLike } from 'rxjs';
import { Couch } from 'corduroy';
import type { CorduroyError, TransportRequest, TransportResponse } from 'corduroy';
import { bytes, marbleTransport, response } from './helpers/marble-transport.ts';
import { marbles } from './helpers/run.ts';

const body = (text: string): Observable<Uint8Array> => of(bytes(text));
const fine = (): Observable<TransportResponse> =>
  of(response(body('{"version":"3.5.0","ok":true,"id":"a","rev":"1-a","docs":[],"results":[]}')));
const down = (code = 'ECONNREFUSED'): Observable<TransportResponse> =>
  throwError(() => Object.assign(new Error('no'), { code }));
const answering = (status: number, error = 'error'): Observable<TransportResponse> =>
  of(response(body(JSON.stringify({ error, reason: '' })), status));

type Serve = (node: string, request: TransportRequest) => Observable<TransportResponse>;

function cluster(
  scheduler: SchedulerLike,
  serve: Serve,
  options: object = {},
): { readonly couch: Couch; readonly sent: string[] } {
  const sent: string[] = [];
  const transport = marbleTransport((request) => {
    const node = new URL(request.url).hostname;
    sent.push(`${scheduler.now()} ${node}`);
    return serve(node, request);
  });
  // Starts with the first node, and then makes each delay half of its cap.
  let first = true;
  const random = (): number => (first ? ((first = false), 0) : 0.5);
  const nodeBackoff = { initialDelay: 1000, maxDelay: 3000, random };
  const urls = ['http://a', 'http://b', 'http://c'];
  return {
    couch: new Couch(urls, {
      transport,
      scheduler,
      nodeBackoff,
      timeout: 100,
      retry: false,
      ...options,
    }),
    sent,
  };
}

const outcome = (work: Observable<unknown>): Observable<string> =>
  work.pipe(
    map(() => 'v'),
    catchError((error: CorduroyError) => of(`${error.name} of ${error.request?.url}`)),
  );

const requestsAt = (couch: Couch, times: number[], scheduler: SchedulerLike): Observable<string> =>
  merge(
    ...times.map((time) => timer(time, scheduler).pipe(mergeMap(() => outcome(couch.version())))),
  );

describe('a cluster of several nodes', () => {
  it(
    'receives requests in turn',
    marbles(({ expectObservable, flush }, scheduler) => {
      const { couch, sent } = cluster(scheduler, fine);
      expectObservable(requestsAt(couch, [0, 1, 2, 3], scheduler)).toBe('vvv(v|)');
      flush();
      expect(sent).toEqual(['0 a', '1 b', '2 c', '3 a']);
      expect(couch.url).toBe('http://a');
    }),
  );

  it(
    'skips an unreachable node at once, excludes it for longer each time, and retries it',
    marbles(({ expectObservable, flush }, scheduler) => {
      const { couch, sent } = cluster(scheduler, (node) =>
        node === 'a' && scheduler.now() < 5000 ? down() : fine(),
      );
      const times = [0, 1, 2, 500, 501, 502, 1499, 1500, 1503, 5000, 5001, 5002];
      expectObservable(requestsAt(couch, times, scheduler)).toBe(
        'vvv 497ms vvv 996ms vv--v 3496ms vv(v|)',
      );
      flush();
      expect(sent).toEqual([
        '0 a',
        '0 b',
        '1 c',
        '2 b',
        '500 c',
        // After 501 ms.
        '501 a',
        '501 b',
        '502 c',
        '1499 b',
        '1500 c',
        // After another 1001.
        '1503 a',
        '1503 b',
        '5000 c',
        '5001 a',
        '5002 b',
      ]);
    }),
  );

  it(
    'excludes a node once for all requests in flight that fail with it',
    marbles(({ cold, expectObservable, flush }, scheduler) => {
      const reset = Object.assign(new Error('reset'), { code: 'ECONNRESET' });
      const { couch, sent } = cluster(scheduler, (node) =>
        node === 'a' && scheduler.now() === 0 ? cold('-#', {}, reset) : fine(),
      );
      // Three of the first nine requests fail at 1 ms, and exclude the node for 501 ms as one would.
      const times = [...Array<number>(9).fill(0), 501, 501, 501, 502, 502, 502];
      const answers = requestsAt(couch, times, scheduler).pipe(toArray(), map(String));
      expectObservable(answers).toBe('502ms (x|)', { x: String(times.map(() => 'v')) });
      flush();
      expect(sent.filter((line) => line.endsWith('a'))).toEqual(['0 a', '0 a', '0 a', '502 a']);
    }),
  );

  it(
    'forgets the failures of a node that answers, with an error too',
    marbles(({ expectObservable, flush }, scheduler) => {
      const { couch, sent } = cluster(scheduler, (node) => {
        if (node !== 'a') return fine();
        return scheduler.now() === 600 ? answering(404) : down();
      });
      const times = [0, 600, 600, 600, 1200, 1200, 1200, 1800, 1800, 1800];
      const answers = requestsAt(couch, times, scheduler).pipe(toArray(), map(String));
      const failure = 'NotFound of http://a/';
      expectObservable(answers).toBe('1800ms (x|)', { x: `v,v,${failure},v,v,v,v,v,v,v` });
      flush();
      const toA = sent.filter((line) => line.endsWith('a'));
      // Each pause is a first one, of 501 ms. A second one in a row would last until 2201 ms.
      expect(toA).toEqual(['0 a', '600 a', '1200 a', '1800 a']);
    }),
  );

  it(
    'sends the request to the next node if one times out',
    marbles(({ expectObservable, flush }, scheduler) => {
      const { couch, sent } = cluster(scheduler, (node) => (node === 'a' ? NEVER : fine()));
      expectObservable(requestsAt(couch, [0, 101, 102, 103], scheduler)).toBe('100ms vvv(v|)');
      flush();
      expect(sent).toEqual(['0 a', '100 b', '101 c', '102 b', '103 c']);
    }),
  );

  it.each([502, 503, 504])(
    'excludes a node that answers %i; a read elsewhere finds out whether it has written',
    (status) =>
      marbles(({ expectObservable, flush }, scheduler) => {
        const { couch, sent } = cluster(scheduler, (node) =>
          node === 'a' ? answering(status) : fine(),
        );
        const write = outcome(couch.use('db').save({ _id: 'x' }));
        expectObservable(merge(write, requestsAt(couch, [1, 2, 3], scheduler))).toBe('xvv(v|)', {
          x: 'ServerError of http://a/db/x',
          v: 'v',
        });
        flush();
        expect(sent).toEqual(['0 a', '0 b', '1 c', '2 b', '3 c']);
      })(),
  );

  it.each([
    [500, 'maintenance_mode'],
    [412, 'nodedown'],
  ])('excludes a node that answers %i %s', (status, error) =>
    marbles(({ expectObservable, flush }, scheduler) => {
      const { couch, sent } = cluster(scheduler, (node) =>
        node === 'a' ? answering(status, error) : fine(),
      );
      expectObservable(requestsAt(couch, [0, 1, 2], scheduler)).toBe('vv(v|)');
      flush();
      expect(sent).toEqual(['0 a', '0 b', '1 c', '2 b']);
    })(),
  );

  it(
    'keeps a node that answers with another error, because the request failed',
    marbles(({ expectObservable, flush }, scheduler) => {
      const { couch, sent } = cluster(scheduler, (node) =>
        node === 'a' ? answering(500) : answering(404),
      );
      const failures = { a: 'ServerError of http://a/', b: 'NotFound of http://b/' };
      expectObservable(requestsAt(couch, [0, 1], scheduler)).toBe('a(b|)', failures);
      flush();
      expect(sent).toEqual(['0 a', '1 b']);
    }),
  );

  it(
    'tries each node once if all have failed, errors as the last one did, and tries them again later',
    marbles(({ expectObservable, flush }, scheduler) => {
      const { couch, sent } = cluster(scheduler, (node) =>
        node === 'b' && scheduler.now() === 7 ? fine() : down(),
      );
      expectObservable(requestsAt(couch, [0, 7], scheduler)).toBe('c------(v|)', {
        c: 'ConnectionError of http://c/',
        v: 'v',
      });
      flush();
      expect(sent).toEqual(['0 a', '0 b', '0 c', '7 a', '7 b']);
    }),
  );

  const reads: Record<string, (couch: Couch) => Observable<unknown>> = {
    'get of many': (couch) => couch.use('db').get(['a']),
    'a view of keys': (couch) => couch.use('db').view('d/v', { keys: [1] }),
    'changes of ids': (couch) => couch.use('db').changes({ docIds: ['a'] }),
  };
  it.each(Object.keys(reads))(
    '%s with POST is sent to the next node, because it only reads',
    (name) =>
      marbles(({ expectObservable, flush }, scheduler) => {
        const { couch, sent } = cluster(scheduler, (node, { method }) => {
          expect(method).toBe('POST');
          return node === 'a' ? down('ECONNRESET') : NEVER;
        });
        expectObservable((reads[name] as (typeof reads)[string])(couch), '-!').toBe('');
        flush();
        expect(sent).toEqual(['0 a', '0 b']);
      })(),
  );

  const repeatable: Record<string, (couch: Couch) => Observable<unknown>> = {
    'a login': (couch) => couch.login('ada', 'secret'),
    'a compaction': (couch) => couch.use('db').compact(),
  };
  it.each(Object.keys(repeatable))(
    '%s is sent to the next node, because it can be repeated',
    (name) =>
      marbles(({ expectObservable, flush }, scheduler) => {
        const { couch, sent } = cluster(scheduler, (node) =>
          node === 'a' ? down('ECONNRESET') : NEVER,
        );
        expectObservable((repeatable[name] as (typeof repeatable)[string])(couch), '-!').toBe('');
        flush();
        expect(sent).toEqual(['0 a', '0 b']);
      })(),
  );

  it.each([
    ['ECONNREFUSED', ['0 a', '0 b']],
    ['ECONNRESET', ['0 a']],
    ['', ['0 a']],
  ])('a write that failed with %j was sent to %j', (code, nodes) =>
    marbles(({ expectObservable, flush }, scheduler) => {
      const { couch, sent } = cluster(scheduler, (node) => (node === 'a' ? down(code) : fine()));
      const outcomes = { v: 'v', x: 'ConnectionError of http://a/db' };
      expectObservable(outcome(couch.create('db'))).toBe(
        nodes.length === 2 ? '(v|)' : '(x|)',
        outcomes,
      );
      flush();
      expect(sent).toEqual(nodes);
    })(),
  );

  it(
    'serves a feed from one node after another, from its last sequence',
    marbles(({ cold, expectObservable, flush }, scheduler) => {
      const change = (seq: string): Uint8Array =>
        bytes(`${JSON.stringify({ seq, id: seq, changes: [{ rev: '1-a' }] })}\n`);
      const bodies = [
        cold('-a-#', { a: change('1') }, new Error('reset')),
        cold('-b----', { b: change('2') }),
      ];
      const feeds: string[] = [];
      const { couch } = cluster(scheduler, (node, { url }) => {
        const { searchParams } = new URL(url);
        if (searchParams.get('feed') !== 'continuous') return fine();
        if (node === 'a' && feeds.length > 0) return down();
        feeds.push(`${node} ${searchParams.get('since')}`);
        return of(response(bodies[feeds.length - 1] ?? NEVER));
      });
      const backoff = { initialDelay: 1, random: (): number => 0 };
      const feed = couch.use('db').changes$({ latency: 0, since: 0, heartbeat: 1000, backoff });
      const ids = feed.pipe(map(({ changes }) => changes.map(({ id }) => id).join('')));
      expectObservable(ids, '---------!').toBe('-1---2');
      flush();
      expect(feeds[0]).toBe('a 0');
      expect(feeds[1]).toMatch(/^[bc] 1$/);
    }),
  );
});

it(
  'a feed of one node retries after another node of its cluster went down',
  marbles(({ expectObservable, flush }, scheduler) => {
    const transport = marbleTransport(({ url }, count) => {
      if (!url.includes('feed=continuous')) return fine();
      return count === 1 ? answering(412, 'nodedown') : NEVER;
    });
    const backoff = { initialDelay: 3, random: (): number => 0.9 };
    const feed = new Couch('http://a', { transport, scheduler })
      .use('db')
      .changes$({ since: 0, heartbeat: 1000, backoff });
    const states: string[] = [];
    feed.state$.subscribe(({ status }) => states.push(status));
    expectObservable(feed, '----------!').toBe('----------');
    flush();
    expect(states).toEqual(['idle', 'connecting', 'waiting', 'connecting', 'idle']);
  }),
);
