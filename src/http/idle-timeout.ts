import { Observable } from 'rxjs';
import type { SchedulerLike, Subscriber, Subscription } from 'rxjs';
import type { TransportResponse } from './transport.ts';

/** What is said when an exchange goes wrong. */
export interface IdleTimeoutOptions {
  /** How long nothing may come, in milliseconds; 0 for as long as it likes. */
  readonly silence: number;
  readonly scheduler: SchedulerLike;
  readonly tooLate: () => Error;
  /** Explains what kept the answer away, and what broke it off. */
  readonly unanswered: (cause: unknown) => Error;
  readonly brokenOff: (cause: unknown) => Error;
}

/**
 * Ends an exchange that falls silent, before its head or within its body, and explains what the
 * platform threw.
 *
 * It is on the way of every request, so it is a single layer with a single timer.
 */
export function withIdleTimeout(
  exchange: Observable<TransportResponse>,
  watch: IdleTimeoutOptions,
): Observable<TransportResponse> {
  return new Observable((subscriber) => {
    let pieces: Subscriber<Uint8Array> | undefined;
    const alarm = new IdleTimeout(watch, () => (pieces ?? subscriber).error(watch.tooLate()));
    alarm.start();
    const body = (raw: Observable<Uint8Array>): Observable<Uint8Array> =>
      new Observable((chunks) => {
        pieces = chunks;
        alarm.start();
        chunks.add(() => alarm.stop());
        return raw.subscribe({
          next: (chunk) => {
            alarm.heard();
            chunks.next(chunk);
          },
          error: (error: unknown) => chunks.error(watch.brokenOff(error)),
          complete: () => chunks.complete(),
        });
      });
    subscriber.add(() => alarm.stop());
    return exchange.subscribe({
      next: ({ status, headers, body: raw }) => {
        alarm.heard();
        subscriber.next({ status, headers, body: body(raw) });
        // Nobody waits for a body that nobody reads.
        if (pieces === undefined) alarm.stop();
      },
      error: (error: unknown) => subscriber.error(watch.unanswered(error)),
      complete: () => subscriber.complete(),
    });
  });
}

/** Rings when nothing has been heard for so long; hearing something costs it no timer. */
class IdleTimeout {
  readonly #watch: IdleTimeoutOptions;
  readonly #ring: () => void;
  #timer: Subscription | undefined;
  #heard = 0;

  constructor(watch: IdleTimeoutOptions, ring: () => void) {
    this.#watch = watch;
    this.#ring = ring;
  }

  start(): void {
    const { silence } = this.#watch;
    if (silence === 0 || silence === Infinity) return;
    this.heard();
    this.#timer ??= this.#watch.scheduler.schedule(() => this.#look(), silence);
  }

  heard(): void {
    this.#heard = this.#watch.scheduler.now();
  }

  stop(): void {
    this.#timer?.unsubscribe();
    this.#timer = undefined;
  }

  #look(): void {
    const { scheduler, silence } = this.#watch;
    const left = this.#heard + silence - scheduler.now();
    if (left > 0) this.#timer = scheduler.schedule(() => this.#look(), left);
    else this.#ring();
  }
}
