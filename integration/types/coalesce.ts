/** The compiler checks the types of coalescing. */
import { Couch, Database } from 'corduroy';
import type { CoalesceOptions, Document, Operation } from 'corduroy';
import { expectTypeOf } from 'expect-type';

const db = new Couch(undefined, {
  coalesce: { reads: true, writes: false, maxWait: 5, maxSize: 50 },
}).use<{ total: number }>('orders', { coalesce: true });
expectTypeOf(db.get('a')).toEqualTypeOf<Operation<Document<{ total: number }>>>();
expectTypeOf(new Database('orders', { coalesce: false })).toEqualTypeOf<Database>();
expectTypeOf<CoalesceOptions['maxWait']>().toEqualTypeOf<number | undefined>();
// @ts-expect-error -- an unknown option
db.get('a', { coalesce: true });
