import type { Sequence } from '../model/change.ts';
import type {
  CoreOptions,
  FeedCommand,
  FeedConnection,
  FeedCore,
  FeedInput,
  FeedProtocol,
  Question,
  Report,
} from './feed-model.ts';
import * as pace from './feed-pace.ts';

/** Returns the state of a feed that has not started. */
export function feedCore(
  options: CoreOptions,
  since: Sequence,
  limit: number,
  bufferedAt: number | null,
): FeedCore {
  return {
    options,
    phase: 'idle',
    protocol: 'longpoll',
    pollInterval: null,
    crowded: false,
    seq: since,
    remaining: limit,
    heartbeat: options.heartbeat,
    main: null,
    rival: null,
    lastId: 0,
    identity: null,
    connections: 0,
    attempt: 0,
    lastSuccess: 0,
    connectAt: Infinity,
    raceAt: Infinity,
    lookAt: Infinity,
    giveUpAt: Infinity,
    trouble: null,
    bufferedAt,
    reopened: 0,
    fruitless: 0,
    quick: 0,
    lastSilence: null,
    patience: 0,
    demand: true,
  };
}

/** Returns a connection that was just requested. */
function createConnection(
  { lastId: id, seq: startedAfter }: FeedCore,
  protocol: FeedProtocol,
  requestedAt: number,
): FeedConnection {
  const flags = { opened: false, verified: false, suspected: false };
  return {
    id,
    protocol,
    requestedAt,
    startedAfter,
    ...flags,
    received: 0,
    heardAt: null,
    held: null,
  };
}

/** The next state of a feed while an event is handled, and the commands that lead there. */
export class FeedDraft {
  readonly core: { -readonly [K in keyof FeedCore]: FeedCore[K] };
  readonly commands: FeedCommand[] = [];
  /** The time of the event, in milliseconds. */
  protected readonly at: number;
  protected readonly random: number;

  constructor(core: FeedCore, { at, random }: FeedInput) {
    this.core = { ...core };
    this.at = at;
    this.random = random;
  }

  protected find(id: number): FeedConnection | null {
    const { main, rival } = this.core;
    return [main, rival].find((connection) => connection?.id === id) ?? null;
  }

  protected update(connection: FeedConnection, change: Partial<FeedConnection>): FeedConnection {
    const updated = { ...connection, ...change };
    if (this.core.main?.id === connection.id) this.core.main = updated;
    else this.core.rival = updated;
    return updated;
  }

  protected create(protocol: FeedProtocol): FeedConnection {
    const { core } = this;
    core.lastId += 1;
    return createConnection(core, protocol, this.at);
  }

  protected open({ id, protocol }: FeedConnection): void {
    const { core } = this;
    const { seq: since, heartbeat, remaining } = core;
    const isPoll = protocol === 'longpoll';
    const limit = isPoll ? Math.min(remaining, core.options.pollLimit) : remaining;
    const timeout = isPoll ? pace.pollPatience(core) : pace.longestSilence(core.heartbeat);
    const wait = pace.pollWait(core);
    this.commands.push({ type: 'open', id, protocol, since, limit, heartbeat, wait, timeout });
    if (!isPoll) core.raceAt = this.at + pace.raceDelay(core);
  }

  protected ask({ id }: FeedConnection, question: Question): void {
    const { seq: after, heartbeat } = this.core;
    const timeout = pace.longestSilence(heartbeat);
    const wait = pace.shortWait(heartbeat);
    this.commands.push({ type: 'ask', id, question, after, wait, timeout });
  }

  protected remember(bufferedAt: number | null): void {
    this.core.bufferedAt = bufferedAt;
    this.commands.push({ type: 'remember', buffered: bufferedAt !== null });
  }

  protected progress(seq: Sequence): void {
    this.core.seq = seq;
    this.commands.push({ type: 'progress', seq });
  }

  protected close(which: 'main' | 'rival'): void {
    const { id } = this.core[which] ?? { id: null };
    if (id === null) return;
    this.core[which] = null;
    this.commands.push({ type: 'close', id });
  }

  protected closeAll(): void {
    this.close('main');
    this.close('rival');
    Object.assign(this.core, {
      connectAt: Infinity,
      raceAt: Infinity,
      lookAt: Infinity,
      giveUpAt: Infinity,
    });
  }

  protected report(state: Report): void {
    this.commands.push({ type: 'report', state });
  }
}
