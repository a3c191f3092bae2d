import {
  EMPTY,
  Observable,
  ReplaySubject,
  Subject,
  concatMap,
  debounceTime,
  defer,
  filter,
  first,
  ignoreElements,
  map,
  merge,
  of,
  share,
} from 'rxjs';
import type { Merge } from '../conflicts/merge.ts';
import { fields } from '../conflicts/merge.ts';
import { requireDraft } from '../documents/write.ts';
import type { CorduroyError } from '../errors/corduroy-error.ts';
import { requireId } from '../http/url.ts';
import type { AnyFields, Draft } from '../model/document.ts';
import { invalidArgument } from '../model/invalid-argument.ts';
import type { BackoffOptions } from '../operators/retry-policy.ts';
import { DocumentEdit } from './document-edit.ts';
import type { LiveDatabase } from './live-database.ts';
import { followDocument } from './live-documents.ts';
import type { LiveEntry } from './live-entry.ts';

/** How a document is edited. */
export interface EditOptions<T extends object = AnyFields> {
  /**
   * Makes one of the local edits and of what somebody else wrote meanwhile; null gives the edits up.
   * @defaultValue `fields()`: field by field; where both changed one, the local one wins
   */
  readonly merge?: Merge<T>;
  /** How long nothing is to be edited before it is saved, in milliseconds. @defaultValue 500 */
  readonly debounce?: number;
  /** How long to wait before saving again what could not be saved for now. */
  readonly backoff?: BackoffOptions;
}

/** A document as it is edited. */
export interface EditState<T extends object = AnyFields> {
  /** The document with all edits, saved or not; null where there is none. */
  readonly value: Draft<T> | null;
  /** Whether there are edits that have not been saved. */
  readonly pending: boolean;
  /**
   * Why the last edits could not be saved: with `pending`, they are kept and tried again; without,
   * they were refused, and `value` is the server's again. Null after the next edit.
   */
  readonly error: CorduroyError | null;
}

/**
 * A live document that can be edited: what `db.edit$(id)` returns.
 *
 * - **Temperature:** hot and shared while it is subscribed to; it is saved by those who look at it.
 * - **Emits** `{ value, pending, error }`: edits at once, and what others write, merged with them.
 * - **Completes** never.
 * - **Errors** as `db.doc$(id)` does. Edits that the server refuses (403, 400, 413…) are rolled back,
 *   with the reason in `error`; those that cannot be saved for now, or not without logging in (401), stay
 *   pending.
 * - **On unsubscribe** what is being saved is aborted. Unsaved edits stay in the editor: they are
 *   saved at the next subscription, or by {@link LiveEdit.flush}.
 */
export class LiveEdit<T extends object = AnyFields> extends Observable<EditState<T>> {
  readonly #document: DocumentEdit<T>;
  readonly #flushes$: Subject<void>;

  /** @internal */
  constructor(live: LiveDatabase, id: string, options: EditOptions<T>) {
    const { merge: merging = fields<T>(), debounce = 500, backoff: pace = {} } = options;
    requireId(id, 'edit$: the id');
    if (typeof merging !== 'function') throw invalidArgument('edit$: merge', 'a function', merging);
    if (!(debounce >= 0)) {
      throw invalidArgument('edit$: debounce', 'milliseconds from 0', debounce, RangeError);
    }
    const document = new DocumentEdit<T>(live, id, merging, pace);
    const flushes$ = new Subject<void>();
    const heard$ = followDocument(live, id).pipe(
      map((found) => document.hear(found as unknown as LiveEntry<T>)),
    );
    const saves$ = merge(
      // What was edited before this subscription waits too.
      defer(() => (document.pending ? of(undefined) : EMPTY)),
      document.edits$.pipe(debounceTime(debounce, live.db.connection.scheduler)),
      flushes$,
    ).pipe(map(() => document.save()));
    // What is heard from the server and what is sent to it, one after the other.
    const work$ = merge(heard$, saves$).pipe(concatMap((task) => task));
    const shown$ = document.state$.pipe(
      filter((state) => state !== null),
      map((state) => ({
        value: document.present(state),
        pending: state.local !== null,
        error: state.error,
      })),
    );
    const edited$ = merge(work$.pipe(ignoreElements()), shown$).pipe(
      share({ connector: () => new ReplaySubject(1) }),
    );
    super((subscriber) => edited$.subscribe(subscriber));
    this.#document = document;
    this.#flushes$ = flushes$;
  }

  /** Whether there are edits that have not been saved. */
  get pending(): boolean {
    return this.#document.pending;
  }

  /**
   * Replaces the document by another: at once for those who look, and saved later.
   *
   * @throws TypeError for what cannot be saved; Error before the document has been read.
   */
  set(doc: Draft<T>): void {
    requireDraft(doc, 'edit$: the document');
    this.#document.edit({ ...doc });
  }

  /**
   * Replaces some fields, as {@link LiveEdit.set} does all; a field that is undefined is removed.
   *
   * @throws TypeError for what cannot be saved; Error before the document has been read.
   */
  patch(changes: Partial<T>): void {
    const state = this.#document.state$.value;
    const present = state === null ? null : this.#document.present(state);
    const next: Record<string, unknown> = { ...present, ...changes };
    for (const name of Object.keys(next)) if (next[name] === undefined) delete next[name];
    this.set(next as Draft<T>);
  }

  /** Throws the unsaved edits away. */
  discard(): void {
    this.#document.discard();
  }

  /**
   * Saves what is unsaved without waiting for a pause, and emits the document when it is saved.
   *
   * Cold. Errors with what refused the edits. On unsubscribe what is being saved is aborted, unless
   * others look at the document.
   */
  flush(): Observable<Draft<T> | null> {
    return defer(() => {
      this.#document.forgive();
      const flush$ = defer(() => {
        this.#flushes$.next();
        return EMPTY;
      });
      return merge(this, flush$).pipe(
        first(({ pending, error }) => !pending || error !== null),
        map(({ value, error }) => {
          if (error !== null) throw error;
          return value;
        }),
      );
    });
  }
}
