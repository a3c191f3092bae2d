import { BehaviorSubject, EMPTY, Observable, Subscription, defer, mergeMap, of } from 'rxjs';
import { mergeOne } from '../conflicts/merge.ts';
import type { Merge, MergeOutcome } from '../conflicts/merge.ts';
import { writeOne } from '../documents/write.ts';
import type { CorduroyError } from '../errors/corduroy-error.ts';
import { httpError } from '../errors/from-response.ts';
import { isConflict, isForbidden, isUnauthorized } from '../errors/http-error.ts';
import { documentPath, isDotSegment } from '../http/url.ts';
import type { Document, Draft } from '../model/document.ts';
import { backoff, mayPass, requestedDelay } from '../operators/retry-policy.ts';
import type { BackoffOptions } from '../operators/retry-policy.ts';
import { confirmedEntries } from './confirmed-entries.ts';
import {
  UNREAD,
  documentOf,
  taskOf,
  withEdit,
  withMerged,
  withSaved,
  withSent,
  withServer,
  withoutEdits,
  withoutSent,
} from './edit-state.ts';
import type { EditActivity, EditData, EditorState, SentEdit, ServerVersion } from './edit-state.ts';
import type { LiveDatabase } from './live-database.ts';
import { ReadWaits } from './shared-queries.ts';

/** The options of an editor. */
export interface EditorOptions<T extends object> {
  readonly merge: Merge<T>;
  /** How long to wait after the last edit before saving, in milliseconds. */
  readonly debounce: number;
  readonly backoff: BackoffOptions;
}

const IDLE: EditActivity = { type: 'none' };

/**
 * Edits a document. It applies edits and the server's versions at once to its data, and then does what
 * follows from the data: it merges, saves, or waits. It works only while {@link Editor.run} has a
 * subscriber. At other times it keeps the edits.
 */
export class Editor<T extends object> {
  readonly state$: BehaviorSubject<EditorState<T>> = new BehaviorSubject<EditorState<T>>({
    data: UNREAD,
    activity: IDLE,
    readWait: null,
  });
  readonly #live: LiveDatabase;
  readonly #id: string;
  readonly #options: EditorOptions<T>;
  /** The work in progress: the save, the timers, the merge. Null without a subscriber. */
  #work: Subscription | null = null;
  #timer = new Subscription();
  #merging = false;
  /** Whether the edits may be saved: the debounce time has passed. */
  #due = false;
  /** How often saving the edits has failed since the last success. */
  #attempt = 0;
  /** Whether the credentials changed during the save in flight, which may be refused for the former ones. */
  #hasNewCredentials = false;

  constructor(live: LiveDatabase, id: string, options: EditorOptions<T>) {
    this.#live = live;
    this.#id = id;
    this.#options = options;
  }

  get data(): EditData<T> {
    return this.state$.value.data;
  }

  /** Follows the document and saves edits, until it is unsubscribed. Errors if reading fails. */
  run(): Observable<never> {
    return new Observable((subscriber) => {
      const { authenticator } = this.#live.db.connection;
      const readWaits = new ReadWaits();
      const work = new Subscription();
      this.#work = work;
      this.#due = this.data.local !== null;
      subscriber.add(() => this.#stop(work));
      work.add(readWaits.values$.subscribe((readWait) => this.#update({ readWait })));
      work.add(authenticator.changed$.subscribe(() => this.#onCredentials()));
      work.add(
        confirmedEntries(this.#live, this.#id, () => this.data.server?.rev, readWaits).subscribe({
          next: (entry) => this.#onServer(entry as unknown as ServerVersion<T>),
          error: (error: unknown) => subscriber.error(error),
        }),
      );
    });
  }

  /** Sets the edited document; null deletes it. */
  edit(doc: Draft<T> | null): void {
    if (this.data.server === null)
      throw new Error(
        'edit$: the document has not been read yet: subscribe, and wait for the first value',
      );
    const { activity } = this.state$.value;
    // Typing does not shorten the wait for a server that is down.
    const waits = activity.type === 'waiting' && activity.delay !== Infinity;
    const keeps = waits || activity.type === 'saving';
    this.#update({ data: withEdit(this.data, doc), ...(!keeps && { activity: IDLE }) });
    if (!waits) this.#saveAfter(this.#options.debounce);
    this.#proceed();
  }

  /** Drops the unsaved edits. */
  reset(): void {
    const { activity } = this.state$.value;
    if (activity.type !== 'saving') this.#timer.unsubscribe();
    this.#update({
      data: withoutEdits(this.data),
      ...(activity.type !== 'saving' && { activity: IDLE }),
    });
  }

  /** Ends all waits, so that the edits are merged and saved now. */
  saveNow(): void {
    this.#due = true;
    const { activity } = this.state$.value;
    if (activity.type !== 'saving') this.#update({ activity: IDLE });
    this.#proceed();
  }

  #update(changes: Partial<EditorState<T>>): void {
    this.state$.next({ ...this.state$.value, ...changes });
  }

  #stop(work: Subscription): void {
    this.#work = null;
    this.#merging = false;
    this.#timer.unsubscribe();
    work.unsubscribe();
    const { type } = this.state$.value.activity;
    if (type === 'saving' || type === 'waiting') this.#update({ activity: IDLE });
  }

  #onServer({ rev, doc }: ServerVersion<T>): void {
    const { activity } = this.state$.value;
    const data = withServer(this.data, { rev, doc });
    // Another version may be merged where the former one was not.
    const isSettled =
      data.local === null ? activity.type !== 'saving' : activity.type === 'conflict';
    this.#update({ data, ...(isSettled && { activity: IDLE }) });
    this.#proceed();
  }

  /** Saves again what the server refused to the former user. */
  #onCredentials(): void {
    const { activity } = this.state$.value;
    this.#hasNewCredentials = activity.type === 'saving';
    if (activity.type !== 'waiting' && activity.type !== 'refused') return;
    if (isUnauthorized(activity.error) || isForbidden(activity.error)) this.saveNow();
  }

  /** Does what follows from the data. */
  #proceed(): void {
    const { data, activity } = this.state$.value;
    const task = taskOf(data);
    if (this.#work === null || this.#merging || activity.type === 'saving') return;
    if (task === 'merge' && activity.type !== 'conflict') this.#merge(this.#work);
    else if (task === 'save' && activity.type === 'none' && this.#due) this.#save(this.#work);
  }

  #saveAfter(delay: number): void {
    this.#due = false;
    this.#timer.unsubscribe();
    if (this.#work === null) return;
    this.#timer = this.#live.db.connection.after(delay).subscribe(() => {
      this.#due = true;
      if (this.state$.value.activity.type === 'waiting') this.#update({ activity: IDLE });
      this.#proceed();
    });
    this.#work.add(this.#timer);
  }

  /** Merges the edits with the server's version. */
  #merge(work: Subscription): void {
    const { local, base, server } = this.data;
    if (local === null || server === null) return;
    this.#merging = true;
    const deletion = { _id: this.#id, _rev: base?.rev, _deleted: true } as unknown as Draft<T>;
    const edited = documentOf(this.data, this.#id) ?? deletion;
    const copies = { server: server.doc, base: base?.doc ?? null };
    const onOutcome = (outcome: MergeOutcome<T>): void => {
      this.#merging = false;
      // The document was edited during the merge, so the merge must run again.
      if (this.data.local === local) {
        if (outcome.type === 'merged') {
          this.#update({ data: withMerged(this.data, server, outcome.doc) });
        } else {
          const reason =
            outcome.type === 'failed' ? outcome.reason : 'the merge returned no document';
          // A newer version may be mergeable.
          if (this.data.server?.rev === server.rev)
            this.#update({ activity: { type: 'conflict', error: this.#mergeError(reason) } });
        }
      }
      this.#proceed();
    };
    work.add(mergeOne(this.#options.merge, this.#id, edited, copies).subscribe(onOutcome));
  }

  #save(work: Subscription): void {
    const data = withSent(this.data);
    const { sent } = data;
    if (sent === null) return;
    const shown = documentOf(data, this.#id);
    const tombstone = { _id: this.#id, _rev: sent.replaces, _deleted: true } as unknown;
    const doc = shown ?? (tombstone as Draft<T>);
    this.#hasNewCredentials = false;
    this.#update({ data, activity: { type: 'saving' } });
    work.add(
      writeOne<T>(this.#live.db, { id: this.#id, doc }, {}).subscribe({
        next: ({ value }) => {
          const rev = value.ok ? (value.rev ?? null) : null;
          const saved = shown === null ? null : ({ ...shown, _rev: rev } as unknown as Document<T>);
          this.#attempt = 0;
          this.#update({
            data: withSaved(this.data, sent, { rev, doc: saved }),
            activity: IDLE,
          });
          this.#proceed();
        },
        error: (error: CorduroyError) => this.#onError(error, sent, work),
      }),
    );
  }

  #onError(error: CorduroyError, sent: SentEdit<T>, work: Subscription): void {
    if (isConflict(error)) {
      this.#onConflict(error, sent, work);
    } else if (mayPass(error)) {
      this.#wait(error);
    } else if (isUnauthorized(error)) {
      this.#timer.unsubscribe();
      this.#update({
        data: withoutSent(this.data),
        activity: { type: 'waiting', attempt: this.#attempt, delay: Infinity, error },
      });
      if (this.#hasNewCredentials) this.saveNow();
    } else {
      this.#update({ data: withoutSent(this.data), activity: { type: 'refused', error } });
      this.#proceed();
    }
  }

  /** Reads the version that the save met. Merges at once, and saves again after a delay. */
  #onConflict(error: CorduroyError, { replaces }: SentEdit<T>, work: Subscription): void {
    const read$ = this.#live.read([this.#id]).pipe(
      // A node that lags behind shows the old version, which is no reason for a conflict.
      mergeMap(([entry]) => (entry === undefined || entry.rev === replaces ? EMPTY : of(entry))),
    );
    let found = false;
    work.add(
      defer(() => read$).subscribe({
        next: ({ rev, doc }) => {
          found = true;
          const data = withServer(this.data, { rev, doc: doc as unknown as Document<T> | null });
          this.#attempt += 1;
          this.#update({ data: withoutSent(data), activity: IDLE });
          this.#saveAfter(backoff(this.#attempt, this.#options.backoff));
          this.#proceed();
        },
        error: (readError: CorduroyError) => this.#wait(readError),
        complete: () => {
          if (!found) this.#wait(error);
        },
      }),
    );
  }

  /** Waits before the next attempt to save. */
  #wait(error: CorduroyError): void {
    const { scheduler } = this.#live.db.connection;
    this.#attempt += 1;
    const attempt = this.#attempt;
    const delay = Math.max(
      backoff(attempt, this.#options.backoff),
      requestedDelay(error, scheduler),
    );
    this.#update({ activity: { type: 'waiting', attempt, delay, error } });
    this.#saveAfter(delay);
    this.#proceed();
  }

  #mergeError(reason: string): CorduroyError {
    const { connection, path } = this.#live.db;
    // The bulk requests that write the ids `.` and `..` name no document.
    const document = isDotSegment(this.#id) ? '' : documentPath(this.#id);
    const request = { method: 'PUT', url: connection.url + path + document };
    return httpError({ status: 409, error: 'merge_failed', reason, headers: {}, request });
  }
}
