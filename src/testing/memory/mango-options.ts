import { Refusal, badRequest, isRecord } from '../reply.ts';
import { erlangTerm } from './parameters.ts';
import { normalize } from './mango-selector.ts';

/** A field of a sort or an index, with its direction. */
export type SortKey = readonly [field: string, direction: string];

type Check = (value: unknown, name: string) => unknown;

const refuse = (error: string, reason: string): Refusal => new Refusal(400, error, reason);

const text: Check = (value) => {
  if (typeof value === 'string') return value;
  throw refuse('invalid_string', `Invalid string: ${erlangTerm(value)}`);
};
const name: Check = (value, field) => {
  if (value !== '') return text(value, field);
  throw refuse('invalid_empty_string', 'Index name or ddoc cannot be empty string');
};
const boolean: Check = (value) => {
  if (typeof value === 'boolean') return value;
  throw refuse('invalid_boolean', `Invalid boolean value: ${erlangTerm(value)}`);
};
const whole =
  (least: number): Check =>
  (value) => {
    if (Number.isInteger(value) && (value as number) >= least) return value;
    throw least === 0
      ? refuse(
          'invalid_non_neg_integer',
          `${erlangTerm(value)} is not an integer greater than or equal to zero`,
        )
      : refuse('invalid_pos_integer', `${erlangTerm(value)} is not an integer greater than zero`);
  };

/** Reads a sort: the fields with their directions. */
export const readSort = (value: unknown): readonly SortKey[] => {
  if (!Array.isArray(value))
    throw refuse(
      'invalid_sort_json',
      `Sort must be an array of sort specs, not: ${printed(value)}`,
    );
  const keys = value.map((key: unknown): SortKey => {
    if (typeof key === 'string' && key !== '') return [key, 'asc'];
    const entries = isRecord(key) ? Object.entries(key) : [];
    const [entry, more] = entries;
    if (entry !== undefined && more === undefined && (entry[1] === 'asc' || entry[1] === 'desc'))
      return [entry[0], entry[1]];
    throw refuse('invalid_sort_field', `Invalid sort field: ${printed(key)}`);
  });
  if (new Set(keys.map(([, direction]) => direction)).size > 1)
    throw refuse(
      'unsupported_mixed_sort',
      'Sorts currently only support a single direction for all fields.',
    );
  return keys;
};

/** Formats a value as Erlang's `~p` does. */
function printed(value: unknown): string {
  if (typeof value === 'string') return `<<${JSON.stringify(value)}>>`;
  if (Array.isArray(value)) return `[${value.map(printed).join(',')}]`;
  if (!isRecord(value)) return String(value);
  const entries = Object.entries(value).map(
    ([field, one]) => `{${printed(field)},${printed(one)}}`,
  );
  return `{[${entries.join(',')}]}`;
}

const fields: Check = (value) => {
  if (!Array.isArray(value))
    throw refuse('invalid_fields', `Fields must be an array of strings, not: ${erlangTerm(value)}`);
  for (const field of value as readonly unknown[])
    if (typeof field !== 'string')
      throw refuse('invalid_field', `Invalid JSON for field spec: ${erlangTerm(field)}`);
  return value;
};

/** The design document, and perhaps the name, of the index that a query asks for. */
const useIndex: Check = (value) => {
  if (value === null) return [];
  const parts: readonly unknown[] | undefined =
    typeof value === 'string' ? value.split('/') : Array.isArray(value) ? value : undefined;
  const names = typeof value === 'string' && parts?.[0] === '_design' ? parts.slice(1) : parts;
  const isValid =
    names?.every((one) => typeof one === 'string') === true &&
    names.length <= 2 &&
    (names.length > 0 || Array.isArray(value));
  if (isValid) return names;
  throw refuse('invalid_index_name', `Invalid index name: ${erlangTerm(value)}`);
};

const bookmark: Check = (value) => {
  if (value === null || value === '' || typeof value === 'string') return value;
  throw refuse('invalid_bookmark', `Invalid bookmark value: ${JSON.stringify(value)}`);
};

const ids: Check = (value) => {
  if (!Array.isArray(value))
    throw refuse(
      'invalid_bulk_docs',
      `Bulk Delete requires an array of non-null docids. Docids: ${erlangTerm(value)}`,
    );
  for (const one of value) useIndex(one, 'docids');
  return value;
};

const partition: Check = (value) => {
  if (typeof value === 'string' && !value.startsWith('_')) return value;
  throw badRequest('Partition must not start with an underscore');
};

interface Option {
  readonly check: Check;
  readonly required?: boolean;
}

const selector: Check = (value) => {
  normalize(value);
  return value;
};

/** The requests whose options are checked. `definition` is the definition of an index. */
type RequestKind = 'find' | 'index' | 'definition' | 'bulkDelete';

/** The options of each request, in the order in which CouchDB checks them. */
const OPTIONS: Readonly<Record<RequestKind, Readonly<Record<string, Option>>>> = {
  find: {
    selector: { check: selector, required: true },
    use_index: { check: useIndex },
    bookmark: { check: bookmark },
    limit: { check: whole(0) },
    skip: { check: whole(0) },
    sort: { check: readSort },
    fields: { check: fields },
    partition: { check: partition },
    r: { check: whole(1) },
    conflicts: { check: boolean },
    stale: { check: (value: unknown) => value },
    update: { check: boolean },
    stable: { check: boolean },
    execution_stats: { check: boolean },
    allow_fallback: { check: boolean },
  },
  index: {
    index: { check: (value: unknown) => value, required: true },
    type: { check: indexType },
    name: { check: name },
    ddoc: { check: name },
    w: { check: whole(1) },
    partitioned: { check: boolean },
  },
  definition: {
    fields: { check: (value: unknown) => (readSort(value), value), required: true },
    partial_filter_selector: { check: selector },
  },
  bulkDelete: {
    docids: { check: ids, required: true },
    w: { check: whole(1) },
  },
};

function indexType(value: unknown, field: string): unknown {
  const type = text(value, field);
  if (type === 'text' || type === 'nouveau')
    throw new Refusal(503, 'required index service unavailable', type);
  if (type !== 'json') throw refuse('invalid_index', `Invalid type for index: ${String(type)}`);
  return type;
}

/** Returns the options of a request. Throws a `Refusal` for the first that CouchDB refuses. */
export function validated(body: unknown, request: RequestKind): Readonly<Record<string, unknown>> {
  if (!isRecord(body)) throw badRequest('Request body must be a JSON object');
  const known = OPTIONS[request];
  const result: Record<string, unknown> = {};
  for (const [option, { check, required }] of Object.entries(known)) {
    if (Object.hasOwn(body, option)) result[option] = check(body[option], option);
    else if (required === true)
      throw refuse('missing_required_key', `Missing required key: ${option}`);
  }
  const unknown = Object.keys(body).find((option) => !Object.hasOwn(known, option));
  if (unknown !== undefined)
    throw refuse('invalid_key', `Invalid key ${unknown} for this request.`);
  return result;
}
