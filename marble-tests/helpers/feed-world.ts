import { ConnectionError } from '../../src/errors/connection-error.ts';
import type { Sequence } from '../../src/model/change.ts';
import type { FeedProtocol } from '../../src/changes/feed-model.ts';
import { step } from '../../src/changes/feed-core.ts';
import { feedCore } from '../../src/changes/feed-draft.ts';
import type {
  CoreOptions,
  Failure,
  FeedCommand,
  FeedCore,
  FeedEvent,
  Report,
} from '../../src/changes/feed-model.ts';

// A server, a network and a clock for the decisions of a feed, all of them simulated. Random events
// happen to the core; after each one, the rules that always hold are checked.

/** The most steps until a feed must be live again. */
const MAX_STEPS = 5000;

/** A connection as the simulated server sees it. */
interface Wire {
  readonly id: number;
  readonly command: FeedCommand & { readonly type: 'open' };
  isOpen: boolean;
  /** How many changes it has sent. */
  position: number;
  /** When the client gives up waiting. */
  patienceEnds: number;
}

type Ask = FeedCommand & { readonly type: 'ask' };

const failure = (change: Partial<Failure>): Failure => ({
  error: new ConnectionError('simulated'),
  transient: true,
  recovers: false,
  silent: false,
  retryAfter: 0,
  ...change,
});

/** Returns random numbers from 0 up to 1, always the same for a seed. */
export function randomNumbers(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}

export class FeedWorld {
  core: FeedCore;
  now = 0;
  identity = 'one';
  /** How many changes there are. Change n has the sequence n. */
  history = 0;
  /** The latest change that was delivered. */
  delivered = 0;
  deliveries = 0;
  readonly reports: { readonly at: number; readonly state: Report }[] = [];
  readonly opens: number[] = [];
  /** Which kinds of event and phase met: `phase event`. */
  readonly transitions = new Set<string>();
  /** The changes of phase: `from to`. */
  readonly moves = new Set<string>();
  readonly problems: string[] = [];
  outcome: 'complete' | 'fail' | null = null;
  readonly #random: () => number;
  readonly #wires = new Map<number, Wire>();
  readonly #asks: Ask[] = [];
  /** The connections for which the database was verified. */
  readonly #verified = new Set<number>();
  #tickAt = Infinity;
  /** The order in which the feed and its consumer take turns. */
  #hasDemand = true;

  constructor(
    options: CoreOptions,
    random: () => number,
    start: 'now' | 0,
    isPaused = false,
    limit = Infinity,
  ) {
    this.#random = random;
    this.core = feedCore(options, String(start), limit, null);
    if (isPaused) this.send({ type: 'paused', value: true });
    this.send({ type: 'start' });
  }

  get isPaused(): boolean {
    return this.core.phase === 'paused';
  }

  send(event: FeedEvent): void {
    this.transitions.add(`${this.core.phase} ${event.type}`);
    const input = { ...event, at: this.now, random: this.#random() };
    const before = JSON.stringify(this.core);
    const { core, commands } = step(this.core, input);
    if (JSON.stringify(this.core) !== before) this.#fault('the step changed its argument');
    if (core.phase !== this.core.phase) this.moves.add(`${this.core.phase} ${core.phase}`);
    this.core = core;
    const isUnverified = event.type === 'items' && !this.#verified.has(event.id);
    if (isUnverified && commands.some(({ type }) => type === 'deliver'))
      this.#fault('delivers before the database is verified');
    for (const command of commands) this.#run(command);
    this.#check(event);
  }

  #run(command: FeedCommand): void {
    switch (command.type) {
      case 'open':
        this.#open(command);
        return;
      case 'close':
        this.#wires.delete(command.id);
        this.#forget(({ id }) => id === command.id);
        return;
      case 'ask':
        this.#asks.push(command);
        return;
      case 'deliver':
        for (const item of command.items) this.#deliver(item as number);
        this.#checkPlace(command.seq);
        this.#hasDemand = false;
        return;
      case 'report':
        this.reports.push({ at: this.now, state: command.state });
        return;
      case 'wait':
        this.#tickAt = this.now + command.delay;
        return;
      case 'complete':
      case 'fail':
        this.outcome = command.type;
        return;
      case 'progress':
        this.#checkPlace(command.seq);
        return;
      case 'remember':
    }
  }

  #open(command: FeedCommand & { readonly type: 'open' }): void {
    const { id, since, timeout } = command;
    const patienceEnds = this.now + timeout;
    this.#wires.set(id, { id, command, isOpen: false, position: Number(since), patienceEnds });
    this.opens.push(this.now);
    if (Number(since) > this.delivered)
      this.#fault(`opens after ${since}, which was not delivered`);
    const isRace = this.core.options.kind === 'auto';
    if (this.#wires.size > (isRace ? 2 : 1)) this.#fault(`has ${this.#wires.size} connections`);
    if (this.core.options.onDemand && !this.#hasDemand) this.#fault('opens without demand');
  }

  /** A checkpoint may be written with the sequence of each delivery. */
  #checkPlace(seq: Sequence): void {
    if (Number(seq) > this.delivered) this.#fault(`tells ${seq} after ${this.delivered}`);
  }

  #forget(isForgotten: (ask: Ask) => boolean): void {
    for (let i = this.#asks.length - 1; i >= 0; i--)
      if (isForgotten(this.#asks[i] as Ask)) this.#asks.splice(i, 1);
  }

  #deliver(change: number): void {
    this.deliveries += 1;
    if (change > this.delivered + 1) this.#fault(`delivers ${change} after ${this.delivered}`);
    this.delivered = Math.max(this.delivered, change);
  }

  /** The rules that hold after each event. */
  #check({ type }: FeedEvent): void {
    const { phase, seq, connectAt, main, rival } = this.core;
    if (main?.opened === true && rival !== null) this.#fault('races an open connection');
    for (const id of this.#wires.keys())
      if (id !== main?.id && id !== rival?.id) this.#fault(`leaves connection ${id} open`);
    const last = this.reports.at(-1)?.state;
    if (seq !== 'now' && Number(seq) > this.delivered)
      this.#fault(`its place is ${seq} after ${type}`);
    if (phase === 'waiting' && last?.status !== 'waiting') this.#fault('waits without saying so');
    if (phase === 'live' && last?.status !== 'live')
      this.#fault(`is live, and says ${last?.status}`);
    if (phase === 'waiting' && last?.status === 'waiting') {
      const { at } = this.reports.at(-1) ?? { at: 0 };
      if (Math.abs(at + last.delay - connectAt) > 1e-6)
        this.#fault('waits for another time than it says');
    }
    const isStuck =
      ['connecting', 'live'].includes(phase) && main === null && connectAt === Infinity;
    if (isStuck) this.#fault(`is stuck after ${type} in phase ${phase}`);
    if (phase === 'ended' && this.#wires.size > 0) this.#fault('has ended with a connection');
  }

  #fault(problem: string): void {
    this.problems.push(`at ${this.now}: ${problem}`);
  }

  /** Lets time pass, with the ticks and the timeouts that are due. */
  pass(milliseconds: number): void {
    const end = this.now + milliseconds;
    for (;;) {
      const wire = this.#nextTimeout();
      const next = Math.min(this.#tickAt, wire?.patienceEnds ?? Infinity);
      if (next > end) break;
      this.now = Math.max(this.now, next);
      if (wire !== null && wire.patienceEnds <= this.#tickAt) this.#fail(wire.id, { silent: true });
      else this.tick();
    }
    this.now = end;
  }

  tick(): void {
    this.#tickAt = Infinity;
    this.send({ type: 'tick' });
  }

  #nextTimeout(): Wire | null {
    let first: Wire | null = null;
    for (const wire of this.#wires.values())
      if (first === null || wire.patienceEnds < first.patienceEnds) first = wire;
    return first;
  }

  #fail(id: number, change: Partial<Failure>, question: Ask['question'] | null = null): void {
    if (question === null) this.#wires.delete(id);
    this.send({ type: 'failed', id, question, failure: failure(change) });
  }

  #pick<T>(list: readonly T[]): T | undefined {
    return list[Math.floor(this.#random() * list.length)];
  }

  /** Something random happens to the feed, also what a shell does not send. */
  misfortune(): void {
    this.pass(this.#random() < 0.7 ? this.#random() * 400 : this.#random() * 100_000);
    const random = this.#random();
    const wire = this.#pick([...this.#wires.values()]);
    const ask = this.#pick(this.#asks);
    if (random < 0.15) this.history += 1 + Math.floor(this.#random() * 3);
    else if (random < 0.2) this.send({ type: 'paused', value: !this.isPaused });
    else if (random < 0.23) this.send({ type: 'credentials' });
    else if (random < 0.26) this.send({ type: 'awake', isNew: this.#random() < 0.5 });
    // A timer that fires early.
    else if (random < 0.32) this.tick();
    else if (random < 0.4) this.demand();
    else if (random < 0.42 && wire?.isOpen === false) this.crowd(!this.core.crowded);
    else if (random < 0.6 && ask !== undefined) {
      if (this.#random() < 0.2) this.#failAsk(ask);
      else this.#answer(ask);
    } else if (wire !== undefined) {
      if (this.#random() < 0.25)
        this.#fail(wire.id, { retryAfter: this.#random() < 0.1 ? 5000 : 0 });
      else this.#proceed(wire, this.#random() < 0.1);
    }
  }

  demand(): void {
    this.#hasDemand = true;
    this.send({ type: 'demand' });
  }

  #failAsk(ask: Ask): void {
    this.#forget((other) => other === ask);
    this.#fail(ask.id, { silent: this.#random() < 0.3 }, ask.question);
  }

  #answer(ask: Ask): void {
    this.#forget((other) => other === ask);
    const { id, question, after } = ask;
    if (question === 'more') {
      const more = this.history > Number(after);
      // It reads one change.
      const seq = more ? String(Number(after) + 1) : after;
      this.send({ type: 'looked', id, after, more, seq });
    } else if (question === 'identity') {
      const value = this.#random() < 0.3 ? null : this.identity;
      this.#verified.add(id);
      this.send({ type: 'identified', id, identity: value });
    } else {
      this.delivered = Math.max(this.delivered, this.history);
      this.send({ type: 'resolved', id, seq: String(this.history) });
    }
  }

  /** The server sends something over a connection. */
  #proceed(wire: Wire, mayEnd: boolean): void {
    const { id, command } = wire;
    wire.patienceEnds = this.now + command.timeout;
    if (!wire.isOpen) {
      wire.isOpen = true;
      this.send({ type: 'opened', id });
      return;
    }
    const count = Math.min(this.history - wire.position, command.limit, 100);
    const isPoll = command.protocol === 'longpoll';
    if (count > 0) {
      const items = Array.from({ length: count }, (_, i) => wire.position + 1 + i);
      wire.position += count;
      this.send({ type: 'items', id, items, seq: String(wire.position) });
    } else if (!mayEnd && !isPoll) {
      this.send({ type: 'heartbeat', id });
    }
    if (!mayEnd && !(isPoll && (count > 0 || this.#random() < 0.5))) return;
    if (!this.#wires.delete(id)) return;
    const pending = this.history - wire.position;
    this.send({ type: 'ended', id, seq: String(wire.position), pending });
  }

  /** The server and the network work from now on: each event takes 10 ms. */
  calm(limit: number): void {
    if (this.isPaused) this.send({ type: 'paused', value: false });
    const end = this.now + limit;
    for (let n = 0; n < MAX_STEPS && this.now < end && !this.isUpToDate(); n++) {
      this.pass(10);
      this.demand();
      for (const ask of Array.from(this.#asks)) if (this.#asks.includes(ask)) this.#answer(ask);
      for (const wire of Array.from(this.#wires.values()))
        if (this.#wires.has(wire.id) && !this.#waits(wire)) this.#proceed(wire, false);
      const next = Math.min(this.#tickAt, this.#nextTimeout()?.patienceEnds ?? Infinity);
      const isIdle =
        this.#hasDemand &&
        this.#asks.length === 0 &&
        [...this.#wires.values()].every((wire) => this.#waits(wire));
      if (isIdle && next > this.now + 10) this.now = Math.min(next, end) - 10;
    }
  }

  /** The platform has no connection left for one that waits, or has one again. */
  crowd(value: boolean): void {
    for (const { id, isOpen } of Array.from(this.#wires.values()))
      if (!isOpen && this.#wires.has(id)) this.send({ type: 'crowded', id, value });
  }

  /** The server answers all questions, and ends each connection after the changes that there are. */
  endAtOnce(): void {
    for (const { id } of Array.from(this.#wires.values())) this.send({ type: 'opened', id });
    for (const ask of Array.from(this.#asks)) this.#answer(ask);
    for (const wire of Array.from(this.#wires.values()))
      this.#proceed({ ...wire, isOpen: true }, true);
  }

  /** A connection of this protocol proceeds: its head, its changes, or its end. Questions are answered. */
  serve(protocol: FeedProtocol): void {
    this.#onEach(({ command }) => command.protocol === protocol);
    this.answerAll();
  }

  /** Heads arrive, and the questions about them are answered, but nothing more arrives. */
  open(): void {
    this.#onEach(({ isOpen }) => !isOpen);
    this.#answerTo('identity');
  }

  answerAll(): void {
    for (const ask of Array.from(this.#asks)) if (this.#asks.includes(ask)) this.#answer(ask);
  }

  /** All connections break. */
  cut(): void {
    for (const { id } of Array.from(this.#wires.values()))
      if (this.#wires.has(id)) this.#fail(id, {});
  }

  /** The server refuses the credentials; others may come. */
  refuse(): void {
    for (const { id } of Array.from(this.#wires.values()))
      this.#fail(id, { transient: false, recovers: true });
  }

  /** The server tells how far a filter has come. */
  look(seq: string): void {
    for (const { id, after, question } of Array.from(this.#asks)) {
      if (question !== 'more') continue;
      this.delivered = Number(seq);
      this.#forget((ask) => ask.id === id && ask.question === question);
      this.send({ type: 'looked', id, after, more: false, seq });
    }
  }

  #answerTo(question: Ask['question']): void {
    for (const ask of Array.from(this.#asks)) if (ask.question === question) this.#answer(ask);
  }

  #onEach(isMeant: (wire: Wire) => boolean): void {
    for (const wire of Array.from(this.#wires.values()))
      if (isMeant(wire) && this.#wires.has(wire.id)) this.#proceed(wire, false);
  }

  #waits(wire: Wire): boolean {
    return wire.isOpen && wire.position === this.history && this.core.phase === 'live';
  }

  isUpToDate(): boolean {
    return this.core.phase === 'live' && this.delivered >= this.history;
  }

  /** Returns the most connections that were requested within a time. */
  mostOpens(window: number): number {
    let most = 0;
    for (let from = 0, to = 0; to < this.opens.length; to++) {
      while ((this.opens[from] ?? 0) < (this.opens[to] ?? 0) - window) from += 1;
      most = Math.max(most, to - from + 1);
    }
    return most;
  }
}
