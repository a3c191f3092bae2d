import { compareJson } from '../model/json.ts';
import { compilePath } from './matcher.ts';

/** A field of a sort: its path, ascending; or its path with a direction. */
export type SortColumn = string | Readonly<Record<string, string>>;

/**
 * Compiles a sort to a comparator of documents. It returns 0 for documents that are equal in all fields,
 * and undefined if only CouchDB can decide the order. Ids are compared by their bytes.
 */
export function compileSort(
  sort: readonly SortColumn[],
): (a: unknown, b: unknown) => number | undefined {
  const columns = sort.map((column) => {
    const [name, direction] = readColumn(column);
    return {
      read: compilePath(name),
      byBytes: name === '_id',
      direction: direction === 'desc' ? -1 : 1,
    };
  });
  return (a, b) => {
    for (const { read, byBytes, direction } of columns) {
      const order = compareJson(read(a), read(b), byBytes);
      if (order !== 0) return order && order * direction;
    }
    return 0;
  };
}

/** Returns the path and the direction of a field. */
export function readColumn(column: SortColumn): readonly [path: string, direction: string] {
  if (typeof column === 'string') return [column, 'asc'];
  return Object.entries(column)[0] ?? ['', 'asc'];
}
