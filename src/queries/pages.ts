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
import { invalidArgument } from '../model/invalid-argument.ts';
import { View } from '../model/view.ts';
import type { Row, ViewHead } from '../model/view.ts';
import { queryView, viewPath } from './view.ts';
import type { ViewOptions } from './view.ts';

/** Some of the rows of a view, and where the next ones begin. */
export class Page<R> extends View<R, ViewOptions> {
  /** The options that give the next page, for another request of another day; null for the last. */
  readonly next: ViewOptions | null;

  constructor(rows: readonly R[], head: ViewHead, options: ViewOptions, next: ViewOptions | null) {
    super(rows, head, options);
    this.next = next;
  }
}

/** Which rows of a view are read, and how many at once. */
export interface PagesOptions<R = Row> extends ViewOptions {
  /** How many rows a page has; the last one has fewer. @defaultValue 100 */
  readonly pageSize?: number;
  /**
   * Holds the next page back: it is asked for when what this returns emits or completes. Default: when
   * the page has been handed over.
   */
  readonly when?: (page: Page<R>) => ObservableInput<unknown>;
}

/**
 * The rows of a view, page by page: what `db.pages()` returns.
 *
 * - **Temperature:** cold. Each subscription begins with the first page.
 * - **Emits** a `Page` for each request; the next is asked for only when the consumer is ready: when
 *   `when` says so, and in a `for await` loop when the loop comes round.
 * - **Completes** after the last page. An empty view has one page, without rows.
 * - **Errors** as `db.view` does. `page.next` of the last good page is where to go on.
 * - **On unsubscribe** what is being read is aborted, and nothing more is asked for.
 *
 * A page begins with the key and the document with which the one before ended, so that the hundredth
 * costs no more than the first, and rows that come and go meanwhile move no others.
 */
export class Pages<R extends Row<unknown, unknown, unknown>> extends Observable<Page<R>> {
  readonly #read: (options: ViewOptions) => Observable<Page<R>>;
  readonly #first: ViewOptions;

  /** @internal */
  constructor(db: DatabaseScope, name: string, pagesOptions: PagesOptions<R>) {
    const { pageSize = 100, when = (): Observable<unknown> => of(null), ...first } = pagesOptions;
    if (!Number.isSafeInteger(pageSize) || pageSize < 1)
      throw invalidArgument('pages: pageSize', 'a whole number from 1', pageSize, RangeError);
    if (typeof when !== 'function') throw invalidArgument('pages: when', 'a function', when);
    requirePageable(first);
    const read = (options: ViewOptions): Observable<Page<R>> =>
      readPage<R>(db, name, options, pageSize);
    // Misuse is told now.
    read(first);
    super((subscriber) => {
      const ask = (options: ViewOptions): void => {
        subscriber.add(
          read(options).subscribe({
            next: (page) => {
              const { next } = page;
              subscriber.next(page);
              if (next === null) subscriber.complete();
              else if (!subscriber.closed) wait(page, () => ask(next));
            },
            error: (error: unknown) => subscriber.error(error),
          }),
        );
      };
      const wait = (page: Page<R>, ready: () => void): void => {
        subscriber.add(
          from(when(page))
            .pipe(take(1), defaultIfEmpty(null))
            .subscribe({ next: ready, error: (error: unknown) => subscriber.error(error) }),
        );
      };
      ask(first);
    });
    this.#read = read;
    this.#first = first;
  }

  /**
   * Lets `for await (const page of pages)` read the pages, each when the loop is ready for it: `when`
   * is not asked. Leaving the loop asks for no more.
   */
  [Symbol.asyncIterator](): AsyncIterableIterator<Page<R>> {
    const stop$ = new Subject<void>();
    let next: ViewOptions | null = this.#first;
    let last: Promise<unknown> = Promise.resolve();
    const pull = async (): Promise<IteratorResult<Page<R>>> => {
      if (next === null) return { done: true, value: undefined };
      const page = await firstValueFrom(this.#read(next).pipe(takeUntil(stop$)), {
        defaultValue: null,
      });
      next = page?.next ?? null;
      return page === null ? { done: true, value: undefined } : { done: false, value: page };
    };
    const leave = (): void => {
      next = null;
      stop$.next();
    };
    return {
      next() {
        // One after the other, however they are called for.
        const pulled = last.then(pull);
        last = pulled.catch(leave);
        return pulled;
      },
      return() {
        leave();
        return Promise.resolve({ done: true, value: undefined });
      },
      [Symbol.asyncIterator]() {
        return this;
      },
    };
  }
}

function refuse(what: string): TypeError {
  return new TypeError(`pages: ${what}`);
}

function requirePageable(options: ViewOptions): void {
  if (options.keys !== undefined) throw refuse('keys are read at once, by rows() or view()');
  if (options.sorted === false) throw refuse('rows that are not sorted have no next page');
  if (options.descending === true && typeof options.groupLevel === 'number')
    throw refuse('groupLevel and descending exclude each other');
}

function readPage<R extends Row<unknown, unknown, unknown>>(
  db: DatabaseScope,
  name: string,
  options: ViewOptions,
  pageSize: number,
): Observable<Page<R>> {
  const { limit = Infinity } = options;
  const wanted = Math.min(pageSize, limit);
  // One more tells where the next page begins.
  const asked = { ...options, limit: limit > wanted ? wanted + 1 : wanted };
  return queryView(db, name, asked).pipe(
    map((view) => {
      const rows = view.rows.slice(0, wanted) as unknown as readonly R[];
      const follower = view.rows[wanted];
      const next = follower === undefined ? null : follow(options, rows, follower, isListing(name));
      return new Page(
        rows,
        view,
        options,
        next === null || limit === Infinity ? next : { ...next, limit: limit - wanted },
      );
    }),
  );
}

/** The options for the rows from `follower` on. */
function follow(
  options: ViewOptions,
  rows: readonly Row<unknown, unknown, unknown>[],
  follower: Row<unknown, unknown, unknown>,
  listing: boolean,
): ViewOptions {
  const { skip = 0, limit: _limit, key, startKeyDocId, ...rest } = options;
  const begin = {
    startKey: follower.key,
    ...(follower.id !== null && !listing && { startKeyDocId: follower.id }),
  };
  const place = JSON.stringify([follower.key, follower.id]);
  const isThere = (row: Pick<typeof follower, 'key' | 'id'>): boolean =>
    JSON.stringify([row.key, row.id]) === place;
  // A document may emit one key many times: those of it that were read are passed over.
  let same = 0;
  while (same < rows.length && isThere(rows[rows.length - 1 - same] ?? follower)) same += 1;
  if (same === rows.length && isThere({ key: rest.startKey, id: startKeyDocId ?? null }))
    same += skip;
  return {
    ...rest,
    ...(key !== undefined && { endKey: key }),
    ...begin,
    ...(same > 0 && { skip: same }),
  };
}

function isListing(name: string): boolean {
  return viewPath(name) === `/${name}`;
}
