import { catchError, map, mergeMap, of, throwError } from 'rxjs';
import type { Observable } from 'rxjs';
import { isConnectionError, isProtocolError, isTimeoutError } from '../errors/connection-error.ts';
import { isHTTPError } from '../errors/http-error.ts';
import { arrayField, asArray, asObject } from './decode.ts';
import type { DatabaseScope } from './scope.ts';
import type { Attachments, Document, Draft } from '../model/document.ts';
import { equal } from '../model/json.ts';

/** A document that was sent, and the id under which the server stores it. */
export interface SentWrite {
  readonly id: string;
  readonly doc: Draft<object>;
}

/** The revision under which the server has a write; null if it has not, or if nothing tells. */
export type WrittenRevision = string | null;

/** Codes of connections that failed before a byte of the request was sent. */
const NOT_SENT = new Set(['ECONNREFUSED', 'ENOTFOUND', 'EAI_AGAIN', 'EHOSTUNREACH', 'ENETUNREACH']);

/** How long the read that follows a failure may be silent, in milliseconds. */
const VERIFY_TIMEOUT = 10_000;

/** Tells whether a write may have been carried out although it failed. */
export function mayBeWritten(error: unknown): boolean {
  if (isConnectionError(error)) return !NOT_SENT.has(error.code ?? '');
  if (isTimeoutError(error) || isProtocolError(error)) return true;
  return isHTTPError(error) && (error.status >= 500 || error.status === 408);
}

/**
 * Finds out which writes the server has carried out although their answer was lost.
 *
 * A write has been carried out if a revision that descends from the one it replaces has its body.
 * Emits an entry for each write, in order. Sends one request, and a second one if a write has been
 * replaced by a later revision already. Errors as those requests do.
 *
 * @param keptRevisions - Whether the writes kept their `_rev`, as with `newEdits: false`.
 */
export function verifyWrites(
  db: DatabaseScope,
  writes: readonly SentWrite[],
  keptRevisions = false,
): Observable<readonly WrittenRevision[]> {
  if (keptRevisions) {
    const refs = writes.map(({ id, doc }) => ({ id, rev: doc._rev as string }));
    return readLeaves(db, refs).pipe(
      map((leaves) => writes.map(({ doc }, i) => (leaves[i]?.length ? (doc._rev ?? null) : null))),
    );
  }
  return readLeaves(
    db,
    writes.map(({ id }) => ({ id })),
  ).pipe(
    mergeMap((leavesOf) => {
      const found = writes.map((write, i) => findWrite(db, write, leavesOf[i] ?? []));
      const older = found.flatMap((one, i) =>
        one.ancestor === undefined ? [] : [{ i, id: writes[i]?.id ?? '', rev: one.ancestor }],
      );
      const revs = found.map(({ rev }) => rev);
      if (older.length === 0) return of(revs);
      return readLeaves(
        db,
        older.map(({ id, rev }) => ({ id, rev })),
      ).pipe(
        // The body of an older revision may be compacted: then nothing tells.
        catchError(() => of<readonly (readonly Leaf[])[]>([])),
        map((bodies) => {
          older.forEach(({ i, rev }, n) => {
            const [body] = bodies[n] ?? [];
            if (body !== undefined && isBodyOf(db, writes[i] as SentWrite, body)) revs[i] = rev;
          });
          return revs;
        }),
      );
    }),
  );
}

/** Reads the revisions that follow one directly, or the first ones of a new document. */
export function nextRevisions(
  db: DatabaseScope,
  id: string,
  base: string | undefined,
): Observable<readonly string[]> {
  return readLeaves(db, [{ id }]).pipe(
    map(([leaves = []]) => {
      const next = leaves.flatMap((leaf) => {
        const history = ancestryOf(leaf);
        // A document that was deleted begins again after its tombstone.
        return base === undefined
          ? [leaf._rev, history.at(-1)]
          : [history[history.indexOf(base) - 1]];
      });
      return [...new Set(next.filter((rev) => rev !== undefined))];
    }),
  );
}

type Leaf = Document & { readonly _deleted?: boolean };

function readLeaves(
  db: DatabaseScope,
  docs: readonly { readonly id: string; readonly rev?: string }[],
): Observable<readonly (readonly Leaf[])[]> {
  return db.connection
    .json(
      () => ({
        method: 'POST',
        path: `${db.path}/_bulk_get?revs=true`,
        json: { docs },
        timeout: VERIFY_TIMEOUT,
      }),
      (body) =>
        arrayField(body, 'results').map((result) =>
          asArray(asObject(result)['docs']).flatMap((answer) => {
            const { ok } = asObject(answer) as { readonly ok?: Leaf };
            return ok === undefined ? [] : [ok];
          }),
        ),
    )
    .pipe(map(({ value }) => value));
}

interface FoundWrite {
  readonly rev: WrittenRevision;
  /** A revision that may be the write, whose body is not that of a leaf. */
  readonly ancestor?: string;
}

function findWrite(db: DatabaseScope, write: SentWrite, leaves: readonly Leaf[]): FoundWrite {
  const base = write.doc._rev;
  for (const leaf of leaves) {
    const history = ancestryOf(leaf);
    const place = base === undefined ? history.length : history.indexOf(base);
    if (place === 1 || base === undefined) {
      if (isBodyOf(db, write, leaf)) return { rev: leaf._rev };
    }
  }
  for (const leaf of leaves) {
    const history = ancestryOf(leaf);
    const place = base === undefined ? history.length : history.indexOf(base);
    const child = history[place - 1];
    if (place > 1 && child !== undefined) return { rev: null, ancestor: child };
  }
  return { rev: null };
}

function ancestryOf({ _rev, _revisions: history }: Leaf): readonly string[] {
  return history === undefined
    ? [_rev]
    : history.ids.map((hash, i) => `${history.start - i}-${hash}`);
}

function isBodyOf({ connection }: DatabaseScope, { doc }: SentWrite, leaf: Leaf): boolean {
  const { codec } = connection;
  const sent = codec.parse(codec.stringify(doc)) as Draft;
  return (
    (sent._deleted === true) === (leaf._deleted === true) &&
    equal(fieldsOf(sent), fieldsOf(leaf)) &&
    haveSameAttachments(sent._attachments ?? {}, leaf._attachments ?? {})
  );
}

function fieldsOf(doc: object): object {
  return Object.fromEntries(Object.entries(doc).filter(([name]) => !name.startsWith('_')));
}

function haveSameAttachments(sent: Attachments, stored: Attachments): boolean {
  const names = Object.keys(sent);
  if (names.length !== Object.keys(stored).length) return false;
  return names.every((name) => {
    const [mine, theirs] = [sent[name], stored[name]];
    if (mine === undefined || theirs === undefined || !Object.hasOwn(stored, name)) return false;
    if (!('data' in mine)) return true;
    return 'length' in theirs && theirs.length === byteLength(mine.data);
  });
}

/** The number of bytes that base64 text stands for. */
function byteLength(base64: string): number {
  return Math.floor((base64.replace(/=+$/, '').length * 3) / 4);
}

/**
 * Finds out whether a write that failed has been carried out. Emits its revision if it has; otherwise
 * errors with the error of the write.
 */
export function writtenDespite(
  error: unknown,
  db: DatabaseScope,
  write: SentWrite,
  keptRevisions = false,
): Observable<string> {
  if (!mayBeWritten(error)) return throwError(() => error);
  return verifyWrites(db, [write], keptRevisions).pipe(
    catchError(() => throwError(() => error)),
    map(([rev]) => {
      if (typeof rev !== 'string') throw error;
      return rev;
    }),
  );
}
