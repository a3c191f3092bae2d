import { describe, expect, it } from '@jest/globals';
import { NEVER, defer, map, mergeMap, timer } from 'rxjs';
import type { Observable } from 'rxjs';
import { TimeoutError } from 'corduroy';
import type { Couch, Link } from 'corduroy';
import { raw } from 'corduroy/testing';
import { marbles } from './helpers/run.ts';

const request = { method: 'GET', url: 'http://couch.test/db/a/f' };

/** Streams a body, instead of reading it as a whole. */
const read = (couch: Couch): Observable<string> =>
  couch
    .use('db')
    .getAttachment('a', 'f')
    .chunks()
    .pipe(map((chunk) => String.fromCharCode(...chunk.bytes)));

/** A link that subscribes to each body some time after its head. */
const readsLater =
  (delay: number): Link =>
  (sent, next) =>
    next(sent).pipe(
      map((response) => ({
        ...response,
        body: defer(() => timer(delay).pipe(mergeMap(() => response.body))),
      })),
    );

describe('the idle timeout', () => {
  it(
    'watches a body that is read later than its head',
    marbles(({ server, cold, expectObservable, expectSubscriptions }) => {
      const body = cold('    -----a----', { a: 'a' });
      server.on('GET /db/a/f', cold('--h', { h: raw(body) }));
      const couch = server.couch({ timeout: 10, retry: false, links: [readsLater(4)] });
      const error = new TimeoutError(10, request);
      expectObservable(read(couch)).toBe('         -----------a---------#', undefined, error);
      expectSubscriptions(body.subscriptions).toBe('------^--------------!');
    }),
  );

  it(
    'does not count the time between the head and the subscription to the body',
    marbles(({ server, cold, expectObservable, flush }) => {
      server.on('GET /db/a/f', cold('--h', { h: raw(cold('-(a|)', { a: 'a' })) }));
      const couch = server.couch({ timeout: 10, retry: false, links: [readsLater(50)] });
      expectObservable(read(couch)).toBe('53ms (a|)');
      flush();
      expect(server.requests).toHaveLength(1);
    }),
  );

  it(
    'stops when the body is unsubscribed',
    marbles(({ server, cold, expectObservable, expectSubscriptions }) => {
      const { subscriptions } = server.on('GET /db/a/f', cold('-h', { h: raw(NEVER) }));
      const couch = server.couch({ timeout: 10, retry: false, links: [readsLater(4)] });
      expectObservable(read(couch), '-------!').toBe('-----------------------');
      expectSubscriptions(subscriptions).toBe('^------!');
    }),
  );
});
