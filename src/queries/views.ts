import { arrayField } from '../http/decode.ts';
import { operation } from '../http/operation.ts';
import type { Operation } from '../http/operation.ts';
import type { DatabaseScope } from '../http/scope.ts';
import { mustBe } from '../model/must-be.ts';
import type { Row, View } from '../model/view.ts';
import { decodeView, viewBody, viewPath } from './view.ts';
import type { ViewOptions } from './view.ts';

/** Asks a view several questions in one request; emits the answers in their order. */
export function queryViews<Key, Value, Doc>(
  db: DatabaseScope,
  name: string,
  queries: readonly ViewOptions[],
): Operation<View<Row<Key, Value, Doc>, ViewOptions>[]> {
  const path = `${db.path}${viewPath(name)}/queries`;
  if (!Array.isArray(queries)) throw mustBe('views: queries', 'an array of options', queries);
  const write = (): unknown[] => queries.map((query, i) => viewBody(`views: queries[${i}]`, query));
  // Misuse is told now.
  write();
  return operation(
    db.connection,
    () => ({ method: 'POST', path, json: { queries: write() } }),
    (body) => {
      const results = arrayField(body, 'results');
      if (results.length !== queries.length)
        throw new TypeError('expected a result for each query');
      return results.map((result, i) =>
        decodeView<Key, Value, Doc>(result, queries[i] as ViewOptions),
      );
    },
  );
}
