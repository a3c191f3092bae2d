import { catchError, map, mergeMap, of, throwError } from 'rxjs';
import type { MonoTypeOperatorFunction, Observable } from 'rxjs';
import { isConnectionError, mayBeWritten } from '../errors/connection-error.ts';
import { isConflict } from '../errors/http-error.ts';
import { arrayField, asArray, asObject } from './decode.ts';
import type { Answer } from './exchange.ts';
import type { DatabaseScope } from './scope.ts';
import { BULK_GET, endpoint, readByPost } from './url.ts';
import type { Attachments, Document, Draft } from '../model/document.ts';
import { equal } from '../model/json.ts';

/** A document that was sent, and the id under which the server stores it. */
export interface SentWrite {
  readonly id: string;
  readonly doc: Draft<object>;
}

/** The revision under which the server has a write; null if it has not, or if nothing tells. */
export type WrittenRevision = string | null;

/** How long the read that follows a failure may be silent, in milliseconds. */
const VERIFY_TIMEOUT = 10_000;

/** Further results of {@link verifyWrites}, for those who need them. */
interface Findings {
  /**
   * Receives the writes whose place is as it was: the document is absent, or its present revision is the
   * one that the write replaces.
   */
  readonly untouched?: Set<SentWrite>;
  /** Receives the writes of new documents that another client may have changed since. */
  readonly unclear?: Set<SentWrite>;
}

/**
 * Finds out which writes the server has carried out although their answer was lost.
 *
 * A write has been carried out if a revision that descends from the one it replaces has its body. A
 * write that replaces none is recognised in the present document only: a former one with the same
 * body may be of another client, or from before a deletion.
 *
 * Emits an entry for each write, in order. Sends one request, and a second one if a write has been
 * replaced by a later revision already. Errors as those requests do.
 *
 * @param keptRevisions - Whether the writes kept their `_rev`, as with `newEdits: false`.
 */
export function verifyWrites(
  db: DatabaseScope,
  writes: readonly SentWrite[],
  keptRevisions = false,
  { untouched, unclear }: Findings = {},
): Observable<readonly WrittenRevision[]> {
  if (keptRevisions) {
    const refs = writes.map(({ id, doc }) => ({ id, rev: doc._rev as string }));
    return readLeaves(db, refs).pipe(
      map((leaves) => writes.map(({ doc }, i) => (leaves[i]?.length ? (doc._rev ?? null) : null))),
    );
  }
  const withData = writes.some(({ doc }) => hasData(doc));
  return readLeaves(
    db,
    writes.map(({ id }) => ({ id })),
    withData,
  ).pipe(
    mergeMap((leavesOf) => {
      writes.forEach((write, i) => {
        const { _rev: base } = write.doc;
        const leaves = leavesOf[i] ?? [];
        const isUntouched =
          base === undefined ? leaves.length === 0 : leaves.some(({ _rev: rev }) => rev === base);
        if (isUntouched) untouched?.add(write);
      });
      const found = writes.map((write, i) => findWrite(db, write, leavesOf[i] ?? []));
      const older = found.flatMap((one, i) =>
        one.ancestor === undefined || (one.isFormer && unclear === undefined)
          ? []
          : [{ i, id: writes[i]?.id ?? '', rev: one.ancestor }],
      );
      const revs = found.map(({ rev }) => rev);
      if (older.length === 0) return of(revs);
      return readLeaves(
        db,
        older.map(({ id, rev }) => ({ id, rev })),
        withData,
      ).pipe(
        // The body of an older revision may be compacted: then nothing tells.
        catchError(() => of<readonly (readonly Leaf[])[]>([])),
        map((bodies) => {
          older.forEach(({ i, rev }, n) => {
            const [body] = bodies[n] ?? [];
            const write = writes[i] as SentWrite;
            const isSame = body !== undefined && isBodyOf(db, write, body);
            if (found[i]?.isFormer !== true) revs[i] = isSame ? rev : null;
            else if (isSame || body === undefined) unclear?.add(write);
          });
          return revs;
        }),
      );
    }),
  );
}

/**
 * Reads the revisions that follow one directly; without one, the first revisions of a new document, also
 * of one that replaces a deleted one. A later revision of a new document may be of another client.
 */
export function nextRevisions(
  db: DatabaseScope,
  id: string,
  base: string | undefined,
): Observable<readonly string[]> {
  return readLeaves(db, [{ id }]).pipe(
    mergeMap(([leaves = []]) => {
      if (base === undefined) return firstRevisions(db, id, leaves);
      const next = leaves.flatMap((leaf) => {
        const history = ancestryOf(leaf);
        return [history[history.indexOf(base) - 1]];
      });
      return of([...new Set(next.filter((rev) => rev !== undefined))]);
    }),
  );
}

function firstRevisions(
  db: DatabaseScope,
  id: string,
  leaves: readonly Leaf[],
): Observable<readonly string[]> {
  const parents = leaves.map((leaf) => ancestryOf(leaf)[1]);
  const refs = parents.flatMap((rev) => (rev === undefined ? [] : [{ id, rev }]));
  const deleted$ =
    refs.length === 0
      ? of(new Set<string>())
      : readLeaves(db, refs).pipe(
          map((bodies) => {
            const deleted = bodies.flat().filter(({ _deleted: isDeleted }) => isDeleted === true);
            return new Set(deleted.map(({ _rev: rev }) => rev));
          }),
        );
  return deleted$.pipe(
    map((deleted) =>
      leaves.flatMap((leaf, i) => {
        const parent = parents[i];
        return parent === undefined || deleted.has(parent) ? [leaf._rev] : [];
      }),
    ),
  );
}

/** Reads a revision with the stubs of its attachments; null if it is deleted, or not stored. */
export function readRevision(
  db: DatabaseScope,
  id: string,
  rev: string,
): Observable<Document | null> {
  return readLeaves(db, [{ id, rev }]).pipe(
    map(([docs = []]) => docs.find(({ _deleted: deleted }) => deleted !== true) ?? null),
  );
}

type Leaf = Document & { readonly _deleted?: boolean };

function readLeaves(
  db: DatabaseScope,
  docs: readonly { readonly id: string; readonly rev?: string }[],
  withData = false,
): Observable<readonly (readonly Leaf[])[]> {
  const query = `?revs=true${withData ? '&attachments=true' : ''}`;
  return db.connection
    .json(
      () => ({
        ...readByPost(endpoint(db, BULK_GET, query), { docs }),
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
  /** Whether the ancestor may also be of another client, or from before a deletion. */
  readonly isFormer?: boolean;
}

function findWrite(db: DatabaseScope, write: SentWrite, leaves: readonly Leaf[]): FoundWrite {
  const base = write.doc._rev;
  for (const leaf of leaves) {
    const isNext = base === undefined || ancestryOf(leaf).indexOf(base) === 1;
    if (isNext && isBodyOf(db, write, leaf)) return { rev: leaf._rev };
  }
  if (base === undefined) {
    const parent = leaves.map((leaf) => ancestryOf(leaf)[1]).find((rev) => rev !== undefined);
    return { rev: null, isFormer: true, ...(parent !== undefined && { ancestor: parent }) };
  }
  for (const leaf of leaves) {
    const history = ancestryOf(leaf);
    const place = history.indexOf(base);
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
    haveSameAttachments(sent, leaf._attachments ?? {})
  );
}

function fieldsOf(doc: object): object {
  return Object.fromEntries(Object.entries(doc).filter(([name]) => !name.startsWith('_')));
}

function hasData({ _attachments: attachments = {} }: Draft): boolean {
  return Object.values(attachments).some((one) => 'data' in one);
}

/** Compares the data of attachments that were sent. A stub has kept what the base had. */
function haveSameAttachments(
  { _attachments: sent = {}, _rev }: Draft,
  stored: Attachments,
): boolean {
  const names = Object.keys(sent);
  if (names.length !== Object.keys(stored).length) return false;
  return names.every((name) => {
    const [mine, theirs] = [sent[name], stored[name]];
    if (mine === undefined || theirs === undefined || !Object.hasOwn(stored, name)) return false;
    if ('data' in mine) return 'data' in theirs && unpadded(theirs.data) === unpadded(mine.data);
    return (theirs.revpos ?? 0) <= Number.parseInt(_rev ?? '0', 10);
  });
}

const unpadded = (base64: string): string => base64.replaceAll('=', '');

/**
 * Returns an operator that finds out whether a failed write has been carried out. It then emits an answer
 * with the revision; otherwise it errors with the error of the write.
 *
 * If the server had closed the kept-alive connection and nothing has changed there, the write is sent
 * once more.
 *
 * @param write - Describes the write, after it was sent.
 * @param toValue - Makes the value from the revision.
 */
export function orVerified<T>(
  db: DatabaseScope,
  write: () => SentWrite,
  toValue: (rev: string) => T,
  { keptRevisions = false, code = 201 }: { keptRevisions?: boolean; code?: number } = {},
): MonoTypeOperatorFunction<Answer<T>> {
  const find = (error: unknown, untouched?: Set<SentWrite>): Observable<Answer<T> | null> =>
    verifyWrites(db, [write()], keptRevisions, { ...(untouched && { untouched }) }).pipe(
      catchError(() => throwError(() => error)),
      map(([rev]) => (typeof rev === 'string' ? { value: toValue(rev), code, headers: {} } : null)),
    );
  return (source) => {
    // The first request may have arrived after all: then a conflict does not tell whether it was written.
    const again = (first: unknown): Observable<Answer<T>> =>
      source.pipe(
        catchError((error: unknown) => {
          const failure = isConflict(error) ? first : error;
          if (!mayBeWritten(failure)) return throwError(() => failure);
          return find(failure).pipe(map((answer) => orThrow(answer, failure)));
        }),
      );
    return source.pipe(
      catchError((error: unknown) => {
        if (!mayBeWritten(error)) return throwError(() => error);
        const untouched = new Set<SentWrite>();
        return find(error, untouched).pipe(
          mergeMap((answer) => {
            const mayRepeat = isConnectionError(error) && error.reusedSocket && untouched.size > 0;
            return answer === null && mayRepeat ? again(error) : of(orThrow(answer, error));
          }),
        );
      }),
    );
  };
}

function orThrow<T>(answer: T | null, error: unknown): T {
  if (answer === null) throw error;
  return answer;
}
