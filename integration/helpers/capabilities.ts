import { findNatsServer } from './nats-server.ts';
import type { ServerKind } from './running-server.ts';

/** The capabilities that the embedded server lacks, by the name that a test passes to needs(). */
export const embeddedLacks = {
  'exact-integers': 'It is a JavaScript program, which rounds integers above 2⁵³ itself.',
  purge: 'The memory adapter cannot forget a revision, so _purge and _purged_infos_limit are 501.',
  restart: 'Its data are in memory, and are lost when its process ends.',
  'active-tasks': 'It runs no background tasks: _active_tasks is always empty.',
  statistics: 'Its counters never change.',
  scheduler: 'There is no _scheduler. A _replicator document contains its state.',
  collation: 'Keys are ordered by code point (A, B, a, b) and not by ICU (a, A, b, B).',
  'view-paging': 'startkey_docid and endkey_docid are ignored, and a view offset is only the skip.',
  range: 'Attachments are sent whole: Range is ignored.',
  partitions: 'There are no partitioned databases.',
  'db-updates': 'There is no _db_updates feed.',
  'explain-find':
    '_find has no execution_stats and no warnings, and _explain returns fewer fields.',
  'find-during-writes': '_find answers 400 if a document is deleted while it reads.',
  'mango-operators':
    'pouchdb-find has no $beginsWith, no $keyMapMatch, no paths into arrays and no $or in a field.',
  'partial-index': 'A partial index contains every document.',
  'bulk-index-delete': 'There is no _index/_bulk_delete.',
  'bulk-get-leaves': 'Without a revision, _bulk_get reads only the winner.',
  'atts-since': 'atts_since is ignored: all attachments are sent.',
  'possible-ancestors': '_revs_diff does not return possible_ancestors.',
  'seq-interval': 'seq_interval is ignored: every change has a sequence.',
  'local-overwrite': 'A local document cannot be overwritten without its revision.',
  'local-docs': 'There is no _local_docs.',
  'revs-limit': 'The limit of revisions has no effect.',
  'index-signature': 'Each design document has its own index, and _info has no signature.',
  'design-functions-quickjs':
    'Functions run in the Node process, without the limits of a query server.',
  cluster: 'There is one node, and no _cluster_setup, _reshard or _shards.',
  node: 'A node has only a name, a configuration and statistics.',
  'dbs-info': 'There is no _dbs_info, and the server has no UUID.',
  'query-servers': 'There are no query servers to restart.',
  'several-nodes': 'It is one process, and cannot join a cluster.',
  'proxy-authentication': 'It supports Basic and cookies, but neither proxies nor JWTs.',
  'attachment-encoding': 'Attachments are never compressed: no encoding or encoded_length.',
  'filter-heartbeats': 'A filter function runs in its only thread, which sends nothing meanwhile.',
  'local-seq': 'local_seq is ignored.',
  'recorded-answers': 'Its revisions, sequences and many refusals differ from those of CouchDB.',
  'design-names': 'It has no views in a design document whose name contains a slash.',
  'compaction-state': 'compact_running is never true and sizes are estimates.',
} as const satisfies Record<string, string>;

/** `nats-server` is a program on this machine, and no capability of the CouchDB. */
export type Capability = keyof typeof embeddedLacks | 'process' | 'nats-server';

/** Returns why a capability is missing, or undefined if the server has it. */
export function lack(kind: ServerKind, capability: Capability): string | undefined {
  if (capability === 'nats-server')
    return findNatsServer() === undefined ? 'this machine' : undefined;
  if (kind === 'given') return missingOnGiven.has(capability) ? 'a given server' : undefined;
  // Only Linux can listen on every loopback address.
  if (capability === 'several-nodes' && process.platform !== 'linux') return process.platform;
  return kind === 'embedded' && capability in embeddedLacks ? 'the embedded server' : undefined;
}

/** Tests must not stop, restart or reconfigure a server given by $COUCHDB_URL. */
const missingOnGiven = new Set<Capability>([
  'process',
  'restart',
  'several-nodes',
  'proxy-authentication',
]);
