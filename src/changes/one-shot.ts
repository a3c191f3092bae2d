import { arrayField, asObject, numberOrNull, sequence } from '../http/decode.ts';
import { operation } from '../http/operation.ts';
import type { Operation } from '../http/operation.ts';
import type { DatabaseScope } from '../http/scope.ts';
import type { AnyFields } from '../model/document.ts';
import type { ChangesResult, Sequence } from '../model/change.ts';
import { decodeChange } from './decode.ts';
import { changesRequest } from './parameters.ts';
import type { ChangesParameters } from './parameters.ts';

/** What a one-shot request for changes can be given. */
export interface ChangesOptions extends ChangesParameters {
  /** Lists the latest change first. @defaultValue false */
  readonly descending?: boolean;
}

export function readChanges<T extends object = AnyFields>(
  db: DatabaseScope,
  options: ChangesOptions,
): Operation<ChangesResult<T>> {
  const { query, ...request } = changesRequest(options, {}, 'changes');
  return operation(
    db.connection,
    () => ({ ...request, path: `${db.path}/_changes${query}` }),
    (body) => ({
      lastSeq: sequence(asObject(body)['last_seq']),
      pending: numberOrNull(asObject(body)['pending']),
      results: arrayField(body, 'results').map((row) => decodeChange<T>(row)),
    }),
  );
}

/** Makes `'now'` a place that stays the same when it is asked for again. */
export function readLastSequence(db: DatabaseScope, timeout: number): Operation<Sequence> {
  return operation(
    db.connection,
    () => ({ path: `${db.path}/_changes?since=now&limit=0`, timeout }),
    (body) => sequence(asObject(body)['last_seq']),
  );
}
