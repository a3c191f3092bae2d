import { Observable, Subscription, distinctUntilChanged, mergeMap, of } from 'rxjs';
import type { BehaviorSubject, Subscriber } from 'rxjs';
import { isTimeoutError } from '../errors/connection-error.ts';
import type { CorduroyError } from '../errors/corduroy-error.ts';
import type { ConnectionShare } from '../http/connection-budget.ts';
import { mayPass, requestedDelay } from '../operators/retry-policy.ts';
import { clock, schedule } from '../operators/time.ts';
import type { Sequence } from '../model/change.ts';
import { ask, openConnection } from './feed-connection.ts';
import { step } from './feed-core.ts';
import { feedCore } from './feed-draft.ts';
import { isOverdue } from './feed-pace.ts';
import type {
  Failure,
  FeedBehaviour,
  FeedCommand,
  FeedCore,
  FeedEvent,
  FeedInput,
  FeedState,
  Report,
  Trouble,
} from './feed-model.ts';
import { brokenFeedError, bufferedSince, rememberBuffered, replacedError } from './feed-source.ts';
import type { FeedSource, Sequenced } from './feed-source.ts';
import { pageAwake, pageCached } from '../operators/to-observable.ts';

/** The limits of a feed whose consumer is slow. */
export interface FeedLimits {
  /** How many items one poll asks for at most. */
  readonly pollLimit: number;
  /** How many bytes of items one connection delivers, before it is closed for the consumer to catch up. */
  readonly maxBytes: number;
  /** Whether the feed opens a connection only on demand, once it has delivered items. */
  readonly onDemand: boolean;
}

const UNLIMITED: FeedLimits = { pollLimit: 1000, maxBytes: Infinity, onDemand: false };

/**
 * Follows a source from its first subscriber to its last: it runs the decisions of {@link step} with
 * timers and requests.
 *
 * Emits the items of each block that arrives, and an empty array if only the sequence has moved.
 */
export class Feed<Item extends Sequenced> extends Observable<readonly Item[]> {
  #run: Run<Item> | null = null;
  readonly #since: Sequence;

  constructor(
    source: FeedSource<Item>,
    behaviour: FeedBehaviour,
    state$: BehaviorSubject<FeedState>,
    limits: FeedLimits = UNLIMITED,
  ) {
    super((subscriber) => {
      const run = new Run(source, behaviour, state$, limits, subscriber);
      this.#run = run;
      return run.start();
    });
    this.#since = behaviour.since;
  }

  /** The sequence of the last item delivered. */
  get seq(): Sequence {
    return this.#run?.seq ?? this.#since;
  }

  /** How many items the server has after `seq`, as the last poll told; null if it did not. */
  get pending(): number | null {
    return this.#run?.pending ?? null;
  }

  /** Whether the feed has missed what it waits for, as in a page that the browser has frozen. */
  get isOverdue(): boolean {
    return this.#run?.isOverdue() === true;
  }

  /** Tells the feed that its consumer takes more. With `onDemand` no connection opens before. */
  demand(): void {
    this.#run?.dispatch({ type: 'demand' });
  }
}

/** One subscription to a feed. */
class Run<Item extends Sequenced> {
  pending: number | null = null;
  /** The sequence of what was delivered. The core may be ahead, if one event brings several deliveries. */
  seq: Sequence;
  #core: FeedCore;
  readonly #source: FeedSource<Item>;
  readonly #behaviour: FeedBehaviour;
  readonly #state$: BehaviorSubject<FeedState>;
  readonly #limits: FeedLimits;
  readonly #subscriber: Subscriber<readonly Item[]>;
  readonly #now: () => number;
  /** Events that wait until the present one has been handled. */
  readonly #queue: FeedEvent[] = [];
  #isRunning = false;
  /** Whether the last connection is to CouchDB itself, in place of the server for feeds. */
  #isFallback = false;
  /** The work for each connection: its request and its questions. */
  readonly #work = new Map<number, Subscription>();
  #timer: Subscription | undefined;
  /** Null if the platform has connections for all feeds, or if this one never waits. */
  readonly #share: ConnectionShare | null;
  #replaced: CorduroyError | null = null;

  constructor(
    source: FeedSource<Item>,
    behaviour: FeedBehaviour,
    state$: BehaviorSubject<FeedState>,
    limits: FeedLimits,
    subscriber: Subscriber<readonly Item[]>,
  ) {
    const { feed: kind, heartbeat, backoff, errorTolerance, since, limit } = behaviour;
    const { connection, filtered } = source;
    this.#source = source;
    this.#behaviour = behaviour;
    this.#state$ = state$;
    this.#limits = limits;
    this.#subscriber = subscriber;
    this.#now = clock(connection.scheduler);
    const { budget, url, scheduler } = connection;
    this.#share = kind === 'normal' ? null : (budget?.share(url, scheduler) ?? null);
    const tolerance = errorTolerance === 'always' ? Infinity : errorTolerance;
    const { pollLimit, onDemand } = limits;
    const options = { kind, heartbeat, backoff, tolerance, pollLimit, filtered, onDemand };
    const bufferedAt = bufferedSince(connection);
    this.#core = feedCore(options, since, limit, bufferedAt);
    this.seq = since;
  }

  readonly isOverdue = (): boolean => isOverdue(this.#core, this.#now());

  start(): Subscription {
    const { pauseWhile } = this.#behaviour;
    const { authenticator } = this.#source.connection;
    const inputs = new Subscription(() => {
      this.dispatch({ type: 'stopped' });
      this.#timer?.unsubscribe();
      this.#share?.release();
    });
    let isPaused = false;
    let isInCache = false;
    const pause = (): void => this.dispatch({ type: 'paused', value: isPaused || isInCache });
    inputs.add(
      pauseWhile?.pipe(distinctUntilChanged()).subscribe({
        next: (value) => {
          if (value === isPaused) return;
          isPaused = value;
          pause();
        },
        error: (error: unknown) => this.#subscriber.error(error),
      }),
    );
    const sleep = (value: boolean): void => {
      isInCache = value;
      pause();
    };
    inputs.add(pageCached().subscribe(sleep));
    this.dispatch({ type: 'start' });
    // A user with other credentials may see other changes.
    inputs.add(authenticator.changed$.subscribe(() => this.dispatch({ type: 'credentials' })));
    inputs.add(pageAwake().subscribe((isNew) => this.dispatch({ type: 'awake', isNew })));
    return inputs;
  }

  /** Takes an event, now or after those that are being handled. */
  dispatch(event: FeedEvent): void {
    this.#queue.push(event);
    if (this.#isRunning) return;
    this.#isRunning = true;
    try {
      for (let next = this.#queue.shift(); next !== undefined; next = this.#queue.shift()) {
        const { core, commands } = step(this.#core, this.#input(next));
        this.#core = core;
        for (const command of commands) this.#execute(command);
      }
    } finally {
      this.#isRunning = false;
    }
  }

  #input(event: FeedEvent): FeedInput {
    const { random = Math.random } = this.#behaviour.backoff;
    const { type } = event;
    // An answer may release an end that was held.
    const backsOff = type === 'failed' || type === 'ended' || type === 'identified';
    // A spread would be slow here: Node 20 takes a microsecond for each property that it adds.
    return Object.assign({}, event, { at: this.#now(), random: backsOff ? random() : 0 });
  }

  #execute(command: FeedCommand): void {
    switch (command.type) {
      case 'open':
        return this.#start(command.id, this.#admit(command), null);
      case 'close':
        this.#work.get(command.id)?.unsubscribe();
        this.#work.delete(command.id);
        return;
      case 'ask':
        return this.#start(command.id, ask(this.#source, command), command.question);
      case 'deliver':
        this.seq = command.seq;
        return this.#subscriber.next(command.items as readonly Item[]);
      case 'progress':
        this.seq = command.seq;
        return this.#subscriber.next([]);
      case 'report':
        if (!['connecting', 'live'].includes(command.state.status)) this.#share?.release();
        return this.#state$.next(this.#toState(command.state));
      case 'wait':
        return this.#wait(command.delay);
      case 'remember':
        if (this.#source.hasLateHead) return;
        return rememberBuffered(this.#source.connection, command.buffered);
      case 'complete':
        return this.#subscriber.complete();
      case 'fail':
        return this.#subscriber.error(this.#toError(command.trouble));
    }
  }

  /** Opens a connection, if the platform has one for the feed; else tells the core, or waits for a turn. */
  #admit(open: FeedCommand & { readonly type: 'open' }): Observable<FeedEvent> {
    const opened$ = openConnection(this.#source, open, this.#limits.maxBytes);
    const share = this.#share;
    if (share === null) return opened$;
    return share.reserve().pipe(
      mergeMap((isReserved): Observable<FeedEvent> => {
        if (isReserved === this.#core.crowded)
          return of({ type: 'crowded', id: open.id, value: !isReserved });
        return isReserved ? opened$ : share.takeTurn(opened$);
      }),
    );
  }

  /** Starts work for a connection. It emits events. */
  #start(
    id: number,
    work: Observable<FeedEvent>,
    question: (FeedEvent & { readonly type: 'failed' })['question'],
  ): void {
    if (this.#subscriber.closed) return;
    const all = this.#work.get(id) ?? new Subscription();
    this.#work.set(id, all);
    all.add(
      work.subscribe({
        next: (event) => {
          if (event.type === 'ended') this.pending = event.pending;
          if (event.type === 'opened') this.#isFallback = event.fallback === true;
          this.dispatch(event);
        },
        error: (error: CorduroyError) =>
          this.dispatch({ type: 'failed', id, question, failure: this.#toFailure(error) }),
      }),
    );
  }

  #wait(delay: number): void {
    this.#timer?.unsubscribe();
    if (this.#subscriber.closed) return;
    const { scheduler } = this.#source.connection;
    this.#timer = schedule(() => this.dispatch({ type: 'tick' }), delay, scheduler);
  }

  #toFailure(error: CorduroyError): Failure {
    const { authenticator, scheduler } = this.#source.connection;
    return {
      error,
      transient: mayPass(error),
      recovers: authenticator.mayRecover(error),
      silent: isTimeoutError(error),
      retryAfter: requestedDelay(error, scheduler),
    };
  }

  #toState(report: Report): FeedState {
    if (report.status === 'live' && this.#isFallback) return { ...report, fallback: true };
    if (report.status !== 'waiting' && report.status !== 'failed') return report;
    const { trouble, ...state } = report;
    return { ...state, error: this.#toError(trouble) };
  }

  #toError(trouble: Trouble): CorduroyError {
    if (trouble === 'replaced') return (this.#replaced ??= replacedError(this.#source));
    return trouble === 'ends at once' ? brokenFeedError(this.#source) : trouble.error;
  }
}
