import {
  EMPTY,
  Observable,
  ReplaySubject,
  Subject,
  concatMap,
  debounce as debounce$,
  defer,
  distinctUntilChanged,
  filter,
  first,
  ignoreElements,
  map,
  merge,
  of,
  share,
} from 'rxjs';
import type { DeletionOptions, Merge } from '../conflicts/merge.ts';
import { fields } from '../conflicts/merge.ts';
import { plainDraft, requireDraft } from '../documents/write.ts';
import type { CorduroyError } from '../errors/corduroy-error.ts';
import { requireBackoff } from '../http/query.ts';
import type { JsonCodec } from '../model/json.ts';
import type { AnyFields, Draft } from '../model/document.ts';
import { invalidArgument } from '../model/invalid-argument.ts';
import type { BackoffOptions } from '../operators/retry-policy.ts';
import { duration } from '../operators/time.ts';
import { DocumentEdit } from './document-edit.ts';
import type { LiveDatabase } from './live-database.ts';
import { followDocument, requireFollowed } from './live-documents.ts';
import type { LiveEntry } from './live-entry.ts';

/** The options of `db.edit$()`. */
export interface EditOptions<T extends object = AnyFields> {
  /**
   * Merges the local document with a newer revision of the server. Null discards the local edits.
   * @defaultValue `fields()`: merges field by field; if both changed a field, the local one wins
   */
  readonly merge?: Merge<T>;
  /**
   * Which one wins if another client deletes the document while it is edited: `'edit'` saves the edits
   * and creates the document again; `'deletion'` discards them, with the reason in `error`. Not with
   * `merge`, which decides itself.
   * @defaultValue 'edit'
   */
  readonly deletion?: DeletionOptions['deletion'];
  /** How long to wait after the last edit before saving, in milliseconds. @defaultValue 500 */
  readonly debounce?: number;
  /** The delays between attempts to save after a transient error. */
  readonly backoff?: BackoffOptions;
}

/** The state of a document under edit. */
export interface EditState<T extends object = AnyFields> {
  /** The document with all edits, saved or not; null if it is missing or deleted. */
  readonly value: Draft<T> | null;
  /** Whether there are unsaved edits. */
  readonly pending: boolean;
  /**
   * The error of the last attempt to save. If `pending` is true, the edits are kept and saved again.
   * Otherwise the server or the merge rejected them, and `value` is the server's document. Null after
   * the next edit.
   */
  readonly error: CorduroyError | null;
}

/**
 * Emits a document and saves edits to it: `db.edit$(id)` returns it.
 *
 * - **Temperature:** hot and shared by its subscribers. It reads and saves only while it has one.
 * - **Emits** `{ value, pending, error }`: each edit at once, and each newer revision of the server,
 *   merged with the unsaved edits.
 * - **Completes** never.
 * - **Errors** as `db.doc$(id)` does. Edits that the server rejects (400, 403, 413 and the like) are
 *   rolled back, with the reason in `error`. Edits stay pending after a transient error, which is
 *   retried, and after a 401, until you log in.
 * - **On unsubscribe** the last subscriber cancels the save in flight. Unsaved edits stay in this
 *   object: they are saved at the next subscription, or by {@link LiveEdit.flush}.
 */
export class LiveEdit<T extends object = AnyFields> extends Observable<EditState<T>> {
  readonly #document: DocumentEdit<T>;
  readonly #flushes$: Subject<void>;
  readonly #codec: JsonCodec;

  /** @internal */
  constructor(live: LiveDatabase, id: string, options: EditOptions<T>) {
    const { deletion, debounce = 500, backoff = {} } = options;
    requireFollowed(id, 'edit$: the id');
    if (options.merge !== undefined && deletion !== undefined)
      throw new TypeError('edit$: use either merge or deletion, not both');
    const { merge: mergeDocuments = fields<T>(undefined, deletion && { deletion }) } = options;
    if (typeof mergeDocuments !== 'function')
      throw invalidArgument('edit$: merge', 'a function', mergeDocuments);
    duration(debounce, 'edit$: debounce');
    requireBackoff(backoff, 'edit$: backoff');
    const document = new DocumentEdit<T>(live, id, mergeDocuments, backoff);
    const flushes$ = new Subject<void>();
    const rebases$ = followDocument(live, id).pipe(
      map((entry) => document.applyServerEntry(entry as unknown as LiveEntry<T>)),
    );
    const saves$ = merge(
      // Edits from before this subscription.
      defer(() => (document.pending ? of(undefined) : EMPTY)),
      document.edits$.pipe(debounce$(() => live.db.connection.after(debounce))),
      flushes$,
    ).pipe(map(() => document.save()));
    // Rebases and saves run one after the other, because each changes the state.
    const work$ = merge(rebases$, saves$).pipe(concatMap((task) => task));
    const states$ = document.state$.pipe(
      filter((state) => state !== null),
      distinctUntilChanged(
        (a, b) => a.base === b.base && a.local === b.local && a.error === b.error,
      ),
      map((state) => ({
        value: document.toDocument(state),
        pending: state.local !== null,
        error: state.error,
      })),
    );
    const shared$ = merge(work$.pipe(ignoreElements()), states$).pipe(
      share({ connector: () => new ReplaySubject(1) }),
    );
    super((subscriber) => shared$.subscribe(subscriber));
    this.#document = document;
    this.#flushes$ = flushes$;
    this.#codec = live.db.connection.codec;
  }

  /** Whether there are unsaved edits. */
  get pending(): boolean {
    return this.#document.pending;
  }

  /**
   * Replaces the document. Emits the new value at once, and saves it after the debounce time.
   *
   * @throws TypeError for a document that cannot be saved; Error before the document has been read.
   */
  set(doc: Draft<T>): void {
    const plain = plainDraft(doc, 'edit$: the document');
    requireDraft(plain, this.#codec, 'edit$: the document');
    this.#document.edit({ ...plain });
  }

  /**
   * Replaces some fields of the document, and removes those that are undefined. Emits and saves as
   * {@link LiveEdit.set} does.
   *
   * @throws TypeError for a document that cannot be saved; Error before the document has been read.
   */
  patch(changes: Partial<T>): void {
    const state = this.#document.state$.value;
    const present = state === null ? null : this.#document.toDocument(state);
    const next: Record<string, unknown> = { ...present, ...plainDraft(changes) };
    for (const name of Object.keys(next)) if (next[name] === undefined) delete next[name];
    this.set(next as Draft<T>);
  }

  /** Discards the unsaved edits, and emits the server's document. */
  discard(): void {
    this.#document.discard();
  }

  /**
   * Saves the unsaved edits without waiting for the debounce time. Emits the document when it is
   * saved, and completes.
   *
   * Cold. Errors with the error of the save. Unsubscribing cancels the save in flight, unless this
   * `LiveEdit` has other subscribers.
   */
  flush(): Observable<Draft<T> | null> {
    return defer(() => {
      this.#document.clearError();
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
