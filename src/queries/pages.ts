import {
  Observable,
  Subject,
  defaultIfEmpty,
  firstValueFrom,
  from,
  map,
  of,
  take,
  takeUntil,
} from 'rxjs';
import type { ObservableInput } from 'rxjs';
import type { DatabaseScope } from '../http/scope.ts';
import { canonical } from '../model/json.ts';
import { invalidArgument, requireOptions } from '../model/invalid-argument.ts';
import { View } from '../model/view.ts';
import type { Row, ViewHead } from '../model/view.ts';
import { guarded } from '../operators/to-observable.ts';
import { isListing, queryView } from './view.ts';
import type { ViewOptions } from './view.ts';

/** A page of the rows of a view, with the options for the next page. */
export class Page<R> extends View<R, ViewOptions> {
  /** The options that read the next page, now or later; null on the last page. */
  readonly next: ViewOptions | null;

  constructor(rows: readonly R[], head: ViewHead, options: ViewOptions, next: ViewOptions | null) {
    super(rows, head, options);
    this.next = next;
  }
}

/** Options for reading the rows of a view page by page. */
export interface PagesOptions<R = Row> extends ViewOptions {
  /** The number of rows of a page; the last page may have fewer. @defaultValue 100 */
  readonly pageSize?: number;
  /**
   * Delays the next page: Corduroy requests it when the returned Observable or Promise emits or completes.
   * Default: as soon as the page is emitted. A `for await` loop does not call it.
   */
  readonly when?: (page: Page<R>) => ObservableInput<unknown>;
}

/**
 * Reads the rows of a view page by page: the result of `db.viewPages()`.
 *
 * - **Temperature:** cold. Each subscription starts with the first page.
 * - **Emits** a `Page` for each request. It requests the next page when the consumer is ready: when the
 *   option `when` emits, or when a `for await` loop reads on.
 * - **Completes** after the last page. An empty view has one page without rows.
 * - **Errors** as `db.view` does, and with the error of `when`. To continue, pass `page.next` of the last
 *   page to `db.viewPages()`.
 * - **On unsubscribe** it aborts the request in flight, and sends no further request.
 *
 * Each page starts at the key and the document that follow the previous page. Page 100 costs the server no
 * more than page 1, and rows that are added or removed meanwhile do not shift other rows.
 */
export class Pages<R extends Row<unknown, unknown, unknown>> extends Observable<Page<R>> {
  readonly #read: (options: ViewOptions) => Observable<Page<R>>;
  readonly #first: ViewOptions;

  /** @internal */
  constructor(db: DatabaseScope, name: string, pagesOptions: PagesOptions<R>) {
    requireOptions(pagesOptions, 'viewPages');
    const { pageSize = 100, when = (): Observable<unknown> => of(null), ...first } = pagesOptions;
    if (!Number.isSafeInteger(pageSize) || pageSize < 1)
      throw invalidArgument('viewPages: pageSize', 'a whole number from 1', pageSize, RangeError);
    if (typeof when !== 'function') throw invalidArgument('viewPages: when', 'a function', when);
    requirePageable(first);
    const read = (options: ViewOptions): Observable<Page<R>> =>
      readPage<R>(db, name, options, pageSize);
    // Validate now: throws at the call.
    read(first);
    super((subscriber) => {
      const requestPage = (options: ViewOptions): void => {
        subscriber.add(
          read(options).subscribe(
            guarded(subscriber, {
              next: (page) => {
                const { next } = page;
                subscriber.next(page);
                if (next === null) subscriber.complete();
                else if (!subscriber.closed) waitUntilReady(page, () => requestPage(next));
              },
            }),
          ),
        );
      };
      const waitUntilReady = (page: Page<R>, onReady: () => void): void => {
        subscriber.add(
          from(when(page))
            .pipe(take(1), defaultIfEmpty(null))
            .subscribe(guarded(subscriber, { next: onReady })),
        );
      };
      requestPage(first);
    });
    this.#read = read;
    this.#first = first;
  }

  /**
   * Reads the pages with `for await (const page of pages)`: requests each page when the loop needs it, and
   * ignores `when`. Leaving the loop aborts the request in flight.
   */
  [Symbol.asyncIterator](): AsyncIterableIterator<Page<R>> {
    const stop$ = new Subject<void>();
    let next: ViewOptions | null = this.#first;
    let previous: Promise<unknown> = Promise.resolve();
    const readNext = async (): Promise<IteratorResult<Page<R>>> => {
      if (next === null) return { done: true, value: undefined };
      const page = await firstValueFrom(this.#read(next).pipe(takeUntil(stop$)), {
        defaultValue: null,
      });
      next = page?.next ?? null;
      return page === null ? { done: true, value: undefined } : { done: false, value: page };
    };
    const stop = (): void => {
      next = null;
      stop$.next();
    };
    return {
      next() {
        // Serialized: `next()` may be called again before the previous page has arrived.
        const result = previous.then(readNext);
        previous = result.catch(stop);
        return result;
      },
      return() {
        stop();
        return Promise.resolve({ done: true, value: undefined });
      },
      [Symbol.asyncIterator]() {
        return this;
      },
    };
  }
}

function requirePageable(options: ViewOptions): void {
  if (options.keys !== undefined)
    throw new TypeError('viewPages: keys cannot be paged; use viewRows or view');
  if (options.sorted === false)
    throw new TypeError(
      'viewPages: rows that are not sorted cannot be paged; remove sorted: false',
    );
  if (options.descending === true && typeof options.groupLevel === 'number')
    throw new TypeError('viewPages: use either groupLevel or descending, not both');
}

function readPage<R extends Row<unknown, unknown, unknown>>(
  db: DatabaseScope,
  name: string,
  options: ViewOptions,
  pageSize: number,
): Observable<Page<R>> {
  const { limit = Infinity } = options;
  const size = Math.min(pageSize, limit);
  // One row more than the page has: the next page begins with it.
  const pageOptions = { ...options, limit: limit > size ? size + 1 : size };
  return queryView(db, name, pageOptions).pipe(
    map((view) => {
      const rows = view.rows.slice(0, size) as unknown as readonly R[];
      const nextRow = view.rows[size];
      const next =
        nextRow === undefined ? null : nextPageOptions(options, rows, nextRow, isListing(name));
      return new Page(
        rows,
        view,
        options,
        next === null || limit === Infinity ? next : { ...next, limit: limit - size },
      );
    }),
  );
}

/** Returns the options that read the rows from `nextRow` on. */
function nextPageOptions(
  options: ViewOptions,
  rows: readonly Row<unknown, unknown, unknown>[],
  nextRow: Row<unknown, unknown, unknown>,
  listing: boolean,
): ViewOptions {
  const { skip = 0, limit: _limit, key, startKeyDocId, ...rest } = options;
  const begin = {
    startKey: nextRow.key,
    ...(nextRow.id !== null && !listing && { startKeyDocId: nextRow.id }),
  };
  const position = canonical([nextRow.key, nextRow.id]);
  const hasSamePosition = (row: Pick<typeof nextRow, 'key' | 'id'>): boolean =>
    canonical([row.key, row.id]) === position;
  // A document can emit a key many times: `skip` passes over those of its rows that were read.
  let alreadyRead = 0;
  while (
    alreadyRead < rows.length &&
    hasSamePosition(rows[rows.length - 1 - alreadyRead] ?? nextRow)
  )
    alreadyRead += 1;
  if (
    alreadyRead === rows.length &&
    hasSamePosition({ key: rest.startKey, id: startKeyDocId ?? null })
  )
    alreadyRead += skip;
  return {
    ...rest,
    ...(key !== undefined && { endKey: key }),
    ...begin,
    ...(alreadyRead > 0 && { skip: alreadyRead }),
  };
}
