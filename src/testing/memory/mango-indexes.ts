import { Refusal, isRecord, json, missing } from '../reply.ts';
import type { Reply } from '../reply.ts';
import type { MemoryDatabase, Validate } from './database.ts';
import { describeIndex, indexesOf } from './mango-choice.ts';
import type { MangoIndex } from './mango-choice.ts';
import { readSort, validated } from './mango-options.ts';
import { normalize } from './mango-selector.ts';
import type { MemoryRequest } from './request.ts';
import { hex, md5 } from './revision-hash.ts';

/** Answers a request for indexes: `_index`. */
export function indexReply(
  db: MemoryDatabase,
  path: readonly string[],
  { method, body, query }: MemoryRequest,
  validate: Validate,
): Reply {
  const [first] = path;
  if (first === undefined && method === 'GET') {
    const all = indexesOf(db);
    const [skip, limit] = [query['skip'] ?? 0, query['limit'] ?? all.length].map(Number);
    const page = all.slice(skip, (skip ?? 0) + (limit ?? 0)).map(describeIndex);
    return json(200, { total_rows: all.length, indexes: page });
  }
  if (first === undefined && method === 'POST') return createIndex(db, body, validate);
  if (first === undefined) throw new Refusal(405, 'method_not_allowed', 'Only GET,POST allowed');
  if (first === '_bulk_delete') return deleteIndexes(db, body, validate);
  const [ddoc, type, name] =
    path[0] === '_design' ? [`_design/${path[1]}`, path[2], path[3]] : path;
  if (name === undefined) throw missing();
  if (method !== 'DELETE') throw new Refusal(405, 'method_not_allowed', 'Only DELETE allowed');
  const index = indexesOf(db).find(
    (one) => one.ddoc === designId(ddoc ?? '') && type === 'json' && one.name === name,
  );
  if (index === undefined) throw missing();
  removeIndex(db, index, validate);
  return json(200, { ok: true });
}

function designId(name: string): string {
  return name.startsWith('_design/') ? name : `_design/${name}`;
}

function createIndex(db: MemoryDatabase, body: unknown, validate: Validate): Reply {
  const options = validated(body, 'index');
  const definition = options['index'];
  if (!isRecord(definition))
    throw new Refusal(
      400,
      'invalid_index',
      `JSON indexes must be an object, not: ${String(definition)}`,
    );
  const { fields, partial_filter_selector: partial = {} } = validated(definition, 'definition');
  const sort = readSort(fields);
  const normal = normalize(partial);
  const map = {
    fields: Object.fromEntries(sort),
    partial_filter_selector: normal,
  };
  const isPartitioned = options['partitioned'];
  const hash = hex(md5(new TextEncoder().encode(JSON.stringify([map, isPartitioned])))).slice(
    0,
    40,
  );
  const id = designId((options['ddoc'] as string | undefined) ?? hash);
  const name = (options['name'] as string | undefined) ?? hash;
  const winner = db.find(id);
  const { views = {}, ...rest } = (winner?.content?.fields ?? {}) as { readonly views?: object };
  const { language } = rest as { readonly language?: string };
  if (winner !== undefined && language !== 'query')
    throw new Refusal(
      400,
      'invalid_ddoc_lang',
      `Existing design doc has an invalid language: ${asErlang(language)}`,
    );
  const view = { map, reduce: '_count', options: { def: definition } };
  const known = (views as Readonly<Record<string, unknown>>)[name];
  const exists = known !== undefined && JSON.stringify(known) === JSON.stringify(view);
  if (!exists) {
    const written = {
      language: 'query',
      ...rest,
      views: { ...views, [name]: view },
      ...(winner === undefined &&
        typeof isPartitioned === 'boolean' && { options: { partitioned: isPartitioned } }),
    };
    save(db, id, written, false, validate);
  }
  return json(200, { result: exists ? 'exists' : 'created', id, name });
}

/** Writes the language of a design document as CouchDB prints it. */
function asErlang(language: string | undefined): string {
  if (language === undefined) return 'false';
  const [name, value] = ['language', language].map(
    (text) => `<<${new TextEncoder().encode(text).join(',')}>>`,
  );
  return `{${name},${value}}`;
}

function save(
  db: MemoryDatabase,
  id: string,
  fields: Readonly<Record<string, unknown>>,
  deleted: boolean,
  validate: Validate,
): void {
  const rev = db.find(id)?.rev;
  const draft = { id, history: rev === undefined ? [] : [rev], deleted, fields, attachments: [] };
  const [written] = db.edit([draft], validate);
  if (written instanceof Refusal) throw written;
}

function removeIndex(db: MemoryDatabase, { ddoc, name }: MangoIndex, validate: Validate): void {
  const id = ddoc ?? '';
  const { views = {}, ...rest } = (db.find(id)?.content?.fields ?? {}) as {
    readonly views?: object;
  };
  const others = Object.entries(views).filter(([one]) => one !== name);
  const isLast = others.length === 0 && Object.keys(rest).join() === 'language';
  const fields = {
    ...rest,
    ...(others.length > 0 && { views: Object.fromEntries(others) }),
  };
  save(db, id, isLast ? {} : fields, isLast, validate);
}

function deleteIndexes(db: MemoryDatabase, body: unknown, validate: Validate): Reply {
  const { docids } = validated(body, 'bulkDelete');
  const success: object[] = [];
  const fail: object[] = [];
  for (const name of docids as readonly string[]) {
    const id = designId(name);
    const found = indexesOf(db).filter((one) => one.ddoc === id);
    const [index] = found;
    if (index === undefined || found.length > 1) fail.unshift({ id, error: 'not_found' });
    else {
      removeIndex(db, index, validate);
      success.unshift({ id, ok: true });
    }
  }
  return json(200, { success, fail });
}
