import {
  Observable,
  Subject,
  concat,
  defer,
  finalize,
  ignoreElements,
  mergeAll,
  mergeMap,
  of,
  tap,
} from 'rxjs';
import { invalidArgument } from '../model/invalid-argument.ts';
import { toObservable } from '../operators/to-observable.ts';
import type { Connection } from '../http/connection.ts';
import type { Change, Sequence } from '../model/change.ts';
import { CheckpointWriter } from './checkpoint.ts';
import type { CheckpointStore } from './checkpoint.ts';
import type { ConsumeProgress } from './consumer-run.ts';
import { openConnection } from './feed-connection.ts';
import type { FeedBehaviour } from './feed-model.ts';
import { longestSilence } from './feed-pace.ts';
import { startSequence } from './feed-source.ts';
import type { FeedSource } from './feed-source.ts';

/** The progress of a consumer of many databases. `handled`, `failed` and `pending` are those of the database. */
export interface DatabaseProgress extends ConsumeProgress {
  readonly database: string;
}

/** The changes that one request has read, in order. */
export interface PulledChanges<T extends object> {
  readonly changes: readonly Change<T>[];
  readonly seq: Sequence;
  /** How many changes follow; null if the server does not tell. */
  readonly pending: number | null;
}

/** How the databases of a feed are read. */
export interface ReaderSettings<T extends object> {
  readonly connection: Connection;
  readonly source: (database: string) => FeedSource<Change<T>>;
  readonly behaviour: FeedBehaviour;
  readonly batchSize: number;
  readonly checkpoint: ((database: string) => CheckpointStore) | undefined;
  readonly checkpointInterval: number;
}

/** The calls of a {@link DatabaseReader} to its user. */
interface ReaderEvents {
  readonly written: (progress: DatabaseProgress) => void;
  readonly failed: (error: unknown) => void;
}

/** How long a request for changes that are already there waits for others, in milliseconds. */
const WAIT = 10;

/** After so many requests in a row that something was not found, it is not the database. */
const MAX_MISSING = 3;

/** The bytes of changes that one request reads at most. */
const MAX_BYTES = 16_777_216;

/** Where a database starts: at the sequence of a look, or of the user. */
export interface ReaderStart {
  readonly since: Sequence;
  /** The sequence that `'now'` stands for. */
  readonly now: Sequence;
}

/** Reads the changes of one database of many, on request, and stores how far they are handled. */
export class DatabaseReader<T extends object> {
  handled = 0;
  failed = 0;
  pending: number | null = null;
  /** Whether the server had more changes at the last request. */
  isBehind = false;
  /** How many requests in a row answered that something was not found, although the database exists. */
  #missing = 0;
  readonly name: string;
  readonly #settings: ReaderSettings<T>;
  readonly #source: FeedSource<Change<T>>;
  readonly #store: CheckpointStore | null;
  readonly #writer: CheckpointWriter<DatabaseProgress> | null;
  readonly #start: ReaderStart;
  #seq: Sequence | null = null;
  /** Called when all is written, or when it cannot be written. */
  #onFinish: (() => void) | null = null;

  constructor(
    name: string,
    start: ReaderStart,
    settings: ReaderSettings<T>,
    lane: Lane,
    events: ReaderEvents,
  ) {
    const { checkpoint, checkpointInterval, behaviour, connection } = settings;
    this.name = name;
    this.#settings = settings;
    this.#start = start;
    this.#source = settings.source(name);
    const store = checkpoint?.(name);
    this.#store = checkpoint === undefined ? null : laned(requireStore(store), lane);
    const pace = { interval: checkpointInterval, backoff: behaviour.backoff };
    this.#writer =
      this.#store === null
        ? null
        : new CheckpointWriter(this.#store, pace, connection.scheduler, {
            written: events.written,
            failed: (error) => {
              events.failed(error);
              this.#onFinish?.();
            },
          });
    if (this.#store === null) this.#seq = start.since === 'now' ? start.now : start.since;
  }

  /** The sequence up to which all changes are handled; null before the checkpoint is read. */
  get seq(): Sequence | null {
    return this.#seq;
  }

  /** Reads the next changes: those after `seq`. Emits once and completes. */
  read(): Observable<PulledChanges<T>> {
    const { batchSize, behaviour } = this.#settings;
    const { heartbeat } = behaviour;
    const timeout = longestSilence(heartbeat);
    const open = {
      type: 'open',
      id: 0,
      protocol: 'longpoll',
      limit: batchSize,
      heartbeat,
    } as const;
    return this.#position(timeout).pipe(
      mergeMap((since) => {
        const changes: Change<T>[] = [];
        let end: Pick<PulledChanges<T>, 'seq' | 'pending'> = { seq: since, pending: null };
        const events$ = openConnection(
          this.#source,
          { ...open, since, wait: WAIT, timeout },
          MAX_BYTES,
          false,
        ).pipe(
          tap((event) => {
            if (event.type === 'items') changes.push(...(event.items as readonly Change<T>[]));
            if (event.type === 'ended') end = event;
          }),
          ignoreElements(),
        );
        const read$ = defer(() => {
          const { seq, pending } = end;
          this.pending = pending;
          this.#missing = 0;
          // A filter may pass nothing, so that only the sequence moves.
          const hasMoved = changes.length > 0 || (pending !== null && seq !== since);
          this.isBehind = hasMoved && pending !== 0;
          return of({ changes, seq, pending });
        });
        return concat(events$, read$);
      }),
    );
  }

  #position(timeout: number): Observable<Sequence> {
    const store = this.#store;
    if (this.#seq !== null || store === null) return of(this.#seq ?? this.#start.since);
    const { since, now } = this.#start;
    const source = { ...this.#source, currentSequence: () => of(now) };
    return startSequence(source, store, since, timeout).pipe(
      mergeMap((seq) => {
        this.#seq = seq;
        return of(seq);
      }),
    );
  }

  /** Records that all changes up to a sequence are handled. */
  record(seq: Sequence, isLast: boolean): void {
    const { name: database, handled, failed, pending } = this;
    this.#seq = seq;
    const progress = { database, seq, handled, failed, pending };
    if (isLast) this.#writer?.note(progress);
    else this.#writer?.noteInPassing(progress);
  }

  /**
   * Records that the database exists although its changes were not found. Returns whether the reason is
   * something else, such as the filter. It may also have been deleted and created again meanwhile.
   */
  misses(): boolean {
    this.#missing = (this.#missing + 1) % MAX_MISSING;
    return this.#missing === 0;
  }

  /** Starts over, because another database has the name. */
  restart(): void {
    this.pending = null;
    this.record('0', true);
  }

  /** Writes what is left at once, and calls back. */
  finish(onFinish: () => void): void {
    this.#onFinish = () => {
      this.#onFinish = null;
      onFinish();
    };
    if (this.#writer === null) this.#onFinish();
    else this.#writer.finish(() => this.#onFinish?.());
  }

  /** Writes what is left at once. */
  close(): void {
    this.#writer?.close();
  }
}

/** Writes what is left of all readers, and calls back. */
export function finishAll<T extends object>(
  readers: readonly DatabaseReader<T>[],
  onFinish: () => void,
): void {
  let left = readers.length;
  if (left === 0) return onFinish();
  const finished = (): void => {
    left -= 1;
    if (left === 0) onFinish();
  };
  for (const reader of readers) reader.finish(finished);
}

/** Runs work one after the other, so that a thousand checkpoints need one connection. */
export class Lane {
  readonly #waiting$ = new Subject<Observable<never>>();

  constructor() {
    this.#waiting$.pipe(mergeAll(1)).subscribe();
  }

  /** Subscribes to work when its turn comes. It emits, completes and errors as the work does. */
  run<W>(work$: Observable<W>): Observable<W> {
    return new Observable((subscriber) => {
      this.#waiting$.next(
        new Observable<never>((turn) => {
          if (subscriber.closed) return turn.complete();
          return subscriber.add(work$.pipe(finalize(() => turn.complete())).subscribe(subscriber));
        }),
      );
    });
  }
}

function laned(store: CheckpointStore, lane: Lane): CheckpointStore {
  return {
    read: () => lane.run(toObservable(() => store.read())),
    write: (seq) => lane.run(toObservable(() => store.write(seq))),
  };
}

function requireStore(store: unknown): CheckpointStore {
  const { read, write } = Object(store) as Partial<CheckpointStore>;
  if (typeof read === 'function' && typeof write === 'function') return store as CheckpointStore;
  throw invalidArgument('checkpoint: its result', 'a store with read and write', store);
}
