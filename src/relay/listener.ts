import type { CorduroyError } from '../errors/corduroy-error.ts';
import type { Sequence } from '../model/change.ts';
import type { Grant, Grantee } from './access.ts';
import type { Channel, ChannelListener } from './channel.ts';
import type { ChangesQuery } from './changes-query.ts';
import type { Credentials } from './origin.ts';
import type { RowFilter } from './row-filter.ts';
import type { Refusal } from './refusal.ts';
import type { Sink } from './sink.ts';
import type { Slices } from './slices.ts';
import type { ChangesWindow } from './window.ts';

/** A user, and the changes that it listens to. */
export interface Subscribed {
  readonly query: ChangesQuery;
  readonly database: string;
  /** The path of the database's changes. */
  readonly path: string;
  readonly credentials: Credentials;
}

/** How a listener left. */
export type Ending = 'finished' | 'left' | 'slow' | 'revoked' | 'lost' | 'refused' | 'closed';

/** The calls of a listener to the relay. */
export interface ListenerEvents {
  readonly ended: (listener: Listener, ending: Ending) => void;
  /** Only CouchDB can decide about the row after `seq`. */
  readonly undecided: (listener: Listener, seq: Sequence) => void;
}

const NOTHING: ReadonlySet<string> = new Set();

/** One subscription to the changes of a database, with its own place in them. */
export class Listener implements ChannelListener, Grantee {
  readonly subscribed: Subscribed;
  grant: Grant | null = null;
  readonly #sink: Sink;
  readonly #events: ListenerEvents;
  readonly #now: () => number;
  #channel: Channel | null = null;
  #slices: Slices | null = null;
  #position = 0;
  #remaining: number;
  #lastWrite: number;
  #lastRow: number;
  #blockedSince: number | null = null;
  #isOver = false;
  /** Rows before `until` that a separate request has delivered already. */
  #known: { readonly rows: ReadonlySet<string>; readonly until: number } | null = null;
  /** How many rows it has written. */
  delivered = 0;

  constructor(subscribed: Subscribed, sink: Sink, events: ListenerEvents, now: () => number) {
    this.subscribed = subscribed;
    this.#sink = sink;
    this.#events = events;
    this.#now = now;
    this.#remaining = subscribed.query.limit;
    this.#lastWrite = this.#lastRow = now();
  }

  get isOver(): boolean {
    return this.#isOver;
  }

  get isBlocked(): boolean {
    return this.#sink.isBlocked;
  }

  get remaining(): number {
    return this.#remaining;
  }

  /** Resolves when the client takes more, or has left. */
  drained(): Promise<void> {
    return this.#sink.drained();
  }

  /** How many rows of its channel are still to be written; 0 before it joins. */
  get backlog(): number {
    return this.#slices === null ? 0 : (this.#channel?.window?.end ?? 0) - this.#position;
  }

  /** Sends the head of the response: the listener may read what it asked for. */
  open(): void {
    if (!this.#isOver && !this.#sink.isOpen) this.#sink.open();
  }

  /** Takes part in a channel from a position in its window. */
  join(
    channel: Channel,
    filter: RowFilter,
    position: number,
    known: ReadonlySet<string> = NOTHING,
  ): void {
    if (this.#isOver) return;
    const { feed, includeDocs } = this.subscribed.query;
    this.#channel = channel;
    this.#slices = channel.join(this, filter, feed, includeDocs);
    this.#position = position;
    const { end } = channel.window as ChangesWindow;
    this.#known = known.size === 0 || position === end ? null : { rows: known, until: end };
    this.pump();
  }

  /** Writes rows that a separate request has brought, in the form of the feed. */
  deliver(data: Buffer, rows: number): void {
    if (this.#isOver) return;
    this.delivered += rows;
    this.#remaining -= rows;
    this.#lastWrite = this.#lastRow = this.#now();
    this.#sink.write(data, rows);
  }

  /** Writes what the window has, as long as the client takes it. */
  pump(): void {
    const slices = this.#slices;
    const window = this.#channel?.window;
    if (slices === null || !window) return;
    while (!this.#isOver && this.#position < window.end) {
      if (this.#sink.isBlocked) {
        this.#blockedSince ??= this.#now();
        return;
      }
      this.#blockedSince = null;
      if (this.#position < window.first) return this.end('slow');
      this.#skipKnown(window);
      if (this.#position >= window.end) break;
      const slice = slices.take(this.#position, this.#known === null ? this.#remaining : 1);
      this.#position = slice.to;
      if (slice.rows > 0) this.deliver(slice.data, slice.rows);
      if (this.#remaining <= 0) return this.finish();
      if (slice.isUndecided) {
        // A poll ends with the rows that it has, and its next one begins at the row in question.
        if (this.delivered > 0 && this.subscribed.query.feed === 'longpoll') return this.finish();
        return this.#events.undecided(this, window.seqAt(this.#position));
      }
    }
    if (this.subscribed.query.feed === 'longpoll' && this.delivered > 0) this.finish();
  }

  #skipKnown(window: ChangesWindow): void {
    if (this.#known === null) return;
    const { rows, until } = this.#known;
    while (this.#position < until && rows.has(rowKey(window.at(this.#position).change)))
      this.#position += 1;
    if (this.#position >= until) this.#known = null;
  }

  /** Leaves its channel, to join another one. */
  leave(): void {
    if (this.#channel !== null && this.#slices !== null) this.#channel.leave(this, this.#slices);
    this.#channel = null;
    this.#slices = null;
    this.#known = null;
  }

  /** Sends a sign of life if one is due, ends a feed whose time is over, and cuts off a client that takes nothing. */
  sweep(now: number, longestStall: number): void {
    if (this.#isOver) return;
    if (this.#sink.isBlocked) {
      this.#blockedSince ??= now;
      if (now - this.#blockedSince >= longestStall) this.end('slow');
      return;
    }
    this.#blockedSince = null;
    const { heartbeat, timeout } = this.subscribed.query;
    // While a separate request works, CouchDB sends signs of life without a heartbeat too.
    const isSearching = this.#slices === null;
    if (heartbeat !== null || isSearching) {
      if (now - this.#lastWrite < (heartbeat ?? timeout)) return;
      this.#lastWrite = now;
      this.#sink.beat();
    } else if (now - this.#lastRow >= timeout) {
      if (this.delivered === 0) this.#sink.beat();
      this.finish();
    }
  }

  /** Ends the feed in good order: its client continues after the last row. */
  finish(seq: Sequence | null = this.#seq, pending: number = this.backlog): void {
    if (this.#isOver) return;
    if (seq === null) return this.end('closed');
    this.#over('finished');
    this.#sink.finish(seq, pending);
  }

  /** Ends the feed after the last row that was written, because something went wrong. */
  end(ending: Ending): void {
    if (this.#isOver) return;
    this.#over(ending);
    if (ending !== 'left') this.#sink.cut();
  }

  /** Answers with an error; if the feed has begun, ends it. */
  refuse(answer: Refusal): void {
    if (this.#isOver) return;
    this.#over('refused');
    this.#sink.refuse(answer);
  }

  revoke(): void {
    this.end('revoked');
  }

  lose(_error: CorduroyError): void {
    this.end('lost');
  }

  /** The sequence up to which all is written; null before it joins. */
  get #seq(): Sequence | null {
    const window = this.#channel?.window;
    if (this.#slices === null || !window) return null;
    return window.seqAt(this.#position);
  }

  #over(ending: Ending): void {
    this.#isOver = true;
    this.leave();
    this.grant?.holders.delete(this);
    this.#events.ended(this, ending);
  }
}

/** Identifies a change: the same document may be listed again with other revisions. */
export function rowKey({
  id,
  changes,
}: {
  id: string;
  changes?: readonly { rev: string }[];
}): string {
  return JSON.stringify([id, changes?.map(({ rev }) => rev)]);
}
