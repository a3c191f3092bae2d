/**
 * Proves the types of live queries. `npm test` compiles this file, and does not run it.
 */
import { fields, resolveAllLeaves, withState } from 'corduroy';
import type {
  DocumentConflict,
  Database,
  Document,
  LiveDocument,
  Draft,
  EditProgress,
  EditState,
  EditStatus,
  ReadonlyDeep,
  FeedState,
  LeavesOutcome,
  LiveEdit,
  LiveQuery,
  Row,
  WithState,
} from 'corduroy';
import { expectTypeOf } from 'expect-type';
import type { Observable } from 'rxjs';

interface Order {
  total: number;
  customer: { name: string; city: string };
}
declare const db: Database<Order>;

expectTypeOf(db.doc$('a')).toEqualTypeOf<LiveQuery<LiveDocument<Order> | null>>();
expectTypeOf(db.doc$('a').state$).toEqualTypeOf<Observable<FeedState>>();
expectTypeOf(db.docs$(['a'])).toEqualTypeOf<LiveQuery<readonly (LiveDocument<Order> | null)[]>>();
expectTypeOf(db.find$({ selector: { total: { $gt: 1 } } })).toEqualTypeOf<
  LiveQuery<readonly LiveDocument<Order>[]>
>();
db.find$({ selector: { 'customer.city': 'Bonn' }, sort: [{ total: 'desc' }], latency: 100 });
// @ts-expect-error -- a misspelt field
db.find$({ selector: { totl: 1 } });
// @ts-expect-error -- a misspelt nested field
db.find$({ selector: { 'customer.town': 'Bonn' } });
// @ts-expect-error -- a live query emits whole documents
db.find$({ selector: {}, fields: ['total'] });
expectTypeOf(db.view$<string, number>('d/v')).toEqualTypeOf<
  LiveQuery<readonly Row<string, number>[]>
>();
expectTypeOf(db.view$<string, number>('d/v', { includeDocs: true })).toEqualTypeOf<
  LiveQuery<readonly Row<string, number, LiveDocument<Order> | null>[]>
>();
// @ts-expect-error -- an unknown option
db.view$('d/v', { include_docs: true });
expectTypeOf(db.allDocs$()).toEqualTypeOf<
  LiveQuery<readonly Row<string, { readonly rev: string }>[]>
>();
expectTypeOf(db.allDocs$({ includeDocs: true })).toEqualTypeOf<
  LiveQuery<readonly Row<string, { readonly rev: string }, LiveDocument<Order> | null>[]>
>();
// @ts-expect-error -- ids are strings
db.allDocs$({ startKey: 1 });

expectTypeOf(db.doc$('a').pipe(withState())).toEqualTypeOf<
  Observable<WithState<LiveDocument<Order> | null>>
>();

expectTypeOf(db.edit$('a')).toEqualTypeOf<LiveEdit<Order>>();
declare const edited: EditState<Order>;
expectTypeOf(edited.value).toEqualTypeOf<ReadonlyDeep<Draft<Order>> | null>();
expectTypeOf(edited.status).toEqualTypeOf<EditStatus>();
expectTypeOf(db.edit$('a').state$).toEqualTypeOf<Observable<EditProgress>>();
db.edit$('a', { merge: fields(), debounce: 100 }).patch({ total: 2 });
// @ts-expect-error -- a field of another type
db.edit$('a').patch({ total: '2' });
// @ts-expect-error -- a field is missing
db.edit$('a').set({ total: 2 });

expectTypeOf(db.conflicts$()).toEqualTypeOf<LiveQuery<readonly DocumentConflict<Order>[]>>();
expectTypeOf(db.conflicts$().pipe(resolveAllLeaves(db, fields()))).toEqualTypeOf<
  Observable<LeavesOutcome<Order>>
>();
declare const outcome: LeavesOutcome<Order>;
if (outcome.ok) expectTypeOf(outcome.doc).toEqualTypeOf<Document<Order>>();
// @ts-expect-error -- only a success has a document
else void outcome.doc;

// What live queries emit is read-only, deeply, because all of them share one object.
interface Tagged {
  tags: string[];
  nested: { list: { n: number }[] };
}
declare const tagged: Database<Tagged>;
tagged.doc$('a').subscribe((doc) => {
  if (doc === null) return;
  // @ts-expect-error -- a field
  doc.tags = [];
  // @ts-expect-error -- an element
  doc.tags.push('x');
  // @ts-expect-error -- a field of an element
  doc.nested.list[0]!.n = 1;
  expectTypeOf(doc.nested.list[0]!.n).toBeNumber();
  // It can be saved, as it is and changed.
  tagged.save(doc);
  tagged.save({ ...doc, tags: [...doc.tags, 'x'] });
  tagged.save([doc, { ...doc, tags: doc.tags.filter((tag) => tag !== 'x') }]);
  tagged.delete(doc);
  // @ts-expect-error -- another type of a field
  tagged.save({ ...doc, tags: 1 });
});
tagged.find$({ selector: {} }).subscribe((docs) => {
  // @ts-expect-error -- a list is read-only too
  docs.push(docs[0]!);
  tagged.save(docs);
});
