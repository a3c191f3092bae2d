import { Observable, mergeMap } from 'rxjs';
import { iterate } from '../operators/iterate.ts';
import { lines } from '../operators/lines.ts';
import type { Connection } from './connection.ts';
import type { RequestSpec } from './exchange.ts';
import { rows } from './row-parser.ts';
import type { RowLayout } from './row-parser.ts';

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
    return iterate(this);
  }
}
