import { describe, expect, it } from '@jest/globals';
import { NEVER, catchError, of } from 'rxjs';
import { Couch, ProtocolError, TimeoutError } from 'corduroy';
import type { NotFound, TransportResponse } from 'corduroy';
import { bytes, marbleTransport, response } from './helpers/marble-transport.ts';
import { marbles } from './helpers/run.ts';

describe('a request', () => {
  it(
    'emits when the last byte is there, and completes',
    marbles(({ cold, expectObservable, expectSubscriptions }) => {
      const body = cold('   ---a--b|   ', { a: bytes('{"version":'), b: bytes('"3.5.0"}') });
      const head = cold('--h       ', { h: response(body) });
      const headSubs = ' ^--------!   ';
      const expected = ' ---------(x|)';
      const couch = new Couch(undefined, { transport: marbleTransport(() => head) });
      expectObservable(couch.version()).toBe(expected, { x: '3.5.0' });
      expectSubscriptions(head.subscriptions).toBe(headSubs);
      expectSubscriptions(body.subscriptions).toBe('--^------!');
    }),
  );

  it(
    'sends nothing before it is subscribed to, and aborts when it is unsubscribed from',
    marbles(({ cold, expectObservable, expectSubscriptions, flush }, scheduler) => {
      const head = cold('-------h', { h: response(NEVER) });
      const transport = marbleTransport(() => head);
      const operation = new Couch(undefined, { transport, scheduler }).version();
      expect(transport.requests).toHaveLength(0);
      expectObservable(operation, '---^--!').toBe('-------');
      expectSubscriptions(head.subscriptions).toBe('---^--!');
      flush();
      expect(transport.requests).toHaveLength(1);
    }),
  );

  it(
    'aborts in the middle of the body when it is unsubscribed from',
    marbles(({ cold, expectObservable, expectSubscriptions }, scheduler) => {
      const body = cold('  --a--', { a: bytes('{') });
      const head = cold('-h', { h: response(body) });
      const couch = new Couch(undefined, { transport: marbleTransport(() => head), scheduler });
      expectObservable(couch.version(), '-----!').toBe('------');
      expectSubscriptions(body.subscriptions).toBe('-^---!');
      expectSubscriptions(head.subscriptions).toBe('^----!');
    }),
  );

  it(
    'times out when no head comes',
    marbles(({ cold, expectObservable, expectSubscriptions }, scheduler) => {
      const head = cold<TransportResponse>('---------------');
      const couch = new Couch(undefined, {
        transport: marbleTransport(() => head),
        scheduler,
        timeout: 10,
      });
      const error = new TimeoutError(10, { method: 'GET', url: 'http://127.0.0.1:5984/' });
      expectObservable(couch.version()).toBe('----------#', undefined, error);
      expectSubscriptions(head.subscriptions).toBe('^---------!');
    }),
  );

  it(
    'times out in a silence between two pieces of the body, not because of its length',
    marbles(({ cold, expectObservable }, scheduler) => {
      const piece = bytes(' ');
      const body = cold('-----a----a----a---------------', { a: piece });
      const transport = marbleTransport(() => of(response(body)));
      const couch = new Couch(undefined, { transport, scheduler, timeout: 10 });
      const error = new TimeoutError(10, { method: 'GET', url: 'http://127.0.0.1:5984/' });
      expectObservable(couch.version()).toBe('-------------------------#', undefined, error);
    }),
  );

  it(
    'waits for ever with a timeout of 0',
    marbles(({ cold, expectObservable }, scheduler) => {
      const head = cold('60m h', { h: response(of(bytes('{"version":"3"}'))) });
      const transport = marbleTransport(() => head);
      const couch = new Couch(undefined, { transport, scheduler, timeout: 0 });
      expectObservable(couch.version()).toBe('60m (x|)', { x: '3' });
    }),
  );

  it(
    'errors with a ProtocolError when the body ends early',
    marbles(({ cold, expectObservable }, scheduler) => {
      const body = cold('--a-#', { a: bytes('{') }, new Error('aborted'));
      const transport = marbleTransport(() => of(response(body)));
      const couch = new Couch(undefined, { transport, scheduler });
      const url = 'http://127.0.0.1:5984/';
      const error = new ProtocolError(`GET ${url}: the answer ended early: aborted`, {
        request: { method: 'GET', url },
        transient: true,
      });
      expectObservable(couch.version()).toBe('----#', undefined, error);
    }),
  );

  it(
    'reads the body of a failure whole before it errors',
    marbles(({ cold, expectObservable }, scheduler) => {
      const body = cold('--a--b|', {
        a: bytes('{"error":"not_'),
        b: bytes('found","reason":"missing"}'),
      });
      const transport = marbleTransport(() => of(response(body, 404)));
      const couch = new Couch(undefined, { transport, scheduler });
      const told = couch
        .version()
        .pipe(catchError((error: NotFound) => of(`${error.name} ${error.reason}`)));
      expectObservable(told).toBe('------(x|)', { x: 'NotFound missing' });
    }),
  );
});
