import { from, map, of, reduce } from 'rxjs';
import type { Observable } from 'rxjs';
import { Refusal, Reply, json, missing } from '../reply.ts';
import type { MemoryRequest } from './request.ts';
import type { MemoryDatabase, Validate } from './database.ts';
import { parseRev, storeAttachment } from './draft.ts';
import { requirePartition, requireShard } from './ids.ts';
import { treeOf, winnerOf } from './reads.ts';
import type { StoredAttachment } from './revision-tree.ts';

/** Answers a request for an attachment. */
export function attachmentReply(
  db: MemoryDatabase,
  id: string,
  name: string,
  request: MemoryRequest,
  validate: Validate,
): Reply | Observable<Reply> {
  const { method, query } = request;
  if (query['rev'] !== undefined) parseRev(query['rev']);
  if (method === 'PUT') requirePartition(db, id);
  else requireShard(db, id);
  switch (method) {
    case 'GET':
    case 'HEAD':
      return read(db, id, name, request);
    case 'PUT':
      return bytesOf(request).pipe(
        map((bytes) => write(db, id, name, query['rev'], { bytes, request }, validate)),
      );
    case 'DELETE':
      return write(db, id, name, query['rev'], undefined, validate);
    default:
      throw new Refusal(405, 'method_not_allowed', 'Only GET,HEAD,PUT,DELETE allowed');
  }
}

function read(db: MemoryDatabase, id: string, name: string, request: MemoryRequest): Reply {
  const { query, headers = {} } = request;
  const rev = query['rev'];
  const revision = rev === undefined ? winnerOf(db, id) : treeOf(db, id).find(parseRev(rev));
  const attachment = revision?.content?.attachments.get(name);
  if (attachment === undefined) throw missing('Document is missing attachment');
  const { data, content_type: type, digest } = attachment;
  const common = {
    'content-type': type,
    etag: `"${digest.slice('md5-'.length)}"`,
    'content-md5': digest.slice('md5-'.length),
    'accept-ranges': 'bytes',
  };
  const [, first = '', last = ''] = /^bytes=(\d*)-(\d*)$/.exec(headers['range'] ?? '') ?? [];
  if (first === '' && last === '')
    return new Reply(200, { ...common, 'content-length': String(data.length) }, of(data));
  const start = first === '' ? Math.max(0, data.length - Number(last)) : Number(first);
  const end = first === '' || last === '' ? data.length : Math.min(data.length, Number(last) + 1);
  if (start >= end)
    throw new Refusal(416, 'requested_range_not_satisfiable', 'Requested range not satisfiable');
  const part = data.slice(start, end);
  const range = `bytes ${start}-${end - 1}/${data.length}`;
  const lengths = { 'content-range': range, 'content-length': String(part.length) };
  return new Reply(206, { ...common, ...lengths }, of(part));
}

function write(
  db: MemoryDatabase,
  id: string,
  name: string,
  rev: string | undefined,
  upload: { readonly bytes: Uint8Array; readonly request: MemoryRequest } | undefined,
  validate: Validate,
): Reply {
  const based = rev === undefined ? undefined : parseRev(rev);
  const tree = db.tree(id);
  const base = based === undefined ? undefined : tree?.find(based);
  if (based !== undefined && (base === undefined || base.content === null))
    throw new Refusal(409, 'not_found', 'missing_rev');
  const attachments = new Map<string, StoredAttachment>(base?.content?.attachments);
  if (upload === undefined) {
    // Without a revision, CouchDB looks for the attachment first.
    const owner = base ?? winnerOf(db, id);
    if (owner.content?.attachments.has(name) !== true)
      throw missing('Document is missing attachment');
    attachments.delete(name);
  } else {
    const { bytes, request } = upload;
    const type = request.headers?.['content-type'] ?? 'application/octet-stream';
    const generation = based === undefined ? 1 : Number.parseInt(based, 10) + 1;
    const others = [...attachments].filter(([one]) => one !== name);
    attachments.clear();
    attachments.set(name, storeAttachment(bytes, type, generation));
    for (const [one, attachment] of others) attachments.set(one, attachment);
  }
  const draft = {
    id,
    history: based === undefined ? [] : [based],
    deleted: base?.content?.deleted ?? false,
    fields: base?.content?.fields ?? {},
    attachments: [...attachments],
  };
  const [written] = db.edit([draft], validate);
  if (written === undefined || written instanceof Refusal) throw written ?? missing();
  const { rev: newRev } = written;
  const status = upload === undefined ? 200 : 201;
  return json(status, { ok: true, id, rev: newRev }, { etag: `"${newRev}"` });
}

/** Collects the bytes of a body, which may be text, bytes or a stream. */
function bytesOf({ raw }: MemoryRequest): Observable<Uint8Array> {
  if (raw === undefined) return of(new Uint8Array());
  if (typeof raw === 'string') return of(new TextEncoder().encode(raw));
  if (raw instanceof Uint8Array) return of(raw);
  return concatBytes(raw);
}

function concatBytes(raw: AsyncIterable<Uint8Array>): Observable<Uint8Array> {
  return from(raw).pipe(
    reduce((all, chunk) => {
      const joined = new Uint8Array(all.length + chunk.length);
      joined.set(all);
      joined.set(chunk, all.length);
      return joined;
    }, new Uint8Array()),
  );
}
