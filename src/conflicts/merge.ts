import { catchError, defaultIfEmpty, map, of, take } from 'rxjs';
import type { Observable } from 'rxjs';
import type {
  AnyFields,
  Attachments,
  AttachmentStub,
  Document,
  Draft,
  InlineAttachment,
} from '../model/document.ts';
import { invalidArgument, requireOptions } from '../model/invalid-argument.ts';
import { asWritten, canonical, equal, isNumeric } from '../model/json.ts';
import { toObservable } from '../operators/to-observable.ts';
import type { ValueOrAsync } from '../operators/to-observable.ts';
import type { ServerCopy } from '../documents/refetch.ts';
import { plainDraft } from '../documents/write.ts';
import { attachmentOf, mergeAttachments } from './merge-attachments.ts';
import type { MergedAttachments } from './merge-attachments.ts';

/**
 * A merged document, or null if the merge gives up. In its `_attachments`, null removes an attachment;
 * an attachment that is not mentioned stays.
 */
export type MergeResult<T extends object = AnyFields> =
  | (T & {
      _id?: string;
      _rev?: string;
      _deleted?: boolean;
      _attachments?: MergedAttachments;
    })
  | null;

/**
 * Merges the local copy of a document, which could not be saved, with the server's copy.
 *
 * `server` is null if the document is deleted. `base` is the revision that the local copy was read
 * from, or null if the server has compacted it away. Corduroy reads `base` only for a function that
 * declares three parameters. Resolving a save sends no further request for it.
 *
 * Returns the merged document, or null to leave the document pending; or a Promise or Observable of
 * either. Corduroy takes the first value of an Observable; an Observable without a value means null.
 */
export type Merge<T extends object = AnyFields, Out extends object = T> = (
  local: Draft<T>,
  server: Document<Out> | null,
  base: Document<Out> | null,
) => ValueOrAsync<MergeResult<T | Out>>;

/** The outcome of a merge: the document to write, or the reason why there is none. */
export type MergeOutcome<T extends object> =
  | { readonly type: 'merged'; readonly doc: Draft<T> }
  | { readonly type: 'given up' }
  | { readonly type: 'failed'; readonly reason: string };

/** How the attachments of a merge result are completed. */
export type AttachmentRule =
  /** Those that the result does not mention stay, of both copies. */
  | 'merge'
  /** The same, for two leaves: all their attachments are stored. */
  | 'leaves'
  /** For `upsert`: a result with `_attachments` is exact; without, the server's stay. */
  | 'exact';

/** Merges one document. A merge that throws fails this document only. */
export function mergeOne<T extends object, Out extends object = T>(
  merge: Merge<T, Out>,
  id: string,
  local: Draft<T>,
  copies: ServerCopy<Out>,
  rule: AttachmentRule = 'merge',
): Observable<MergeOutcome<T>> {
  return toObservable(() => merge(local, copies.server, copies.base)).pipe(
    take(1),
    defaultIfEmpty(null),
    map((result): MergeOutcome<T> => {
      if (result === null || result === undefined) return { type: 'given up' };
      const merged = plainDraft(result as NonNullable<MergeResult<T>>, 'The merged document');
      const attachments = completeAttachments(merged, local, copies, rule);
      return { type: 'merged', doc: asNextRevision(id, merged, attachments, copies.server) };
    }),
    catchError((error: unknown) =>
      of<MergeOutcome<T>>({
        type: 'failed',
        reason: `merging ${JSON.stringify(id)}: ${String(error)}`,
      }),
    ),
  );
}

/** Makes the next revision of the server's copy. Ignores the `_id` and `_rev` that the merge returned. */
function asNextRevision<T extends object>(
  id: string,
  merged: NonNullable<MergeResult<T>>,
  attachments: Attachments,
  server: Document<object> | null,
): Draft<T> {
  const { _rev: _ignored, _attachments: _merged, ...rest } = merged;
  const doc = {
    ...rest,
    _id: id,
    ...(server !== null && { _rev: server._rev }),
    ...(Object.keys(attachments).length > 0 && { _attachments: attachments }),
  } as unknown;
  return doc as Draft<T>;
}

function completeAttachments<T extends object>(
  merged: NonNullable<MergeResult<T>>,
  local: Draft<T>,
  { server, base }: ServerCopy<object>,
  rule: AttachmentRule,
): Attachments {
  const onServer = server?._attachments;
  const { _attachments: mentioned } = merged;
  // A deletion has none, and a merge that returns the server's copy keeps it as it is.
  if (merged._deleted === true) return {};
  if (Object.is(merged, server)) return onServer ?? {};
  if (rule === 'exact') return exactAttachments(mentioned, onServer);
  return mergeAttachments(mentioned, {
    local: local._attachments,
    server: onServer,
    base: base?._attachments,
    readFrom: rule === 'leaves' ? null : (local._rev ?? '0-'),
  });
}

/**
 * Returns the attachments of a result of `upsert`. Drops stubs that the server does not have: CouchDB
 * would refuse the document.
 */
export function exactAttachments(
  mentioned: MergedAttachments | undefined,
  onServer: Attachments | undefined,
): Attachments {
  if (mentioned === undefined) return onServer ?? {};
  const kept: [string, AttachmentStub | InlineAttachment][] = [];
  for (const [name, one] of Object.entries(mentioned)) {
    if (one === null) continue;
    if ('data' in one || attachmentOf(onServer, name) !== undefined) kept.push([name, one]);
  }
  return Object.fromEntries(kept);
}

/** Options for a deletion that meets an edit. */
export interface DeletionOptions {
  /**
   * Which one wins.
   *
   * - `'edit'`: a local deletion stays pending; a local edit creates the document again.
   * - `'deletion'`: a local deletion is written; a local edit stays pending.
   *
   * @defaultValue 'edit'
   */
  readonly deletion?: 'edit' | 'deletion';
}

/**
 * Returns a merge that decides over deletions first, and calls `mergeEdits` for two live copies.
 * It has as many parameters as `mergeEdits`, which tells whether the base is read.
 */
function withDeletions<T extends object>(
  name: string,
  { deletion = 'edit' }: DeletionOptions,
  mergeEdits: (local: Draft<T>, server: Document<T>, base: Document<T> | null) => MergeResult<T>,
): Merge<T> {
  if (deletion !== 'edit' && deletion !== 'deletion')
    throw invalidArgument(`${name}: deletion`, "one of 'edit', 'deletion'", deletion);
  const decide: Merge<T> = (draft, server, base) => {
    const local = plainDraft(draft);
    if (local._deleted === true) return server !== null && deletion === 'deletion' ? local : null;
    if (server === null) return deletion === 'deletion' ? null : local;
    return mergeEdits(local, server, base);
  };
  return mergeEdits.length > 2 ? decide : (local, server) => decide(local, server, null);
}

/**
 * Keeps the local copy, also if it is a deletion: a {@link Merge} for `save(…, { merge })`, `resolve` and `resolveConflicts`.
 *
 * Do not use it for documents that several people edit: their changes are lost. The server's
 * attachments stay.
 */
export function ours<T extends object = AnyFields>(local: Draft<T>): Draft<T> {
  return local;
}

/**
 * Keeps the server's copy: a {@link Merge}. Gives up if the document is deleted on the server.
 *
 * Do not use it for user input: the local changes are lost.
 */
export function theirs<T extends object = AnyFields>(
  _local: Draft<T>,
  server: Document<T> | null,
): MergeResult<T> {
  return server;
}

/**
 * Returns a {@link Merge} that keeps the copy with the greater value in a field, such as a date or a
 * number. Keeps the local copy if both are equal.
 *
 * @param options - `deletion`: whether an edit or a deletion wins.
 *
 * Do not use it if the clocks of the clients differ, or if both copies hold changes that must stay.
 */
export function newest<T extends object = AnyFields>(
  field: keyof T & string,
  options: DeletionOptions = {},
): Merge<T> {
  return withDeletions<T>('newest', options, (local, server) => {
    // The server's copy has a text where the local copy may have a date.
    const [mine, stored] = [local, server].map((copy) => asWritten(copy[field])) as [never, never];
    return stored > mine ? server : local;
  });
}

/** Merges a field that was changed in both copies. Returns its value; `undefined` removes the field. */
export type FieldResolver = (
  field: string,
  local: unknown,
  server: unknown,
  base: unknown,
) => unknown;

/**
 * Returns a {@link Merge} that merges field by field: a three-way merge with `base`.
 *
 * - A field that changed in one copy has the value of that copy.
 * - A field that changed in both copies has the value that the resolver returns. By default the local
 *   value wins.
 * - If there is no `base`, fields that differ count as changed in both copies, and a field that only
 *   one copy has is kept.
 *
 * - Attachments that both copies wrote under one name count as fields: `_attachments.<name>`.
 *
 * Do not use it for fields that make sense only together.
 *
 * @param options - `deletion`: whether an edit or a deletion wins.
 */
export function fields<T extends object = AnyFields>(
  resolver: FieldResolver = (_field, local) => local,
  options: DeletionOptions = {},
): Merge<T> {
  requireOptions(options, 'fields', ['deletion']);
  if (typeof resolver !== 'function')
    throw invalidArgument('fields: resolver', 'a function', resolver);
  // Corduroy reads the base only for a function with three parameters.
  return withDeletions<T>('fields', options, (local, server, base) => {
    const copies = [local, server, base] as const;
    const merged: AnyFields = mergeAll(resolver, ...(copies as readonly unknown[] as Copies), '');
    const [mine, stored, old] = copies.map((copy) => copy?._attachments ?? {});
    const both = Object.keys(mine ?? {}).filter(
      (name) => attachmentOf(stored, name) !== undefined && 'data' in (mine?.[name] ?? {}),
    );
    const pick = (copy: object | undefined): AnyFields =>
      Object.fromEntries(both.map((name) => [name, attachmentOf(copy as AnyFields, name)]));
    if (both.length > 0) {
      merged['_attachments'] = mergeAll(
        resolver,
        pick(mine),
        pick(stored),
        base === null ? null : pick(old),
        '_attachments.',
      );
    }
    return merged as MergeResult<T>;
  });
}

type Copies = [local: AnyFields, server: AnyFields, base: AnyFields | null];

/** Merges the fields of two objects; those that begin with `_` belong to CouchDB. */
function mergeAll(
  resolver: FieldResolver,
  local: AnyFields,
  server: AnyFields,
  base: AnyFields | null,
  prefix: string,
): AnyFields {
  const merged: AnyFields = {};
  for (const field of new Set([...Object.keys(server), ...Object.keys(local)])) {
    if (prefix === '' && field.startsWith('_')) continue;
    const named: FieldResolver = (name, ...values) => resolver(prefix + name, ...values);
    const value = mergeField(field, local, server, base, named);
    if (value !== undefined) merged[field] = value;
  }
  return merged;
}

function mergeField(
  field: string,
  localDoc: AnyFields,
  serverDoc: AnyFields,
  baseDoc: AnyFields | null,
  resolver: FieldResolver,
): unknown {
  const [local, server] = [ownField(localDoc, field), ownField(serverDoc, field)];
  if (equal(local, server)) return server;
  if (baseDoc === null) {
    if (local === undefined) return server;
    if (server === undefined) return local;
    return resolver(field, local, server, undefined);
  }
  const base = ownField(baseDoc, field);
  if (equal(local, base)) return server;
  if (equal(server, base)) return local;
  return resolver(field, local, server, base);
}

/** Reads an own field: a document can have one called `constructor`. */
function ownField(doc: AnyFields, field: string): unknown {
  return Object.hasOwn(doc, field) ? doc[field] : undefined;
}

/**
 * Merges a field that holds a set, such as a list of ids: a {@link FieldResolver} for {@link fields}.
 *
 * The result has the elements that either copy added, and lacks those that either copy removed.
 * Returns the local value if a copy holds no array.
 */
export function union(_field: string, local: unknown, server: unknown, base: unknown): unknown {
  if (!Array.isArray(local) || !Array.isArray(server)) return local;
  const inBase = new Set((Array.isArray(base) ? base : []).map(canonical));
  const [inLocal, inServer] = [new Set(local.map(canonical)), new Set(server.map(canonical))];
  const kept = server.filter(
    (element) => inLocal.has(canonical(element)) || !inBase.has(canonical(element)),
  );
  const added = local.filter(
    (element) => !inServer.has(canonical(element)) && !inBase.has(canonical(element)),
  );
  return [...kept, ...added];
}

/**
 * Merges a field that counts: a {@link FieldResolver} for {@link fields}. Adds the increments of both
 * copies. Returns the local value if a copy holds no number.
 *
 * Do not use it for a number that is set instead of incremented.
 */
export function counter(_field: string, local: unknown, server: unknown, base: unknown): unknown {
  if (!isNumeric(local) || !isNumeric(server)) return local;
  const start = isNumeric(base) ? base : 0;
  const values = [local, server, start];
  // A bigint cannot hold a fraction.
  const isWhole = values.every((one) => typeof one === 'bigint' || Number.isInteger(one));
  if (isWhole && values.some((one) => typeof one === 'bigint'))
    return BigInt(server) + BigInt(local) - BigInt(start);
  return Number(server) + Number(local) - Number(start);
}
