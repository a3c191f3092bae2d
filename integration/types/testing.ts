import { expectTypeOf } from 'expect-type';
import type { Observable } from 'rxjs';
import type { RunHelpers } from 'rxjs/testing';
import type { Couch } from 'corduroy';
import { marbleServer, marbleTests, memoryServer, status } from 'corduroy/testing';
import type { MarbleServer, PathParameters, Reply, ServerRequest } from 'corduroy/testing';

// Tests of the types of corduroy/testing. `npm test` compiles this file and does not run it.

declare const helpers: RunHelpers;
const server = marbleServer(helpers);

// The parameters are exactly those that the pattern names.
expectTypeOf<PathParameters<'GET /orders/:id'>>().toEqualTypeOf<{ readonly id: string }>();
expectTypeOf<PathParameters<'GET /:db/_design/:name?rev=1'>>().toExtend<{
  readonly db: string;
  readonly name: string;
}>();
expectTypeOf<PathParameters<'GET /orders'>>().toEqualTypeOf<unknown>();

server.on('GET /orders/:id', ({ id }, { nth, body, query }) => {
  expectTypeOf(id).toBeString();
  expectTypeOf(nth).toBeNumber();
  expectTypeOf(body).toBeUnknown();
  expectTypeOf(query).toEqualTypeOf<Readonly<Record<string, string>>>();
  return status(404);
});
// @ts-expect-error -- the path has no parameter of that name
server.on('GET /orders/:id', ({ name }) => ({ _id: name }));
// @ts-expect-error -- a number is not an answer; use a marble or raw('1')
server.on('GET /orders/:id', 1);

expectTypeOf(server.requests$).toEqualTypeOf<Observable<ServerRequest>>();
expectTypeOf(server.couch()).toEqualTypeOf<Couch>();
expectTypeOf(status(409)).toEqualTypeOf<Reply>();
// The server always supplies the transport.
// @ts-expect-error -- the transport cannot be replaced
server.couch({ transport: server.transport });

// The kit accepts the Observables of RxJS's helpers.
server.feed('orders', helpers.hot('-a-'), helpers.cold('-a', { a: { _id: 'a' } }));
helpers.expectSubscriptions(server.on('GET /', {}).subscriptions).toBe('^-!');
helpers.expectSubscriptions(server.feed('orders').subscriptions).toBe('^-!');

const marbles = marbleTests((actual, expected) => void [actual, expected]);
expectTypeOf(
  marbles((given) => {
    expectTypeOf(given.server).toEqualTypeOf<MarbleServer>();
    expectTypeOf(given).toExtend<RunHelpers>();
  }),
).toEqualTypeOf<() => void>();

memoryServer({ databases: { orders: [{ _id: 'a' }] }, latency: 10 });
// @ts-expect-error -- an unknown option
memoryServer({ database: 'orders' });
