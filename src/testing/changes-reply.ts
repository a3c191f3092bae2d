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

/** Some of the changes of a database, and where they end. */
export interface ChangesPage {
  readonly rows: readonly ChangeRow[];
  readonly lastSeq: string;
  /** How many there are after these. */
  readonly pending: number;
}

/** A change as it goes over the wire. */
export interface ChangeRow {
  readonly seq: string;
  readonly id: string;
}

/** The changes of a database, as they are read and waited for. */
export interface ChangesHistory {
  /** Reads what there is after a place. */
  readonly read: (since: string, limit: number) => ChangesPage;
  /** Emits when there may be more; what it errors with breaks the connections that wait. */
  readonly more$: Observable<unknown>;
}

/** CouchDB waits no longer than that, whatever it is asked (`[chttpd] changes_timeout`). */
const LONGEST = 60_000;

/**
 * Answers a request for changes in whatever protocol it asks: at once, when there is one (longpoll),
 * or as they come (continuous, eventsource), with heartbeats.
 */
export function changesReply(
  history: ChangesHistory,
  query: Readonly<Record<string, string>>,
  scheduler: SchedulerLike,
): Reply {
  const { feed = 'normal', since = '0', limit } = query;
  const most = limit === undefined ? Infinity : Number(limit);
  const wait = waiting(query, scheduler);
  switch (feed) {
    case 'continuous':
      return stream(new Stream(history, since, most, LINES), wait);
    case 'eventsource':
      return stream(new Stream(history, since, most, EVENTS), wait);
    case 'longpoll':
      return stream(new Poll(history, since, most), wait);
    default:
      return json(200, page(history.read(since, most)));
  }
}

/** What is sent: a piece of the body, after which it may be over. */
interface Piece {
  readonly text: string;
  readonly last: boolean;
}

/** A connection that waits for changes. */
interface Connection {
  readonly heartbeat: string;
  readonly contentType: string;
  readonly more$: Observable<unknown>;
  /** Takes what has come since it was last asked. */
  take(): Piece;
  /** Ends a wait in which nothing came. */
  end(): string;
}

type Wait = (connection: Connection) => Observable<Piece>;

/** Waits for the next change: with heartbeats where they are asked for, or until a timeout. */
function waiting(query: Readonly<Record<string, string>>, scheduler: SchedulerLike): Wait {
  const { heartbeat, timeout = String(LONGEST) } = query;
  return (connection) => {
    if (heartbeat === undefined) {
      return timer(Math.min(Number(timeout), LONGEST), scheduler).pipe(
        map(() => ({ text: connection.end(), last: true })),
      );
    }
    const every = heartbeat === 'true' ? LONGEST : Math.min(Number(heartbeat), LONGEST);
    return interval(every, scheduler).pipe(
      map(() => ({ text: connection.heartbeat, last: false })),
    );
  };
}

function stream(connection: Connection, wait: Wait): Reply {
  const pieces = defer(() => {
    let begun = false;
    return connection.more$.pipe(
      startWith(null),
      switchMap(() => {
        const piece = connection.take();
        if (piece.last) return of(piece);
        // The head goes out with the first wait, long before the first change.
        const hello = begun ? [] : [{ text: connection.heartbeat, last: false }];
        begun = true;
        return concat(of(piece, ...hello), wait(connection));
      }),
      takeWhile(({ last }) => !last, true),
      filter(({ text }) => text !== ''),
      map(({ text }) => new TextEncoder().encode(text)),
    );
  });
  return new Reply(200, { 'content-type': connection.contentType }, pieces);
}

/** How rows are written while they come. */
interface Form {
  readonly row: (row: ChangeRow) => string;
  readonly end: (lastSeq: string, pending: number) => string;
  readonly heartbeat: string;
  readonly contentType: string;
}

const LINES: Form = {
  row: (row) => `${JSON.stringify(row)}\n`,
  end: (lastSeq, pending) => `${JSON.stringify({ last_seq: lastSeq, pending })}\n`,
  heartbeat: '\n',
  contentType: 'application/json',
};

const EVENTS: Form = {
  row: (row) => `data: ${JSON.stringify(row)}\nid: ${row.seq}\n\n`,
  // An eventsource has no last line.
  end: () => '',
  heartbeat: 'event: heartbeat\ndata: \n\n',
  contentType: 'text/event-stream',
};

class Stream implements Connection {
  readonly heartbeat: string;
  readonly contentType: string;
  readonly more$: Observable<unknown>;
  readonly #history: ChangesHistory;
  readonly #form: Form;
  #place: string;
  #left: number;

  constructor(history: ChangesHistory, since: string, limit: number, form: Form) {
    this.#history = history;
    this.#form = form;
    this.#place = since === 'now' ? history.read(since, 0).lastSeq : since;
    this.#left = limit;
    this.heartbeat = form.heartbeat;
    this.contentType = form.contentType;
    this.more$ = history.more$;
  }

  take(): Piece {
    const { rows, lastSeq, pending } = this.#history.read(this.#place, this.#left);
    this.#place = lastSeq;
    this.#left -= rows.length;
    const text = rows.map(this.#form.row).join('');
    const last = this.#left <= 0;
    return { text: last ? text + this.#form.end(lastSeq, pending) : text, last };
  }

  end(): string {
    return this.#form.end(this.#place, 0);
  }
}

class Poll implements Connection {
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

  take(): Piece {
    const found = this.#history.read(this.#since, this.#limit);
    return found.rows.length === 0
      ? { text: '', last: false }
      : { text: `${JSON.stringify(page(found))}\n`, last: true };
  }

  end(): string {
    return `${JSON.stringify(page(this.#history.read(this.#since, this.#limit)))}\n`;
  }
}

function page({ rows, lastSeq, pending }: ChangesPage): object {
  return { results: rows, last_seq: lastSeq, pending };
}
