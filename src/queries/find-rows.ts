import { asObject } from '../http/decode.ts';
import { RowStream } from '../http/row-stream.ts';
import type { DatabaseScope } from '../http/scope.ts';
import type { FieldPath } from './field-path.ts';
import { decodeFindEnd, findBody } from './find.ts';
import type { FindQuery, FindResult, Found } from './find.ts';

/** What the server says when it has found all there is. */
export type FindEnd = Omit<FindResult, 'docs'>;

/** Streams the documents that a query finds. */
export function streamFound<T extends object, Field extends FieldPath<T>>(
  db: DatabaseScope,
  query: FindQuery<T, Field>,
): RowStream<Found<T, Field>, FindEnd> {
  const body = findBody(query, 'findRows');
  const describe = () => ({ method: 'POST', path: `${db.path}/_find`, json: body() });
  return new RowStream(db.connection, describe, {
    field: 'docs',
    row: (raw) => asObject(raw) as Found<T, Field>,
    info: decodeFindEnd,
  });
}
