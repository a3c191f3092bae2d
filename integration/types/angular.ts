/**
 * Tests of the types of corduroy/angular. `npm test` compiles this file and does not run it.
 */
import { InjectionToken, inject } from '@angular/core';
import type { EnvironmentProviders, Injector, Signal } from '@angular/core';
import { defineDesign } from 'corduroy';
import type { Couch, Database, LiveDocument, Row, Transport } from 'corduroy';
import {
  databaseToken,
  deliverInZone,
  httpClientTransport,
  injectCouch,
  injectDatabase,
  liveResource,
  liveSignal,
  provideCorduroy,
} from 'corduroy/angular';
import type { LiveResource, LiveSignal } from 'corduroy/angular';
import { expectTypeOf } from 'expect-type';
import { of } from 'rxjs';
import type { Observable } from 'rxjs';

interface Order {
  total: number;
}
declare const injector: Injector;
const ARCHIVE = new InjectionToken<Couch>('the archive');
const ORDERS = databaseToken<Order>('orders');
const db = injectDatabase<Order>('orders');

// The token contains the type of the documents.
expectTypeOf(db).toEqualTypeOf<Database<Order>>();
expectTypeOf(ORDERS).toEqualTypeOf<InjectionToken<Database<Order>>>();
expectTypeOf(inject(ORDERS)).toEqualTypeOf<Database<Order>>();
expectTypeOf(injectDatabase(ORDERS)).toEqualTypeOf<Database<Order>>();
expectTypeOf(databaseToken<Order>('orders', ARCHIVE)).toEqualTypeOf<typeof ORDERS>();
expectTypeOf(injectCouch()).toEqualTypeOf<Couch>();
expectTypeOf(injectCouch(ARCHIVE)).toEqualTypeOf<Couch>();
// @ts-expect-error -- the server is selected by its token, not by its URL
databaseToken('orders', 'http://archive.test');

// The options extend those of `new Couch`.
expectTypeOf(provideCorduroy()).toEqualTypeOf<EnvironmentProviders>();
provideCorduroy({ url: 'http://couch.test', auth: ['ada', 'secret'], transfer: 'none' });
provideCorduroy({ url: ['http://a.test', 'http://b.test'], token: ARCHIVE });
provideCorduroy(() => ({ transport: httpClientTransport() }));
// @ts-expect-error -- misspelt
provideCorduroy({ uri: 'http://couch.test' });
// @ts-expect-error -- an unknown transfer
provideCorduroy({ transfer: 'some' });
// @ts-expect-error -- a function of options cannot return the token
provideCorduroy(() => ({ token: ARCHIVE }));
expectTypeOf(httpClientTransport()).toEqualTypeOf<Transport>();

// Without an initial value, the value is undefined until the first emission.
type FoundDocument = LiveDocument<Order> | null;
expectTypeOf(liveSignal(() => db.doc$('a'))).toEqualTypeOf<LiveSignal<FoundDocument | undefined>>();
expectTypeOf(liveSignal(() => db.doc$('a'), { initialValue: null })).toEqualTypeOf<
  LiveSignal<FoundDocument>
>();
const orders = liveSignal(() => db.find$({ selector: {} }), { initialValue: [], injector });
expectTypeOf(orders().map(({ total }) => total)).toEqualTypeOf<number[]>();
expectTypeOf(orders).toExtend<Signal<readonly LiveDocument<Order>[]>>();
expectTypeOf(orders.isLoading()).toBeBoolean();
expectTypeOf(orders.error()).toEqualTypeOf<Error | undefined>();
expectTypeOf(orders.stale()).toBeBoolean();
expectTypeOf(orders.reload()).toBeVoid();
// Null and undefined mean no stream; any Observable is accepted.
liveSignal(() => (injector ? db.allDocs$() : null));
liveSignal(() => undefined);
expectTypeOf(liveSignal(() => of(1))).toEqualTypeOf<LiveSignal<number | undefined>>();
// @ts-expect-error -- a stream instead of a function could not follow signals
liveSignal(db.doc$('a'));
// @ts-expect-error -- a promise is not an Observable
liveSignal(() => Promise.resolve(1));
// @ts-expect-error -- misspelt
liveSignal(() => of(1), { initial: 0 });

const resource = liveResource({
  params: () => 'a',
  stream: ({ params }) => {
    expectTypeOf(params).toBeString();
    return db.doc$(params);
  },
});
expectTypeOf(resource).toEqualTypeOf<LiveResource<FoundDocument | undefined>>();
expectTypeOf(resource.value()).toEqualTypeOf<FoundDocument | undefined>();
expectTypeOf(resource.stale).toEqualTypeOf<Signal<boolean>>();
expectTypeOf(
  liveResource({ stream: () => db.view$<number>('d/v'), defaultValue: [] }).value(),
).toEqualTypeOf<readonly Row<number>[]>();

expectTypeOf(db.doc$('a').pipe(deliverInZone())).toEqualTypeOf<Observable<FoundDocument>>();

// Selectors narrow unions, and views know their rows, in signals and resources too.
interface Cat {
  type: 'cat';
  lives: number;
}
interface Dog {
  type: 'dog';
  tricks: string[];
}
declare const animals: Database<Cat | Dog>;
const byLegs = defineDesign('animals', {
  views: { byLives: { map: (doc: Cat, emit) => emit(doc.type, doc.lives), reduce: '_count' } },
});
const dogs = liveSignal(() => animals.find$({ selector: { type: 'dog' } }), { injector });
expectTypeOf(dogs).toExtend<Signal<readonly LiveDocument<Dog>[] | undefined>>();
const lives = liveSignal(() => animals.view$(byLegs.byLives, { reduce: false }), { injector });
expectTypeOf(lives).toExtend<Signal<readonly Row<'cat', number>[] | undefined>>();
const dogResource = liveResource({
  params: () => 'dog',
  stream: () => animals.find$({ selector: { type: 'dog' } }),
  injector,
});
expectTypeOf(dogResource.value).toExtend<Signal<readonly LiveDocument<Dog>[] | undefined>>();
