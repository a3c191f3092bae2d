import { compareJson } from '../model/json.ts';
import { compilePath } from './matcher.ts';

export function compileSort(
  sort: readonly (string | Readonly<Record<string, unknown>>)[],
): (a: unknown, b: unknown) => number | undefined {
  const order = sort.map((field) => {
    const [[name, direction] = ['', 'asc']] = typeof field === 'string' ? [[field, 'asc']] as const : Object.entries(field);
    return { read: compilePath(name), byBytes: name === '_id', direction: direction === 'desc' ? -1 : 1 };
  });
  return (a, b) => {
    for (const { read, byBytes, direction } of order) {
      const result = compareJson(read(a), read(b), byBytes);
      if (result !== 0) return result && result * direction;
    }
    return 0;
  };
}
