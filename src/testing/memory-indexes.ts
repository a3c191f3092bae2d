import { isRecord } from './matcher.ts';
import { badRequest, json, missing, notImplemented } from './reply.ts';
import type { Reply } from './reply.ts';
import { digest } from './revision-tree.ts';

/** A Mango index: nothing is kept in it, but what can be sorted by depends on it. */
interface Index {
  readonly ddoc: string;
  readonly name: string;
  readonly fields: readonly (readonly [field: string, direction: string])[];
}

/** The indexes of a database: `_index`. */
export class MemoryIndexes {
  #indexes: readonly Index[] = [];

  /** Makes an index, or finds it there. */
  create(body: unknown): Reply {
    const { index, ddoc, name, type = 'json' } = isRecord(body) ? body : {};
    if (type !== 'json') throw notImplemented(`index ${String(type)}`);
    if (!isRecord(index) || !Array.isArray(index['fields']))
      throw badRequest('Missing required key: index');
    if ('partial_filter_selector' in index) throw notImplemented('index a part of the documents');
    const fields = index['fields'].map(readSort);
    const hash = digest(JSON.stringify(fields));
    const made: Index = {
      ddoc: `_design/${typeof ddoc === 'string' ? ddoc.replace(/^_design\//, '') : hash}`,
      name: typeof name === 'string' ? name : hash,
      fields,
    };
    const known = this.#indexes.some((one) => JSON.stringify(one) === JSON.stringify(made));
    const others = this.#indexes.filter((one) => one.ddoc !== made.ddoc || one.name !== made.name);
    if (!known) this.#indexes = [...others, made];
    return json(200, { result: known ? 'exists' : 'created', id: made.ddoc, name: made.name });
  }

  /** Lists the indexes, and the one that every database has. */
  list(): Reply {
    const indexes = this.#indexes.map(({ ddoc, name, fields }) => ({
      ddoc,
      name,
      type: 'json',
      partitioned: false,
      def: { fields: fields.map(([field, direction]) => ({ [field]: direction })) },
    }));
    const own = {
      ddoc: null,
      name: '_all_docs',
      type: 'special',
      def: { fields: [{ _id: 'asc' }] },
    };
    return json(200, { total_rows: indexes.length + 1, indexes: [own, ...indexes] });
  }

  /** Removes the index that a path names: `_design/{ddoc}/json/{name}`. */
  remove(path: readonly string[]): Reply {
    const [ddoc, , name] = path[0] === '_design' ? path.slice(1) : path;
    const left = this.#indexes.filter(
      (one) =>
        one.ddoc !== `_design/${String(ddoc).replace(/^_design\//, '')}` || one.name !== name,
    );
    if (left.length === this.#indexes.length) throw missing('missing');
    this.#indexes = left;
    return json(200, { ok: true });
  }

  /**
   * Returns the fields of an index by which what a selector finds can be sorted: one that begins with
   * the fields of the sort, and whose other fields the selector asks for. Null where there is none.
   */
  forSort(
    sort: readonly (readonly [string, string])[],
    selector: object,
  ): readonly string[] | null {
    const asked = new Set([...fieldsOf(selector), '_id', '_rev']);
    for (const { fields } of this.#indexes) {
      const names = fields.map(([field]) => field);
      const begins = sort.every(([field], i) => names[i] === field);
      if (begins && names.slice(sort.length).every((field) => asked.has(field))) return names;
    }
    return null;
  }
}

/** The fields that a document must have to be found. */
function fieldsOf(selector: object): readonly string[] {
  return Object.entries(selector).flatMap(([name, argument]) => {
    if (!name.startsWith('$')) return [name];
    return name === '$and' && Array.isArray(argument) ? argument.flatMap(fieldsOf) : [];
  });
}

/** Reads a field to be sorted by: `'total'`, or `{ total: 'desc' }`. */
export function readSort(key: unknown): readonly [field: string, direction: string] {
  if (!isRecord(key)) return [String(key), 'asc'];
  const [[field, direction] = ['', 'asc']] = Object.entries(key);
  return [field, String(direction)];
}
