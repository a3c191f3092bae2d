import type { RequestSpec } from '../http/exchange.ts';
import { RowStream } from '../http/row-stream.ts';
import type { DatabaseScope } from '../http/scope.ts';
import type { Row, ViewHead } from '../model/view.ts';
import { decodeHead, decodeRow, viewPath, viewQuery } from './view.ts';
import type { ViewOptions } from './view.ts';

/** Streams the rows of a view, or of `_all_docs`. */
export function streamView<Key, Value, Doc>(
  db: DatabaseScope,
  name: string,
  options: ViewOptions,
): RowStream<Row<Key, Value, Doc>, ViewHead> {
  const { keys, query } = viewQuery('rows', options);
  const path = `${db.path}${viewPath(name)}${query}`;
  const describe = (): RequestSpec =>
    keys === undefined ? { path } : { method: 'POST', path, json: { keys } };
  return new RowStream(db.connection, describe, {
    field: 'rows',
    row: (raw) => decodeRow<Key, Value, Doc>(raw),
    info: decodeHead,
  });
}
