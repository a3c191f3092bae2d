import type { Sequence } from '../model/change.ts';
import { backoff } from '../operators/retry-policy.ts';
import { FeedDraft } from './feed-draft.ts';
import type {
  Failure,
  FeedConnection,
  FeedCommand,
  FeedCore,
  FeedInput,
  Question,
  Trouble,
} from './feed-model.ts';
import * as pace from './feed-pace.ts';

/** Returns the state after an event, and what to do. Pure: the arguments are left alone. */
export function step(
  core: FeedCore,
  input: FeedInput,
): { readonly core: FeedCore; readonly commands: readonly FeedCommand[] } {
  const turn = new Turn(core, input);
  turn.take(input);
  const due = pace.deadline(turn.core);
  // A timer may fire early, so that nothing is due yet.
  if (due !== pace.deadline(core) || (input.type === 'tick' && due < Infinity))
    turn.commands.push({ type: 'wait', delay: Math.max(0, due - input.at) });
  return turn;
}

/** One step: its decisions. */
class Turn extends FeedDraft {
  take(input: FeedInput): void {
    const { core } = this;
    if (core.phase === 'ended') return;
    if ('id' in input) return this.#hear(input, this.find(input.id));
    switch (input.type) {
      case 'start':
        return core.phase === 'idle' ? this.#begin() : undefined;
      case 'tick':
        return this.#tick();
      case 'paused':
        if (input.value) return this.#suspend();
        return core.phase === 'paused' ? this.#begin() : undefined;
      case 'credentials':
        return core.phase === 'paused' ? undefined : this.#reconnect();
      case 'awake':
        return this.#wake(input.isNew);
      case 'demand':
        core.demand = true;
        return this.#tick();
      case 'stopped':
        this.closeAll();
        core.phase = 'ended';
    }
  }

  /** Takes what a connection or its question brought. */
  #hear(input: FeedInput & { readonly id: number }, connection: FeedConnection | null): void {
    const { core } = this;
    // A connection that was closed may still send what was under way.
    if (connection === null) return;
    const waits = input.type === 'items' || input.type === 'ended';
    if (waits && !connection.verified) {
      this.update(connection, { held: { input, before: connection.held } });
      return;
    }
    switch (input.type) {
      case 'crowded':
        core.crowded = input.value;
        this.closeAll();
        return this.#connect();
      case 'opened':
        return this.#opened(connection);
      case 'items':
        return this.#deliver(connection, input.items, input.seq);
      case 'heartbeat':
        this.update(connection, { heardAt: this.at });
        return connection.verified ? this.#succeed() : undefined;
      case 'ended':
        return this.#ended(connection, input.seq, input.pending);
      case 'resolved':
        return this.#resolved(connection, input.seq);
      case 'identified':
        return this.#identified(connection, input.identity);
      case 'looked':
        return this.#looked(connection, input);
      case 'failed':
        return this.#failed(connection, input.failure, input.question);
    }
  }

  #begin(): void {
    this.core.lastSuccess = this.at;
    this.#connect();
  }

  #connect(): void {
    const { core } = this;
    core.connectAt = Infinity;
    core.giveUpAt = Infinity;
    const { kind } = core.options;
    const polls = pace.nextIsPoll(core, this.at);
    const protocol = polls ? 'longpoll' : kind === 'eventsource' ? kind : 'continuous';
    // A feed that polls stays live until the next connection is.
    if (core.phase !== 'live' || core.protocol !== 'longpoll') {
      core.phase = 'connecting';
      this.report({ status: 'connecting', attempt: core.attempt });
    }
    if (!core.demand) {
      core.connectAt = this.at;
      return;
    }
    core.main = this.create(protocol);
    if (core.seq === 'now') this.ask(core.main, 'sequence');
    else this.open(core.main);
  }

  #resolved(connection: FeedConnection, seq: Sequence): void {
    this.core.seq = seq;
    this.open(this.update(connection, { requestedAt: this.at, startedAfter: seq }));
  }

  #opened(connection: FeedConnection): void {
    this.ask(this.update(connection, { opened: true }), 'identity');
    if (connection.id === this.core.rival?.id) return;
    this.core.raceAt = Infinity;
    this.close('rival');
  }

  #identified(connection: FeedConnection, identity: string | null): void {
    const { core } = this;
    // An unknown identity differs from no other.
    if (core.identity !== null && identity !== null && identity !== core.identity)
      return this.#fail('replaced');
    core.identity = identity ?? core.identity;
    this.update(connection, { verified: true, held: null });
    if (connection.id === core.main?.id) this.#live(connection);
    const held: FeedInput[] = [];
    for (let one = connection.held; one !== null; one = one.before) held.push(one.input);
    for (let i = held.length - 1; i >= 0; i--) this.take(held[i] as FeedInput);
  }

  /** The main connection works. */
  #live({ protocol }: FeedConnection): void {
    const { core } = this;
    if (protocol !== 'longpoll') {
      core.lookAt = this.at + pace.lookDelay(core);
      if (core.bufferedAt !== null) this.remember(null);
    }
    const pollInterval = core.crowded ? pace.CROWDED_INTERVAL : null;
    const isSame = core.protocol === protocol && core.pollInterval === pollInterval;
    if (core.phase === 'live' && isSame) return;
    if (core.phase !== 'live') core.connections += 1;
    Object.assign(core, { phase: 'live', protocol, pollInterval });
    const { connections } = core;
    const interval = pollInterval === null ? {} : { pollInterval };
    this.report({ status: 'live', connections, protocol, ...interval });
  }

  #deliver(connection: FeedConnection, items: readonly unknown[], seq: Sequence | null): void {
    const { core } = this;
    this.#succeed(connection);
    this.update(connection, { received: connection.received + items.length, heardAt: this.at });
    core.seq = seq ?? core.seq;
    core.remaining -= items.length;
    core.reopened = 0;
    core.demand = !core.options.onDemand;
    this.commands.push({ type: 'deliver', items, seq: core.seq });
    if (core.remaining <= 0) this.#complete();
  }

  /** The server lives. A rival that is first to say so takes over. */
  #succeed(connection?: FeedConnection): void {
    const { core } = this;
    core.attempt = 0;
    core.lastSuccess = this.at;
    if (connection === undefined || connection.id !== core.rival?.id) return;
    this.#takeOver();
    this.remember(this.at);
  }

  /** Makes the rival the main connection. */
  #takeOver(): void {
    const { core } = this;
    const { rival } = core;
    core.rival = null;
    this.close('main');
    core.main = rival;
    core.raceAt = Infinity;
    if (rival?.verified === true) this.#live(rival);
  }

  #ended(connection: FeedConnection, seq: Sequence, pending: number | null): void {
    const { core } = this;
    this.#succeed(connection);
    if (seq !== core.seq) this.progress(seq);
    const isLast = pending === null ? connection.received === 0 : pending === 0;
    if (core.options.kind === 'normal' && isLast) return this.#complete();
    this.closeAll();
    const { pause, ...counts } = pace.paceAfter(core, connection, this.at);
    Object.assign(core, counts);
    core.connectAt = this.at + pause;
    // The first poll does not wait for items, so that it may end soon without one.
    if (core.fruitless > 1)
      this.#wait('ends at once', core.fruitless, this.#backoff(core.fruitless));
    this.#tick();
  }

  #failed(connection: FeedConnection, failure: Failure, question: Question | null): void {
    const { core } = this;
    // The connection reports what fails the question as well.
    if (question === 'more') return;
    const { heardAt, protocol, requestedAt, verified } = connection;
    const isPoll = protocol === 'longpoll';
    if (connection.id === core.rival?.id) return this.close('rival');
    const isSilent = failure.silent && question === null;
    if (isSilent && isPoll) core.patience += 1;
    if (isSilent && core.options.kind === 'auto' && !isPoll && heardAt === null)
      this.remember(this.at);
    if (core.rival !== null) return this.#takeOver();
    this.closeAll();
    const silence = this.at - (heardAt ?? requestedAt);
    if (verified && !isPoll) Object.assign(core, pace.heartbeatAfter(core, silence));
    // A server that keeps a request open does not end each at once.
    if (this.at - requestedAt > pace.shortWait(core.heartbeat)) core.fruitless = 0;
    this.#retry(failure);
  }

  #retry(failure: Failure): void {
    const { core } = this;
    const { tolerance } = core.options;
    const isPatient = tolerance > 0 && this.at - core.lastSuccess <= tolerance;
    if (failure.transient && isPatient) {
      core.attempt += 1;
      this.#wait(failure, core.attempt, Math.max(this.#backoff(core.attempt), failure.retryAfter));
    } else if (failure.recovers && tolerance > 0) {
      core.giveUpAt = this.at + tolerance;
      core.trouble = failure;
      this.#wait(failure, core.attempt, Infinity);
    } else {
      this.#fail(failure);
    }
  }

  #backoff(attempt: number): number {
    return backoff(attempt, { ...this.core.options.backoff, random: () => this.random });
  }

  #wait(trouble: Trouble, attempt: number, delay: number): void {
    this.core.phase = 'waiting';
    this.core.connectAt = this.at + delay;
    this.report({ status: 'waiting', attempt, delay, trouble });
  }

  #tick(): void {
    const { core } = this;
    const isDue = (time: number): boolean => time <= this.at;
    if (isDue(core.giveUpAt) && core.trouble !== null) return this.#fail(core.trouble);
    if (isDue(core.connectAt) && core.demand) return this.#connect();
    if (isDue(core.raceAt)) {
      core.raceAt = Infinity;
      core.rival = this.create('longpoll');
      this.open(core.rival);
    }
    if (isDue(core.lookAt)) this.#look();
  }

  /** CouchDB misses changes that happen just when a stream starts to wait; a proxy may hold them back. */
  #look(): void {
    const { core } = this;
    const { main } = core;
    const { filtered } = core.options;
    core.lookAt = filtered ? this.at + pace.lookDelay(core) : Infinity;
    if (main === null || !(filtered || pace.mayBeHeldBack(core))) return;
    if (!main.suspected) return this.ask(main, 'more');
    core.reopened += 1;
    if (core.reopened > 1) this.remember(this.at);
    this.#reconnect();
  }

  #looked(connection: FeedConnection, { after, more, seq }: FeedInput & { type: 'looked' }): void {
    const { core } = this;
    if (after !== core.seq) return;
    if (!more && seq !== null && seq !== after) this.progress(seq);
    if (!more || core.options.filtered || connection.received > 0) return;
    // They may be under way at this moment.
    this.update(connection, { suspected: true });
    core.lookAt = this.at + pace.ARRIVAL_DELAY;
  }

  #suspend(): void {
    this.closeAll();
    this.core.phase = 'paused';
    this.report({ status: 'paused' });
  }

  #reconnect(): void {
    this.closeAll();
    this.core.phase = 'connecting';
    this.#connect();
  }

  /** Connects at once if the feed waits, or if the connection may be dead. */
  #wake(isNew: boolean): void {
    const { core } = this;
    const { main } = core;
    if (core.phase === 'waiting' && core.connectAt < Infinity) return this.#reconnect();
    if (main === null) return;
    const silence = this.at - (main.heardAt ?? main.requestedAt);
    if (isNew || silence > pace.longestSilence(core.heartbeat)) this.#reconnect();
  }

  #complete(): void {
    this.closeAll();
    this.core.phase = 'ended';
    this.commands.push({ type: 'complete' });
  }

  #fail(trouble: Trouble): void {
    this.closeAll();
    this.core.phase = 'ended';
    this.report({ status: 'failed', trouble });
    this.commands.push({ type: 'fail', trouble });
  }
}
