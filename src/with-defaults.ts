import type { RequestDefaults } from './http/prepare-request.ts';
import { invalidArgument } from './model/invalid-argument.ts';

/** The key of the method behind {@link withDefaults}. */
export const WITH_DEFAULTS: unique symbol = Symbol('corduroy.withDefaults');

/**
 * Returns the same database with other defaults for its requests, such as `retry: false` for a single
 * call. Sends nothing. Both share sockets, the session and feeds.
 *
 * @param db - A `Database`.
 * @param defaults - `timeout` (in milliseconds), `retry` and `priority`. Those that are missing stay as
 * they are.
 * @throws TypeError or RangeError for an invalid option.
 * @example
 * withDefaults(db, { retry: false, timeout: 2000 }).get('a');
 */
export function withDefaults<D extends { [WITH_DEFAULTS](defaults: RequestDefaults): unknown }>(
  db: D,
  defaults: RequestDefaults,
): ReturnType<D[typeof WITH_DEFAULTS]> {
  if (typeof (Object(db) as Partial<D>)[WITH_DEFAULTS] !== 'function')
    throw invalidArgument('withDefaults: db', 'a Database', db);
  return db[WITH_DEFAULTS](defaults) as ReturnType<D[typeof WITH_DEFAULTS]>;
}
