import { asObject, numberOrNull, stringField } from '../http/decode.ts';
import type { Sequence } from '../model/change.ts';

/**
 * What a replication is doing. It goes on from all of them by itself but from `'completed'` and
 * `'failed'`, which are its end.
 *
 * @see https://docs.couchdb.org/en/stable/replication/replicator.html#replication-states
 */
export type ReplicationState =
  'initializing' | 'pending' | 'running' | 'crashing' | 'error' | 'completed' | 'failed';

/** What a replication has done since it began. */
export interface ReplicationCounts {
  readonly revisionsChecked: number;
  readonly missingRevisionsFound: number;
  readonly docsRead: number;
  readonly docsWritten: number;
  readonly docWriteFailures: number;
  /** How many changes of the source are still to come; null where the server does not know. */
  readonly changesPending: number | null;
  /** The sequence of the source up to which everything has been copied for good. */
  readonly checkpointedSourceSeq: Sequence | null;
}

/** A document of a `_replicator` database, and the replication that it describes. */
export interface ReplicationStatus {
  /** The id of the document. */
  readonly id: string;
  /** The database that it is in. */
  readonly replicator: string;
  readonly state: ReplicationState;
  /** The id of the job by which the scheduler knows it; null before there is one, and at the end. */
  readonly jobId: string | null;
  /** Where from and where to, without credentials; null where the server does not say. */
  readonly source: string | null;
  readonly target: string | null;
  /** The node that it runs on, or null. */
  readonly node: string | null;
  /** How often in a row it has failed; the server waits the longer the more often. */
  readonly errorCount: number;
  /** Why it is `'crashing'`, `'error'` or `'failed'`; null in other states. */
  readonly error: string | null;
  /** Null where nothing has been counted yet. */
  readonly counts: ReplicationCounts | null;
  /** When it began, and when its state was new: in ISO 8601, to the second. */
  readonly startTime: string | null;
  readonly lastUpdated: string | null;
  /** The answer as the server gave it. */
  readonly raw: Readonly<Record<string, unknown>>;
}

export function readReplicationStatus(body: unknown): ReplicationStatus {
  const raw = asObject(body);
  return {
    id: stringField(raw, 'doc_id'),
    replicator: text(raw['database']) ?? '_replicator',
    // A document that the scheduler has not looked at has no state.
    state: (text(raw['state']) ?? 'initializing') as ReplicationState,
    jobId: text(raw['id']),
    source: text(raw['source']),
    target: text(raw['target']),
    node: text(raw['node']),
    errorCount: Number(raw['error_count'] ?? 0),
    error: readError(raw['info']),
    counts: readCounts(raw['info']),
    startTime: text(raw['start_time']),
    lastUpdated: text(raw['last_updated']),
    raw,
  };
}

export function readCounts(info: unknown): ReplicationCounts | null {
  if (typeof info !== 'object' || info === null || !('docs_read' in info)) return null;
  const raw = asObject(info);
  const count = (name: string): number => Number(raw[name] ?? 0);
  return {
    revisionsChecked: count('revisions_checked'),
    missingRevisionsFound: count('missing_revisions_found'),
    docsRead: count('docs_read'),
    docsWritten: count('docs_written'),
    docWriteFailures: count('doc_write_failures'),
    changesPending: numberOrNull(raw['changes_pending']),
    checkpointedSourceSeq: text(raw['checkpointed_source_seq']),
  };
}

function readError(info: unknown): string | null {
  if (typeof info === 'object' && info !== null && 'error' in info) return text(info.error);
  return text(info);
}

function text(value: unknown): string | null {
  return typeof value === 'string' ? value : null;
}
