import { map } from 'rxjs';
import type { Document } from '../model/document.ts';
import type { Row } from '../model/view.ts';
import { queryView } from '../queries/view.ts';
import type { ViewOptions } from '../queries/view.ts';
import { follow } from './follow.ts';
import { keepEqual } from './keep-equal.ts';
import type { LiveDatabase } from './live-database.ts';
import { LiveQuery } from './live-query.ts';

/** How a view is followed: what is read of it, and how often. */
export interface LiveViewOptions extends ViewOptions {
  /** How long to wait after an answer before asking again, in milliseconds; else the `Couch`'s. */
  readonly latency?: number;
}

/**
 * The rows of a view as they change. Only the server knows what a document emits, so it is asked
 * again after a change, at most once every `latency`.
 */
export function liveView<R extends Row<unknown, unknown, unknown>>(
  live: LiveDatabase,
  name: string,
  options: LiveViewOptions,
): LiveQuery<readonly R[]> {
  const { latency = live.latency, ...wanted } = options;
  const query = queryView<unknown, unknown, Document | null>(live.db, name, wanted);
  return new LiveQuery(live, ['view$', name, wanted, latency], () =>
    follow<readonly R[]>(live, {
      changes$: live.changes$,
      read: () => query.pipe(map(({ rows }) => rows as readonly unknown[] as readonly R[])),
      patch: (value) => ({ value, again: true }),
      reconcile: (value, answer) => keepEqual(value, answer, placeOf),
      latency,
    }),
  );
}

/** Which row this is, among those of a view: one document may emit several with one key. */
function placeOf({ id, key }: Row<unknown, unknown, unknown>): string {
  return JSON.stringify([id, key]);
}
