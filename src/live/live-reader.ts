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
import type { Document } from '../model/document.ts';
import { entryOfDocument } from './live-entry.ts';
import type { LiveEntry } from './live-entry.ts';

/** How many documents one request reads at most. */
const MOST = 1000;

interface Batch {
  readonly ids: Set<string>;
  readonly found$: Observable<ReadonlyMap<string, LiveEntry>>;
}

/** Reads documents: all that are asked for in the same turn with one request. */
export class LiveReader {
  readonly #db: DatabaseScope;
  /** What has been asked for in this turn. */
  #open: Batch | undefined;

  constructor(db: DatabaseScope) {
    this.#db = db;
  }

  /** Emits what is known of documents, in their order, once. When all have left, it aborts. */
  read(ids: readonly string[]): Observable<readonly LiveEntry[]> {
    return defer(() => {
      const batch = (this.#open ??= this.#begin());
      for (const id of ids) batch.ids.add(id);
      return batch.found$.pipe(map((found) => ids.map((id) => found.get(id) ?? missing(id))));
    });
  }

  #begin(): Batch {
    const ids = new Set<string>();
    const close = (): void => {
      if (this.#open?.ids === ids) this.#open = undefined;
    };
    const found$ = this.#db.connection.after(0).pipe(
      tap(close),
      mergeMap(() => this.#fetch([...ids])),
      finalize(close),
      share({ connector: () => new ReplaySubject(1), resetOnComplete: false, resetOnError: false }),
    );
    return { ids, found$ };
  }

  #fetch(ids: readonly string[]): Observable<ReadonlyMap<string, LiveEntry>> {
    const path = `${this.#db.path}/_all_docs?include_docs=true&conflicts=true`;
    const parts = Array.from({ length: Math.ceil(ids.length / MOST) }, (_, i) =>
      ids.slice(i * MOST, (i + 1) * MOST),
    );
    return from(parts).pipe(
      concatMap((keys) =>
        this.#db.connection.json(
          () => ({ method: 'POST', path, json: { keys } }),
          (body) => arrayField(body, 'rows').map(foundRow),
        ),
      ),
      reduce((all, { value }) => {
        for (const found of value) all.set(found.id, found);
        return all;
      }, new Map<string, LiveEntry>()),
    );
  }
}

function foundRow(row: unknown): LiveEntry {
  const { doc, value } = asObject(row) as { doc?: Document | null; value?: { rev?: string } };
  if (doc) return entryOfDocument(doc);
  return { ...missing(stringField(row, 'key')), rev: value?.rev ?? null };
}

function missing(id: string): LiveEntry {
  return { id, rev: null, doc: null, conflicts: [] };
}
