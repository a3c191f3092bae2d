import { EMPTY, Observable, catchError, throwError } from 'rxjs';
import { isTransient } from '../errors/transient.ts';
import type { Sequence } from '../model/change.ts';
import { eventually } from '../operators/eventually.ts';
import type { CheckpointStore } from './checkpoint.ts';

/**
 * Notes the sequences of what was delivered: one write at a time, and of those that came meanwhile
 * the last alone. A write that fails for now is made up for by the next.
 */
export class CheckpointWriter {
  readonly #store: CheckpointStore;
  #next: Sequence | undefined;
  #writing = false;

  constructor(store: CheckpointStore) {
    this.#store = store;
  }

  /**
   * Passes batches on, and notes each when those who listen have had it; completes when the last has
   * been noted. What was begun is written to its end, for a note that is half written helps nobody.
   */
  after<Batch extends { readonly seq: Sequence }>(batches: Observable<Batch>): Observable<Batch> {
    return new Observable((subscriber) => {
      let finished = false;
      const settle: Settle = {
        fail: (error) => subscriber.error(error),
        done: () => {
          if (finished) subscriber.complete();
        },
      };
      return batches.subscribe({
        next: (batch) => {
          subscriber.next(batch);
          this.#next = batch.seq;
          if (!this.#writing) this.#write(settle);
        },
        error: settle.fail,
        complete: () => {
          finished = true;
          if (!this.#writing) settle.done();
        },
      });
    });
  }

  #write(settle: Settle): void {
    const seq = this.#next;
    this.#writing = seq !== undefined;
    if (seq === undefined) {
      settle.done();
      return;
    }
    this.#next = undefined;
    eventually(() => this.#store.write(seq))
      .pipe(catchError((error: unknown) => (isTransient(error) ? EMPTY : throwError(() => error))))
      .subscribe({ error: settle.fail, complete: () => this.#write(settle) });
  }
}

interface Settle {
  readonly fail: (error: unknown) => void;
  readonly done: () => void;
}
