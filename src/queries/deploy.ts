import { catchError, defer, map, mergeMap, of, retry, throwError } from 'rxjs';
import type { Observable } from 'rxjs';
import { isBadRequest, isConflict, isNotFound } from '../errors/http-error.ts';
import { isTransient } from '../errors/corduroy-error.ts';
import type { Answer } from '../http/exchange.ts';
import { asObject, stringField } from '../http/decode.ts';
import { Operation } from '../http/operation.ts';
import type { DatabaseScope } from '../http/scope.ts';
import { documentPath, segment } from '../http/url.ts';
import { assertJson } from '../model/json.ts';
import { invalidArgument } from '../model/invalid-argument.ts';
import { backoff } from '../operators/retry-policy.ts';
import type { BackoffOptions } from '../operators/retry-policy.ts';
import { designInfo } from './design-functions.ts';
import type { DesignDocument } from './design-document.ts';
import { removedAfter } from './temporary-view.ts';

/** How a design document is deployed. */
export interface DeployOptions {
  /** Whether new views are built before they take the place of the old ones. @defaultValue true */
  readonly warmUp?: boolean;
  /**
   * How often the whole is tried when somebody else writes the same document, and the building when
   * the server does not answer in time. @defaultValue 10
   */
  readonly attempts?: number;
  /** How long to wait between attempts. @defaultValue `{ initialDelay: 500, maxDelay: 30_000 }` */
  readonly backoff?: BackoffOptions;
}

/** What became of a design document that was deployed. */
export interface DeployResult {
  /** False where the same was there already. */
  readonly deployed: boolean;
  readonly id: string;
  readonly rev: string;
}

const BACKOFF = { initialDelay: 500, maxDelay: 30_000 };

/**
 * Writes a design document when it differs from the server's. Where it takes the place of another its
 * views are built first, under another name: an index belongs to what the views are, not to what their
 * document is called.
 */
export function deploy(
  db: DatabaseScope,
  design: DesignDocument,
  options: DeployOptions,
): Operation<DeployResult> {
  requireDesign(design, 'deploy');
  const { warmUp = true, attempts = 10, backoff: pace = BACKOFF } = options;
  if (!Number.isSafeInteger(attempts) || attempts < 1)
    throw invalidArgument('deploy: attempts', 'a whole number from 1', attempts, RangeError);
  const again = (may: (error: unknown) => boolean): Parameters<typeof retry>[0] => ({
    count: attempts - 1,
    delay: (error: unknown, round: number) =>
      may(error) ? db.connection.after(backoff(round, pace)) : throwError(() => error),
  });
  return new Operation(
    defer(() => {
      requireDesign(design, 'deploy');
      const wanted = bare(design);
      return read(db, design._id).pipe(
        mergeMap((found): Observable<Answer<DeployResult>> => {
          const { value: current } = found;
          if (current !== null && same(bare(current), wanted)) {
            const { _id: id, _rev: rev = '' } = current;
            return of({ ...found, value: { deployed: false, id, rev } });
          }
          const write = (): Observable<Answer<DeployResult>> =>
            put(db, { ...wanted, ...kept(current) }).pipe(
              map((answer) => ({
                ...answer,
                value: { deployed: true, id: design._id, rev: answer.value },
              })),
            );
          const [view] = Object.keys(design.views ?? {}).filter((name) => name !== 'lib');
          if (!warmUp || view === undefined || (current !== null && sameIndex(current, design)))
            return write();
          const warm = (id: string): Observable<unknown> =>
            build(db, id, view).pipe(retry(again(isTransient)));
          if (current === null)
            return write().pipe(mergeMap((answer) => warm(design._id).pipe(map(() => answer))));
          return underAnotherName(db, design, (temporary) =>
            warm(temporary).pipe(
              mergeMap(() => designInfo(db, temporary)),
              mergeMap(({ viewIndex: { signature } }) =>
                write().pipe(
                  mergeMap((answer) => taken(db, design._id, signature).pipe(map(() => answer))),
                ),
              ),
            ),
          );
        }),
      );
    }).pipe(retry(again(isConflict))),
  );
}

/** Refuses what is no design document. */
export function requireDesign(design: unknown, what: string): asserts design is DesignDocument {
  if (typeof design !== 'object' || design === null)
    throw invalidArgument(`${what}: design`, 'a design document', design);
  const { _id: id } = design as { _id?: unknown };
  if (typeof id !== 'string' || !/^_design\/./.test(id))
    throw invalidArgument(`${what}: the _id of the design document`, "'_design/…'", id);
  assertJson(design, `The design document ${JSON.stringify(id)}`);
}

/** Where the views are built: always the same, so that what was interrupted leaves one at most. */
function underAnotherName<R>(
  db: DatabaseScope,
  design: DesignDocument,
  use: (id: string) => Observable<R>,
): Observable<R> {
  const id = `${design._id}-deploying`;
  const { language, views, options } = design;
  const made = read(db, id).pipe(
    mergeMap(({ value }) =>
      put(db, {
        _id: id,
        ...(language !== undefined && { language }),
        ...(views !== undefined && { views }),
        ...(options !== undefined && { options }),
        // Whoever else is at it may have the server build what they want.
        ...(value?._rev !== undefined && { _rev: value._rev }),
      }),
    ),
    map(({ value }) => value),
  );
  return removedAfter(
    made,
    (rev) => remove(db, id, rev),
    () => use(id),
  );
}

/** Asks for a row, for which the server builds the index first, however long that takes. */
function build(db: DatabaseScope, id: string, view: string): Observable<unknown> {
  const path = `${db.path}${documentPath(id)}/_view/${segment(view)}?limit=1&reduce=false`;
  return db.connection
    .json(
      () => ({ path, timeout: 0, endless: true }),
      () => true,
    )
    .pipe(
      catchError((error: unknown) =>
        // Partitioned views are asked for, and built, a partition at a time.
        isBadRequest(error) && /partition/.test(error.reason) ? of(true) : throwError(() => error),
      ),
    );
}

/** A server writes an index to disk a few seconds after it has changed, and goes on doing so. */
const TO_DISK = { interval: 500, attempts: 14 };
const NOT_YET = new Error('the server does not know of the index yet, or not on disk');

/**
 * Waits until the server knows an index by a design document's own name, and has written it to disk.
 *
 * When a design document is deleted the server closes its index, under the hands of those who read it,
 * unless it has been asked for it by another name since that one was written; and it loses what is not on
 * disk. So it is asked more than once.
 */
function taken(db: DatabaseScope, id: string, signature: unknown): Observable<unknown> {
  return designInfo(db, id).pipe(
    map(({ viewIndex: index }) => {
      if (index['signature'] !== signature || index['waiting_commit'] === true) throw NOT_YET;
    }),
    retry({
      count: TO_DISK.attempts,
      delay: (error: unknown) =>
        error === NOT_YET ? db.connection.after(TO_DISK.interval) : throwError(() => error),
    }),
    catchError((error: unknown) => (error === NOT_YET ? of(null) : throwError(() => error))),
  );
}

function read(db: DatabaseScope, id: string): Observable<Answer<DesignDocument | null>> {
  const path = db.path + documentPath(id);
  return db.connection
    .json(
      () => ({ path }),
      (body) => asObject(body) as DesignDocument,
    )
    .pipe(
      catchError((error: unknown) =>
        isNotFound(error)
          ? of({ value: null, code: error.status, headers: error.headers })
          : throwError(() => error),
      ),
    );
}

function put(
  db: DatabaseScope,
  doc: object & { readonly _id: string },
): Observable<Answer<string>> {
  const path = db.path + documentPath(doc._id);
  return db.connection.json(
    () => ({ method: 'PUT', path, json: doc }),
    (body) => stringField(body, 'rev'),
  );
}

function remove(db: DatabaseScope, id: string, rev: string): Observable<unknown> {
  const path = `${db.path}${documentPath(id)}?rev=${segment(rev)}`;
  return db.connection
    .json(
      () => ({ method: 'DELETE', path }),
      (): true => true,
    )
    .pipe(
      catchError((error: unknown) =>
        // Somebody else is at it, and removes it in the end.
        isNotFound(error) || isConflict(error) ? of(true) : throwError(() => error),
      ),
    );
}

/** What a design document says, without what the server adds. */
function bare({ _rev: _1, _attachments: _2, ...said }: DesignDocument): DesignDocument {
  return said;
}

/** What stays of the one that is replaced. */
function kept(current: DesignDocument | null): object {
  if (current === null) return {};
  const { _rev, _attachments } = current;
  return { _rev, ...(_attachments !== undefined && { _attachments }) };
}

function sameIndex(a: DesignDocument, b: DesignDocument): boolean {
  return same(built(a), built(b));
}

/** What an index is made of: the server tells indexes apart by it. */
function built({ language = 'javascript', views = {}, options = {} }: DesignDocument): object {
  return { language, views, options };
}

/** Compares JSON values, whatever the order of their fields. */
function same(a: unknown, b: unknown): boolean {
  return sorted(a) === sorted(b);
}

function sorted(value: unknown): string {
  return JSON.stringify(value, (_, one: unknown) =>
    typeof one === 'object' && one !== null && !Array.isArray(one)
      ? Object.fromEntries(Object.entries(one).sort(([a], [b]) => (a < b ? -1 : 1)))
      : one,
  );
}
