import type { ServerKind } from './running-server.ts';

/** What the embedded server lacks, by the name that a spec asks for with needs(). */
export const embeddedLacks = {
  purge: 'The memory adapter cannot forget a revision, so _purge and _purged_infos_limit are 501.',
  restart: 'Its data are in memory and end with its process.',
  'active-tasks': 'It runs no task that could be listed: _active_tasks is always empty.',
  statistics: 'Its counters do not count.',
  scheduler: 'There is no _scheduler; a _replicator document carries its own state.',
  collation: 'Keys are ordered by code point (A, B, a, b) and not by ICU (a, A, b, B).',
  'view-paging': 'startkey_docid and endkey_docid are ignored, and a view offset is only the skip.',
  range: 'Attachments are sent whole: Range is ignored.',
  partitions: 'There are no partitioned databases.',
  'db-updates': 'There is no _db_updates feed.',
  'explain-find': '_find has no execution_stats and no warnings, and _explain explains less.',
  'mango-operators':
    'pouchdb-find has no $beginsWith, no $keyMapMatch, no paths into arrays and no $or in a field.',
  'partial-index': 'A partial index has every document in it.',
  'bulk-index-delete': 'There is no _index/_bulk_delete.',
  'bulk-get-leaves': 'Without a revision _bulk_get reads the winner alone.',
  'atts-since': 'atts_since is ignored: all attachments are sent.',
  'possible-ancestors': '_revs_diff does not say which revisions may be the ancestors.',
  'seq-interval': 'seq_interval is ignored: every change has its sequence.',
  'local-overwrite': 'Local documents have revisions that are compared.',
  'local-docs': 'There is no _local_docs.',
  'revs-limit': 'The limit of revisions is not kept.',
  'index-signature': 'An index belongs to its design document, and _info has no signature of it.',
  'design-functions-quickjs': 'Functions run in this Node, without the limits of a query server.',
  cluster: 'There is one node, and no _cluster_setup, _reshard or _shards.',
  node: 'A node has a name, a configuration and statistics, and no more that is its own.',
  'dbs-info': 'There is no _dbs_info, and the server has no id.',
  'query-servers': 'There are none to be started anew.',
  'several-nodes': 'It is one process, and can join no other.',
  'proxy-authentication': 'It knows Basic and cookies, and believes neither proxies nor JWTs.',
  'attachment-encoding': 'Attachments are never compressed: no encoding or encoded_length.',
  'local-seq': 'local_seq is ignored.',
  'compaction-state': 'compact_running is never true and sizes are estimates.',
} as const satisfies Record<string, string>;

export type Capability = keyof typeof embeddedLacks | 'process';

/** Why a server lacks a capability; undefined where it has it. */
export function lack(kind: ServerKind, capability: Capability): string | undefined {
  if (kind === 'given') return notOurs.has(capability) ? 'a given server' : undefined;
  // Only there is each address of the loopback one to listen on.
  if (capability === 'several-nodes' && process.platform !== 'linux') return process.platform;
  return kind === 'embedded' && capability in embeddedLacks ? 'the embedded server' : undefined;
}

/** A server given by $COUCHDB_URL is not ours to kill or to start again. */
const notOurs = new Set<Capability>([
  'process',
  'restart',
  'several-nodes',
  'proxy-authentication',
]);
