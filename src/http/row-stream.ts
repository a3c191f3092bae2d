import { Observable, mergeMap } from 'rxjs';
import type { OperatorFunction } from 'rxjs';
import type { ProtocolError } from '../errors/connection-error.ts';
import { isCorduroyError } from '../errors/corduroy-error.ts';
import type { RequestSummary } from '../errors/corduroy-error.ts';
import type { Connection } from './connection.ts';
import { arrayField, asObject } from './decode.ts';
import { protocolError } from './exchange.ts';
import type { RequestSpec } from './exchange.ts';
import { lines } from '../operators/lines.ts';
import { toAsyncIterator } from '../operators/to-observable.ts';

/**
 * The rows of an answer, one by one, as they arrive: what `db.rows()` and its like return.
 *
 * - **Temperature:** cold. Each subscription sends a request.
 * - **Emits** each row as soon as its line is there. No more than a piece of the answer is held in
 *   memory, however long it is.
 * - **Completes** when the list has ended as it should.
 * - **Errors** as an `Operation` does before the first row; with a transient `ProtocolError` where the
 *   answer breaks off. Rows that were emitted by then are good.
 * - **On unsubscribe** (`take(10)`) the transfer ends at once.
 *
 * A stream has no way to slow the server down: see `db.pages` for a consumer that is slow.
 */
export class RowStream<R, Info> extends Observable<R> {
  #info: Info | null = null;

  /** @internal */
  constructor(connection: Connection, describe: () => RequestSpec, layout: RowLayout<R, Info>) {
    super((subscriber) =>
      connection
        .send(describe)
        .pipe(
          mergeMap(({ body, request }) =>
            body.pipe(
              lines('keep'),
              rows(connection, request, layout, (info) => (this.#info = info)),
            ),
          ),
        )
        .subscribe(subscriber),
    );
  }

  /**
   * What the server said beside the rows, to the latest subscription; null until it has. A view's
   * `totalRows` are there before its first row; what comes at the end is there on completion.
   */
  get info(): Info | null {
    return this.#info;
  }

  /**
   * Lets `for await (const row of rows)` read the rows; leaving the loop ends the transfer. What
   * arrives while the loop is busy waits in memory.
   */
  [Symbol.asyncIterator](): AsyncIterableIterator<R> {
    return toAsyncIterator(this);
  }
}

/** What an answer that is a list looks like, and what its parts are read as. */
export interface RowLayout<R, Info> {
  /** The field that holds the rows. */
  readonly field: 'rows' | 'docs' | 'results';
  readonly row: (raw: unknown) => R;
  /** Reads what the server says beside the rows. */
  readonly info: (rest: Readonly<Record<string, unknown>>) => Info;
}

/**
 * Reads rows from the lines of an answer, as they come. CouchDB prints a line for each row, between
 * one that begins the list and some that end it; an answer that something on the way printed in
 * another way is read when it is whole.
 *
 * Errors with a transient `ProtocolError` where the end of the list is missing, and where the server
 * gave up in the middle: it can only say so in place of a row.
 *
 * @param tell - Called with what the server says beside the rows, when it is known: before them where
 * the server says it first, and in any case at the end.
 */
export function rows<R, Info>(
  { codec, redact }: Pick<Connection, 'codec' | 'redact'>,
  request: RequestSummary,
  layout: RowLayout<R, Info>,
  tell: (info: Info) => void,
): OperatorFunction<readonly string[], R> {
  const begins = `"${layout.field}":[`;
  const broken = (what: string): ProtocolError =>
    protocolError(request, `the answer ${what}`, { transient: true });
  return (blocks) =>
    new Observable((subscriber) => {
      let place: 'head' | 'rows' | 'tail' | 'elsewhere' = 'head';
      let head: Readonly<Record<string, unknown>> = {};
      // What is no row: the end of the list, or an answer of another layout.
      const other: string[] = [];

      const readHead = (line: string): void => {
        if (!line.endsWith(begins)) {
          place = 'elsewhere';
          other.push(line);
          return;
        }
        place = 'rows';
        head = asObject(codec.parse(`${line}]}`));
        if (Object.keys(head).length > 1) tell(layout.info(head));
      };
      const readRow = (line: string): void => {
        if (line.startsWith(']')) {
          place = 'tail';
          other.push(line);
          return;
        }
        const row = codec.parse(line.endsWith(',') ? line.slice(0, -1) : line);
        // A document may be like anything.
        if (layout.field !== 'docs' && isFailure(row)) {
          subscriber.error(broken(redact(`breaks off: ${row.error}: ${row.reason}`)));
          return;
        }
        subscriber.next(layout.row(row));
      };
      const readEnd = (): void => {
        if (place === 'tail') {
          const tail = asObject(codec.parse(`{${begins}${other.join('\n')}`));
          tell(layout.info(Object.assign({}, head, tail)));
          return;
        }
        const whole = codec.parse(other.join('\n'));
        if (isFailure(whole)) throw broken(redact(`is an error: ${whole.error}: ${whole.reason}`));
        for (const row of arrayField(whole, layout.field)) {
          if (subscriber.closed) return;
          subscriber.next(layout.row(row));
        }
        tell(layout.info(asObject(whole)));
      };

      return blocks.subscribe({
        next: (block) => {
          try {
            for (const line of block) {
              // The consumer has what it wants, or has been told of an error.
              if (subscriber.closed) return;
              if (place === 'tail' || place === 'elsewhere') other.push(line);
              else if (line === '') continue;
              else if (place === 'rows') readRow(line);
              else readHead(line);
            }
          } catch {
            // What stands there may be anything: it is not shown.
            subscriber.error(broken('holds a line that is no row'));
          }
        },
        error: (error: unknown) => subscriber.error(error),
        complete: () => {
          if (place === 'head' || place === 'rows') {
            subscriber.error(broken('ended early'));
            return;
          }
          try {
            readEnd();
          } catch (error) {
            const unclear = broken('ended early, or is not what CouchDB answers');
            subscriber.error(isCorduroyError(error) ? error : unclear);
            return;
          }
          subscriber.complete();
        },
      });
    });
}

interface Failure {
  readonly error: string;
  readonly reason: string;
}

/** A row of a view may say `error`, but has a key, or an id; what says it alone ends the answer. */
function isFailure(row: unknown): row is Failure {
  return (
    typeof row === 'object' &&
    row !== null &&
    'error' in row &&
    typeof row.error === 'string' &&
    'reason' in row &&
    typeof row.reason === 'string' &&
    !('key' in row) &&
    !('id' in row)
  );
}
