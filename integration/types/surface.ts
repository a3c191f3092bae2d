/**
 * Tests of the types of the public surface. `npm test` compiles this file and does not run it.
 */
import {
  Couch,
  Database,
  NotFound,
  counter,
  fields,
  isConflict,
  isNotFound,
  lastOf,
  relax,
  resolveConflicts,
} from 'corduroy';
import type {
  AttachmentChunk,
  AttachmentInfo,
  Change,
  ChangesBatch,
  ChangesResult,
  ConfigSection,
  ConflictResolution,
  DatabaseInfo,
  Document,
  HTTPError,
  Operation,
  RelaxedMethod,
  Row,
  Status,
  Tombstone,
} from 'corduroy';
import { expectTypeOf } from 'expect-type';
import { forkJoin, mergeMap, of, switchMap } from 'rxjs';
import type { Observable } from 'rxjs';

interface Order {
  customer: string;
  total: number;
}
declare const db: Database<Order>;

// Documents
expectTypeOf(db.get('a')).toEqualTypeOf<Operation<Document<Order>>>();
expectTypeOf(db.get(['a'])).toEqualTypeOf<Operation<(Document<Order> | null)[]>>();
expectTypeOf(db.get()).toEqualTypeOf<Operation<Document<Order>[]>>();
expectTypeOf(db.save({ customer: 'ada', total: 1 })).toEqualTypeOf<
  Operation<ConflictResolution<Order>>
>();
db.save([{ _id: 'a', customer: 'ada', total: 1, _rev: '1-a', _deleted: true }]);
// @ts-expect-error -- a field is missing
db.save({ customer: 'ada' });
// @ts-expect-error -- a field is of another type
db.save({ customer: 'ada', total: 'much' });
// @ts-expect-error -- a document without a revision cannot be deleted
db.delete({ _id: 'a' });
// @ts-expect-error -- batch is only for a single document
db.save([], { batch: 'ok' });
// @ts-expect-error -- an unknown option
db.get('a', { revs_info: true });
// @ts-expect-error -- an option of views
db.get('a', { startKey: 1 });

// Operations with RxJS operators
expectTypeOf(of('a').pipe(switchMap((id) => db.get(id)))).toEqualTypeOf<
  Observable<Document<Order>>
>();
expectTypeOf(of(1).pipe(mergeMap(() => db.info()))).toEqualTypeOf<Observable<DatabaseInfo>>();
expectTypeOf(forkJoin([db.get('a'), db.exists()])).toEqualTypeOf<
  Observable<[Document<Order>, boolean]>
>();

// Conflicts
db.save([], { merge: (local, server) => (server === null ? null : { ...server, ...local }) });
expectTypeOf(
  db.save([]).pipe(resolveConflicts((local, server) => ({ ...server, ...local }))),
).toEqualTypeOf<Observable<ConflictResolution<Order>>>();
db.save([]).pipe(resolveConflicts((local) => (local.total > 1 ? local : null)));
expectTypeOf(db.upsert('a', (order) => order)).toEqualTypeOf<Observable<Document<Order> | null>>();
db.upsert('a', (order) => ({ customer: 'ada', total: (order?.total ?? 0) + 1 }));
// @ts-expect-error -- a field is missing
db.upsert('a', () => ({ customer: 'ada' }));
db.save([], { merge: fields<Order>(counter) });
// @ts-expect-error -- a merge must return a document
db.save([], { merge: () => 'merged' });
declare const resolution: ConflictResolution<Order>;
expectTypeOf(resolution.pending.get('a')?.doc.total).toEqualTypeOf<number | undefined>();
expectTypeOf(resolution.resolved.get('a')).toEqualTypeOf<Document<Order> | undefined>();

// The server
expectTypeOf(new Couch().config('log/level')).toEqualTypeOf<Operation<string>>();
expectTypeOf(new Couch().config('log')).toEqualTypeOf<Operation<ConfigSection>>();
expectTypeOf(db.getAttachment('a', 'f')).toExtend<Operation<Uint8Array>>();
expectTypeOf(db.getAttachment('a', 'f').chunks()).toEqualTypeOf<Observable<AttachmentChunk>>();
expectTypeOf(db.getAttachment('a', 'f').info()).toEqualTypeOf<Operation<AttachmentInfo>>();

// An operation is not a list: only `yield*` reads its value.
const [destructured] = db.get('a');
expectTypeOf(destructured).not.toEqualTypeOf<Document<Order>>();
// @ts-expect-error -- destructuring an operation yields no document
void destructured.total;
expectTypeOf([...db.get('a')]).toEqualTypeOf<never[]>();
for (const never of db.get('a')) expectTypeOf(never).toBeNever();
expectTypeOf(new Set(db.get('a'))).toEqualTypeOf<Set<never>>();
expectTypeOf(of('a').pipe(switchMap((id) => db.get(id)))).toEqualTypeOf<
  Observable<Document<Order>>
>();
expectTypeOf(
  relax(function* () {
    return yield* db.get('a');
  }),
).toEqualTypeOf<Observable<Document<Order>>>();

expectTypeOf(db.query<string, number>('function (doc) {}')).toEqualTypeOf<
  ReturnType<typeof db.view<string, number>>
>();

// Views
db.view<string, number>('d/v').subscribe((view) => {
  expectTypeOf(view.rows).toEqualTypeOf<readonly Row<string, number>[]>();
  expectTypeOf(view.rows[0]?.doc).toEqualTypeOf<null | undefined>();
  for (const row of view) expectTypeOf(row.key).toEqualTypeOf<string>();
});
db.view<string, number>('d/v', { includeDocs: true }).subscribe(({ rows: [row] }) => {
  expectTypeOf(row?.doc).toEqualTypeOf<Document<Order> | null | undefined>();
});
db.view('d/v').subscribe(({ rows: [row] }) => expectTypeOf(row?.value).toEqualTypeOf<unknown>());

// Changes
expectTypeOf(db.changes()).toEqualTypeOf<Operation<ChangesResult<Order>>>();
db.changes$().subscribe((batch) => {
  expectTypeOf(batch).toEqualTypeOf<ChangesBatch<Order>>();
  expectTypeOf(batch.seq).toEqualTypeOf<string>();
  // @ts-expect-error -- sequences are opaque strings, not numbers
  void (batch.seq - 1);
});
declare const change: Change<Order>;
expectTypeOf(change.doc).toEqualTypeOf<Document<Order> | Tombstone | null | undefined>();
// @ts-expect-error -- a tombstone has no other fields
void change.doc?.total;
db.changes$().state$.subscribe((state) => {
  if (state.status === 'waiting') expectTypeOf(state.delay).toEqualTypeOf<number>();
  // @ts-expect-error -- only the state 'waiting' has a delay
  void state.delay;
});

// Status
db.get('a')
  .status()
  .subscribe((status) => {
    expectTypeOf(status).toEqualTypeOf<Status<Document<Order>>>();
    if (status.ok) {
      expectTypeOf(status.value.total).toEqualTypeOf<number>();
      expectTypeOf(status.exception).toEqualTypeOf<null>();
    } else {
      expectTypeOf(status.exception).toEqualTypeOf<HTTPError>();
      expectTypeOf(status.value).toEqualTypeOf<null>();
      if (status.error === NotFound) expectTypeOf(status.code).toEqualTypeOf<number>();
    }
  });

// relax
expectTypeOf(
  relax(function* () {
    const order = yield* db.get('a');
    expectTypeOf(order).toEqualTypeOf<Document<Order>>();
    const three = yield* lastOf(of(1, 2, 3));
    expectTypeOf(three).toEqualTypeOf<number>();
    const info = yield* db.info();
    expectTypeOf(info.docCount).toEqualTypeOf<number>();
    return `${order.customer} ${three}`;
  }),
).toEqualTypeOf<Observable<string>>();

class Shop {
  show(id: string): Observable<string>;
  @relax
  *show(id: string): RelaxedMethod<string> {
    const order = yield* db.get(id);
    return order.customer;
  }
}
expectTypeOf(new Shop().show('a')).toEqualTypeOf<Observable<string>>();

// Guards
declare const error: unknown;
if (isNotFound(error)) expectTypeOf(error.deleted).toEqualTypeOf<boolean>();
if (isConflict(error)) expectTypeOf(error.status).toEqualTypeOf<number>();

// An operation is not a promise.
// @ts-expect-error -- not a thenable
void db.get('a').then;

expectTypeOf(new Couch().use<Order>('x')).toEqualTypeOf<Database<Order>>();
expectTypeOf(new Couch().db<Order>('x')).toEqualTypeOf<Operation<Database<Order>>>();
expectTypeOf(new Database('x')).toEqualTypeOf<Database>();
