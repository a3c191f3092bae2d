import { mergeMap } from 'rxjs';
import type { Connection } from '../http/connection.ts';
import type { Answer, ReplicationEndpoint } from '../http/exchange.ts';
import { asObject } from '../http/decode.ts';
import { Operation, operation } from '../http/operation.ts';
import { wireName } from '../http/query.ts';
import { documentPath, isUrl, parseAddress, requireDatabaseName, requireId } from '../http/url.ts';
import { assertJson } from '../model/json.ts';
import { invalidArgument } from '../model/invalid-argument.ts';

/** How a replication is done. What is not set is the server's to choose. */
export interface ReplicateOptions {
  /** Makes a document of this id in `_replicator`: the replication outlives a restart. */
  readonly _id?: string;
  /** Ends the replication that was begun with the same arguments. */
  readonly cancel?: boolean;
  /** Goes on for ever, instead of ending when there is nothing left to copy. */
  readonly continuous?: boolean;
  /** Creates the target where it is missing. */
  readonly createTarget?: boolean;
  /** How a created target is laid out: `{ q, n, partitioned }`. */
  readonly createTargetParams?: Readonly<Record<string, unknown>>;
  /** Copies only these documents. */
  readonly docIds?: readonly string[];
  /** Copies only documents that match this Mango selector. */
  readonly selector?: Readonly<Record<string, unknown>>;
  /** Copies only documents that pass this filter function of the source. */
  readonly filter?: string;
  /** Parameters for the filter function. */
  readonly queryParams?: Readonly<Record<string, unknown>>;
  /** The address of a proxy to reach both ends through. */
  readonly proxy?: string;
  readonly sourceProxy?: string;
  readonly targetProxy?: string;
  /** Begins after this sequence of the source. */
  readonly sinceSeq?: string;
  readonly useCheckpoints?: boolean;
  /** In milliseconds. */
  readonly checkpointInterval?: number;
  readonly useBulkGet?: boolean;
  readonly winningRevsOnly?: boolean;
  readonly workerProcesses?: number;
  readonly workerBatchSize?: number;
  readonly httpConnections?: number;
  /** In milliseconds. */
  readonly connectionTimeout?: number;
  readonly retriesPerRequest?: number;
  readonly socketOptions?: string;
  readonly userCtx?: Readonly<Record<string, unknown>>;
}

const OPTIONS: ReadonlySet<string> = new Set([
  '_id',
  'cancel',
  'continuous',
  'createTarget',
  'createTargetParams',
  'docIds',
  'selector',
  'filter',
  'queryParams',
  'proxy',
  'sourceProxy',
  'targetProxy',
  'sinceSeq',
  'useCheckpoints',
  'checkpointInterval',
  'useBulkGet',
  'winningRevsOnly',
  'workerProcesses',
  'workerBatchSize',
  'httpConnections',
  'connectionTimeout',
  'retriesPerRequest',
  'socketOptions',
  'userCtx',
]);

/** What the server says of a replication. */
export interface ReplicationResult {
  readonly ok: true;
  /** The id of a continuous replication, by which the server knows it. */
  readonly localId: string | null;
  /** The document in `_replicator`, where one was asked for, and its revision. */
  readonly id: string | null;
  readonly rev: string | null;
  /** Whether there was nothing to copy. */
  readonly noChanges: boolean;
  /** What was done, the latest first: `docs_written`, `doc_write_failures`… */
  readonly history: readonly Readonly<Record<string, unknown>>[];
  /** The answer as the server gave it. */
  readonly raw: Readonly<Record<string, unknown>>;
}

/** The method by which a database describes itself to a server that replicates, in any install. */
export const REPLICATION_ENDPOINT: unique symbol = Symbol.for('corduroy.replicationEndpoint');

/** A source or target of a replication: a `Database` of any server. */
export interface Replicable {
  /** @internal */
  [REPLICATION_ENDPOINT](): ReplicationEndpoint;
}

/** A full URL, the name of a database on this server, or a `Database`. */
export type ReplicationSide = string | Replicable;

export function replicate(
  connection: Connection,
  source: ReplicationSide,
  target: ReplicationSide,
  options: ReplicateOptions,
): Operation<ReplicationResult> {
  const { _id: id, cancel = false, ...rest } = options;
  // Misuse is told now; credentials are those of the moment in which it is sent.
  const ends = (): Record<string, unknown> => ({
    source: endOf(connection, source, 'source'),
    target: endOf(connection, target, 'target'),
  });
  ends();
  const body: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(rest)) {
    if (!OPTIONS.has(name)) throw new TypeError(`replicate: unknown option '${name}'`);
    if (value !== undefined) body[wireName(name)] = value;
  }
  assertJson(body, 'replicate');
  if (id === undefined) {
    const json = (): object => Object.assign(ends(), body, cancel && { cancel });
    return operation(
      connection,
      // A replication that is not continuous takes as long as it takes.
      () => ({ method: 'POST', path: '/_replicate', json: json(), timeout: 0 }),
      decode,
    );
  }
  requireId(id, 'replicate: _id');
  const path = `/_replicator${documentPath(id)}`;
  return cancel
    ? removeDocument(connection, path)
    : operation(
        connection,
        () => ({ method: 'PUT', path, json: Object.assign(ends(), body) }),
        decode,
      );
}

function removeDocument(connection: Connection, path: string): Operation<ReplicationResult> {
  const revision = connection.json(
    () => ({ path }),
    (body) => String(asObject(body)['_rev']),
  );
  return new Operation(
    revision.pipe(
      mergeMap(({ value: rev }: Answer<string>) =>
        connection.json(() => ({ method: 'DELETE', path: `${path}?rev=${rev}` }), decode),
      ),
    ),
  );
}

function endOf(
  connection: Connection,
  side: ReplicationSide,
  what: string,
): ReplicationEndpoint | string {
  if (typeof side === 'object' && side !== null && REPLICATION_ENDPOINT in side)
    return side[REPLICATION_ENDPOINT]();
  if (typeof side !== 'string')
    throw invalidArgument(`replicate: ${what}`, 'a URL, a name or a Database', side);
  if (isUrl(side)) {
    // CouchDB does not decode what a URL has to encode in a name or password, so they go apart.
    const { url, authorization } = parseAddress(side);
    return authorization.basic === undefined ? side : { url, auth: { basic: authorization.basic } };
  }
  requireDatabaseName(side);
  return connection.replicationEndpoint(side);
}

function decode(body: unknown): ReplicationResult {
  const raw = asObject(body);
  return {
    ok: true,
    localId: text(raw['_local_id']),
    id: text(raw['id']),
    rev: text(raw['rev']),
    noChanges: raw['no_changes'] === true,
    history: (raw['history'] ?? []) as ReplicationResult['history'],
    raw,
  };
}

function text(value: unknown): string | null {
  return typeof value === 'string' ? value : null;
}
