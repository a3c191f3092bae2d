import { mergeMap } from 'rxjs';
import { secretsOfHeader } from '../errors/redact.ts';
import { basicAuthorization } from '../http/auth.ts';
import type { Connection } from '../http/connection.ts';
import type { RequestSpec } from '../http/link.ts';
import type { Answer, ReplicationEndpoint } from '../http/exchange.ts';
import { asObject } from '../http/decode.ts';
import { Operation, operation } from '../http/operation.ts';
import { wireName } from '../http/query.ts';
import {
  SERVER,
  databaseAt,
  documentAt,
  endpoint,
  isUrl,
  parseAddress,
  requireDatabaseName,
  requireId,
  revQuery,
} from '../http/url.ts';
import type { Endpoint } from '../http/url.ts';
import { assertJson, assertQuery } from '../model/json.ts';
import { isRestriction, requireRestrictions } from '../http/query.ts';
import { invalidArgument, unknownOption, requireOptions } from '../model/invalid-argument.ts';

/** The options of a replication. The server's configuration sets the defaults. */
export interface ReplicateOptions {
  /** Creates a document with this id in `_replicator`: the replication survives a restart. */
  readonly _id?: string;
  /** Stops the replication that was started with the same arguments. @defaultValue false */
  readonly cancel?: boolean;
  /** Replicates future changes too, until it is cancelled. @defaultValue false */
  readonly continuous?: boolean;
  /** Creates the target if it does not exist. @defaultValue false */
  readonly createTarget?: boolean;
  /** The layout of a created target: `{ q, n, partitioned }`. */
  readonly createTargetParams?: Readonly<Record<string, unknown>>;
  /** Replicates only these documents. */
  readonly docIds?: readonly string[];
  /** Replicates only documents that match this Mango selector. */
  readonly selector?: Readonly<Record<string, unknown>>;
  /** Replicates only documents that this filter function of the source accepts: `'ddoc/filter'`. */
  readonly filter?: string;
  /** Parameters of the filter function. */
  readonly queryParams?: Readonly<Record<string, unknown>>;
  /** The URL of a proxy for the source and the target. */
  readonly proxy?: string;
  readonly sourceProxy?: string;
  readonly targetProxy?: string;
  /** Starts after this sequence of the source. */
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

/** The server's response to a replication request. */
export interface ReplicationResult {
  readonly ok: true;
  /** The scheduler's id of a continuous replication. */
  readonly localId: string | null;
  /** The id of the document in `_replicator`; null without `_id`. */
  readonly id: string | null;
  /** The revision of the document in `_replicator`; null without `_id`. */
  readonly rev: string | null;
  /** Whether there was nothing to replicate. */
  readonly noChanges: boolean;
  /** The sessions, the latest first: `docs_written`, `doc_write_failures`… */
  readonly history: readonly Readonly<Record<string, unknown>>[];
  /** The server's whole response. */
  readonly raw: Readonly<Record<string, unknown>>;
}

/**
 * The key of the method that returns a database's endpoint. `Symbol.for` makes it work across
 * duplicate installs.
 */
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
  requireOptions(options, 'replicate');
  const { _id: id, cancel = false, ...rest } = options;
  const endpoints = (): Record<string, unknown> => ({
    source: endpointOf(connection, source, 'source'),
    target: endpointOf(connection, target, 'target'),
  });
  // Validate now; each request calls it again, because credentials can change.
  connection.hide(secretsOf(endpoints()), 'request');
  requireRestrictions(rest, 'replicate');
  const body: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(rest)) {
    if (!OPTIONS.has(name)) throw unknownOption('replicate', name, ['_id', 'cancel', ...OPTIONS]);
    if (value === undefined) continue;
    const validate = isRestriction(name) ? assertQuery : assertJson;
    validate(value, `replicate: ${name}`, connection.codec);
    body[wireName(name)] = value;
  }
  if (id === undefined) {
    return withCredentials(connection, () => {
      const json = Object.assign(endpoints(), body, cancel && { cancel });
      // A replication without `continuous` responds when it has ended, so no timeout applies.
      return {
        ...endpoint(SERVER, '/_replicate'),
        method: 'POST',
        json,
        secrets: secretsOf(json),
        timeout: 0,
      };
    });
  }
  requireId(id, 'replicate: _id');
  const replicator = databaseAt('_replicator');
  // Validate now: throws at the call.
  documentAt(replicator, id);
  return cancel
    ? removeDocument(connection, replicator, id)
    : withCredentials(connection, () => {
        const json = Object.assign(endpoints(), body);
        return { ...documentAt(replicator, id), method: 'PUT', json, secrets: secretsOf(json) };
      });
}

/** Sends a request whose body has the credentials of the connection, when they are there. */
function withCredentials(
  connection: Connection,
  describe: () => RequestSpec,
): Operation<ReplicationResult> {
  const answer = operation(connection, describe, decode).answers();
  return new Operation(connection.authenticator.ready$.pipe(mergeMap(() => answer)));
}

/** Returns the credentials in the body of a replication. */
function secretsOf(body: Readonly<Record<string, unknown>>): string[] {
  return Object.entries(body).flatMap(([key, value]): readonly string[] => {
    // The source, the target, or a proxy, whose URL may be malformed.
    if (typeof value === 'string')
      return isUrl(value) || key.endsWith('proxy') ? urlSecrets(value) : [];
    if (typeof value !== 'object' || value === null || !('url' in value)) return [];
    const { auth, headers = {} } = value as ReplicationEndpoint;
    const basic = auth === undefined ? [] : basicAuthorization(auth.basic).secrets;
    const inHeaders = ['authorization', 'x-auth-couchdb-token'].flatMap((name) =>
      secretsOfHeader(name, headers[name] ?? ''),
    );
    return [...basic, ...inHeaders];
  });
}

/**
 * Returns the password in the URL of a proxy: all from the first colon, or from the start, up to the last
 * `@`. It does not parse the URL, because the password may break it.
 */
function urlSecrets(url: string): string[] {
  const rest = url.slice(url.indexOf('//') === -1 ? 0 : url.indexOf('//') + 2);
  const userinfo = rest.slice(0, Math.max(rest.lastIndexOf('@'), 0));
  const password = userinfo.slice(userinfo.indexOf(':') + 1);
  try {
    return [password, decodeURIComponent(password)];
  } catch {
    return [password];
  }
}

function removeDocument(
  connection: Connection,
  replicator: Endpoint,
  id: string,
): Operation<ReplicationResult> {
  const revision = connection.json(
    () => documentAt(replicator, id),
    (body) => String(asObject(body)['_rev']),
  );
  return new Operation(
    revision.pipe(
      mergeMap(({ value: rev }: Answer<string>) =>
        connection.json(
          () => ({ ...documentAt(replicator, id, revQuery(rev)), method: 'DELETE' }),
          decode,
        ),
      ),
    ),
  );
}

function endpointOf(
  connection: Connection,
  side: ReplicationSide,
  name: 'source' | 'target',
): ReplicationEndpoint | string {
  if (typeof side === 'object' && side !== null && REPLICATION_ENDPOINT in side)
    return side[REPLICATION_ENDPOINT]();
  if (typeof side !== 'string')
    throw invalidArgument(`replicate: ${name}`, 'a URL, a database name or a Database', side);
  if (isUrl(side)) {
    // CouchDB does not decode the userinfo of a URL, so the credentials are sent separately.
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
