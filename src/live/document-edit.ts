import {
  BehaviorSubject,
  EMPTY,
  Subject,
  catchError,
  concat,
  defer,
  ignoreElements,
  mergeMap,
  retry,
  tap,
  throwError,
} from 'rxjs';
import type { Observable } from 'rxjs';
import { mergeOne } from '../conflicts/merge.ts';
import type { Merge } from '../conflicts/merge.ts';
import { writeOne } from '../documents/write.ts';
import type { CorduroyError } from '../errors/corduroy-error.ts';
import { httpError } from '../errors/from-response.ts';
import { isConflict, isUnauthorized } from '../errors/http-error.ts';
import { isTransient } from '../errors/corduroy-error.ts';
import { documentPath, isDotSegment } from '../http/url.ts';
import type { Document, Draft } from '../model/document.ts';
import { equal } from '../model/json.ts';
import { byWinner } from '../model/document.ts';
import { backoff } from '../operators/retry-policy.ts';
import type { BackoffOptions } from '../operators/retry-policy.ts';
import type { LiveEntry } from './live-entry.ts';
import type { LiveDatabase } from './live-database.ts';

/** A document, with the edits that the server does not have yet. */
export interface DocumentEditState<T extends object> {
  /** The server's document, on which the edits are based. */
  readonly base: LiveEntry<T>;
  /** The document with the edits; null if there are none. */
  readonly local: Draft<T> | null;
  /** The error of the last attempt to save. */
  readonly error: CorduroyError | null;
}

/**
 * Holds one document under edit. It applies edits at once. Merges and saves are cold Observables,
 * which `LiveEdit` subscribes to one after the other.
 */
export class DocumentEdit<T extends object> {
  /** The present state; null until the document has been read. */
  readonly state$: BehaviorSubject<DocumentEditState<T> | null> =
    new BehaviorSubject<DocumentEditState<T> | null>(null);
  /** Emits when there are edits to save. */
  readonly edits$: Subject<void> = new Subject<void>();
  readonly #live: LiveDatabase;
  readonly #id: string;
  readonly #merge: Merge<T>;
  readonly #backoff: BackoffOptions;
  /**
   * The document of a save whose result is not known. If the server has it, the save succeeded,
   * and the revision is not another client's.
   */
  #sent: Draft<T> | null = null;

  constructor(live: LiveDatabase, id: string, merge: Merge<T>, backoffOptions: BackoffOptions) {
    this.#live = live;
    this.#id = id;
    this.#merge = merge;
    this.#backoff = backoffOptions;
  }

  get pending(): boolean {
    return (this.state$.value?.local ?? null) !== null;
  }

  /** Sets the edited document. Edits that restore the server's document need no save. */
  edit(doc: Draft<T>): void {
    const { base } = this.#state;
    const restored = this.#sent === null && base.doc !== null && sameContent(doc, base.doc);
    this.#update({ local: restored ? null : doc, error: null });
    this.edits$.next();
  }

  discard(): void {
    if (this.state$.value !== null) this.#update({ local: null, error: null });
  }

  clearError(): void {
    if (this.state$.value !== null) this.#update({ error: null });
  }

  /** Returns the document as it is emitted and saved: the edits with the server's revision. */
  toDocument({ local, base }: DocumentEditState<T>): Draft<T> | null {
    if (local === null) return base.doc;
    const { rev, doc } = base;
    const next = { ...bodyOf(local), _id: this.#id, ...(doc !== null && { _rev: rev }) } as unknown;
    return next as Draft<T>;
  }

  /** Applies a newer state of the server, and rebases unsaved edits on it. */
  applyServerEntry(entry: LiveEntry<T>): Observable<never> {
    return defer(() => {
      const state = this.state$.value;
      if (state === null) {
        this.state$.next({ base: entry, local: null, error: null });
        return EMPTY;
      }
      if (!isNewer(entry, state.base)) return EMPTY;
      if (this.#sent !== null && entry.doc !== null && sameContent(this.#sent, entry.doc)) {
        this.#markSaved(entry);
        return EMPTY;
      }
      if (state.local === null) {
        this.#update({ base: entry });
        return EMPTY;
      }
      return this.#rebase(state, entry);
    });
  }

  /** Saves the unsaved edits, and retries transient errors. */
  save(): Observable<never> {
    const { connection } = this.#live.db;
    const attempt = defer(() => {
      const state = this.#state;
      const { local } = state;
      const doc = this.toDocument(state);
      if (local === null || doc === null) return EMPTY;
      this.#sent = local;
      return writeOne<T>(this.#live.db, { id: this.#id, doc }, {}).pipe(
        tap(({ value }) => {
          const rev = value.ok ? (value.rev ?? null) : null;
          const saved = { ...doc, _rev: rev } as unknown as Document<T>;
          this.#markSaved({ id: this.#id, rev, doc: saved, conflicts: [] });
        }),
        ignoreElements(),
        catchError((error: CorduroyError) => this.#handleError(error)),
      );
    });
    return attempt.pipe(
      retry({
        delay: (_error, failures) => connection.after(backoff(failures, this.#backoff)),
      }),
    );
  }

  get #state(): DocumentEditState<T> {
    const state = this.state$.value;
    if (state !== null) return state;
    throw new Error(
      'edit$: the document has not been read yet: subscribe, and wait for the first value',
    );
  }

  #update(changes: Partial<DocumentEditState<T>>): void {
    this.state$.next({ ...this.#state, ...changes });
  }

  #rebase(state: DocumentEditState<T>, entry: LiveEntry<T>): Observable<never> {
    const local = this.toDocument(state) as Draft<T>;
    return mergeOne(this.#merge, this.#id, local, { server: entry.doc, base: state.base.doc }).pipe(
      mergeMap((outcome) => {
        // The document was edited during the merge, so the merge must run again.
        if (this.#state.local !== state.local) return this.applyServerEntry(entry);
        if (outcome.type === 'merged') {
          const saved = entry.doc !== null && sameContent(outcome.doc, entry.doc);
          this.#update({ base: entry, local: saved ? null : outcome.doc });
          this.edits$.next();
        } else {
          const reason =
            outcome.type === 'failed' ? outcome.reason : 'the merge returned no document';
          this.#update({ base: entry, local: null, error: this.#mergeError(reason) });
        }
        return EMPTY;
      }),
    );
  }

  /** Records that the server has the document that was sent. */
  #markSaved(base: LiveEntry<T>): void {
    const { local } = this.#state;
    const saved = local === this.#sent;
    this.#sent = null;
    this.#update({ base, local: saved ? null : local, error: null });
    if (!saved) this.edits$.next();
  }

  /** Errors if the save must be retried. Rolls the edits back if the server rejected them. */
  #handleError(error: CorduroyError): Observable<never> {
    if (isConflict(error)) {
      const retryIfPending = defer(() => (this.pending ? throwError(() => error) : EMPTY));
      const rebase = this.#live
        .read([this.#id])
        .pipe(mergeMap(([entry]) => this.applyServerEntry(entry as unknown as LiveEntry<T>)));
      return concat(rebase, retryIfPending);
    }
    if (isTransient(error)) {
      this.#update({ error });
      return throwError(() => error);
    }
    this.#sent = null;
    // After a login, the same edits can be saved.
    this.#update(isUnauthorized(error) ? { error } : { error, local: null });
    return EMPTY;
  }

  #mergeError(reason: string): CorduroyError {
    const { connection, path } = this.#live.db;
    // The bulk requests that write the ids `.` and `..` name no document.
    const document = isDotSegment(this.#id) ? '' : documentPath(this.#id);
    const request = { method: 'PUT', url: connection.url + path + document };
    return httpError({ status: 409, error: 'merge_failed', reason, headers: {}, request });
  }
}

/** Returns whether an entry is newer than the base: it has another revision, and wins. */
function isNewer(entry: LiveEntry<object>, base: LiveEntry<object>): boolean {
  if (entry.rev === base.rev) return false;
  return base.rev === null || (entry.rev !== null && byWinner(entry.rev, base.rev) < 0);
}

function bodyOf(doc: Draft<object>): object {
  const { _id, _rev, ...body } = doc;
  return body;
}

function sameContent(a: Draft<object>, b: Draft<object>): boolean {
  return equal(bodyOf(a), bodyOf(b));
}
