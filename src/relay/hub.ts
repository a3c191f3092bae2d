import { Subscription, firstValueFrom } from 'rxjs';
import type { SchedulerLike } from 'rxjs';
import type { Connection } from '../http/connection.ts';
import type { Sequence } from '../model/change.ts';
import { after, clock, schedule } from '../operators/time.ts';
import { AccessControl } from './access.ts';
import { Channels } from './channels.ts';
import type { ChannelSpec } from './channels.ts';
import { Listener, rowKey } from './listener.ts';
import type { Ending, Subscribed } from './listener.ts';
import { Origin, corsHeaders } from './origin.ts';
import { Turns, readOwnPage } from './own-page.ts';
import type { RelaySettings } from './relay-options.ts';
import { acceptAll } from './row-filter.ts';
import type { RowFilter } from './row-filter.ts';
import { BLIND, CLOSING, LATER, refusal, toRefusal } from './refusal.ts';
import type { Refusal } from './refusal.ts';
import type { Sink } from './sink.ts';
import { formatRow } from './slices.ts';
import { NO_ENDINGS, feedStats } from './stats.ts';
import type { RelayStats } from './stats.ts';
import type { WindowRow } from './window.ts';

/** The longest and the shortest time between two looks at all listeners, in milliseconds. */
const PAUSE = { longest: 1000, shortest: 20 };
/** How many rows of a page are written before the client has to take them. */
const PORTION = 64;

/** All that listen to a relay, and what they share. */
export class Hub {
  readonly settings: RelaySettings;
  readonly origin: Origin;
  readonly access: AccessControl;
  readonly channels: Channels;
  /** How many listeners have a separate request. */
  direct = 0;
  readonly #scheduler: SchedulerLike;
  readonly #now: () => number;
  readonly #listeners = new Set<Listener>();
  readonly #turns: Turns;
  readonly #ended: Record<Ending, number> = { ...NO_ENDINGS };
  #delivered = 0;
  #caughtUp = 0;
  #sweeping = new Subscription();
  #pause = PAUSE.longest;
  #isClosed = false;

  constructor(connection: Connection, settings: RelaySettings) {
    this.settings = settings;
    this.#scheduler = connection.scheduler;
    this.#now = clock(connection.scheduler);
    this.origin = new Origin(connection.url);
    this.access = new AccessControl(this.origin, settings.recheck, this.#now);
    this.channels = new Channels(connection, settings);
    this.#turns = new Turns(settings.maxCatchUps);
    this.#scheduleSweep();
  }

  get isClosed(): boolean {
    return this.#isClosed;
  }

  /** How many listen. */
  get size(): number {
    return this.#listeners.size + this.direct;
  }

  get stats(): RelayStats {
    let delivered = this.#delivered;
    let backlog = 0;
    for (const listener of this.#listeners) {
      delivered += listener.delivered;
      backlog = Math.max(backlog, listener.backlog);
    }
    return {
      listeners: this.size,
      direct: this.direct,
      backlog,
      grants: this.access.size,
      feeds: feedStats(this.channels),
      delivered,
      caughtUp: this.#caughtUp,
      ended: { ...this.#ended },
    };
  }

  /** Returns the headers by which CouchDB lets pages of an origin read its answers. */
  async cors(origin: string | undefined): Promise<Refusal['headers']> {
    if (origin === undefined) return {};
    const { headers } = await this.access.ask(
      { headers: { origin }, key: origin, isAnonymous: true },
      '/',
      new URLSearchParams(),
      null,
    );
    return corsHeaders(headers);
  }

  /** Makes a listener. It hears nothing before {@link listen}. */
  listener(subscribed: Subscribed, sink: Sink): Listener {
    const ended = (listener: Listener, ending: Ending): void => {
      this.#listeners.delete(listener);
      this.#ended[ending] += 1;
      this.#delivered += listener.delivered;
    };
    const undecided = (listener: Listener, seq: Sequence): void => {
      listener.leave();
      const { database, query } = subscribed;
      const { includeDocs: _, ...parameters } = query.parameters;
      const docs = query.includeDocs ? { includeDocs: true } : {};
      const selector = query.filter.selector ?? {};
      const spec = { database, parameters: { ...parameters, ...docs, selector }, version: '' };
      void this.#place(listener, spec, acceptAll, seq);
    };
    return new Listener(subscribed, sink, { ended, undecided }, this.#now);
  }

  /**
   * Adds a listener whose request CouchDB has granted. It gets the rows after its sequence, from the window
   * of a shared feed if that has them, and else from separate requests first.
   *
   * @param version - That of its filter function.
   */
  async listen(listener: Listener, version: string): Promise<void> {
    this.#listeners.add(listener);
    const { database, query } = listener.subscribed;
    const pause = pauseOf(listener);
    if (pause < this.#pause) {
      this.#pause = pause;
      this.#scheduleSweep();
    }
    const spec = { database, parameters: query.parameters, version };
    await this.#place(listener, spec, query.filter, query.since);
  }

  /** Brings a listener to its place in the window of a feed. */
  async #place(
    listener: Listener,
    spec: ChannelSpec,
    filter: RowFilter,
    start: Sequence,
  ): Promise<void> {
    // A feed that opens now would stay open.
    if (this.#isClosed) return listener.refuse(refusal(503, 'service_unavailable', CLOSING, LATER));
    const channel = this.channels.get(spec);
    // Without this, the channel could close before the listener joins it.
    channel.waiting += 1;
    try {
      if (channel.blindFor > this.settings.maxBlind) throw BLIND;
      const window = await channel.ready;
      let since = start;
      let known: ReadonlySet<string> | undefined;
      let place = since === 'now' ? window.end : window.positionOf(since);
      while (place === null && !listener.isOver) {
        const { settled } = channel;
        const page = await this.#turns.run(() =>
          readOwnPage(this.origin, listener.subscribed, since, listener.remaining),
        );
        this.#caughtUp += 1;
        if ('status' in page) return listener.refuse(page);
        listener.open();
        await deliver(listener, page.rows);
        since = page.lastSeq;
        const hasPolled = listener.subscribed.query.feed === 'longpoll' && page.rows.length > 0;
        if (listener.remaining <= 0 || hasPolled) return listener.finish(since, page.pending);
        // The page includes all that the shared feed had before CouchDB answered.
        if (!page.isLast || settled < window.first) continue;
        place = settled;
        if (window.end > settled) known = new Set(page.rows.map(({ change }) => rowKey(change)));
      }
      if (place === null) return undefined;
      listener.open();
      return listener.join(channel, filter, place, known);
    } catch (error) {
      return listener.refuse(toRefusal(error));
    } finally {
      channel.waiting -= 1;
    }
  }

  #scheduleSweep(): void {
    this.#sweeping.unsubscribe();
    if (this.#isClosed) return;
    const sweep = (): void => {
      this.#sweep();
      this.#scheduleSweep();
    };
    this.#sweeping = schedule(sweep, this.#pause, this.#scheduler);
  }

  /** Looks after all listeners, grants and feeds: one timer for all. */
  #sweep(): void {
    const now = this.#now();
    let pause = PAUSE.longest;
    for (const listener of this.#listeners) {
      listener.sweep(now, this.settings.maxStall);
      pause = Math.min(pause, pauseOf(listener));
    }
    this.#pause = pause;
    this.access.sweep();
    this.channels.sweep();
  }

  /** Takes no more listeners, and ends the present ones one after the other, within some milliseconds. */
  async close(over: number): Promise<void> {
    this.#isClosed = true;
    const all = [...this.#listeners];
    const start = this.#now();
    for (const [index, listener] of all.entries()) {
      const wait = start + (over * index) / all.length - this.#now();
      if (wait > 1) await firstValueFrom(after(wait, this.#scheduler));
      listener.finish();
    }
    this.#sweeping.unsubscribe();
    this.channels.close();
    this.origin.close();
  }
}

/** Returns how often a listener must be looked after, in milliseconds. */
function pauseOf({ subscribed: { query } }: Listener): number {
  return Math.max(PAUSE.shortest, (query.heartbeat ?? query.timeout) / 4);
}

/** Writes rows in portions, as the client takes them. */
async function deliver(listener: Listener, rows: readonly WindowRow[]): Promise<void> {
  const { feed } = listener.subscribed.query;
  for (let from = 0; from < rows.length && !listener.isOver; from += PORTION) {
    const portion = rows.slice(from, from + PORTION);
    const text = portion.map((row) => formatRow(feed, row.text, row.change.seq)).join('');
    listener.deliver(Buffer.from(text), portion.length);
    if (listener.isBlocked) await listener.drained();
  }
}
