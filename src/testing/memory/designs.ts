import { Refusal, isRecord } from '../reply.ts';
import type { MemoryDatabase } from './database.ts';
import { compileFunction, runValidation } from './functions.ts';
import { toDocument } from './reads.ts';
import type { Content, Revision } from './revision-tree.ts';

/** The user of a request, as design functions receive it. */
export interface UserContext {
  readonly db?: string;
  readonly name: string | null;
  readonly roles: readonly string[];
}

const invalid = (reason: string): Refusal => new Refusal(400, 'invalid_design_doc', reason);

/** Throws for a design document that CouchDB refuses. */
function requireDesign({ deleted, fields }: Content): void {
  if (deleted) return;
  const { language = 'javascript' } = fields;
  requireFunctions(fields, 'filters');
  requireType(language, 'language', 'string');
  requireFunctions(fields, 'lists');
  if (requireType(fields['options'], 'options', 'object'))
    for (const name of ['include_design', 'local_seq', 'partitioned'])
      requireType((fields['options'] as Fields)[name], `options.${name}`, 'boolean');
  requireFunctions(fields, 'shows');
  requireFunctions(fields, 'updates');
  requireType(fields['validate_doc_update'], 'validate_doc_update', 'string');
  requireViews(fields, String(language));
}

type Fields = Readonly<Record<string, unknown>>;

/** Returns whether a field is there. */
function requireType(value: unknown, path: string, type: string): boolean {
  if (value === undefined) return false;
  const isValid = type === 'object' ? isRecord(value) : typeof value === type;
  if (!isValid) throw invalid(`\`${path}\` field must have ${type} type`);
  return true;
}

function requireFunctions(fields: Fields, name: string): void {
  if (!requireType(fields[name], name, 'object')) return;
  for (const [own, source] of Object.entries(fields[name] as Fields))
    if (typeof source !== 'string' && !isRecord(source))
      throw invalid(`\`${name}.${own}\` field must have object or string type`);
}

function requireViews(fields: Fields, language: string): void {
  if (!requireType(fields['views'], 'views', 'object')) return;
  const views = Object.entries(fields['views'] as Fields);
  for (const [name, view] of views) {
    requireType(view, `views.${name}`, 'object');
    if (name === 'lib') continue;
    const { map, reduce } = view as Fields;
    requireType(map, `views.${name}.map`, language === 'query' ? 'object' : 'string');
    requireType(reduce, `views.${name}.reduce`, 'string');
    if (map === undefined) throw invalid(`View \`${name}\` must contain map function`);
  }
  if (language !== 'javascript') return;
  for (const [name, view] of views) {
    const { map, reduce } = view as Fields;
    if (name === 'lib') continue;
    requireCompiles(map, 'map', name);
    if (typeof reduce !== 'string') continue;
    if (!reduce.startsWith('_')) requireCompiles(reduce, 'reduce', name);
    else if (
      !/^_(?:sum|count|stats|approx_count_distinct|first|last|top_\d+|bottom_\d+)$/.test(reduce)
    )
      throw invalid(`\`${reduce}\` is not a supported reduce function.`);
  }
}

function requireCompiles(source: unknown, kind: string, name: string): void {
  try {
    compileFunction(source);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new Refusal(
      400,
      'compilation_error',
      `Compilation of the ${kind} function in the '${name}' view failed: ${reason}`,
    );
  }
}

/** Whether a database has `validate_doc_update` functions. */
export function hasValidation(db: MemoryDatabase): boolean {
  return db.live.some(
    ([id, { content }]) =>
      id.startsWith('_design/') && content?.fields['validate_doc_update'] !== undefined,
  );
}

/** Decides on a write: by the `validate_doc_update` functions, and the rules for design documents. */
export function validateWrite(
  db: MemoryDatabase,
  user: UserContext,
  id: string,
  content: Content,
  rev: string,
  old: Revision | undefined,
): void {
  if (id.startsWith('_design/')) return requireDesign(content);
  const { attachments, fields, deleted } = content;
  const doc = {
    _id: id,
    ...(rev !== '' && { _rev: rev }),
    ...fields,
    ...(deleted && { _deleted: true }),
    ...(attachments.size > 0 && {
      _attachments: Object.fromEntries(
        [...attachments].map(([name, { data: _data, ...stub }]) => [name, { ...stub, stub: true }]),
      ),
    }),
  };
  const before = old === undefined ? null : toDocument(db, id, old);
  for (const [designId, winner] of db.live) {
    if (!designId.startsWith('_design/')) continue;
    const source = winner.content?.fields['validate_doc_update'];
    if (source !== undefined)
      runValidation(source, [doc, before, { ...user, db: db.name }, db.security]);
  }
}
