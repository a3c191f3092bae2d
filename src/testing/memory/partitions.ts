import { Refusal, badRequest, json, missing } from '../reply.ts';
import type { Reply } from '../reply.ts';
import type { MemoryDatabase } from './database.ts';
import { explain } from './explain.ts';
import { find } from './find.ts';
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

/** Throws unless a document of a partitioned database has a partition in its id. */
export function requirePartition(db: MemoryDatabase, id: string): void {
  if (!db.partitioned || id.startsWith('_')) return;
  const [, partition, rest] = /^([^:]*):(.*)$/s.exec(id) ?? [];
  if (partition === undefined)
    throw new Refusal(400, 'illegal_docid', 'Doc id must be of form partition:id');
  requirePartitionKey(partition);
  if (rest === '') throw new Refusal(400, 'illegal_docid', 'Document id must not be empty');
}

/** Throws for a key that no partition can have. */
function requirePartitionKey(key: string): void {
  if (key === '') throw illegalPartition('Partition must not be empty');
  if (key.startsWith('_')) throw illegalPartition('Partition must not start with an underscore');
}

function illegalPartition(reason: string): Refusal {
  return new Refusal(400, 'illegal_partition', reason);
}
