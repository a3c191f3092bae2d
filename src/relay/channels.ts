import { firstValueFrom, map } from 'rxjs';
import type { ChangesParameters } from '../changes/changes-request.ts';
import type { Connection } from '../http/connection.ts';
import { asObject } from '../http/decode.ts';
import { databaseScope } from '../http/scope.ts';
import { documentAt } from '../http/url.ts';
import { canonical } from '../model/json.ts';
import { clock } from '../operators/time.ts';
import { Channel } from './channel.ts';
import type { ChangesQuery } from './changes-query.ts';
import type { RelaySettings } from './relay-options.ts';
import { BLIND } from './refusal.ts';
import { isSameForAll } from './row-filter.ts';

/** Identifies a shared feed. */
export interface ChannelSpec {
  readonly database: string;
  readonly parameters: ChangesParameters;
  /** The revision of the filter function; `''` without one. */
  readonly version: string;
}

/** The feeds that are open, each once. */
export class Channels {
  readonly #connection: Connection;
  readonly #settings: RelaySettings;
  readonly #now: () => number;
  readonly #open = new Map<string, Channel>();
  readonly #versions = new Map<
    string,
    { readonly at: number; readonly version: Promise<string | null> }
  >();

  constructor(connection: Connection, settings: RelaySettings) {
    this.#connection = connection;
    this.#settings = settings;
    this.#now = clock(connection.scheduler);
  }

  [Symbol.iterator](): Iterator<Channel> {
    return this.#open.values();
  }

  /** Returns the feed, and opens it if it is not open. */
  get({ database, parameters, version }: ChannelSpec): Channel {
    const key = canonical([database, parameters, version]);
    const known = this.#open.get(key);
    if (known !== undefined && known.failure === null) return known;
    const { maxBacklog, maxBacklogBytes, heartbeat } = this.#settings;
    const bounds = { rows: maxBacklog, bytes: maxBacklogBytes };
    const scope = databaseScope(this.#connection, database);
    const channel = new Channel(scope, parameters, bounds, heartbeat);
    this.#open.set(key, channel);
    return channel;
  }

  /**
   * Returns the revision of the query's filter function, `''` without one; null if the function may have
   * other answers for other users, so that each has to ask for itself.
   */
  async version(database: string, { parameters }: ChangesQuery): Promise<string | null> {
    const { filter } = parameters;
    if (filter === undefined) return '';
    const key = JSON.stringify([database, filter]);
    const known = this.#versions.get(key);
    if (known !== undefined && this.#now() - known.at < this.#settings.recheck)
      return known.version;
    const read = { at: this.#now(), version: this.#readVersion(database, filter) };
    this.#versions.set(key, read);
    try {
      return await read.version;
    } catch (error) {
      this.#versions.delete(key);
      throw error;
    }
  }

  #readVersion(database: string, filter: string): Promise<string | null> {
    const [design = '', name = ''] = filter.split('/');
    const scope = databaseScope(this.#connection, database);
    const address = documentAt(scope, `_design/${design}`, '', 'filter');
    const version$ = this.#connection.json(
      () => address,
      (body) => {
        const { filters, language = 'javascript', _rev: rev } = asObject(body);
        const source: unknown = asObject(filters)[name];
        const isKnown = language === 'javascript' && typeof source === 'string';
        return isKnown && isSameForAll(source) ? String(rev) : null;
      },
    );
    return firstValueFrom(version$.pipe(map(({ value }) => value)));
  }

  /** Ends the listeners of feeds that hear nothing of CouchDB, and closes feeds without listeners. */
  sweep(): void {
    const now = this.#now();
    const { maxBlind, linger, recheck } = this.#settings;
    for (const [key, channel] of this.#open) {
      if (channel.blindFor > maxBlind)
        for (const listener of channel.listeners) listener.lose(BLIND);
      const isIdle = channel.listeners.size === 0 && channel.waiting === 0;
      channel.idleSince = isIdle ? (channel.idleSince ?? now) : null;
      const isOver =
        isIdle && (channel.failure !== null || now - (channel.idleSince ?? now) >= linger);
      if (!isOver) continue;
      channel.close();
      this.#open.delete(key);
    }
    for (const [key, { at }] of this.#versions) if (now - at >= recheck) this.#versions.delete(key);
  }

  close(): void {
    for (const channel of this.#open.values()) channel.close();
    this.#open.clear();
  }
}
