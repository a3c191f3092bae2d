import { Observable, concat, mergeMap, of } from 'rxjs';
import type { OperatorFunction } from 'rxjs';
import type { RequestSummary } from '../errors/corduroy-error.ts';
import type { ProtocolError } from '../errors/protocol-error.ts';
import { protocolError } from '../http/connection.ts';
import { asObject, sequence } from '../http/decode.ts';
import type { DatabaseScope } from '../http/scope.ts';
import type { Change, Sequence } from '../model/change.ts';
import { lines } from '../operators/lines.ts';
import { decodeChange } from './decode.ts';
import type { ChangesRequest } from './parameters.ts';

/** What one connection of a feed tells. */
export type FeedEvent<T extends object> =
  /** The server accepted it. */
  | { readonly type: 'open' }
  /** Something came: changes, or none where it was a heartbeat. */
  | { readonly type: 'changes'; readonly changes: readonly Change<T>[] }
  /** The server ended it of its own accord, and says where to go on. */
  | { readonly type: 'end'; readonly lastSeq: Sequence };

const OPEN = { type: 'open' } as const;
const HEARTBEAT = { type: 'changes', changes: [] } as const;

/**
 * Opens one continuous feed at each subscription.
 *
 * Completes after an `end`; errors with a transient `ProtocolError` where the stream stops without
 * one, or holds what is not a change, and with a `TimeoutError` where not even a heartbeat comes
 * for `silence` milliseconds.
 */
export function continuous<T extends object>(
  db: DatabaseScope,
  request: ChangesRequest,
  silence: number,
): Observable<FeedEvent<T>> {
  const { query, ...rest } = request;
  const path = `${db.path}/_changes${query}`;
  return db.connection
    .send(() => ({ ...rest, path, endless: true, timeout: silence }))
    .pipe(
      mergeMap((exchange) =>
        concat(of(OPEN), exchange.body.pipe(lines(), events<T>(db, exchange.request))),
      ),
    );
}

function events<T extends object>(
  db: DatabaseScope,
  request: RequestSummary,
): OperatorFunction<readonly string[], FeedEvent<T>> {
  const broken = (what: string): ProtocolError =>
    protocolError(request, `the feed ${what}`, { transient: true });
  return (blocks) =>
    new Observable((subscriber) => {
      let ended = false;
      return blocks.subscribe({
        next: (block) => {
          const changes: Change<T>[] = [];
          let lastSeq: Sequence | undefined;
          try {
            for (const line of block) {
              // An empty line is a heartbeat.
              if (line === '') continue;
              const row = asObject(db.connection.codec.parse(line));
              if ('last_seq' in row) lastSeq = sequence(row['last_seq']);
              else changes.push(decodeChange<T>(row));
            }
          } catch (error) {
            subscriber.error(broken(`holds what is not a change: ${String(error)}`));
            return;
          }
          subscriber.next(changes.length === 0 ? HEARTBEAT : { type: 'changes', changes });
          if (lastSeq === undefined) return;
          ended = true;
          subscriber.next({ type: 'end', lastSeq });
        },
        error: (error: unknown) => subscriber.error(error),
        complete: () => {
          if (ended) subscriber.complete();
          else subscriber.error(broken('ended early'));
        },
      });
    });
}
