import { EMPTY, catchError, take } from 'rxjs';
import type { Observable } from 'rxjs';
import type { CorduroyError } from '../errors/corduroy-error.ts';
import type { Connection } from '../http/connection.ts';
import { retryDelay, waitForRetry } from '../http/retry-transient.ts';
import { RetryPolicy } from '../operators/retry-policy.ts';
import type { FeedBehaviour, FeedState } from './feed-model.ts';

/** Takes the error of one database. The others continue. */
export type DatabaseErrorHandler = (database: string, error: unknown) => void;

/** How the errors of single databases are handled. */
export interface TroubleSettings {
  readonly connection: Connection;
  readonly behaviour: FeedBehaviour;
  readonly onError: DatabaseErrorHandler | undefined;
}

/** Keeps the failures of databases: when each is retried, and which errors were reported. */
export class DatabaseTroubles {
  readonly #settings: TroubleSettings;
  readonly #fail: (error: unknown) => void;
  readonly #policies = new Map<string, RetryPolicy>();
  readonly #waits = new Map<string, FeedState>();
  /** The errors that were reported, until the database works again. */
  readonly #reported = new Map<string, string>();

  /** @param fail - Takes an error if there is no `onError`. */
  constructor(settings: TroubleSettings, fail: (error: unknown) => void) {
    this.#settings = settings;
    this.#fail = fail;
  }

  /** The state of the database that has waited longest; undefined if none waits. */
  get wait(): FeedState | undefined {
    const [wait] = this.#waits.values();
    return wait;
  }

  /** The databases whose error was reported. */
  get reported(): Iterable<string> {
    return this.#reported.keys();
  }

  /**
   * Records a failure. Returns an Observable that completes when a retry is due, and never errors; null if
   * a retry would not help.
   */
  failed(name: string, error: CorduroyError): Observable<unknown> | null {
    const { connection, behaviour } = this.#settings;
    const { backoff, errorTolerance } = behaviour;
    const policy =
      this.#policies.get(name) ?? new RetryPolicy(backoff, errorTolerance, connection.scheduler);
    const delay = retryDelay(error, connection, policy);
    this.worked(name);
    if (delay === null) return null;
    this.#policies.set(name, policy);
    this.#waits.set(name, { status: 'waiting', attempt: policy.attempt, delay, error });
    return waitForRetry(delay, error, connection, policy).pipe(
      take(1),
      catchError((late: unknown) => {
        // Other credentials have not come in time. The next failure waits for them again.
        this.report(name, late);
        return EMPTY;
      }),
    );
  }

  /** Reports an error: once for each series of equal errors. */
  report(name: string, error: unknown): void {
    const { onError } = this.#settings;
    if (onError === undefined) {
      this.#fail(error);
      return;
    }
    const text = String(error);
    const isKnown = this.#reported.get(name) === text;
    this.#reported.set(name, text);
    if (isKnown) return;
    try {
      onError(name, error);
    } catch (thrown) {
      this.#fail(thrown);
    }
  }

  /** Forgets the failures of a database: a request has succeeded. */
  worked(name: string): void {
    this.#policies.delete(name);
    this.#waits.delete(name);
  }

  /** Forgets the failures and the reports of a database: its changes can be read. */
  recovered(name: string): void {
    this.worked(name);
    this.#reported.delete(name);
  }
}
