import { isWellFormed } from '../../model/json.ts';
import { Refusal, badRequest, isRecord } from '../reply.ts';
import { requireId } from './ids.ts';
import { fromBase64, md5, toBase64 } from './revision-hash.ts';
import type { Content, StoredAttachment } from './revision-tree.ts';

/** A document to write, split into its parts. */
export interface Draft {
  /** Empty if the document has none. */
  readonly id: string;
  /** The revision that it is based on, and its ancestors, the newest first. */
  readonly history: readonly string[];
  readonly deleted: boolean;
  readonly fields: Readonly<Record<string, unknown>>;
  readonly attachments: readonly DraftAttachment[];
}

/** An attachment with its bytes, or the stub of one that the document has already. */
type DraftAttachment = readonly [name: string, attachment: StoredAttachment | 'stub'];

/** The largest document of CouchDB, `[couchdb] max_document_size`. */
const MAX_BYTES = 8_000_000;

/** Fields that CouchDB adds to reads, and ignores in writes. */
const IGNORED = new Set(['_revs_info', '_local_seq', '_conflicts', '_deleted_conflicts']);
/** Fields of the replicator and of access control, which CouchDB stores. */
const STORED = /^_(?:access|replication_(?:state|state_time|state_reason|id|stats))$/;

/** Reads a document as CouchDB does: field by field, so that the first mistake decides the error. */
export function readDraft(json: unknown): Draft {
  if (!isRecord(json)) throw badRequest('Document must be a JSON object');
  const fields: Record<string, unknown> = {};
  let id = '';
  let history: readonly string[] = [];
  let deleted = false;
  let attachments: readonly DraftAttachment[] = [];
  for (const [name, value] of Object.entries(json)) {
    if (name === '_id') id = requireId(value);
    else if (name === '_rev') {
      if (history.length === 0) history = [parseRev(value)];
    } else if (name === '_revisions' && isRecord(value)) history = readRevisions(value);
    else if (name === '_deleted' && typeof value === 'boolean') deleted = value;
    else if (name === '_attachments' && isRecord(value)) attachments = readAttachments(value);
    else if (!name.startsWith('_') || STORED.test(name)) setOwn(fields, name, value);
    else if (!IGNORED.has(name)) throw invalid(`Bad special document member: ${name}`);
  }
  requireUtf8(fields);
  if (new TextEncoder().encode(JSON.stringify(fields, bigintAsNumber)).length > MAX_BYTES)
    throw new Refusal(413, 'document_too_large', id);
  for (const [name] of attachments)
    if (name.startsWith('_'))
      throw badRequest(`Attachment name '${name}' starts with prohibited underscore '_'`);
  return { id, history, deleted, fields, attachments };
}

/** A plain assignment to `__proto__` would set the prototype. */
export function setOwn(target: object, name: string, value: unknown): void {
  const own = { value, enumerable: true, configurable: true, writable: true };
  Object.defineProperty(target, name, own);
}

function bigintAsNumber(_name: string, value: unknown): unknown {
  return typeof value === 'bigint' ? Number(value) : value;
}

function requireUtf8(value: unknown): void {
  if (typeof value === 'string') {
    if (!isWellFormed(value)) throw badRequest('invalid UTF-8 JSON');
  } else if (typeof value === 'object' && value !== null)
    for (const [name, field] of Object.entries(value)) {
      requireUtf8(name);
      requireUtf8(field);
    }
}

function invalid(reason: string): Refusal {
  return new Refusal(400, 'doc_validation', reason);
}

/** Returns a revision in the form in which CouchDB answers it. */
export function parseRev(value: unknown): string {
  const [, generation, hash] = /^([+-]?\d+)-(.*)$/s.exec(String(value)) ?? [];
  if (typeof value !== 'string' || generation === undefined || hash === undefined)
    throw badRequest('Invalid rev format');
  if (hash.length === 32 && !/^[\da-f]+$/i.test(hash)) throw badRequest('Invalid rev format');
  return `${Number(generation)}-${normalHash(hash)}`;
}

/** Returns revisions of a JSON list. */
export function parseRevs(value: unknown): readonly string[] {
  if (!Array.isArray(value)) throw badRequest('Invalid list of revisions');
  return value.map(parseRev);
}

function normalHash(hash: string): string {
  return hash.length === 32 ? hash.toLowerCase() : hash;
}

function readRevisions({ start, ids }: Readonly<Record<string, unknown>>): readonly string[] {
  if (!Number.isInteger(start)) throw invalid("_revisions.start isn't an integer.");
  if (!Array.isArray(ids)) throw invalid("_revisions.ids isn't a array.");
  return ids.map((hash: unknown, i) => {
    if (typeof hash !== 'string') throw invalid("RevId isn't a string");
    if (hash.length === 32 && !/^[\da-f]+$/i.test(hash))
      throw invalid("RevId isn't a valid hexadecimal");
    return `${(start as number) - i}-${normalHash(hash)}`;
  });
}

function readAttachments(json: Readonly<Record<string, unknown>>): readonly DraftAttachment[] {
  return Object.entries(json).map(([name, value]): DraftAttachment => {
    const {
      stub,
      data,
      content_type: type = 'application/octet-stream',
      revpos,
    } = isRecord(value) ? value : {};
    if (stub === true) return [name, 'stub'];
    if (typeof data !== 'string') throw badRequest(`Invalid attachment data for ${name}`);
    return [name, storeAttachment(decode(data, name), String(type), Number(revpos ?? 0))];
  });
}

function decode(data: string, name: string): Uint8Array {
  try {
    return fromBase64(data);
  } catch {
    throw badRequest(`Invalid attachment data for ${name}`);
  }
}

/** Makes an attachment of its bytes. `revpos` is the generation in which it was written. */
export function storeAttachment(data: Uint8Array, type: string, revpos: number): StoredAttachment {
  const digest = `md5-${toBase64(md5(data))}`;
  return { content_type: type, revpos, digest, length: data.length, data };
}

/**
 * Returns the content of a draft. Stubs stand for the attachments of the revision that it is based on.
 */
export function contentOf(
  { id, deleted, fields, attachments }: Draft,
  base: Content | null | undefined,
  generation: number,
): Content {
  const stored = attachments.map(([name, one]): readonly [string, StoredAttachment] => {
    if (one !== 'stub') return [name, one.revpos > 0 ? one : { ...one, revpos: generation }];
    const known = base?.attachments.get(name);
    if (known === undefined)
      throw new Refusal(412, 'missing_stub', `Invalid attachment stub in ${id} for ${name}`);
    return [name, known];
  });
  return { deleted, fields, attachments: new Map(stored) };
}
