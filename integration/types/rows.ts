/** The compiler checks the types of streams of rows. */
import type {
  Change,
  ChangesSummary,
  Database,
  Document,
  FindSummary,
  Page,
  Pages,
  Row,
  RowStream,
  RowWithDoc,
  ViewHead,
} from 'corduroy';
import { expectTypeOf } from 'expect-type';
import { of } from 'rxjs';

interface Order {
  total: number;
}
declare const db: Database<Order>;

expectTypeOf(db.viewRows('d/v')).toEqualTypeOf<RowStream<Row, ViewHead>>();
expectTypeOf(db.viewRows<string, number>('d/v')).toEqualTypeOf<
  RowStream<Row<string, number>, ViewHead>
>();
expectTypeOf(db.viewRows<string, number>('d/v', { includeDocs: true })).toEqualTypeOf<
  RowStream<RowWithDoc<string, number, Order>, ViewHead>
>();
expectTypeOf(db.viewRows('d/v').info).toEqualTypeOf<ViewHead | null>();
expectTypeOf(db.changeRows()).toEqualTypeOf<RowStream<Change<Order>, ChangesSummary>>();
expectTypeOf(db.viewPages<string, number>('d/v', { includeDocs: true })).toEqualTypeOf<
  Pages<RowWithDoc<string, number, Order>>
>();
db.viewPages<string, number>('d/v', {
  pageSize: 10,
  when: (page) => {
    expectTypeOf(page).toEqualTypeOf<Page<Row<string, number>>>();
    return of(page.next);
  },
});
expectTypeOf(db.findRows({ selector: { total: { $gt: 1 } } })).toEqualTypeOf<
  RowStream<Document<Order>, FindSummary>
>();
// @ts-expect-error -- an unknown option
db.viewRows('d/v', { pageSize: 10 });
