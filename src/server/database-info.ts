import { map } from 'rxjs';
import { isNotFound } from '../errors/status-errors.ts';
import { asObject, sequence } from '../http/decode.ts';
import { Operation, operation } from '../http/operation.ts';
import type { DatabaseScope } from '../http/scope.ts';
import type { Sequence } from '../model/change.ts';

/** What the server knows of a database. */
export interface DatabaseInfo {
  readonly name: string;
  readonly docCount: number;
  readonly deletedDocCount: number;
  readonly updateSeq: Sequence;
  readonly compactRunning: boolean;
  /** In bytes: on disk, of live data, and of the same uncompressed. */
  readonly sizes: { readonly file: number; readonly active: number; readonly external: number };
  readonly partitioned: boolean;
  /** The answer as the server gave it, for what else it holds. */
  readonly raw: Readonly<Record<string, unknown>>;
}

export function databaseInfo(db: DatabaseScope): Operation<DatabaseInfo> {
  return operation(
    db.connection,
    () => ({ path: db.path }),
    (body) => decodeDatabaseInfo(db.name, body),
  );
}

export function decodeDatabaseInfo(name: string, body: unknown): DatabaseInfo {
  const raw = asObject(body);
  const sizes = (raw['sizes'] ?? {}) as Partial<DatabaseInfo['sizes']>;
  const props = (raw['props'] ?? {}) as { partitioned?: boolean };
  return {
    name,
    docCount: Number(raw['doc_count']),
    deletedDocCount: Number(raw['doc_del_count'] ?? 0),
    updateSeq: sequence(raw['update_seq']),
    compactRunning: raw['compact_running'] === true,
    sizes: { file: 0, active: 0, external: 0, ...sizes },
    partitioned: props.partitioned === true,
    raw,
  };
}

export function databaseExists(db: DatabaseScope): Operation<boolean> {
  const head = operation(
    db.connection,
    () => ({ method: 'HEAD', path: db.path }),
    () => true,
  );
  return new Operation(
    head.status().pipe(
      map((status) => {
        if (status.ok) return { value: true, code: status.code, headers: status.headers };
        // 401, 403 and 500 say nothing of whether it exists.
        if (!isNotFound(status.exception)) throw status.exception;
        return { value: false, code: status.code, headers: status.headers };
      }),
    ),
  );
}
