import { asapScheduler, asyncScheduler } from 'rxjs';
import type { SchedulerLike } from 'rxjs';
import { invalidArgument } from '../model/invalid-argument.ts';
import { duration } from '../operators/time.ts';

/**
 * Combines single reads and single saves into bulk requests.
 *
 * @see https://docs.couchdb.org/en/stable/api/database/bulk-api.html
 */
export interface CoalesceOptions {
  /** Whether single reads are combined into `_bulk_get`. @defaultValue true */
  readonly reads?: boolean;
  /** Whether single saves are combined into `_bulk_docs`. @defaultValue true */
  readonly writes?: boolean;
  /**
   * The time that the first item waits for others, in milliseconds. With 0 the items of one
   * event-loop turn are combined, and no item waits longer. With `Infinity` a request waits until
   * it is full.
   * @defaultValue 0
   */
  readonly maxWait?: number;
  /**
   * The maximum number of items in one request. CouchDB reads the documents of one request in
   * sequence, so two short reads are faster than a long one. It writes long lists best.
   * @defaultValue 32 reads, 100 writes
   */
  readonly maxSize?: number;
}

/** The validated form of {@link CoalesceOptions}. */
export interface Coalescing {
  readonly reads: boolean;
  readonly writes: boolean;
  readonly maxWait: number;
  /** Undefined for the default of reads or of writes. */
  readonly maxSize: number | undefined;
  readonly scheduler: SchedulerLike;
}

/**
 * Validates the option. Returns null if it is `false`.
 *
 * @throws TypeError or RangeError for an invalid option.
 */
export function coalescing(
  option: boolean | CoalesceOptions,
  scheduler: SchedulerLike,
): Coalescing | null {
  if (option === false) return null;
  if (option !== true && (typeof option !== 'object' || option === null))
    throw invalidArgument('coalesce', 'true, false, or options', option);
  const {
    reads = true,
    writes = true,
    maxWait = 0,
    maxSize,
    ...unknown
  } = option === true ? {} : option;
  const [name] = Object.keys(unknown);
  if (name !== undefined) throw new TypeError(`coalesce: unknown option '${name}'`);
  if (typeof reads !== 'boolean') throw invalidArgument('coalesce: reads', 'true or false', reads);
  if (typeof writes !== 'boolean')
    throw invalidArgument('coalesce: writes', 'true or false', writes);
  duration(maxWait, 'coalesce: maxWait');
  if (maxSize !== undefined && !(Number.isSafeInteger(maxSize) && maxSize > 0))
    throw invalidArgument('coalesce: maxSize', 'a whole number from 1', maxSize, RangeError);
  // `asapScheduler` runs at the end of the turn. A timer of 0 ms would take 1 ms or more.
  const batching = maxWait === 0 && scheduler === asyncScheduler ? asapScheduler : scheduler;
  return { reads, writes, maxWait, maxSize, scheduler: batching };
}
