import {
  ReplaySubject,
  concatMap,
  defer,
  finalize,
  from,
  map,
  mergeMap,
  reduce,
  share,
  take,
  tap,
} from 'rxjs';
import type { Observable } from 'rxjs';
import { arrayField, asObject, stringField } from '../http/decode.ts';
import type { OnWait } from '../http/retry-transient.ts';
import type { DatabaseScope } from '../http/scope.ts';
import { ALL_DOCS, endpoint, readByPost } from '../http/url.ts';
import type { Document } from '../model/document.ts';
import { entryOfDocument, missingEntry } from './live-entry.ts';
import type { LiveEntry } from './live-entry.ts';

/** The maximum number of documents in one request. */
const MAX_IDS = 2000;

type Entries = ReadonlyMap<string, LiveEntry>;

interface Batch {
  readonly ids: Set<string>;
  readonly waits: Set<OnWait>;
  readonly entries$: Observable<Entries>;
}

/** Retries transient errors, and calls `onWait` before each wait. */
export type Retries = <R>(read: () => Observable<R>, onWait: OnWait) => Observable<R>;

/** Reads documents: one request serves all reads of the same turn, and one retry too. */
export class LiveReader {
  readonly #db: DatabaseScope;
  readonly #withRetries: Retries;
  readonly #ready$: Observable<unknown>;
  /** The batch that collects the ids of this turn. */
  #collecting: Batch | undefined;

  /** @param ready$ - Emits when documents may be read. Until then, one batch collects all ids. */
  constructor(db: DatabaseScope, withRetries: Retries, ready$: Observable<unknown>) {
    this.#db = db;
    this.#withRetries = withRetries;
    this.#ready$ = ready$;
  }

  /**
   * Emits the entries of documents, in the order of `ids`, and completes. The request is aborted when
   * all its subscribers have left. The whole batch is retried, so that an outage costs one request.
   *
   * @param onWait - Called before each wait for a retry.
   */
  read(ids: readonly string[], onWait: OnWait): Observable<readonly LiveEntry[]> {
    return defer(() => {
      const batch = (this.#collecting ??= this.#createBatch());
      for (const id of ids) batch.ids.add(id);
      batch.waits.add(onWait);
      return batch.entries$.pipe(
        map((entries) => ids.map((id) => entries.get(id) ?? missingEntry(id))),
        finalize(() => batch.waits.delete(onWait)),
      );
    });
  }

  #createBatch(): Batch {
    const ids = new Set<string>();
    const waits = new Set<OnWait>();
    const close = (): void => {
      if (this.#collecting?.ids === ids) this.#collecting = undefined;
    };
    const fetch = (): Observable<Entries> => this.#fetch([...ids]);
    const entries$ = this.#ready$.pipe(
      take(1),
      mergeMap(() => this.#db.connection.after(0)),
      tap(close),
      mergeMap(() =>
        this.#withRetries(fetch, (...wait) => {
          for (const onWait of waits) onWait(...wait);
        }),
      ),
      finalize(close),
      share({ connector: () => new ReplaySubject(1), resetOnComplete: false, resetOnError: false }),
    );
    return { ids, waits, entries$ };
  }

  #fetch(ids: readonly string[]): Observable<Entries> {
    const address = endpoint(this.#db, ALL_DOCS, '?include_docs=true&conflicts=true');
    const parts = Array.from({ length: Math.ceil(ids.length / MAX_IDS) }, (_, i) =>
      ids.slice(i * MAX_IDS, (i + 1) * MAX_IDS),
    );
    return from(parts).pipe(
      concatMap((keys) =>
        this.#db.connection.json(
          () => readByPost(address, { keys }),
          (body) => arrayField(body, 'rows').map(entryOfRow),
        ),
      ),
      reduce((all, { value }) => {
        for (const entry of value) all.set(entry.id, entry);
        return all;
      }, new Map<string, LiveEntry>()),
    );
  }
}

function entryOfRow(row: unknown): LiveEntry {
  const { doc, value } = asObject(row) as { doc?: Document | null; value?: { rev?: string } };
  if (doc) return entryOfDocument(doc);
  return { ...missingEntry(stringField(row, 'key')), rev: value?.rev ?? null };
}
