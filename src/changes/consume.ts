import { BehaviorSubject, Observable } from 'rxjs';
import type { DatabaseScope } from '../http/scope.ts';
import type { Sequence } from '../model/change.ts';
import type { AnyFields } from '../model/document.ts';
import { invalidArgument } from '../model/invalid-argument.ts';
import { duration } from '../operators/time.ts';
import { readFeedOptions } from './changes-feed.ts';
import type { FeedOptions } from './changes-feed.ts';
import { documentCheckpoint } from './checkpoint.ts';
import type { CheckpointStore } from './checkpoint.ts';
import { ConsumerRun } from './consumer-run.ts';
import type {
  ChangeHandler,
  ConsumeProgress,
  DeadLetterHandler,
  Settings,
} from './consumer-run.ts';
import { databaseSource } from './feed-source.ts';
import type { FeedState } from './feed-model.ts';
import { requireSlice } from './slice.ts';
import type { ConsumerSlice } from './slice.ts';
import { changesRequest, readChange } from './changes-request.ts';
import type { ChangesParameters } from './changes-request.ts';

export type { ConsumerSlice } from './slice.ts';
export type { ChangeHandler, ConsumeProgress, DeadLetterHandler } from './consumer-run.ts';

/** The options of `db.consume()`. */
export interface ConsumeOptions<T extends object = AnyFields>
  extends
    Omit<ChangesParameters, 'limit' | 'seqInterval'>,
    Pick<FeedOptions, 'heartbeat' | 'backoff' | 'errorTolerance'> {
  /** The consumer's name. The checkpoint is stored under it. */
  readonly name: string;
  /** How many changes one request reads, and memory holds, at most. @defaultValue 100 */
  readonly batchSize?: number;
  /**
   * How many changes are handled at the same time. Changes of one document are handled one after the
   * other, in order.
   * @defaultValue 1
   */
  readonly concurrency?: number;
  /**
   * Handles only the documents of one slice: consumers with the same `name` and `of`, and each `index`
   * from 0 to `of - 1`, share the changes, and each document always belongs to the same slice. The
   * consumer reads all changes, but the handler, `handled` and `failed` concern those of the slice;
   * `pending` counts all. Each slice has its own checkpoint: pass another `checkpoint` to each of them.
   *
   * The slice of a document is `(hash ^ (hash >>> 16)) % of`, where `hash` is the FNV-1a hash (32 bits,
   * unsigned) of the id in UTF-8.
   * @defaultValue all documents
   */
  readonly slice?: ConsumerSlice;
  /**
   * Stores the sequence to resume from.
   * @defaultValue the document `_local/corduroy-<name>` of the database; with `slice`
   * `_local/corduroy-<name>-slice-<index>-of-<of>`
   */
  readonly checkpoint?: CheckpointStore;
  /**
   * The shortest time between two writes of the checkpoint, in milliseconds. The last sequence is
   * written before `stop` completes, and when you unsubscribe.
   * @defaultValue 1000
   */
  readonly checkpointInterval?: number;
  /** How often the handler is called for a change at most, with backoff. @defaultValue 5 */
  readonly attempts?: number;
  /**
   * Takes a change whose handler has failed `attempts` times, so that the consumer continues with
   * the next. Without it, the stream errors with the handler's error.
   */
  readonly deadLetter?: DeadLetterHandler<T>;
}

/**
 * Calls a handler with every change, and stores how far it has come: `db.consume` returns it.
 *
 * - **Temperature:** cold. Each subscription starts another consumer, so subscribe once.
 * - **Emits** the progress after each write of the checkpoint.
 * - **Completes** after `stop`, when the changes in hand are handled and the checkpoint is written.
 * - **Errors** with what a retry cannot repair, with the error of a handler that has failed `attempts`
 *   times if there is no `deadLetter`, and with an error of `deadLetter`. Transient errors are retried,
 *   and `state$` shows them.
 * - **On unsubscribe** the handlers in flight are unsubscribed, and their changes come again later.
 *
 * Each request reads one batch, and goes out after the batch before was handled. A slow handler
 * therefore slows down the requests (back-pressure).
 *
 * @see https://docs.couchdb.org/en/stable/api/database/changes.html
 */
export class Consumer<T extends object = AnyFields> extends Observable<ConsumeProgress> {
  /**
   * Emits the state of the connection: the present one at once, then each new one. Hot. It never
   * errors, and a subscription to it opens no connection.
   */
  readonly state$: Observable<FeedState>;
  readonly #runs = new Set<ConsumerRun<T>>();
  #seq: Sequence | null = null;

  /** @internal */
  constructor(
    db: DatabaseScope,
    handler: ChangeHandler<T>,
    options: ConsumeOptions<T>,
    what?: string,
  ) {
    const settings = readOptions(db, handler, options, what);
    const state$ = new BehaviorSubject<FeedState>({ status: 'idle' });
    super((subscriber) => {
      const run = new ConsumerRun(settings, state$, subscriber, (seq) => (this.#seq = seq));
      this.#runs.add(run);
      subscriber.add(() => {
        this.#runs.delete(run);
        if (state$.value.status !== 'failed') state$.next({ status: 'idle' });
      });
      run.start();
    });
    this.state$ = state$.asObservable();
  }

  /** The sequence up to which all changes are handled; null before the first. */
  get seq(): Sequence | null {
    return this.#seq;
  }

  /** Reads no more changes. The consumer completes when those in hand are handled and the checkpoint is written. */
  stop(): void {
    for (const run of this.#runs) run.stop();
  }
}

function readOptions<T extends object>(
  db: DatabaseScope,
  handler: ChangeHandler<T>,
  options: ConsumeOptions<T>,
  what = 'consume',
): Settings<T> {
  if (typeof options !== 'object' || options === null)
    throw invalidArgument(`${what}: options`, 'an object with the name of the consumer', options);
  const { name, batchSize = 100, concurrency = 1, attempts = 5, deadLetter, ...rest } = options;
  const { checkpointInterval = 1000, checkpoint, slice, ...feedOptions } = rest;
  if (typeof handler !== 'function')
    throw invalidArgument(`${what}: handler`, 'a function', handler);
  if (deadLetter !== undefined && typeof deadLetter !== 'function')
    throw invalidArgument(`${what}: deadLetter`, 'a function', deadLetter);
  for (const [option, value] of Object.entries({ batchSize, concurrency, attempts })) {
    if (!Number.isSafeInteger(value) || value < 1) {
      throw invalidArgument(`${what}: ${option}`, 'a whole number from 1', value, RangeError);
    }
  }
  duration(checkpointInterval, `${what}: checkpointInterval`);
  // An undefined slice would handle more than the caller asked for.
  if (Object.hasOwn(options, 'slice')) requireSlice(slice, `${what}: slice`);
  const suffix = slice === undefined ? '' : `-slice-${slice.index}-of-${slice.of}`;
  const { behaviour, parameters } = readFeedOptions({ ...feedOptions, feed: 'longpoll' }, what);
  changesRequest(parameters, { since: behaviour.since }, what, db.connection.codec);
  return {
    source: databaseSource<T>(db, parameters),
    handler: db.rules === null ? handler : (change) => handler(readChange(db, change)),
    behaviour: { ...behaviour, backoff: { initialDelay: 100, ...behaviour.backoff } },
    batchSize,
    concurrency,
    attempts,
    slice: slice && { ...slice },
    checkpoint: checkpoint ?? documentCheckpoint(db, name, suffix),
    checkpointInterval,
    deadLetter,
  };
}
