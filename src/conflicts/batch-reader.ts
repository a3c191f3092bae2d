import { isObservable } from 'rxjs';
import type { Observable } from 'rxjs';
import { requireDraft } from '../documents/write.ts';
import type { DatabaseScope } from '../http/scope.ts';
import type { Draft } from '../model/document.ts';
import { describeValue, invalidArgument } from '../model/invalid-argument.ts';
import { isPromise, toAsyncIterator } from '../operators/to-observable.ts';

/** Where documents to save come from: an array or a generator, a stream, or an Observable. */
export type DocumentSource<Item> = Iterable<Item> | AsyncIterable<Item> | Observable<Item>;

/** The size at which a batch ends, in bytes: a limit of the memory that large documents take. */
const MAX_BYTES = 8_388_608;

/** Documents that one request writes. */
export interface Batch<T extends object> {
  /** The number of the batch, from 0. */
  readonly index: number;
  readonly docs: readonly Draft<T>[];
  readonly bytes: number;
}

/** The part of the options that says what is read. */
export interface ReaderSettings {
  readonly batchSize: number;
  readonly resumeAfter: string | null;
  readonly documents: ((item: unknown) => unknown) | undefined;
}

export type AnyIterator = Iterator<unknown> | AsyncIterator<unknown>;

/** Returns a function that opens the source for a subscription. */
export function opener(source: unknown): () => AnyIterator {
  const isObject = typeof source === 'object' && source !== null;
  // A stream of rows is an Observable too, but only its iterator waits for its reader.
  if (isObject && Symbol.asyncIterator in source)
    return () => (source as AsyncIterable<unknown>)[Symbol.asyncIterator]();
  if (isObservable(source)) return () => toAsyncIterator(source);
  if (isObject && Symbol.iterator in source)
    return () => (source as Iterable<unknown>)[Symbol.iterator]();
  throw invalidArgument(
    'saveAll: source',
    'an Iterable, an AsyncIterable or an Observable',
    source,
  );
}

/** Reads a source batch by batch, when a request is free. */
export class BatchReader<T extends object> {
  /** Why it ended early. */
  failure: { readonly error: unknown } | null = null;
  ended = false;
  readonly #db: DatabaseScope;
  readonly #source: AnyIterator;
  readonly #settings: ReaderSettings;
  /** The documents of the last item, and how many of them are read. */
  #item: readonly unknown[] = [];
  #read = 0;
  /** The id up to which documents are skipped. */
  #resumeAfter: string | null;
  #position = 0;
  #batches = 0;
  #turn: Promise<unknown> = Promise.resolve();
  /** Ends the wait for the source. */
  #wake: () => void = () => {};

  constructor(db: DatabaseScope, source: AnyIterator, settings: ReaderSettings) {
    this.#db = db;
    this.#source = source;
    this.#settings = settings;
    this.#resumeAfter = settings.resumeAfter;
  }

  /** Resolves with the next batch; null after the last one. Calls wait for each other. */
  next(): Promise<Batch<T> | null> {
    const batch = this.#turn.then(() => this.#readBatch());
    this.#turn = batch.catch(() => null);
    return batch;
  }

  /** Ends the reading. The first error counts. */
  fail(error: unknown): void {
    this.failure ??= { error };
    this.close();
  }

  close(): void {
    if (this.ended) return;
    this.ended = true;
    this.#wake();
    // An error of closing would hide the first one.
    void Promise.resolve(this.#source.return?.()).catch(() => {});
  }

  async #readBatch(): Promise<Batch<T> | null> {
    const docs: Draft<T>[] = [];
    let bytes = 0;
    const { batchSize } = this.#settings;
    const { codec } = this.#db.connection;
    while (!this.ended && docs.length < batchSize && bytes < MAX_BYTES) {
      if (this.#read === this.#item.length) {
        this.#item = await this.#readItem();
        this.#read = 0;
        continue;
      }
      const doc = this.#item[this.#read++];
      const position = this.#position++;
      requireDraft(doc, codec, () => `saveAll: document ${position} of the source`);
      if (this.#isSkipped(doc)) continue;
      docs.push(doc as Draft<T>);
      bytes += encoder.encode(codec.stringify(doc)).length;
    }
    if (this.failure !== null || docs.length === 0) return null;
    return { index: this.#batches++, docs, bytes };
  }

  /** Returns the documents of the next item: none at the end, and none if the item is skipped. */
  async #readItem(): Promise<readonly unknown[]> {
    const result = this.#source.next();
    const { done, value } = isPromise(result) ? await this.#orClosed(result) : result;
    if (done === true) {
      this.ended = true;
      if (this.#resumeAfter !== null && this.failure === null)
        throw new RangeError(
          `saveAll: resumeAfter: the source has no document ${describeValue(this.#resumeAfter)}`,
        );
      return [];
    }
    const { documents } = this.#settings;
    const mapped = documents === undefined ? value : documents(value);
    // Without the option, each value must be a document.
    if (documents === undefined) return [mapped];
    const docs: readonly unknown[] = Array.isArray(mapped) ? mapped : [mapped];
    return docs.filter((doc) => doc !== null && doc !== undefined);
  }

  #orClosed(result: Promise<IteratorResult<unknown>>): Promise<IteratorResult<unknown>> {
    return new Promise((resolve, reject) => {
      this.#wake = () => resolve({ done: true, value: undefined });
      result.then(resolve, reject);
    });
  }

  #isSkipped(doc: unknown): boolean {
    if (this.#resumeAfter === null) return false;
    if ((doc as { readonly _id?: unknown })._id === this.#resumeAfter) this.#resumeAfter = null;
    return true;
  }
}

const encoder = new TextEncoder();
