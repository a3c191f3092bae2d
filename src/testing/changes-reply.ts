import { toText } from './reply.ts';
import {
  concat,
  defer,
  filter,
  interval,
  map,
  of,
  startWith,
  switchMap,
  takeWhile,
  timer,
} from 'rxjs';
import type { Observable, SchedulerLike } from 'rxjs';
import { Reply, json } from './reply.ts';

/** Some changes of a database, and the sequence after them. */
export interface ChangesPage {
  readonly rows: readonly ChangeRow[];
  readonly lastSeq: string;
  /** The number of changes after these. */
  readonly pending: number;
}

/** A change as CouchDB writes it. */
export interface ChangeRow {
  readonly seq: string;
  readonly id: string;
}

/** The changes of a database: to read, and to wait for. */
export interface ChangesHistory {
  /** Reads the changes after a sequence. */
  readonly read: (since: string, limit: number) => ChangesPage;
  /** Emits when there may be more changes. An error breaks the waiting connections. */
  readonly more$: Observable<unknown>;
}

/** The longest wait of CouchDB, whatever the request says (`[chttpd] changes_timeout`). */
const MAX_WAIT = 60_000;

/**
 * Answers a request for changes in the protocol that it names: at once (normal), with the first
 * change (longpoll), or with each change and with heartbeats (continuous, eventsource).
 */
export function changesReply(
  history: ChangesHistory,
  query: Readonly<Record<string, string>>,
  scheduler: SchedulerLike,
): Reply {
  const { feed = 'normal', since = '0', limit } = query;
  const maxRows = limit === undefined ? Infinity : Number(limit);
  const wait = waitFor(query, scheduler);
  switch (feed) {
    case 'continuous':
      return stream(new ContinuousConnection(history, since, maxRows, LINES), wait);
    case 'eventsource':
      return stream(new ContinuousConnection(history, since, maxRows, EVENTS), wait);
    case 'longpoll':
      return stream(new LongPollConnection(history, since, maxRows), wait);
    default:
      return json(200, page(history.read(since, maxRows)));
  }
}

/** A chunk of the body. `last` ends the response. */
interface Chunk {
  readonly text: string;
  readonly last: boolean;
}

/** A connection that waits for changes. */
interface Connection {
  readonly heartbeat: string;
  readonly contentType: string;
  readonly more$: Observable<unknown>;
  /** Returns the changes since the last call. */
  take(): Chunk;
  /** Returns the end of the body after a timeout. */
  end(): string;
}

type Wait = (connection: Connection) => Observable<Chunk>;

/**
 * Waits for the next change: with heartbeats if the request asks for them, else until a timeout.
 */
function waitFor(query: Readonly<Record<string, string>>, scheduler: SchedulerLike): Wait {
  const { heartbeat, timeout = String(MAX_WAIT) } = query;
  return (connection) => {
    if (heartbeat === undefined) {
      return timer(Math.min(Number(timeout), MAX_WAIT), scheduler).pipe(
        map(() => ({ text: connection.end(), last: true })),
      );
    }
    const period = heartbeat === 'true' ? MAX_WAIT : Math.min(Number(heartbeat), MAX_WAIT);
    return interval(period, scheduler).pipe(
      map(() => ({ text: connection.heartbeat, last: false })),
    );
  };
}

function stream(connection: Connection, wait: Wait): Reply {
  const chunks = defer(() => {
    let started = false;
    return connection.more$.pipe(
      startWith(null),
      switchMap(() => {
        const chunk = connection.take();
        if (chunk.last) return of(chunk);
        // CouchDB sends the head with a first heartbeat, long before the first change.
        const first = started ? [] : [{ text: connection.heartbeat, last: false }];
        started = true;
        return concat(of(chunk, ...first), wait(connection));
      }),
      takeWhile(({ last }) => !last, true),
      filter(({ text }) => text !== ''),
      map(({ text }) => new TextEncoder().encode(text)),
    );
  });
  return new Reply(200, { 'content-type': connection.contentType }, chunks);
}

/** The format of the rows of a stream. */
interface RowFormat {
  readonly row: (row: ChangeRow) => string;
  readonly end: (lastSeq: string, pending: number) => string;
  readonly heartbeat: string;
  readonly contentType: string;
}

const LINES: RowFormat = {
  row: (row) => `${toText(row)}\n`,
  end: (lastSeq, pending) => `${toText({ last_seq: lastSeq, pending })}\n`,
  heartbeat: '\n',
  contentType: 'application/json',
};

const EVENTS: RowFormat = {
  row: (row) => `data: ${toText(row)}\nid: ${row.seq}\n\n`,
  // An eventsource response has no last line.
  end: () => '',
  heartbeat: 'event: heartbeat\ndata: \n\n',
  contentType: 'text/event-stream',
};

class ContinuousConnection implements Connection {
  readonly heartbeat: string;
  readonly contentType: string;
  readonly more$: Observable<unknown>;
  readonly #history: ChangesHistory;
  readonly #format: RowFormat;
  #seq: string;
  #remaining: number;

  constructor(history: ChangesHistory, since: string, limit: number, format: RowFormat) {
    this.#history = history;
    this.#format = format;
    this.#seq = since === 'now' ? history.read(since, 0).lastSeq : since;
    this.#remaining = limit;
    this.heartbeat = format.heartbeat;
    this.contentType = format.contentType;
    this.more$ = history.more$;
  }

  take(): Chunk {
    const { rows, lastSeq, pending } = this.#history.read(this.#seq, this.#remaining);
    this.#seq = lastSeq;
    this.#remaining -= rows.length;
    const text = rows.map(this.#format.row).join('');
    const last = this.#remaining <= 0;
    return { text: last ? text + this.#format.end(lastSeq, pending) : text, last };
  }

  end(): string {
    return this.#format.end(this.#seq, 0);
  }
}

class LongPollConnection implements Connection {
  readonly heartbeat = '\n';
  readonly contentType = 'application/json';
  readonly more$: Observable<unknown>;
  readonly #history: ChangesHistory;
  readonly #limit: number;
  readonly #since: string;

  constructor(history: ChangesHistory, since: string, limit: number) {
    this.#history = history;
    this.#since = since === 'now' ? history.read(since, 0).lastSeq : since;
    this.#limit = limit;
    this.more$ = history.more$;
  }

  take(): Chunk {
    const changes = this.#history.read(this.#since, this.#limit);
    return changes.rows.length === 0
      ? { text: '', last: false }
      : { text: `${toText(page(changes))}\n`, last: true };
  }

  end(): string {
    return `${toText(page(this.#history.read(this.#since, this.#limit)))}\n`;
  }
}

function page({ rows, lastSeq, pending }: ChangesPage): object {
  return { results: rows, last_seq: lastSeq, pending };
}
