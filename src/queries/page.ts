import { View } from '../model/view.ts';
import type { ViewHead } from '../model/view.ts';
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
