import {
  EMPTY,
  Observable,
  ReplaySubject,
  defer,
  distinctUntilChanged,
  filter,
  first,
  map,
  merge,
  share,
} from 'rxjs';
import type { DeletionOptions, Merge } from '../conflicts/merge.ts';
import { fields } from '../conflicts/merge.ts';
import { plainDraft, requireDraft } from '../documents/write.ts';
import type { CorduroyError } from '../errors/corduroy-error.ts';
import { requireBackoff } from '../http/query.ts';
import type { DocumentRules } from '../http/scope.ts';
import { plainCopy } from '../model/json.ts';
import type { JsonCodec } from '../model/json.ts';
import type { AnyFields, Draft, ReadonlyDeep } from '../model/document.ts';
import { invalidArgument, requireOptions } from '../model/invalid-argument.ts';
import type { BackoffOptions } from '../operators/retry-policy.ts';
import { duration } from '../operators/time.ts';
import { documentOf } from './edit-state.ts';
import type { EditorState } from './edit-state.ts';
import { Editor } from './editor.ts';
import type { LiveDatabase } from './live-database.ts';
import { requireFollowed } from './live-documents.ts';

/** The options of `db.edit$()`. */
export interface EditOptions<T extends object = AnyFields> {
  /**
   * Merges the edited document with another version of the server. If it returns null, the edits stay
   * unsaved, with the status `'conflict'`.
   * @defaultValue `fields()`: merges field by field; if both changed a field, the local one wins
   */
  readonly merge?: Merge<T>;
  /**
   * Which one wins if a deletion meets an edit. `'edit'` creates the document again with the edits, and
   * leaves a local deletion unsaved if another client has edited the document. `'deletion'` deletes it, and
   * leaves local edits unsaved if another client has deleted it. Edits left unsaved have the status
   * `'conflict'`. Not with `merge`, which decides itself.
   * @defaultValue 'edit'
   */
  readonly deletion?: DeletionOptions['deletion'];
  /** How long to wait after the last edit before saving, in milliseconds. @defaultValue 500 */
  readonly debounce?: number;
  /** The delays between attempts to save after a transient error. */
  readonly backoff?: BackoffOptions;
}

/**
 * The activity of an editor.
 *
 * - `'loading'`: it reads the document for the first time.
 * - `'clean'`: there are no unsaved edits.
 * - `'edited'`: there are unsaved edits, which are saved after the debounce time.
 * - `'saving'`: a save is under way.
 * - `'retrying'`: a save failed with a transient error, and is repeated after `retryDelay`; after a 401,
 *   when the credentials change.
 * - `'conflict'`: the merge gave up. The edits stay. It merges again with the next version of the server,
 *   the next edit, or `save()`.
 * - `'refused'`: the server refused the edits (400, 403, 413 and the like). They stay, and are sent again
 *   after the next edit, with `save()`, or (403) when the credentials change.
 */
export type EditStatus =
  'loading' | 'clean' | 'edited' | 'saving' | 'retrying' | 'conflict' | 'refused';

/** The progress of an editor, as `state$` emits it. */
export interface EditProgress {
  readonly status: EditStatus;
  /** The error of the last attempt to save, or to read the document; null if there is none. */
  readonly error: CorduroyError | null;
  /** How many attempts have failed since the last success; 0 if none. */
  readonly attempt: number;
  /** The time before the next attempt, in milliseconds; `Infinity` means other credentials. */
  readonly retryDelay: number | null;
}

/** The state of a document under edit. */
export interface EditState<T extends object = AnyFields> {
  /** The document with all edits, saved or not; null if it is missing or deleted. Read-only. */
  readonly value: ReadonlyDeep<Draft<T>> | null;
  /** Whether there are unsaved edits. */
  readonly pending: boolean;
  /** The activity of the editor. It is never `'loading'` here. */
  readonly status: EditStatus;
  /** The error of the last attempt to save; null after the next edit. The edits stay. */
  readonly error: CorduroyError | null;
}

/**
 * Emits a document and saves edits to it: `db.edit$(id)` returns it.
 *
 * - **Temperature:** hot and shared by its subscribers. It reads and saves only while it has one.
 * - **Emits** `{ value, pending, status, error }`: each edit at once, and each version of the server, merged
 *   with the unsaved edits, also while a save is being retried.
 * - **Completes** never.
 * - **Errors** as `db.doc$(id)` does. No error of a save ends it or drops edits: `status` and `error` show
 *   it. Only `reset()` drops edits.
 * - **On unsubscribe** the last subscriber cancels the save in flight. Unsaved edits stay in this
 *   object: they are saved at the next subscription, or by {@link LiveEdit.save}.
 */
export class LiveEdit<T extends object = AnyFields> extends Observable<EditState<T>> {
  /**
   * Emits what the editor is doing: the present state at once, then each new one. Hot. A subscription to it
   * reads and saves nothing.
   */
  readonly state$: Observable<EditProgress>;
  readonly #editor: Editor<T>;
  readonly #id: string;
  readonly #codec: JsonCodec;
  readonly #rules: DocumentRules | null;

  /** @internal */
  constructor(
    live: LiveDatabase,
    id: string,
    options: EditOptions<T>,
    rules: DocumentRules | null = null,
  ) {
    requireOptions(options, 'edit$', ['merge', 'deletion', 'debounce', 'backoff']);
    const { deletion, debounce = 500, backoff = {} } = options;
    requireFollowed(id, 'edit$: the id');
    if (options.merge !== undefined && deletion !== undefined)
      throw new TypeError('edit$: use either merge or deletion, not both');
    const { merge: mergeDocuments = fields<T>(undefined, deletion && { deletion }) } = options;
    if (typeof mergeDocuments !== 'function')
      throw invalidArgument('edit$: merge', 'a function', mergeDocuments);
    duration(debounce, 'edit$: debounce');
    requireBackoff(backoff, 'edit$: backoff');
    const editor = new Editor<T>(live, id, { merge: mergeDocuments, debounce, backoff });
    // An edit may hold what the schema refuses: it is shown as it is.
    const decode = <D>(doc: D): D => (rules === null ? doc : (rules.readOrWarn(doc) ?? doc));
    const states$ = editor.state$.pipe(
      filter(({ data }) => data.server !== null),
      distinctUntilChanged(
        (a, b) => isSameValue(a, b) && statusOf(a) === statusOf(b) && errorOf(a) === errorOf(b),
      ),
      map((state) => ({
        value: decode(documentOf(state.data, id)) as ReadonlyDeep<Draft<T>> | null,
        pending: state.data.local !== null,
        status: statusOf(state),
        error: errorOf(state),
      })),
    );
    const shared$ = merge(editor.run(), states$).pipe(
      share({ connector: () => new ReplaySubject(1) }),
    );
    super((subscriber) => shared$.subscribe(subscriber));
    this.state$ = editor.state$.pipe(
      map(progressOf),
      distinctUntilChanged(
        (a, b) => a.status === b.status && a.error === b.error && a.attempt === b.attempt,
      ),
    );
    this.#editor = editor;
    this.#id = id;
    this.#codec = live.db.connection.codec;
    this.#rules = rules;
  }

  /** Whether there are unsaved edits. */
  get pending(): boolean {
    return this.#editor.data.local !== null;
  }

  /**
   * Replaces the document. Emits the new value at once, and saves it after the debounce time. A document
   * with `_deleted: true` deletes, as {@link LiveEdit.delete} does.
   *
   * @throws TypeError for a document that cannot be saved; Error before the document has been read.
   */
  set(doc: Draft<T> | ReadonlyDeep<Draft<T>>): void {
    const plain = plainDraft(doc as Draft<T>, 'edit$: the document');
    requireDraft(plain, this.#codec, 'edit$: the document');
    this.#rules?.requireValid(plain, 'edit$: the document');
    // A schema reads documents as JSON holds them.
    const copy = this.#rules === null ? { ...plain } : (plainCopy(plain, this.#codec) as Draft<T>);
    this.#editor.edit(plain._deleted === true ? null : copy);
  }

  /**
   * Replaces some fields of the document, and removes those that are undefined. Emits and saves as
   * {@link LiveEdit.set} does.
   *
   * @throws TypeError for a document that cannot be saved; Error before the document has been read.
   */
  patch(changes: Partial<T> | ReadonlyDeep<Partial<T>>): void {
    const present = documentOf(this.#editor.data, this.#id);
    const next: Record<string, unknown> = { ...present, ...plainDraft<object>(changes) };
    for (const name of Object.keys(next)) if (next[name] === undefined) delete next[name];
    this.set(next as Draft<T>);
  }

  /**
   * Deletes the document. Emits null at once, and saves the deletion after the debounce time.
   *
   * @throws Error before the document has been read.
   */
  delete(): void {
    this.#editor.edit(null);
  }

  /** Drops the unsaved edits, and emits the server's document. A save in flight is not undone. */
  reset(): void {
    this.#editor.reset();
  }

  /**
   * Saves the unsaved edits without waiting for the debounce time. Emits the document when it is
   * saved, or null if it is deleted, and completes.
   *
   * Cold. Transient errors are retried. Errors if the server refuses the edits, or if they cannot be merged:
   * the edits stay. Unsubscribing cancels the save in flight, unless this `LiveEdit` has other subscribers.
   */
  save(): Observable<ReadonlyDeep<Draft<T>> | null> {
    return defer(() => {
      this.#editor.saveNow();
      const begin$ = defer(() => {
        this.#editor.saveNow();
        return EMPTY;
      });
      return merge(this, begin$).pipe(
        first(
          ({ pending, error }) =>
            !pending || (error !== null && isFinal(this.#editor.state$.value)),
        ),
        map(({ value, error }) => {
          if (error !== null) throw error;
          return value;
        }),
      );
    });
  }
}

function statusOf({ data, activity }: EditorState<object>): EditStatus {
  if (data.server === null) return 'loading';
  if (data.local === null) return 'clean';
  if (activity.type === 'waiting') return 'retrying';
  return activity.type === 'none' ? 'edited' : activity.type;
}

function errorOf({ activity, data, readWait }: EditorState<object>): CorduroyError | null {
  if (data.server === null) return readWait?.error ?? null;
  return 'error' in activity && data.local !== null ? activity.error : null;
}

function progressOf(state: EditorState<object>): EditProgress {
  const { activity, readWait } = state;
  const wait = activity.type === 'waiting' ? activity : readWait;
  return {
    status: statusOf(state),
    error: errorOf(state),
    attempt: wait?.attempt ?? 0,
    retryDelay: wait?.delay ?? null,
  };
}

/** Returns whether the edits are not saved without another edit, other credentials or another version. */
function isFinal({ activity }: EditorState<object>): boolean {
  if (activity.type === 'waiting') return activity.delay === Infinity;
  return activity.type === 'conflict' || activity.type === 'refused';
}

/** Returns whether the shown documents are the same. */
function isSameValue(a: EditorState<object>, b: EditorState<object>): boolean {
  const [one, other] = [a.data, b.data];
  if (one.local === null || other.local === null)
    return one.local === other.local && one.server?.doc === other.server?.doc;
  if (one.local.doc === null || other.local.doc === null) return one.local.doc === other.local.doc;
  return one.local === other.local && one.base === other.base;
}
