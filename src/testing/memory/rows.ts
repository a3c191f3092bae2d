import { byId } from '../../model/document.ts';
import { Refusal, badRequest, isRecord } from '../reply.ts';
import type { MemoryRequest } from './request.ts';
import { parseJson } from './parameters.ts';

/** The options of a request for rows: of a view, or of `_all_docs`. */
export interface RowOptions {
  readonly keys: readonly unknown[] | undefined;
  readonly startKey: unknown;
  readonly endKey: unknown;
  readonly startId: string | undefined;
  readonly endId: string | undefined;
  readonly inclusiveEnd: boolean;
  readonly descending: boolean;
  readonly limit: number;
  readonly skip: number;
  readonly includeDocs: boolean;
  readonly conflicts: boolean | undefined;
  readonly attachments: boolean;
  readonly reduce: boolean | undefined;
  readonly groupLevel: number | 'exact';
  readonly updateSeq: boolean;
}

/** Undefined, as a key that the request does not have. JSON has no such value. */
export const NO_KEY: undefined = undefined;

type Draft = { -readonly [Name in keyof RowOptions]: RowOptions[Name] } & {
  group: boolean | undefined;
  level: number | undefined;
};

const queryError = (reason: string): Refusal => new Refusal(400, 'query_parse_error', reason);

interface RowKind {
  readonly isReduce?: boolean;
  readonly isView?: boolean;
  readonly inPartition?: boolean;
}

/**
 * Reads the options of a request for rows: first those of the body, then those of the query. For a
 * partition, CouchDB reads the query in the order of the names.
 */
export function readRowOptions(
  { query, body }: MemoryRequest,
  { isReduce = false, isView = false, inPartition = false }: RowKind,
): RowOptions {
  const draft: Draft = {
    keys: undefined,
    startKey: NO_KEY,
    endKey: NO_KEY,
    startId: undefined,
    endId: undefined,
    inclusiveEnd: true,
    descending: false,
    limit: Infinity,
    skip: 0,
    includeDocs: false,
    conflicts: undefined,
    attachments: false,
    reduce: undefined,
    group: undefined,
    level: undefined,
    groupLevel: 0,
    updateSeq: false,
  };
  if (isRecord(body))
    for (const [name, value] of Object.entries(body)) read(draft, name, value, true);
  // A view takes one key as a range.
  if (isView && draft.keys?.length === 1) draft.keys = undefined;
  const options = Object.entries(query);
  if (inPartition) options.sort(([a], [b]) => byId(a, b));
  for (const [name, value] of options) read(draft, name, value, false);
  return check(draft, isReduce);
}

function read(draft: Draft, name: string, value: unknown, isJson: boolean): void {
  const json = (): unknown => (isJson ? value : parseJson(String(value)));
  switch (name) {
    case 'key':
      draft.startKey = draft.endKey = json();
      return;
    case 'keys': {
      const keys = json();
      if (!Array.isArray(keys)) {
        if (isJson) throw badRequest('`keys` body member must be an array.');
        throw badRequest('`keys` parameter must be an array.');
      }
      if (keys.length === 1) draft.startKey = draft.endKey = keys[0];
      draft.keys = keys;
      return;
    }
    case 'startkey':
    case 'start_key':
      draft.startKey = json();
      return;
    case 'endkey':
    case 'end_key':
      draft.endKey = json();
      return;
    case 'startkey_docid':
    case 'start_key_doc_id':
      draft.startId = String(value);
      return;
    case 'endkey_docid':
    case 'end_key_doc_id':
      draft.endId = String(value);
      return;
    case 'limit':
      draft.limit = wholeNumber(value);
      return;
    case 'skip':
      draft.skip = wholeNumber(value);
      return;
    case 'group_level':
      draft.level = wholeNumber(value);
      return;
    case 'descending':
      draft.descending = flag(value);
      return;
    case 'inclusive_end':
      draft.inclusiveEnd = flag(value);
      return;
    case 'include_docs':
      draft.includeDocs = flag(value);
      return;
    case 'conflicts':
      draft.conflicts = flag(value);
      return;
    case 'attachments':
      draft.attachments = flag(value);
      return;
    case 'reduce':
      draft.reduce = flag(value);
      return;
    case 'group':
      draft.group = flag(value);
      return;
    case 'update_seq':
      draft.updateSeq = flag(value);
      return;
    case 'sorted':
    case 'att_encoding_info':
      flag(value);
      return;
    case 'stale':
      if (value !== 'ok' && value !== 'update_after')
        throw queryError('Invalid value for `stale`.');
      return;
    case 'stable':
      if (!/^(?:true|false)$/.test(String(value))) throw queryError('Invalid value for `stable`.');
      return;
    case 'update':
      if (!/^(?:true|false|lazy)$/.test(String(value)))
        throw queryError('Invalid value for `update`.');
      return;
    default:
    // CouchDB ignores unknown options.
  }
}

function check(draft: Draft, isReduce: boolean): RowOptions {
  const { keys, startKey, endKey, group, level } = draft;
  const reduces = isReduce && draft.reduce !== false;
  if (group === false && level !== undefined && level > 0)
    throw queryError("Can't specify group=false and group_level>0 at the same time");
  const groupLevel = group === true && level === undefined ? 'exact' : (level ?? 0);
  if (!isReduce && draft.reduce === true) throw queryError('Reduce is invalid for map-only views.');
  if (reduces && groupLevel !== 'exact' && keys !== undefined)
    throw queryError('Multi-key fetches for reduce views must use `group=true`');
  const isOneKey = keys?.length === 1 && startKey === keys[0] && endKey === keys[0];
  if (
    keys !== undefined &&
    keys.length > 0 &&
    !isOneKey &&
    (startKey !== NO_KEY || endKey !== NO_KEY)
  )
    throw queryError('`keys` is incompatible with `key`, `start_key` and `end_key`');
  if (!reduces && groupLevel !== 0) throw queryError('Invalid use of grouping on a map view.');
  if (reduces && draft.includeDocs) throw queryError('`include_docs` is invalid for reduce');
  if (reduces && draft.conflicts !== undefined)
    throw queryError('`conflicts` is invalid for reduce views.');
  return { ...draft, groupLevel };
}

/** Reads a flag: CouchDB accepts any case. */
export function flag(value: unknown): boolean {
  if (typeof value === 'boolean') return value;
  const text = String(value).toLowerCase();
  if (text !== 'true' && text !== 'false')
    throw queryError(`Invalid boolean parameter: ${erlangString(value)}`);
  return text === 'true';
}

function wholeNumber(value: unknown): number {
  const number = typeof value === 'number' ? value : Number(value);
  if (!Number.isInteger(number) || value === '')
    throw queryError(`Invalid value for integer: ${erlangString(value)}`);
  if (number < 0) throw queryError(`Invalid value for positive integer: ${erlangString(value)}`);
  return number;
}

function erlangString(value: unknown): string {
  return typeof value === 'string' ? JSON.stringify(value) : String(value);
}
