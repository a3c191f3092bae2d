import { catchError, defer, map, mergeMap, of, retry, throwError } from 'rxjs';
import type { Observable } from 'rxjs';
import { isBadRequest, isConflict, isNotFound, rawAnswer } from '../errors/http-error.ts';
import { isTransient } from '../errors/corduroy-error.ts';
import type { Answer } from '../http/exchange.ts';
import { asObject, requireSameId, stringField } from '../http/decode.ts';
import { Operation } from '../http/operation.ts';
import type { DatabaseScope } from '../http/scope.ts';
import { orVerified } from '../http/verify-writes.ts';
import { requireBackoff } from '../http/query.ts';
import { documentAt, isDotSegment, revQuery, segment } from '../http/url.ts';
import { invalidArgument, requireOptions } from '../model/invalid-argument.ts';
import { backoff } from '../operators/retry-policy.ts';
import type { BackoffOptions } from '../operators/retry-policy.ts';
import { designInfo } from './design-functions.ts';
import type { DesignDocument } from './design-document.ts';
import { contentOf, isSameJson, readDesign, requireDesign } from './drift.ts';
import { withTemporary } from './temporary-view.ts';
import { viewAt } from './view.ts';

/** Options for deploying a design document. */
export interface DeployOptions {
  /** Whether to build new views before they replace the old ones. @defaultValue true */
  readonly warmUp?: boolean;
  /**
   * The maximum number of attempts: to write the document if other clients write it too, and to build the
   * views if a transient error interrupts that. @defaultValue 10
   */
  readonly attempts?: number;
  /** The delays between attempts, in milliseconds. @defaultValue `{ initialDelay: 500, maxDelay: 30_000 }` */
  readonly backoff?: BackoffOptions;
}

/** The result of deploying a design document. */
export interface DeployResult {
  /** Whether the document was written; false if the server had the same document. */
  readonly deployed: boolean;
  readonly id: string;
  /** The current revision. */
  readonly rev: string;
}

const BACKOFF = { initialDelay: 500, maxDelay: 30_000 };

/**
 * Writes a design document if it differs from the server's. If it replaces views, it first builds the new
 * ones under another name: CouchDB identifies an index by the source of the views, not by the name of
 * their document.
 */
export function deploy(
  db: DatabaseScope,
  design: DesignDocument,
  options: DeployOptions,
): Operation<DeployResult> {
  const { codec } = db.connection;
  requireDesign(design, 'deploy', codec);
  requireOptions(options, 'deploy', ['warmUp', 'attempts', 'backoff']);
  const { warmUp = true, attempts = 10, backoff: backoffOptions = BACKOFF } = options;
  requireBackoff(backoffOptions, 'deploy: backoff');
  if (!Number.isSafeInteger(attempts) || attempts < 1)
    throw invalidArgument('deploy: attempts', 'a whole number from 1', attempts, RangeError);
  requireBackoff(backoffOptions, 'deploy: backoff');
  const retryIf = (isRetryable: (error: unknown) => boolean): Parameters<typeof retry>[0] => ({
    count: attempts - 1,
    delay: (error: unknown, failures: number) =>
      isRetryable(error)
        ? db.connection.after(backoff(failures, backoffOptions))
        : throwError(() => error),
  });
  return new Operation(
    defer(() => {
      requireDesign(design, 'deploy', codec);
      const content = contentOf(design);
      return readDesign(db, design._id).pipe(
        mergeMap((existing): Observable<Answer<DeployResult>> => {
          const { value: current } = existing;
          if (current !== null && isSameJson(contentOf(current), content)) {
            const { _id: id, _rev: rev = '' } = current;
            return of({ ...existing, value: { deployed: false, id, rev } });
          }
          const write = (): Observable<Answer<DeployResult>> =>
            put(db, { ...content, ...storedFields(current) }).pipe(
              map((answer) => ({
                ...answer,
                value: { deployed: true, id: design._id, rev: answer.value },
              })),
            );
          const [view] = Object.keys(design.views ?? {}).filter(
            // All views share one index, so any view whose name a URL can hold builds it.
            (name) => name !== 'lib' && name !== '' && !isDotSegment(name),
          );
          if (!warmUp || view === undefined || (current !== null && hasSameIndex(current, design)))
            return write();
          const buildViews = (id: string): Observable<unknown> =>
            buildIndex(db, id, view).pipe(retry(retryIf(isTransient)));
          if (current === null)
            return write().pipe(
              mergeMap((answer) => buildViews(design._id).pipe(map(() => answer))),
            );
          return withTemporaryDesign(db, design, (temporary) =>
            buildViews(temporary).pipe(
              mergeMap(() => designInfo(db, temporary)),
              mergeMap(({ viewIndex: { signature } }) =>
                write().pipe(
                  mergeMap((answer) =>
                    indexOnDisk(db, design._id, signature).pipe(map(() => answer)),
                  ),
                ),
              ),
            ),
          );
        }),
      );
    }).pipe(retry(retryIf(isConflict))),
  );
}

/**
 * Writes the views under a temporary name, and removes that document after its use. The name is fixed:
 * interrupted deployments leave at most one such document.
 */
function withTemporaryDesign<R>(
  db: DatabaseScope,
  design: DesignDocument,
  use: (id: string) => Observable<R>,
): Observable<R> {
  const id = `${design._id}-deploying`;
  const { language, views, options } = design;
  const create = readDesign(db, id).pipe(
    mergeMap(({ value }) =>
      put(db, {
        _id: id,
        ...(language !== undefined && { language }),
        ...(views !== undefined && { views }),
        ...(options !== undefined && { options }),
        // Another client may deploy too: its document is overwritten, and its index is built all the same.
        ...(value?._rev !== undefined && { _rev: value._rev }),
      }),
    ),
    map(({ value }) => value),
  );
  return withTemporary(
    create,
    (rev) => remove(db, id, rev),
    () => use(id),
  );
}

/** Requests a row: the server builds the index before it answers, however long that takes. */
function buildIndex(db: DatabaseScope, id: string, view: string): Observable<unknown> {
  const name = segment(view, 'The name of a view');
  const address = viewAt(documentAt(db, id), name, '?limit=1&reduce=false');
  return db.connection
    .json(
      () => ({ ...address, timeout: 0, endless: true }),
      () => true,
    )
    .pipe(
      catchError((error: unknown) =>
        // CouchDB builds partitioned views on demand, and answers only queries of a single partition.
        isBadRequest(error) && /partition/.test(rawAnswer(error).reason)
          ? of(true)
          : throwError(() => error),
      ),
    );
}

/** CouchDB writes an index to disk a few seconds after it has changed. The interval is in milliseconds. */
const DISK_POLL = { interval: 500, attempts: 14 };
const NOT_ON_DISK = new Error('the server has not written the index to disk yet');

/**
 * Waits until the server uses the index for the deployed document, and has written it to disk.
 *
 * Deleting the temporary document closes its index, unless the server was queried for the same index
 * through another document. It also loses the parts that are not on disk. Each poll is such a query.
 */
function indexOnDisk(db: DatabaseScope, id: string, signature: unknown): Observable<unknown> {
  return designInfo(db, id).pipe(
    map(({ viewIndex: index }) => {
      if (index['signature'] !== signature || index['waiting_commit'] === true) throw NOT_ON_DISK;
    }),
    retry({
      count: DISK_POLL.attempts,
      delay: (error: unknown) =>
        error === NOT_ON_DISK ? db.connection.after(DISK_POLL.interval) : throwError(() => error),
    }),
    catchError((error: unknown) => (error === NOT_ON_DISK ? of(null) : throwError(() => error))),
  );
}

function put(
  db: DatabaseScope,
  doc: object & { readonly _id: string },
): Observable<Answer<string>> {
  const address = documentAt(db, doc._id);
  return db.connection
    .json(
      () => ({ ...address, method: 'PUT', json: doc }),
      (body) => {
        const { id = doc._id } = asObject(body);
        requireSameId(doc._id, String(id));
        return stringField(body, 'rev');
      },
    )
    .pipe(
      orVerified(
        db,
        () => ({ id: doc._id, doc }),
        (rev) => rev,
      ),
    );
}

function remove(db: DatabaseScope, id: string, rev: string): Observable<unknown> {
  const address = documentAt(db, id, revQuery(rev));
  return db.connection
    .json(
      () => ({ ...address, method: 'DELETE' }),
      (): true => true,
    )
    .pipe(
      catchError((error: unknown) =>
        // Another client deploys too: it has removed the document, or will.
        isNotFound(error) || isConflict(error) ? of(true) : throwError(() => error),
      ),
    );
}

/** Returns the fields of the stored document that its replacement needs. */
function storedFields(current: DesignDocument | null): object {
  if (current === null) return {};
  const { _rev, _attachments } = current;
  return { _rev, ...(_attachments !== undefined && { _attachments }) };
}

function hasSameIndex(a: DesignDocument, b: DesignDocument): boolean {
  return isSameJson(indexSource(a), indexSource(b));
}

/** Returns the fields from which CouchDB computes the signature of an index. */
function indexSource({
  language = 'javascript',
  views = {},
  options = {},
}: DesignDocument): object {
  return { language, views, options };
}
