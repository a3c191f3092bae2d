import { isRecord } from './reply.ts';
import { badRequest, json, missing, notImplemented } from './reply.ts';
import type { Reply } from './reply.ts';
import { digest } from './revision-tree.ts';

/** A Mango index. It stores no rows, but determines which sorts are possible. */
interface Index {
  readonly ddoc: string;
  readonly name: string;
  readonly fields: readonly (readonly [field: string, direction: string])[];
}

/** The Mango indexes of a database: `_index`. */
export class MemoryIndexes {
  #indexes: readonly Index[] = [];

  /** Creates an index, unless it exists. */
  create(body: unknown): Reply {
    const { index, ddoc, name, type = 'json' } = isRecord(body) ? body : {};
    if (type !== 'json') throw notImplemented(`support indexes of type ${String(type)}`);
    if (!isRecord(index) || !Array.isArray(index['fields']))
      throw badRequest('Missing required key: index');
    if ('partial_filter_selector' in index) throw notImplemented('support partial indexes');
    const fields = index['fields'].map(readSort);
    const hash = digest(JSON.stringify(fields));
    const created: Index = {
      ddoc: `_design/${typeof ddoc === 'string' ? ddoc.replace(/^_design\//, '') : hash}`,
      name: typeof name === 'string' ? name : hash,
      fields,
    };
    const exists = this.#indexes.some((one) => JSON.stringify(one) === JSON.stringify(created));
    const others = this.#indexes.filter(
      (one) => one.ddoc !== created.ddoc || one.name !== created.name,
    );
    if (!exists) this.#indexes = [...others, created];
    return json(200, {
      result: exists ? 'exists' : 'created',
      id: created.ddoc,
      name: created.name,
    });
  }

  /** Lists the indexes, and the built-in index that every database has. */
  list(): Reply {
    const indexes = this.#indexes.map(({ ddoc, name, fields }) => ({
      ddoc,
      name,
      type: 'json',
      partitioned: false,
      def: { fields: fields.map(([field, direction]) => ({ [field]: direction })) },
    }));
    const builtIn = {
      ddoc: null,
      name: '_all_docs',
      type: 'special',
      def: { fields: [{ _id: 'asc' }] },
    };
    return json(200, { total_rows: indexes.length + 1, indexes: [builtIn, ...indexes] });
  }

  /** Deletes the index that a path names: `_design/{ddoc}/json/{name}`. */
  remove(path: readonly string[]): Reply {
    const [ddoc, , name] = path[0] === '_design' ? path.slice(1) : path;
    const remaining = this.#indexes.filter(
      (one) =>
        one.ddoc !== `_design/${String(ddoc).replace(/^_design\//, '')}` || one.name !== name,
    );
    if (remaining.length === this.#indexes.length) throw missing('missing');
    this.#indexes = remaining;
    return json(200, { ok: true });
  }

  /**
   * Returns the fields of an index that can sort the result of a selector, or null if there is
   * none. The index must begin with the fields of the sort, and the selector must require its other
   * fields.
   */
  forSort(
    sort: readonly (readonly [string, string])[],
    selector: object,
  ): readonly string[] | null {
    const required = new Set([...requiredFields(selector), '_id', '_rev']);
    for (const { fields } of this.#indexes) {
      const names = fields.map(([field]) => field);
      const startsWithSort = sort.every(([field], i) => names[i] === field);
      if (startsWithSort && names.slice(sort.length).every((field) => required.has(field)))
        return names;
    }
    return null;
  }
}

/** Returns the fields that every matching document has. */
function requiredFields(selector: object): readonly string[] {
  return Object.entries(selector).flatMap(([name, argument]) => {
    if (!name.startsWith('$')) return [name];
    return name === '$and' && Array.isArray(argument) ? argument.flatMap(requiredFields) : [];
  });
}

/** Parses a sort field: `'total'`, or `{ total: 'desc' }`. */
export function readSort(key: unknown): readonly [field: string, direction: string] {
  if (!isRecord(key)) return [String(key), 'asc'];
  const [[field, direction] = ['', 'asc']] = Object.entries(key);
  return [field, String(direction)];
}
