import { isForbidden, lastOf, relax } from 'corduroy';
import type { CouchOptions, LiveEdit, RelaxGenerator } from 'corduroy';
import { faults } from 'corduroy/testing';
import { catchError, filter, map, of, take, tap, throwError, throwIfEmpty, timeout } from 'rxjs';
import type { Observable } from 'rxjs';
import type { Order, Orders } from './orders.ts';

/** Connects another client to the server of a test: a new `Couch`, and a service that uses it. */
export type Client = (options?: Omit<CouchOptions, 'transport'>) => Orders;

/** A test. The Observable errors if the test fails. */
export type OrdersTest = (client: Client) => Observable<unknown>;

// The objects are frozen, because `save` sets the new `_rev` on an object that it can change.
/** The order that the server has stored at the start of each test. */
export const ann: StoredOrder = Object.freeze({
  _id: 'ann',
  customer: 'Ann',
  total: 30,
  status: 'open',
});
const bob: StoredOrder = Object.freeze({ _id: 'bob', customer: 'Bob', total: 20, status: 'open' });
type StoredOrder = Readonly<Order & { _id: string }>;

/**
 * The tests of the service, by name. They know neither the server nor the test runner, and wait for values
 * instead of times, so they run in virtual time and in real time.
 */
export const ordersTests: Readonly<Record<string, OrdersTest>> = {
  'the list has the open orders, and follows the writes of others': (client) =>
    relax(function* () {
      const list$ = client().open$.pipe(
        map((orders) => orders.map(({ customer }) => customer).join(', ')),
      );
      const others = client();

      yield* shows(list$, 'Ann');
      yield* lastOf(others.add(bob));
      yield* shows(list$, 'Ann, Bob');
      yield* lastOf(others.pay('ann'));
      yield* shows(list$, 'Bob');
    }),

  'the detail page follows an order until it is deleted': (client) =>
    relax(function* () {
      const page$ = client()
        .order$('ann')
        .pipe(map((order) => order?.status ?? 'deleted'));
      const others = client();

      yield* shows(page$, 'open');
      yield* lastOf(others.pay('ann'));
      yield* shows(page$, 'paid');
      yield* lastOf(others.cancel('ann'));
      yield* shows(page$, 'deleted');
    }),

  'the editor shows an edit at once, and saves it': (client) =>
    editing(client(), function* (editor) {
      yield* shows(form(editor), 'open, no note, clean');
      editor.patch({ note: 'no onions' });
      yield* shows(form(editor), 'open, no onions, edited');
      yield* shows(form(editor), 'open, no onions, clean');
      yield* shows(noteOf(client()), 'no onions');
    }),

  'the editor keeps what another client changes meanwhile': (client) =>
    editing(client(), function* (editor) {
      const others = client();

      yield* shows(form(editor), 'open, no note, clean');
      editor.patch({ note: 'no onions' });
      yield* lastOf(others.pay('ann'));
      yield* shows(form(editor), 'paid, no onions, clean');
      yield* shows(noteOf(others), 'no onions');
    }),

  'the editor keeps a refused edit until the user drops it': (client) => {
    const refusal = faults({ status: 403, reason: 'The till is closed.', reads: false });
    return editing(client({ links: [refusal] }), function* (editor) {
      const reason$ = editor.pipe(map(({ error }) => isForbidden(error) && error.reason));

      yield* shows(form(editor), 'open, no note, clean');
      editor.patch({ note: 'no onions' });
      yield* shows(form(editor), 'open, no onions, refused');
      yield* shows(reason$, 'The till is closed.');
      editor.reset();
      yield* shows(form(editor), 'open, no note, clean');
    });
  },

  'the editor saves an edit after an outage': (client) => {
    let down = true;
    const outage = faults({ fail: 'refused', reads: false, match: () => down });
    return editing(client({ links: [outage] }), function* (editor) {
      yield* shows(form(editor), 'open, no note, clean');
      editor.patch({ note: 'no onions' });
      yield* shows(form(editor), 'open, no onions, retrying');
      down = false;
      yield* shows(form(editor), 'open, no onions, clean');
      yield* shows(noteOf(client()), 'no onions');
    });
  },

  'an id that is in use is a conflict, and an unknown id is not found': (client) =>
    relax(function* () {
      const orders = client();
      yield* shows(nameOfError(orders.add({ ...bob, _id: 'ann' })), 'Conflict');
      yield* shows(nameOfError(orders.total('eve')), 'NotFound');
      yield* shows(orders.total('ann'), 30);
    }),
};

/** Waits until a stream emits a value. Fails if it ends before, or is silent for ten seconds. */
function* shows<T>(stream$: Observable<T>, expected: T): RelaxGenerator<void> {
  let last = 'nothing';
  const failure = () => new Error(`Expected "${String(expected)}", but saw "${last}"`);
  yield* lastOf(
    stream$.pipe(
      tap((value) => (last = String(value))),
      timeout({ each: 10_000, with: () => throwError(failure) }),
      filter((value) => value === expected),
      take(1),
      throwIfEmpty(failure),
    ),
  );
}

/** Runs a test while the page with the editor of Ann's order is open. */
const editing = (
  orders: Orders,
  test: (editor: LiveEdit<Order>) => RelaxGenerator<void>,
): Observable<void> =>
  relax(function* () {
    const editor = orders.edit('ann');
    const page = editor.subscribe();
    try {
      yield* test(editor);
    } finally {
      page.unsubscribe();
    }
  });

/** The form of the editor as text. */
const form = (editor: LiveEdit<Order>): Observable<string> =>
  editor.pipe(
    map(({ value, status }) => `${value?.status}, ${value?.note ?? 'no note'}, ${status}`),
  );

const noteOf = (orders: Orders): Observable<string | undefined> =>
  orders.order$('ann').pipe(map((order) => order?.note));

const nameOfError = (call: Observable<unknown>): Observable<string> =>
  call.pipe(
    map(() => 'no error'),
    catchError((error: Error) => of(error.name)),
  );
