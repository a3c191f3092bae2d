import { Refusal } from '../reply.ts';

// The rules for the ids of documents, and for the partitions in them.

interface Partitioned {
  readonly partitioned: boolean;
}

/** Throws for an id that CouchDB refuses. */
export function requireId(id: unknown): string {
  if (typeof id !== 'string') throw illegalId('Document id must be a string');
  if (id === '') throw illegalId('Document id must not be empty');
  if (id === '_design/' || id === '_local/') throw illegalId(`Illegal document id \`${id}\``);
  if (id.startsWith('_') && !/^_(?:design|local)\//.test(id))
    throw illegalId('Only reserved document ids may start with underscore.');
  return id;
}

/** Throws unless the shard of a document can be told from its id. */
export function requireShard(db: Partitioned, id: unknown): void {
  if (!db.partitioned || typeof id !== 'string' || id.startsWith('_') || id.includes(':')) return;
  throw illegalId('Doc id must be of form partition:id');
}

/** Throws unless a database may contain a document with this id. */
export function requirePartition(db: Partitioned, id: string): void {
  requireShard(db, id);
  if (!db.partitioned || id.startsWith('_')) return;
  const colon = id.indexOf(':');
  requirePartitionKey(id.slice(0, colon));
  if (colon === id.length - 1) throw illegalId('Document id must not be empty');
}

/** Throws for a key that no partition can have. */
export function requirePartitionKey(key: string): void {
  if (key === '') throw illegalPartition('Partition must not be empty');
  if (key.startsWith('_')) throw illegalPartition('Partition must not start with an underscore');
}

function illegalPartition(reason: string): Refusal {
  return new Refusal(400, 'illegal_partition', reason);
}

function illegalId(reason: string): Refusal {
  return new Refusal(400, 'illegal_docid', reason);
}
