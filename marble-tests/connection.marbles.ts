import { describe, expect, it } from '@jest/globals';
import { NEVER, catchError, of } from 'rxjs';
import { ProtocolError, TimeoutError } from 'corduroy';
import type { NotFound } from 'corduroy';
import { raw } from 'corduroy/testing';
import { marbles } from './helpers/run.ts';

const request = { method: 'GET', url: 'http://couch.test/' };

describe('a request', () => {
  it(
    'emits when the last byte has arrived, and completes',
    marbles(({ server, couch, cold, expectObservable, expectSubscriptions }) => {
      const body = cold('   ---a--b|   ', { a: '{"version":', b: '"3.5.0"}' });
      const head = cold('--h       ', { h: raw(body) });
      const expected = ' ---------(x|)';
      const { subscriptions } = server.on('GET /', head);
      expectObservable(couch.version()).toBe(expected, { x: '3.5.0' });
      expectSubscriptions(subscriptions).toBe('     ^--------!');
      expectSubscriptions(body.subscriptions).toBe('--^------!');
    }),
  );

  it(
    'sends nothing before the subscription, and aborts on unsubscribe',
    marbles(({ server, couch, cold, expectObservable, expectSubscriptions, flush }) => {
      const { subscriptions } = server.on('GET /', cold('-------h', { h: raw(NEVER) }));
      const operation = couch.version();
      expect(server.requests).toHaveLength(0);
      expectObservable(operation, '     ---^--!').toBe('-------');
      expectSubscriptions(subscriptions).toBe('---^--!');
      flush();
      expect(server.requests).toHaveLength(1);
    }),
  );

  it(
    'aborts on unsubscribe in the middle of the body',
    marbles(({ server, couch, cold, expectObservable, expectSubscriptions }) => {
      const body = cold('  --a--', { a: '{' });
      const { subscriptions } = server.on('GET /', cold('-h', { h: raw(body) }));
      expectObservable(couch.version(), '        -----!').toBe('------');
      expectSubscriptions(body.subscriptions).toBe('-^---!');
      expectSubscriptions(subscriptions).toBe('     ^----!');
    }),
  );

  it(
    'times out if no head arrives',
    marbles(({ server, cold, expectObservable, expectSubscriptions }) => {
      const { subscriptions } = server.on('GET /', cold('---------------'));
      const error = new TimeoutError(10, request);
      const expected = '                     ----------#';
      expectObservable(server.couch({ timeout: 10 }).version()).toBe(expected, undefined, error);
      expectSubscriptions(subscriptions).toBe('^---------!');
    }),
  );

  it(
    'times out in an idle period between two chunks of the body, not because of its length',
    marbles(({ server, cold, expectObservable }) => {
      server.on('GET /', raw(cold('-----a----a----a---------------', { a: ' ' })));
      const expected = '          -------------------------#';
      const error = new TimeoutError(10, request);
      expectObservable(server.couch({ timeout: 10 }).version()).toBe(expected, undefined, error);
    }),
  );

  it(
    'waits without limit, with a timeout of 0',
    marbles(({ server, cold, expectObservable }) => {
      server.on('GET /', cold('60m h', { h: { version: '3' } }));
      expectObservable(server.couch({ timeout: 0 }).version()).toBe('60m (x|)', { x: '3' });
    }),
  );

  it(
    'errors with a ProtocolError if the body ends early',
    marbles(({ server, couch, cold, expectObservable }) => {
      server.on('GET /', raw(cold('--a-#', { a: '{' }, new Error('aborted'))));
      const what = `GET ${request.url}: the answer ended early: aborted`;
      const error = new ProtocolError(what, { request, transient: true });
      expectObservable(couch.version()).toBe('----#', undefined, error);
    }),
  );

  it(
    'reads the whole body of a failure before it errors',
    marbles(({ server, couch, cold, expectObservable }) => {
      const body = cold('--a--b|', { a: '{"error":"not_', b: 'found","reason":"missing"}' });
      server.on('GET /', raw(body, { status: 404 }));
      const told = couch
        .version()
        .pipe(catchError((error: NotFound) => of(`${error.name} ${error.reason}`)));
      expectObservable(told).toBe('------(x|)', { x: 'NotFound missing' });
    }),
  );
});
