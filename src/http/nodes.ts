import { Observable, catchError, tap, throwError } from 'rxjs';
import type { SchedulerLike } from 'rxjs';
import { isConnectionError } from '../errors/connection-error.ts';
import { isHTTPError } from '../errors/http-error.ts';
import { isTimeoutError } from '../errors/connection-error.ts';
import { backoff } from '../operators/retry-policy.ts';
import type { BackoffOptions } from '../operators/retry-policy.ts';
import { isRepeatable } from './exchange.ts';
import type { RequestSpec } from './exchange.ts';

interface Node {
  readonly url: string;
  /** How often in a row it failed. */
  failures: number;
  /** Until when it is left alone. */
  until: number;
}

/**
 * The nodes of a cluster: requests go round them, and round one that failed, for a while.
 *
 * A node that cannot be reached, keeps silent, or says that it cannot serve is left alone, longer
 * each time; nothing is asked of it meanwhile unless all of them are in that state. A request that
 * only reads goes on to the next node at once, to each at most once. One that writes does only
 * where its connection was refused, for any other may have been carried out.
 */
export class Nodes {
  readonly #nodes: readonly Node[];
  readonly #scheduler: SchedulerLike;
  readonly #pace: BackoffOptions;
  #turn: number;

  constructor(urls: readonly string[], scheduler: SchedulerLike, pace: BackoffOptions = {}) {
    const { initialDelay = 5_000, maxDelay = 60_000, random = Math.random } = pace;
    this.#nodes = urls.map((url) => ({ url, failures: 0, until: -Infinity }));
    this.#scheduler = scheduler;
    this.#pace = { initialDelay, maxDelay, random };
    // A thousand clients that begin at once do not all begin with the first.
    this.#turn = Math.floor(random() * urls.length);
  }

  /** Sends a request at each subscription, to a node of which it is told the URL. */
  send<T>(spec: RequestSpec, attempt: (url: string) => Observable<T>): Observable<T> {
    const isRead = reads(spec);
    const tried = new Set<Node>();
    const next = (): Observable<T> => {
      const node = this.#choose(tried);
      tried.add(node);
      return attempt(node.url).pipe(
        tap(() => comeBack(node)),
        catchError((error: unknown) => {
          if (!isOfNode(error)) {
            if (isHTTPError(error)) comeBack(node);
            return throwError(() => error);
          }
          this.#leave(node);
          const goesOn = isRead || (wasRefused(error) && isRepeatable(spec));
          return goesOn && tried.size < this.#nodes.length ? next() : throwError(() => error);
        }),
      );
    };
    return new Observable((subscriber) => next().subscribe(subscriber));
  }

  /** The next in turn that is well; else the one whose time is up first. */
  #choose(tried: ReadonlySet<Node>): Node {
    const now = this.#scheduler.now();
    const { length } = this.#nodes;
    const serialize = this.#nodes
      .map((_, i) => this.#nodes[(this.#turn + i) % length] as Node)
      .filter((node) => !tried.has(node));
    const node =
      serialize.find(({ until }) => until <= now) ??
      serialize.reduce((first, other) => (other.until < first.until ? other : first));
    this.#turn = (this.#nodes.indexOf(node) + 1) % length;
    return node;
  }

  #leave(node: Node): void {
    const now = this.#scheduler.now();
    // What was under way when it failed fails too, and says nothing new.
    if (node.until > now) return;
    node.failures += 1;
    node.until = now + backoff(node.failures, this.#pace);
  }
}

/** It answers: what it failed at is over. */
function comeBack(node: Node): void {
  node.failures = 0;
  node.until = -Infinity;
}

/** Whether it is the node that failed, and another may do better. */
function isOfNode(error: unknown): boolean {
  if (isConnectionError(error) || isTimeoutError(error)) return true;
  if (!isHTTPError(error)) return false;
  const { status, reason, error: word } = error;
  // A cluster that loses a node says so with a 412, to whoever asks for what was there.
  if (word === 'nodedown') return true;
  return (status >= 502 && status <= 504) || (status >= 500 && /maintenance/.test(word + reason));
}

const REFUSED = new Set(['ECONNREFUSED', 'ENOTFOUND', 'EAI_AGAIN', 'EHOSTUNREACH', 'ENETUNREACH']);

/** Whether not a byte of a request can have arrived. Browsers do not say. */
function wasRefused(error: unknown): boolean {
  return isConnectionError(error) && REFUSED.has(error.code ?? '');
}

/** What is asked with POST because it is too long for a URL. */
const READS =
  /\/(?:_all_docs|_bulk_get|_changes|_dbs_info|_design_docs|_explain|_find|_local_docs|_missing_revs|_revs_diff|_search|_session|_nouveau|_view)(?:[/?]|$)/;

/** Whether a request changes nothing, however often it is sent. */
function reads({ method = 'GET', path }: RequestSpec): boolean {
  return method === 'GET' || method === 'HEAD' || (method === 'POST' && READS.test(path));
}
