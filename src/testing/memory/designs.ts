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
  for (const name of [
    'views',
    'filters',
    'shows',
    'lists',
    'updates',
    'options',
    'rewrites',
  ] as const) {
    const value = fields[name];
    if (
      value !== undefined &&
      !isRecord(value) &&
      !(name === 'rewrites' && typeof value !== 'number')
    )
      throw invalid(`\`${name}\` field must be an object or null.`);
  }
  const { views = {} } = fields as { readonly views?: Readonly<Record<string, unknown>> };
  for (const [name, view] of Object.entries(views)) {
    if (!isRecord(view)) throw invalid(`\`${name}\` in views is not an object.`);
    const { map, reduce } = view;
    if (map === undefined) throw invalid('Missing map function.');
    if (typeof map !== 'string' && language === 'javascript')
      throw invalid('`map` in views must be a string.');
    if (language === 'javascript') requireCompiles(map, 'map', name);
    if (typeof reduce === 'string' && reduce.startsWith('_')) {
      if (
        !/^_(?:sum|count|stats|approx_count_distinct|first|last|top_\d+|bottom_\d+)$/.test(reduce)
      )
        throw invalid(`\`${reduce}\` is not a supported reduce function.`);
    } else if (reduce !== undefined && language === 'javascript')
      requireCompiles(reduce, 'reduce', name);
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
