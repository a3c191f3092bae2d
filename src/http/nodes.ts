import { Observable, catchError, tap, throwError } from 'rxjs';
import type { SchedulerLike } from 'rxjs';
import { isConnectionError, isTimeoutError, wasNotSent } from '../errors/connection-error.ts';
import { isHTTPError, rawAnswer } from '../errors/http-error.ts';
import { backoff } from '../operators/retry-policy.ts';
import type { BackoffOptions } from '../operators/retry-policy.ts';
import { clock } from '../operators/time.ts';
import { isRepeatableBody } from './transport.ts';
import type { Link, LinkRequest, Next } from './link.ts';
import { requireBackoff } from './query.ts';
import type { TransportResponse } from './transport.ts';

interface Node {
  readonly url: string;
  /** The number of consecutive failures. */
  failures: number;
  /** The time before which it receives no requests. */
  availableAt: number;
}

/**
 * Distributes requests over the nodes of a cluster in turn, and skips failed nodes for a while.
 *
 * A node fails if it is unreachable, times out, or reports that it cannot serve. It then receives no
 * requests, for longer with each failure, unless all nodes have failed. A request that only reads,
 * or that can be repeated, retries at once on the other nodes, once on each. Another write does so only
 * if its connection was refused, because otherwise the node may have executed it.
 */
export function failoverLink(
  urls: readonly string[],
  scheduler: SchedulerLike,
  nodeBackoff?: BackoffOptions,
): Link {
  const nodes = new Nodes(urls, scheduler, nodeBackoff);
  return (request, next) => nodes.send(request, next);
}

class Nodes {
  readonly #nodes: readonly Node[];
  readonly #scheduler: SchedulerLike;
  readonly #backoff: BackoffOptions;
  #nextIndex: number;

  constructor(urls: readonly string[], scheduler: SchedulerLike, nodeBackoff: BackoffOptions = {}) {
    requireBackoff(nodeBackoff, 'nodeBackoff');
    const { initialDelay = 5_000, maxDelay = 60_000, random = Math.random } = nodeBackoff;
    this.#nodes = urls.map((url) => ({ url, failures: 0, availableAt: -Infinity }));
    this.#scheduler = scheduler;
    this.#backoff = { initialDelay, maxDelay, random };
    // Clients that start at the same time start with different nodes.
    this.#nextIndex = Math.floor(random() * urls.length);
  }

  /** Sends a request to a node at each subscription, and to others if it fails. */
  send(request: LinkRequest, send: Next): Observable<TransportResponse> {
    const tried = new Set<Node>();
    const next = (): Observable<TransportResponse> => {
      const node = this.#choose(tried);
      tried.add(node);
      return send({ ...request, server: node.url }).pipe(
        tap(() => markAvailable(node)),
        catchError((error: unknown) => {
          if (!isNodeFailure(error)) {
            if (isHTTPError(error)) markAvailable(node);
            return throwError(() => error);
          }
          this.#markFailed(node);
          const isSafe = request.reads || request.repeatable || wasNotSent(error);
          const mayRetry = isSafe && isRepeatableBody(request.body);
          return mayRetry && tried.size < this.#nodes.length ? next() : throwError(() => error);
        }),
      );
    };
    return new Observable((subscriber) => next().subscribe(subscriber));
  }

  /** Returns the next available node in turn, or the node that is available first. */
  #choose(tried: ReadonlySet<Node>): Node {
    const now = clock(this.#scheduler)();
    const { length } = this.#nodes;
    const candidates = this.#nodes
      .map((_, i) => this.#nodes[(this.#nextIndex + i) % length] as Node)
      .filter((node) => !tried.has(node));
    const node =
      candidates.find(({ availableAt }) => availableAt <= now) ??
      candidates.reduce((first, other) => (other.availableAt < first.availableAt ? other : first));
    this.#nextIndex = (this.#nodes.indexOf(node) + 1) % length;
    return node;
  }

  #markFailed(node: Node): void {
    const now = clock(this.#scheduler)();
    // Requests that were in flight at the first failure fail too, and count once.
    if (node.availableAt > now) return;
    node.failures += 1;
    node.availableAt = now + backoff(node.failures, this.#backoff);
  }
}

function markAvailable(node: Node): void {
  node.failures = 0;
  node.availableAt = -Infinity;
}

/** Tells whether the node failed, so that another node may succeed. */
function isNodeFailure(error: unknown): boolean {
  if (isConnectionError(error) || isTimeoutError(error)) return true;
  if (!isHTTPError(error)) return false;
  const { status } = error;
  const { reason, error: code } = rawAnswer(error);
  // A cluster reports the loss of a node with status 412.
  if (code === 'nodedown') return true;
  return (status >= 502 && status <= 504) || (status >= 500 && /maintenance/.test(code + reason));
}
