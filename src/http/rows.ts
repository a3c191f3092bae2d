import { Observable } from 'rxjs';
import type { OperatorFunction } from 'rxjs';
import type { ProtocolError } from '../errors/connection-error.ts';
import { isCorduroyError } from '../errors/corduroy-error.ts';
import type { Redact } from '../errors/redact.ts';
import type { Connection } from './connection.ts';
import { arrayField, asObject } from './decode.ts';
import { protocolError, sizeError } from './exchange.ts';
import type { Exchange } from './link.ts';
import { guarded } from '../operators/to-observable.ts';

/** Describes a response with a list of rows, and decodes its parts. */
export interface RowLayout<R, Info> {
  /** The field that holds the rows. */
  readonly field: 'rows' | 'docs' | 'results';
  /** Decodes a row; undefined leaves it out. */
  readonly row: (raw: unknown) => R | undefined;
  /** Whether a row may consist of the fields `error` and `reason`, as the server's failures do. */
  readonly mayHoldErrors?: boolean;
  /** Decodes the metadata: all fields except the rows. */
  readonly info: (rest: Readonly<Record<string, unknown>>) => Info;
}

/**
 * Returns an operator that decodes the rows in the lines of a response. CouchDB writes one line per
 * row, after a line that opens the list and before the lines that close it. A response in another
 * layout, as a proxy may write it, is decoded as a whole at its end.
 *
 * Errors with a transient `ProtocolError` if the end of the list is missing, or if CouchDB reports a
 * failure in place of a row.
 *
 * @param onInfo - Called with the metadata: before the rows if it comes first, and always at the end.
 */
export function rows<R, Info>(
  { codec }: Pick<Connection, 'codec'>,
  exchange: Pick<Exchange, 'request' | 'redact' | 'maxBodySize'>,
  layout: RowLayout<R, Info>,
  onInfo: (info: Info) => void,
): OperatorFunction<readonly string[], R> {
  const { request, redact, maxBodySize } = exchange;
  const listStart = `"${layout.field}":[`;
  const unusable = (problem: string): ProtocolError =>
    protocolError(request, `the answer ${problem}`, { transient: true });
  return (blocks) =>
    new Observable((subscriber) => {
      let section: 'head' | 'rows' | 'tail' | 'unknown' = 'head';
      let head: Readonly<Record<string, unknown>> = {};
      // The lines after the rows, or a response in another layout.
      const otherLines: string[] = [];
      // With their line ends, but the last line may have none.
      let otherLength = -1;
      const keep = (line: string): void => {
        otherLength += line.length + 1;
        if (otherLength > maxBodySize) throw sizeError(exchange, 'the answer');
        // An entry of the array takes more memory than a line end.
        if (line !== '') otherLines.push(line);
      };

      const emit = (raw: unknown): void => {
        const row = layout.row(raw);
        if (row !== undefined) subscriber.next(row);
      };
      const readHead = (line: string): void => {
        if (!line.endsWith(listStart)) {
          section = 'unknown';
          keep(line);
          return;
        }
        section = 'rows';
        head = asObject(codec.parse(`${line}]}`));
        if (Object.keys(head).length > 1) onInfo(layout.info(head));
      };
      const readRow = (line: string): void => {
        // A sign of life while the server searches.
        if (line === '') return;
        if (line.startsWith(']')) {
          section = 'tail';
          keep(line);
          return;
        }
        const row = codec.parse(line.endsWith(',') ? line.slice(0, -1) : line);
        const failure = layout.mayHoldErrors === true ? null : failureText(row, redact);
        if (failure !== null) {
          subscriber.error(unusable(`breaks off: ${failure}`));
          return;
        }
        emit(row);
      };
      const readEnd = (): void => {
        if (section === 'tail') {
          const tail = asObject(codec.parse(`{${listStart}${otherLines.join('\n')}`));
          onInfo(layout.info(Object.assign({}, head, tail)));
          return;
        }
        const whole = codec.parse(otherLines.join('\n'));
        const failure = failureText(whole, redact);
        if (failure !== null) throw unusable(`is an error: ${failure}`);
        for (const row of arrayField(whole, layout.field)) {
          if (subscriber.closed) return;
          emit(row);
        }
        onInfo(layout.info(asObject(whole)));
      };

      return blocks.subscribe(
        guarded(subscriber, {
          next: (block) => {
            try {
              for (const line of block) {
                // Unsubscribed, or errored, by a previous line.
                if (subscriber.closed) return;
                if (section === 'tail' || section === 'unknown') keep(line);
                else if (section === 'rows') readRow(line);
                else if (line === '') keep(line);
                else readHead(line);
              }
            } catch (error) {
              // Without the line, which may hold confidential data.
              const unclear = unusable('contains a line that is not a row');
              subscriber.error(isCorduroyError(error) ? error : unclear);
            }
          },
          complete: () => {
            if (section === 'head' || section === 'rows') {
              subscriber.error(unusable('ended early'));
              return;
            }
            try {
              readEnd();
            } catch (error) {
              const unclear = unusable("ended early, or is not in CouchDB's format");
              subscriber.error(isCorduroyError(error) ? error : unclear);
              return;
            }
            subscriber.complete();
          },
        }),
      );
    });
}

/** The longest text of a failure that an error shows. */
const MAX_SHOWN = 2000;

/**
 * Returns the error and reason of a row that is a failure of the server, and ends the response; null
 * for other rows. A row that is only wrong itself has a key or an id.
 */
export function failureText(row: unknown, redact: Redact): string | null {
  if (typeof row !== 'object' || row === null) return null;
  if ('key' in row || 'id' in row || '_id' in row) return null;
  const { error, reason } = row as Readonly<Record<string, unknown>>;
  return typeof error === 'string' && typeof reason === 'string'
    ? redact(`${error}: ${reason}`, MAX_SHOWN)
    : null;
}
