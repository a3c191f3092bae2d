import { Observable, mergeMap } from 'rxjs';
import type { Connection } from './connection.ts';
import { lineLimit } from './exchange.ts';
import type { RequestSpec } from './link.ts';
import { rows } from './rows.ts';
import type { RowLayout } from './rows.ts';
import { lines } from '../operators/lines.ts';
import { toAsyncIterator } from '../operators/to-observable.ts';

export type { RowLayout } from './rows.ts';

/**
 * The rows of a response, emitted as they arrive: the result of `db.viewRows()` and similar methods.
 *
 * - **Temperature:** cold. Each subscription sends a request.
 * - **Emits** each row when its line has arrived. Memory holds only a part of the response.
 * - **Completes** at the end of the list.
 * - **Errors** before the first row as an `Operation` does. If the response ends early, errors with a
 *   transient `ProtocolError`; the rows emitted before are valid.
 * - **On unsubscribe**, as with `take(10)`, the download is cancelled at once.
 *
 * A row stream has no back-pressure. Use `db.viewPages` for a slow consumer.
 */
export class RowStream<R, Info> extends Observable<R> {
  #info: Info | null = null;

  /** @internal */
  constructor(connection: Connection, describe: () => RequestSpec, layout: RowLayout<R, Info>) {
    super((subscriber) =>
      connection
        .send(describe)
        .pipe(
          mergeMap((exchange) =>
            exchange.body.pipe(
              lines('keep', lineLimit(exchange)),
              rows(connection, exchange, layout, (info) => (this.#info = info)),
            ),
          ),
        )
        .subscribe(subscriber),
    );
  }

  /**
   * The metadata of the response, for the latest subscription; null until it arrives. A view's
   * `totalRows` arrives before its first row; metadata after the rows arrives on completion.
   */
  get info(): Info | null {
    return this.#info;
  }

  /**
   * Iterates over the rows with `for await`. Leaving the loop cancels the download. Rows that arrive
   * while the loop is busy wait in memory.
   */
  [Symbol.asyncIterator](): AsyncIterableIterator<R> {
    return toAsyncIterator(this);
  }
}
