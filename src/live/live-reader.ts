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
  tap,
} from 'rxjs';
import type { Observable } from 'rxjs';
import { arrayField, asObject, stringField } from '../http/decode.ts';
import type { DatabaseScope } from '../http/scope.ts';
import { ALL_DOCS, endpoint, readByPost } from '../http/url.ts';
import type { Document } from '../model/document.ts';
import { entryOfDocument } from './live-entry.ts';
import type { LiveEntry } from './live-entry.ts';

/** The maximum number of documents in one request. */
const MAX_IDS = 1000;

interface Batch {
  readonly ids: Set<string>;
  readonly entries$: Observable<ReadonlyMap<string, LiveEntry>>;
}

/** Reads documents: one request serves all reads of the same turn. */
export class LiveReader {
  readonly #db: DatabaseScope;
  /** The batch that collects the ids of this turn. */
  #collecting: Batch | undefined;

  constructor(db: DatabaseScope) {
    this.#db = db;
  }

  /**
   * Emits the entries of documents, in the order of `ids`, and completes. The request is aborted when
   * all its subscribers have left.
   */
  read(ids: readonly string[]): Observable<readonly LiveEntry[]> {
    return defer(() => {
      const batch = (this.#collecting ??= this.#createBatch());
      for (const id of ids) batch.ids.add(id);
      return batch.entries$.pipe(
        map((entries) => ids.map((id) => entries.get(id) ?? missingEntry(id))),
      );
    });
  }

  #createBatch(): Batch {
    const ids = new Set<string>();
    const close = (): void => {
      if (this.#collecting?.ids === ids) this.#collecting = undefined;
    };
    const entries$ = this.#db.connection.after(0).pipe(
      tap(close),
      mergeMap(() => this.#fetch([...ids])),
      finalize(close),
      share({ connector: () => new ReplaySubject(1), resetOnComplete: false, resetOnError: false }),
    );
    return { ids, entries$ };
  }

  #fetch(ids: readonly string[]): Observable<ReadonlyMap<string, LiveEntry>> {
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

function missingEntry(id: string): LiveEntry {
  return { id, rev: null, doc: null, conflicts: [] };
}
