import type { CorduroyError } from '../errors/corduroy-error.ts';
import type { AnyFields, Document, Draft } from '../model/document.ts';
import { equal } from '../model/json.ts';
import type { ReadWait } from './shared-queries.ts';

/** A version of a document on the server. */
export interface ServerVersion<T extends object = AnyFields> {
  /** The winning revision, also that of a tombstone; null if there never was a document. */
  readonly rev: string | null;
  /** Null if the document is missing or deleted. */
  readonly doc: Document<T> | null;
}

/** The edited document; `doc` is null if the edit deletes it. */
export interface LocalEdit<T extends object = AnyFields> {
  readonly doc: Draft<T> | null;
}

/**
 * All that an editor knows: a plain value, without functions and classes. Everything that an editor shows
 * and does follows from it, never from the order in which news came.
 */
export interface EditData<T extends object = AnyFields> {
  /** The server's version; null until the document has been read. */
  readonly server: ServerVersion<T> | null;
  /** The version on which the edits are based. */
  readonly base: ServerVersion<T> | null;
  /** The edits that the server does not have; null if there are none. */
  readonly local: LocalEdit<T> | null;
  /**
   * The edits of a save whose result is not known. If the server has them, the save succeeded, and the
   * version is not another client's.
   */
  readonly sent: SentEdit<T> | null;
}

/** Edits that were sent to the server. */
export interface SentEdit<T extends object = AnyFields> extends LocalEdit<T> {
  /** The revision that they replace; null if they create the document. */
  readonly replaces: string | null;
}

/** The activity of an editor. */
export type EditActivity =
  | { readonly type: 'none' | 'saving' }
  /** Waits `delay` milliseconds, or for other credentials if that is `Infinity`. */
  | {
      readonly type: 'waiting';
      readonly attempt: number;
      readonly delay: number;
      readonly error: CorduroyError;
    }
  | { readonly type: 'conflict' | 'refused'; readonly error: CorduroyError };

/** The state of an editor. */
export interface EditorState<T extends object> {
  readonly data: EditData<T>;
  readonly activity: EditActivity;
  /** The wait for the retry of the first read. */
  readonly readWait: ReadWait | null;
}

/** The next task of an editor. */
export type EditTask = 'none' | 'merge' | 'save';

export const UNREAD: EditData<never> = { server: null, base: null, local: null, sent: null };

/** Applies the server's present version. */
export function withServer<T extends object>(
  data: EditData<T>,
  news: ServerVersion<T>,
): EditData<T> {
  const { base, local, sent } = data;
  // A save knows the version before the feed reports it.
  const server = isSameVersion(data.server, news) ? data.server : news;
  if (local === null) return { server, base: server, local, sent: null };
  const isAnswer = sent !== null && server.rev !== base?.rev && isSame(sent.doc, server.doc);
  if (isAnswer) return withSaved({ ...data, server }, sent, server);
  // Two deletions are one.
  if (local.doc === null && server.doc === null) return clean(server);
  return { ...data, server };
}

/** Applies edits. Edits that restore the server's document need no save. */
export function withEdit<T extends object>(data: EditData<T>, doc: Draft<T> | null): EditData<T> {
  const { server, base, sent, local } = data;
  const restored = sent === null && isSame(doc, (base ?? server)?.doc ?? null);
  if (restored && server !== null) return clean(server);
  return { ...data, base: local === null ? server : base, local: { doc } };
}

/** Drops the edits. */
export function withoutEdits<T extends object>(data: EditData<T>): EditData<T> {
  return data.server === null ? data : clean(data.server);
}

/** Records that the edits are sent. */
export function withSent<T extends object>(data: EditData<T>): EditData<T> {
  const { local, base } = data;
  return local === null ? data : { ...data, sent: { ...local, replaces: base?.rev ?? null } };
}

/** Records that the server did not take the edits that were sent. */
export function withoutSent<T extends object>(data: EditData<T>): EditData<T> {
  return data.sent === null ? data : { ...data, sent: null };
}

/** Records that the server has the edits that were sent, as `saved`. Later edits stay. */
export function withSaved<T extends object>(
  data: EditData<T>,
  sent: SentEdit<T>,
  saved: ServerVersion<T>,
): EditData<T> {
  const { server, local } = data;
  // If the server's version is not the one that was replaced, it is the saved one or a later one.
  const present = server === null || server.rev === sent.replaces ? saved : server;
  const isDone = local === null || isSame(local.doc, sent.doc);
  return isDone ? clean(present) : { server: present, base: saved, local, sent: null };
}

/** Replaces the edits by their merge with the server's version, on which they are based then. */
export function withMerged<T extends object>(
  data: EditData<T>,
  server: ServerVersion<T>,
  merged: Draft<T>,
): EditData<T> {
  const doc = (merged as { readonly _deleted?: boolean })._deleted === true ? null : merged;
  if (isSame(doc, server.doc)) return clean(data.server ?? server);
  return { server: data.server, base: server, local: { doc }, sent: null };
}

/** Returns what has to be done: edits are merged with another version before they are saved. */
export function taskOf<T extends object>({ server, base, local }: EditData<T>): EditTask {
  if (server === null || local === null) return 'none';
  return server.rev === base?.rev ? 'save' : 'merge';
}

/** Returns the document with the edits, as it is shown and saved; null if it is deleted. */
export function documentOf<T extends object>(data: EditData<T>, id: string): Draft<T> | null {
  const { server, base, local } = data;
  if (local === null) return server?.doc ?? null;
  if (local.doc === null) return null;
  const rev = base?.doc === null ? null : (base?.rev ?? null);
  return { ...bodyOf(local.doc), _id: id, ...(rev !== null && { _rev: rev }) } as Draft<T>;
}

function clean<T extends object>(server: ServerVersion<T>): EditData<T> {
  return { server, base: server, local: null, sent: null };
}

/** Returns whether two documents have the same content, whatever their revisions. */
function isSame(a: Draft<object> | null, b: Draft<object> | null): boolean {
  if (a === null || b === null) return a === b;
  return equal(bodyOf(a), bodyOf(b));
}

function isSameVersion<T extends object>(
  a: ServerVersion<T> | null,
  b: ServerVersion<T>,
): a is ServerVersion<T> {
  return a !== null && a.rev === b.rev && equal(a.doc, b.doc);
}

function bodyOf(doc: Draft<object>): object {
  const { _id, _rev, ...body } = doc;
  return body;
}
