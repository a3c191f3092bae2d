import { EMPTY, Subscription, catchError, ignoreElements, mergeMap, tap } from 'rxjs';
import type { BehaviorSubject, Observable, Subscriber } from 'rxjs';
import type { CorduroyError } from '../errors/corduroy-error.ts';
import { isNotFound } from '../errors/http-error.ts';
import type { Sequence } from '../model/change.ts';
import { schedule } from '../operators/time.ts';
import { guarded } from '../operators/to-observable.ts';
import { lookAt } from './database-list.ts';
import type { DatabaseList } from './database-list.ts';
import { DatabaseReader, Lane, finishAll } from './database-reader.ts';
import type { DatabaseProgress, PulledChanges, ReaderSettings } from './database-reader.ts';
import { DatabaseSet } from './database-set.ts';
import type { DatabaseLook, DatabaseTask } from './database-set.ts';
import { DatabaseTroubles } from './database-troubles.ts';
import type { TroubleSettings } from './database-troubles.ts';
import { CONNECTING, DatabaseWatch, isSameState } from './database-watch.ts';
import type { WatchSettings } from './database-watch.ts';
import type { FeedState } from './feed-model.ts';
import { longestSilence } from './feed-pace.ts';

/** The options of a feed of many databases, with defaults. */
export interface ManySettings<T extends object>
  extends ReaderSettings<T>, WatchSettings, TroubleSettings {
  /** Where to start, or where to start each database. */
  readonly since: Sequence | Readonly<Record<string, Sequence>>;
  readonly concurrency: number;
  /** The shortest time between two reads of a database that is up to date, in milliseconds. */
  readonly latency: number;
}

/** The calls of {@link ManyDatabases} to its user. */
export interface ManyEvents<T extends object> {
  /** Takes the changes of a database. The next ones are read after it has completed. */
  readonly deliver: (reader: DatabaseReader<T>, pulled: PulledChanges<T>) => Observable<never>;
  /** A checkpoint was written. */
  readonly written: (progress: DatabaseProgress) => void;
}

/** One subscription to many databases: runs the requests that a {@link DatabaseSet} decides on. */
export class ManyDatabases<T extends object> {
  /** The databases that belong to the feed, by name. */
  readonly readers: Map<string, DatabaseReader<T>> = new Map<string, DatabaseReader<T>>();
  readonly #settings: ManySettings<T>;
  readonly #events: ManyEvents<T>;
  readonly #state$: BehaviorSubject<FeedState>;
  readonly #subscriber: Subscriber<never>;
  readonly #set: DatabaseSet;
  /** How long a request may stay without an answer, in milliseconds. */
  readonly #timeout: number;
  /** Lists and checkpoints share one connection. */
  readonly #lane = new Lane();
  readonly #watch: DatabaseWatch;
  /** The request of each database, or its wait for the next one. */
  readonly #work = new Map<string, Subscription>();
  /** The databases whose changes are being handled. */
  readonly #delivering = new Set<string>();
  readonly #troubles: DatabaseTroubles;
  /** The errors that may mean that a database does not exist, until it was looked at. */
  readonly #suspicions = new Map<string, unknown>();
  /** The databases of the first list that were not looked at yet; null before that list. */
  #unseen: Set<string> | null = null;
  #isPumping = false;
  #onStopped: (() => void) | null = null;
  #isFinished = false;

  constructor(
    settings: ManySettings<T>,
    events: ManyEvents<T>,
    state$: BehaviorSubject<FeedState>,
    subscriber: Subscriber<never>,
  ) {
    this.#settings = settings;
    this.#events = events;
    this.#state$ = state$;
    this.#subscriber = subscriber;
    this.#set = new DatabaseSet(settings.selection.matches, settings.concurrency);
    this.#timeout = longestSilence(settings.behaviour.heartbeat);
    this.#troubles = new DatabaseTroubles(settings, (error) => this.#fail(error));
    this.#watch = new DatabaseWatch(settings, this.#lane, {
      updated: (updates) => {
        for (const { dbName, type } of updates) this.#set.update(dbName, type);
        this.#pump();
      },
      listed: (list) => this.#take(list),
      moved: () => this.#publish(),
      failed: (error) => this.#fail(error),
    });
  }

  get isStopped(): boolean {
    return this.#onStopped !== null || this.#subscriber.closed;
  }

  start(): void {
    const { authenticator } = this.#settings.connection;
    this.#subscriber.add(() => {
      this.#watch.unsubscribe();
      for (const work of this.#work.values()) work.unsubscribe();
      for (const reader of this.readers.values()) reader.close();
    });
    this.#publish();
    this.#watch.add(authenticator.changed$.subscribe(() => this.#retryReported()));
    this.#watch.start();
  }

  /** Reads no more. Calls back when the changes in hand are handled and all checkpoints are written. */
  stop(onStopped: () => void): void {
    if (this.isStopped) return;
    this.#onStopped = onStopped;
    this.#watch.unsubscribe();
    for (const [name, work] of this.#work) if (!this.#delivering.has(name)) work.unsubscribe();
    this.#finish();
  }

  #finish(): void {
    if (this.#onStopped === null || this.#delivering.size > 0 || this.#isFinished) return;
    this.#isFinished = true;
    finishAll([...this.readers.values()], this.#onStopped);
  }

  #take({ looks, isKnown }: DatabaseList): void {
    const isFirst = this.#unseen === null;
    this.#unseen ??= new Set(isKnown ? [] : looks.keys());
    for (const [name, look] of looks) {
      if (!isKnown) this.#set.want(name, 'look');
      else if (this.#set.listed(name, look)) this.#join(name, look as DatabaseLook, isFirst);
    }
    this.#set.completeList(looks);
    this.#retryReported();
  }

  #join(name: string, look: DatabaseLook, isFirst: boolean): void {
    const { since, checkpoint } = this.#settings;
    const given = typeof since === 'string' ? since : Object.hasOwn(since, name) && since[name];
    // A database that was created since is read from its beginning.
    const start = { since: (isFirst && given) || '0', now: look.updateSeq };
    const reader = new DatabaseReader(name, start, this.#settings, this.#lane, {
      written: this.#events.written,
      failed: (error) => {
        if (!isNotFound(error)) return this.#troubles.report(name, error);
        this.#set.want(name, 'look');
        return this.#pump();
      },
    });
    this.readers.set(name, reader);
    this.#troubles.recovered(name);
    if (checkpoint !== undefined || reader.seq !== look.updateSeq) this.#set.want(name, 'pull');
  }

  /** Starts as many requests as may run. */
  #pump(): void {
    // Work that ends at once comes back here.
    if (this.#isPumping) return;
    this.#isPumping = true;
    for (let task = this.#next(); task !== null; task = this.#next()) this.#run(task);
    this.#isPumping = false;
    this.#finish();
  }

  #next(): DatabaseTask | null {
    return this.isStopped ? null : this.#set.next();
  }

  #run(task: DatabaseTask): void {
    const { name } = task;
    const work = new Subscription();
    this.#work.set(name, work);
    const work$ = task.type === 'look' ? this.#look(name) : this.#pull(name);
    work.add(
      work$.subscribe(
        guarded(this.#subscriber, {
          error: (error) => this.#failed(task, error as CorduroyError),
          complete: () => this.#ended(task),
        }),
      ),
    );
  }

  #look(name: string): Observable<never> {
    return lookAt(this.#settings.connection, name, this.#timeout).pipe(
      tap((look) => this.#see(name, look)),
      ignoreElements(),
    );
  }

  #see(name: string, look: DatabaseLook | null): void {
    const isFirst = this.#unseen?.delete(name) ?? false;
    const reader = this.readers.get(name);
    const verdict = this.#set.see(name, look);
    if (verdict === 'joined') return this.#join(name, look as DatabaseLook, isFirst);
    if (verdict === 'present') this.#troubles.worked(name);
    else this.#troubles.recovered(name);
    if (verdict === 'left' || verdict === 'replaced') reader?.restart();
    if (verdict === 'replaced') this.#set.want(name, 'pull');
    if (verdict === 'left') {
      reader?.close();
      this.readers.delete(name);
    }
    const suspicion = this.#suspicions.get(name);
    this.#suspicions.delete(name);
    if (verdict !== 'present' || suspicion === undefined) return;
    if (reader?.misses() === true) this.#troubles.report(name, suspicion);
    else this.#set.want(name, 'pull');
  }

  #pull(name: string): Observable<never> {
    const reader = this.readers.get(name) as DatabaseReader<T>;
    return reader.read().pipe(
      mergeMap((pulled) => {
        this.#troubles.recovered(name);
        this.#delivering.add(name);
        return this.#events.deliver(reader, pulled).pipe(
          catchError((error: unknown) => {
            // The same changes come again with the next update.
            reader.isBehind = false;
            this.#troubles.report(name, error);
            return EMPTY;
          }),
        );
      }),
    );
  }

  #ended({ name, type }: DatabaseTask): void {
    this.#work.delete(name);
    this.#delivering.delete(name);
    const { latency, connection } = this.#settings;
    const isBehind = type === 'pull' && this.readers.get(name)?.isBehind === true;
    if (isBehind) this.#set.want(name, 'pull');
    if (type === 'look' || latency === 0 || isBehind || this.isStopped) this.#set.ended(name);
    else {
      this.#set.rest(name);
      this.#work.set(
        name,
        schedule(() => this.#resume(name), latency, connection.scheduler),
      );
    }
    this.#publish();
    this.#pump();
  }

  #failed({ name, type }: DatabaseTask, error: CorduroyError): void {
    this.#work.delete(name);
    if (type === 'pull' && isNotFound(error)) {
      this.#suspicions.set(name, error);
      this.#set.want(name, 'look');
      this.#set.ended(name);
      return this.#pump();
    }
    const retry$ = this.#troubles.failed(name, error);
    if (retry$ === null) {
      this.#unseen?.delete(name);
      this.#set.ended(name);
      this.#troubles.report(name, error);
    } else {
      this.#set.want(name, type);
      this.#set.rest(name);
      this.#work.set(name, retry$.subscribe({ complete: () => this.#resume(name) }));
    }
    this.#publish();
    return this.#pump();
  }

  #resume(name: string): void {
    this.#work.delete(name);
    this.#set.resume(name);
    this.#pump();
  }

  /** Tries the databases again whose errors were reported. */
  #retryReported(): void {
    for (const name of this.#troubles.reported)
      this.#set.want(name, this.readers.has(name) ? 'pull' : 'look');
    this.#pump();
  }

  #fail(error: unknown): void {
    this.#state$.next({ status: 'failed', error: error as CorduroyError });
    this.#subscriber.error(error);
  }

  #publish(): void {
    const state = this.#present();
    if (!this.isStopped && !isSameState(state, this.#state$.value)) this.#state$.next(state);
  }

  #present(): FeedState {
    const { state } = this.#watch;
    if (state.status !== 'live') return state;
    return this.#troubles.wait ?? (this.#unseen?.size === 0 ? state : CONNECTING);
  }
}
