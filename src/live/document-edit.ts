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
import { documentPath } from '../http/url.ts';
import type { Document, Draft } from '../model/document.ts';
import { equal } from '../model/json.ts';
import { byWinner } from '../model/document.ts';
import { backoff } from '../operators/retry-policy.ts';
import type { BackoffOptions } from '../operators/retry-policy.ts';
import type { LiveEntry } from './live-entry.ts';
import type { LiveDatabase } from './live-database.ts';

/** A document with the edits to it that the server does not have yet. */
export interface DocumentEditState<T extends object> {
  /** What the server has, and the edits were made of. */
  readonly base: LiveEntry<T>;
  /** The document with the edits; null where there are none. */
  readonly local: Draft<T> | null;
  /** Why the last ones could not be saved. */
  readonly error: CorduroyError | null;
}

/**
 * One document under edit: it takes edits at once, and merges and saves them. What it is told to do
 * is done by whoever subscribes, one thing after the other.
 */
export class DocumentEdit<T extends object> {
  /** Null until the document has been read. */
  readonly state$: BehaviorSubject<DocumentEditState<T> | null> =
    new BehaviorSubject<DocumentEditState<T> | null>(null);
  /** Tells that there is something to save. */
  readonly edits$: Subject<void> = new Subject<void>();
  readonly #live: LiveDatabase;
  readonly #id: string;
  readonly #merge: Merge<T>;
  readonly #backoff: BackoffOptions;
  /** What was sent and not answered for: if it turns up on the server, it was ours. */
  #sent: Draft<T> | null = null;

  constructor(live: LiveDatabase, id: string, merging: Merge<T>, pace: BackoffOptions) {
    this.#live = live;
    this.#id = id;
    this.#merge = merging;
    this.#backoff = pace;
  }

  get pending(): boolean {
    return (this.state$.value?.local ?? null) !== null;
  }

  /** Takes the document with its edits; what is back to what the server has need not be saved. */
  edit(doc: Draft<T>): void {
    const { base } = this.#state;
    const undone = this.#sent === null && base.doc !== null && same(doc, base.doc);
    this.#put({ local: undone ? null : doc, error: null });
    this.edits$.next();
  }

  discard(): void {
    if (this.state$.value !== null) this.#put({ local: null, error: null });
  }

  forgive(): void {
    if (this.state$.value !== null) this.#put({ error: null });
  }

  /** The document as it is shown, and as it is saved. */
  present({ local, base }: DocumentEditState<T>): Draft<T> | null {
    if (local === null) return base.doc;
    const { rev, doc } = base;
    const next = { ...bodyOf(local), _id: this.#id, ...(doc !== null && { _rev: rev }) } as unknown;
    return next as Draft<T>;
  }

  /** Takes note of what the server has; unsaved edits are rebased on it. */
  hear(found: LiveEntry<T>): Observable<never> {
    return defer(() => {
      const state = this.state$.value;
      if (state === null) {
        this.state$.next({ base: found, local: null, error: null });
        return EMPTY;
      }
      if (!isNews(found, state.base)) return EMPTY;
      if (this.#sent !== null && found.doc !== null && same(this.#sent, found.doc)) {
        this.#settle(found);
        return EMPTY;
      }
      if (state.local === null) {
        this.#put({ base: found });
        return EMPTY;
      }
      return this.#rebase(state, found);
    });
  }

  /** Saves what is unsaved, and again as long as failures pass by themselves. */
  save(): Observable<never> {
    const { connection } = this.#live.db;
    const once = defer(() => {
      const state = this.#state;
      const { local } = state;
      const doc = this.present(state);
      if (local === null || doc === null) return EMPTY;
      this.#sent = local;
      return writeOne<T>(this.#live.db, { id: this.#id, doc }, {}).pipe(
        tap(({ value }) => {
          const rev = value.ok ? (value.rev ?? null) : null;
          const saved = { ...doc, _rev: rev } as unknown as Document<T>;
          this.#settle({ id: this.#id, rev, doc: saved, conflicts: [] });
        }),
        ignoreElements(),
        catchError((error: CorduroyError) => this.#fail(error)),
      );
    });
    return once.pipe(
      retry({
        delay: (_error, failures) => connection.after(backoff(failures, this.#backoff)),
      }),
    );
  }

  get #state(): DocumentEditState<T> {
    const state = this.state$.value;
    if (state !== null) return state;
    throw new Error('edit$: the document has not been read yet: subscribe, and wait for its value');
  }

  #put(changes: Partial<DocumentEditState<T>>): void {
    this.state$.next({ ...this.#state, ...changes });
  }

  #rebase(state: DocumentEditState<T>, found: LiveEntry<T>): Observable<never> {
    const mine = this.present(state) as Draft<T>;
    return mergeOne(this.#merge, this.#id, mine, { server: found.doc, base: state.base.doc }).pipe(
      mergeMap((outcome) => {
        // Edited while the merge was waited for: what was merged is not what there is.
        if (this.#state.local !== state.local) return this.hear(found);
        if (outcome.type === 'merged') {
          const saved = found.doc !== null && same(outcome.doc, found.doc);
          this.#put({ base: found, local: saved ? null : outcome.doc });
          this.edits$.next();
        } else {
          const reason = outcome.type === 'failed' ? outcome.reason : 'the merge gave up';
          this.#put({ base: found, local: null, error: this.#refused(reason) });
        }
        return EMPTY;
      }),
    );
  }

  /** What was sent is what the server has. */
  #settle(base: LiveEntry<T>): void {
    const { local } = this.#state;
    const saved = local === this.#sent;
    this.#sent = null;
    this.#put({ base, local: saved ? null : local, error: null });
    if (!saved) this.edits$.next();
  }

  /** Errors with what is to be tried again; what was refused is rolled back. */
  #fail(error: CorduroyError): Observable<never> {
    if (isConflict(error)) {
      const again = defer(() => (this.pending ? throwError(() => error) : EMPTY));
      const heard = this.#live
        .read([this.#id])
        .pipe(mergeMap(([found]) => this.hear(found as unknown as LiveEntry<T>)));
      return concat(heard, again);
    }
    if (isTransient(error)) {
      this.#put({ error });
      return throwError(() => error);
    }
    this.#sent = null;
    // Who logs in again can save them.
    this.#put(isUnauthorized(error) ? { error } : { error, local: null });
    return EMPTY;
  }

  #refused(reason: string): CorduroyError {
    const { connection, path } = this.#live.db;
    const request = { method: 'PUT', url: connection.url + path + documentPath(this.#id) };
    return httpError({ status: 409, error: 'merge_failed', reason, headers: {}, request });
  }
}

/** Whether what is heard of a document is newer than what is known of it. */
function isNews(found: LiveEntry<object>, base: LiveEntry<object>): boolean {
  if (found.rev === base.rev) return false;
  return base.rev === null || (found.rev !== null && byWinner(found.rev, base.rev) < 0);
}

function bodyOf(doc: Draft<object>): object {
  const { _id, _rev, ...body } = doc;
  return body;
}

function same(a: Draft<object>, b: Draft<object>): boolean {
  return equal(bodyOf(a), bodyOf(b));
}
