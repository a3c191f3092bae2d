import { EMPTY, Observable, catchError, defer, map, merge, mergeMap, of, repeat } from 'rxjs';
import { count, toBody } from '../http/query.ts';
import type { DatabaseScope } from '../http/scope.ts';
import { requireId } from '../http/url.ts';
import type { Draft } from '../model/document.ts';
import { invalidArgument } from '../model/invalid-argument.ts';
import { BatchReader, opener } from './batch-reader.ts';
import type { Batch, DocumentSource, ReaderSettings } from './batch-reader.ts';
import type { ConflictResolution } from './resolution.ts';
import { saveMany } from './save.ts';
import type { SaveOptions } from './save.ts';

/** Options of `db.saveAll()`. */
export interface SaveAllOptions<T extends object, Out extends object = T> extends Omit<
  SaveOptions<T, Out>,
  'batch' | 'allOrNothing'
> {
  /** How many documents one request writes, at most. A request also ends at 8 MiB. @defaultValue 500 */
  readonly batchSize?: number;
  /** How many requests are sent at the same time. @defaultValue 2 */
  readonly concurrency?: number;
  /** Continues after the document with this id: the `resumeAfter` of an earlier progress. */
  readonly resumeAfter?: string | null;
}

/** Options of `db.saveAll()` with a source of other values than documents. */
export interface SaveItemsOptions<
  Item,
  T extends object,
  Doc extends object = T,
  Out extends object = T,
> extends SaveAllOptions<T, Out> {
  /** Returns the document or the documents of an item of the source. Null is skipped. */
  readonly documents: (item: Item) => Doc | readonly (Doc | null)[] | null | undefined;
}

/** How far `db.saveAll()` has come. */
export interface SaveProgress<T extends object, Out extends object = T> {
  /** How many documents were written. */
  readonly written: number;
  /** How many documents the server refused. */
  readonly refused: number;
  /** The size of the documents that were written or refused, as JSON, in bytes. */
  readonly bytes: number;
  /** The documents of one second, on average since the start. */
  readonly perSecond: number;
  /**
   * All documents of the source up to the one with this id were written or refused. Pass it as an option
   * to continue after a failure. Null before the first of them.
   */
  readonly resumeAfter: string | null;
  /** The outcome of each document of this request: `resolved` and `pending`. */
  readonly outcome: ConflictResolution<T, Out>;
}

const OPTIONS = {
  batchSize: count,
  concurrency: count,
  resumeAfter: () => '',
  documents: () => '',
  merge: () => '',
  attempts: () => '',
  force: () => '',
  w: () => '',
  newEdits: () => '',
};

/** Saves the documents of a source in batches. */
export function saveAll<T extends object, Out extends object>(
  db: DatabaseScope,
  source: DocumentSource<unknown>,
  options: SaveAllOptions<T, Out> & { readonly documents?: (item: never) => unknown },
): Observable<SaveProgress<T, Out>> {
  const open = opener(source);
  toBody(OPTIONS, options, 'saveAll');
  const { batchSize = 500, concurrency = 2, resumeAfter = null, documents, ...save } = options;
  for (const [name, value] of Object.entries({ batchSize, concurrency }))
    if (value < 1)
      throw invalidArgument(`saveAll: ${name}`, 'a whole number from 1', value, RangeError);
  if (documents !== undefined && typeof documents !== 'function')
    throw invalidArgument('saveAll: documents', 'a function', documents);
  if (resumeAfter !== null) requireId(resumeAfter, 'saveAll: resumeAfter');
  // Validate now: throws at the call.
  saveMany(db, [], save);
  const settings = { batchSize, resumeAfter, documents: documents as ReaderSettings['documents'] };
  return defer(() => {
    const reader = new BatchReader<T>(db, open(), settings);
    const progress = new Progress<T, Out>(db);
    // One request at a time, for as long as there are documents.
    const lane = defer(() => reader.next()).pipe(
      mergeMap((batch) =>
        batch === null
          ? EMPTY
          : saveMany<T, Out>(db, batch.docs, save, true).pipe(
              map((outcome) => progress.add(batch, outcome)),
            ),
      ),
      catchError((error: unknown) => {
        // The requests in flight end first, so that their outcomes are known.
        reader.fail(error);
        return EMPTY;
      }),
      repeat({ delay: () => (reader.ended ? EMPTY : of(null)) }),
    );
    const lanes = Array.from({ length: concurrency }, () => lane);
    return new Observable<SaveProgress<T, Out>>((subscriber) => {
      subscriber.add(() => reader.close());
      subscriber.add(
        merge(...lanes).subscribe({
          next: (value) => subscriber.next(value),
          error: (error: unknown) => subscriber.error(error),
          complete: () => {
            if (reader.failure === null) subscriber.complete();
            else subscriber.error(reader.failure.error);
          },
        }),
      );
    });
  });
}

/** Counts what was saved. */
class Progress<T extends object, Out extends object> {
  readonly #db: DatabaseScope;
  readonly #start: number;
  #written = 0;
  #refused = 0;
  #bytes = 0;
  #resumeAfter: string | null = null;
  /** The last ids of batches that ended before an earlier one. */
  readonly #early = new Map<number, string>();
  #next = 0;

  constructor(db: DatabaseScope) {
    this.#db = db;
    this.#start = db.connection.scheduler.now();
  }

  add(batch: Batch<T>, outcome: ConflictResolution<T, Out>): SaveProgress<T, Out> {
    const { index, docs, bytes } = batch;
    const refused = outcome.pending.size;
    this.#refused += refused;
    this.#written += docs.length - refused;
    this.#bytes += bytes;
    const last = docs.at(-1) as Draft<T>;
    this.#early.set(index, last._id ?? '');
    for (let id = this.#early.get(this.#next); id !== undefined; id = this.#early.get(this.#next)) {
      this.#early.delete(this.#next++);
      if (id !== '') this.#resumeAfter = id;
    }
    const seconds = (this.#db.connection.scheduler.now() - this.#start) / 1000;
    const saved = this.#written + this.#refused;
    return {
      written: this.#written,
      refused: this.#refused,
      bytes: this.#bytes,
      perSecond: seconds > 0 ? saved / seconds : 0,
      resumeAfter: this.#resumeAfter,
      outcome,
    };
  }
}
