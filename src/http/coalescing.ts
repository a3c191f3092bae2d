import { asapScheduler, asyncScheduler } from 'rxjs';
import type { SchedulerLike } from 'rxjs';
import { invalidArgument } from '../model/invalid-argument.ts';

/** What is asked for one by one, and sent together. */
export interface CoalesceOptions {
  /** Whether single reads become one `_bulk_get`. @defaultValue true */
  readonly reads?: boolean;
  /** Whether single saves become one `_bulk_docs`. @defaultValue true */
  readonly writes?: boolean;
  /**
   * How long the first waits for others, in milliseconds. With 0 those that are subscribed to in the
   * same turn go together, and nothing waits.
   * @defaultValue 0
   */
  readonly maxWait?: number;
  /**
   * How many go together at most. CouchDB reads the documents of a request one after the other, so
   * that two requests are done sooner than a long one; but it writes a long list best.
   * @defaultValue 32 reads, 100 writes
   */
  readonly maxSize?: number;
}

/** Whether single reads and writes are sent together, and how they are gathered. */
export interface Coalescing {
  readonly reads: boolean;
  readonly writes: boolean;
  readonly maxWait: number;
  /** Undefined where it is for the kind of request to say. */
  readonly maxSize: number | undefined;
  readonly scheduler: SchedulerLike;
}

/**
 * Reads the option.
 *
 * @throws TypeError or RangeError for what makes no sense.
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
  if (!(maxWait >= 0 && maxWait < Infinity))
    throw invalidArgument('coalesce: maxWait', 'milliseconds from 0', maxWait, RangeError);
  if (maxSize !== undefined && !(Number.isSafeInteger(maxSize) && maxSize > 0))
    throw invalidArgument('coalesce: maxSize', 'a whole number from 1', maxSize, RangeError);
  // The end of the turn, where a timer of 0 ms would take one or more.
  const turn = maxWait === 0 && scheduler === asyncScheduler ? asapScheduler : scheduler;
  return { reads, writes, maxWait, maxSize, scheduler: turn };
}
