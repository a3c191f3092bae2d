import { BehaviorSubject, Observable, filter } from 'rxjs';
import type { TransportResponse } from '../http/transport.ts';
import { segmentsOf } from './route.ts';
import type { ServerRequest } from './route.ts';
import { withoutBody } from './reply.ts';
import type { Reply } from './reply.ts';

/** Makes the error of a broken connection, as a platform throws it. */
export function broken(code: 'ECONNREFUSED' | 'ECONNRESET', by: string): Error {
  return Object.assign(new Error(`${code}, ${by}`), { code });
}

/** An exchange that is open: its request has arrived, and its response has not ended. */
interface OpenExchange {
  readonly database: string | undefined;
  cut(error: Error): void;
  silence(): void;
}

/** The open exchanges of a test server, which failures break. */
export class Exchanges {
  /** Whether the server cannot be reached. */
  readonly offline$: BehaviorSubject<boolean> = new BehaviorSubject(false);
  readonly #open = new Set<OpenExchange>();

  constructor() {
    this.offline$
      .pipe(filter(Boolean))
      .subscribe(() => this.#cut(undefined, 'the server is offline'));
  }

  /** Breaks the open exchanges of a database, or all of them. */
  cut(database: string | undefined): void {
    this.#cut(database, 'the test cut the connection');
  }

  /** Keeps the open exchanges of a database, or all of them, open without any further data. */
  silence(database: string | undefined): void {
    for (const exchange of this.#of(database)) exchange.silence();
  }

  /** Makes the exchange of a transport: it completes when the body is read, or on unsubscribe. */
  open(request: ServerRequest, reply$: Observable<Reply>): Observable<TransportResponse> {
    return new Observable((subscriber) => {
      if (this.offline$.value) {
        subscriber.error(broken('ECONNREFUSED', 'the server is offline'));
        return;
      }
      let isSilent = false;
      const ends = new Set<(error: Error) => void>([(error) => subscriber.error(error)]);
      const exchange: OpenExchange = {
        database: segmentsOf(request.path)[0],
        cut: (error) => ends.forEach((end) => end(error)),
        silence: () => {
          isSilent = true;
        },
      };
      this.#open.add(exchange);
      subscriber.add(() => this.#open.delete(exchange));
      const whileHeard = (act: () => void) => (): void => {
        if (!isSilent) act();
      };
      const bodyOf = (body: Observable<Uint8Array>): Observable<Uint8Array> =>
        new Observable((reader) => {
          const end = (error: Error): void => reader.error(error);
          ends.add(end);
          reader.add(() => ends.delete(end));
          reader.add(() => subscriber.complete());
          reader.add(
            body.subscribe({
              next: (chunk) => whileHeard(() => reader.next(chunk))(),
              error: (error: unknown) => whileHeard(() => reader.error(error))(),
              complete: whileHeard(() => reader.complete()),
            }),
          );
        });
      subscriber.add(
        reply$.subscribe({
          next: (reply) =>
            whileHeard(() => {
              const sent = request.method === 'HEAD' ? withoutBody(reply) : reply;
              const { status, headers, body } = sent;
              subscriber.next({ status, headers, body: bodyOf(body) });
            })(),
          error: (error: unknown) => whileHeard(() => subscriber.error(error))(),
        }),
      );
    });
  }

  #cut(database: string | undefined, by: string): void {
    for (const exchange of this.#of(database)) exchange.cut(broken('ECONNRESET', by));
  }

  #of(database: string | undefined): readonly OpenExchange[] {
    return [...this.#open].filter((one) => database === undefined || one.database === database);
  }
}
