import { badRequest, json, missing } from '../reply.ts';
import type { Reply } from '../reply.ts';
import type { MemoryDatabase } from './database.ts';
import { explain } from './explain.ts';
import { find } from './find.ts';
import { requirePartitionKey } from './ids.ts';
import { listDocuments, queryView } from './listings.ts';
import type { MemoryRequest } from './request.ts';

/** Answers a request for one partition: `_partition/{key}`. */
export function partitionReply(
  db: MemoryDatabase,
  [key, part, ...more]: readonly string[],
  request: MemoryRequest,
): Reply {
  if (key === undefined) throw badRequest('invalid_partition_req');
  requirePartitionKey(key);
  if (!db.partitioned) throw badRequest('database is not partitioned');
  const { body } = request;
  const [design, kind, view] = more;
  if (part === undefined) {
    const own = db.documents.filter(([id]) => id.startsWith(`${key}:`));
    const deleted = own.filter(([, { content }]) => content?.deleted === true).length;
    const sizes = { active: 0, external: 0 };
    const counts = { doc_count: own.length - deleted, doc_del_count: deleted };
    return json(200, { db_name: db.name, sizes, partition: key, ...counts });
  }
  if (part === '_all_docs') return listDocuments(db, part, request, key);
  if (part === '_find') return find(db, { ...(body as object), partition: key });
  if (part === '_explain') return explain(db, { ...(body as object), partition: key });
  if (part === '_design' && kind === '_view' && view !== undefined)
    return queryView(db, `_design/${design}`, view, request, key);
  throw missing();
}
