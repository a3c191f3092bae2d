import {
  ElementRef,
  Injector,
  Signal,
  afterNextRender,
  computed,
  inject,
  signal,
} from '@angular/core';
import { takeUntilDestroyed } from '@angular/core/rxjs-interop';
import type { ListPatch } from 'corduroy';
import { animationFrameScheduler, auditTime, fromEvent, merge } from 'rxjs';

/** The rows above and below the visible ones that are rendered too. */
const OVERSCAN = 6;

/**
 * Selects the rows of a long list that are in view, so that the page renders only these. The page scrolls; all
 * rows have the same height. Create it in an injection context, as a field of the component of the list.
 */
export class VisibleRows {
  readonly #host = inject<ElementRef<HTMLElement>>(ElementRef).nativeElement;
  readonly #injector = inject(Injector);
  readonly #rowHeight = signal(50);
  readonly #view = signal({ first: 0, rows: 20 });
  readonly #length: Signal<number>;

  /** The first and the end of the rendered rows, and the space above and below them in pixels. */
  readonly range = computed(() => {
    const { first, rows } = this.#view();
    const length = this.#length();
    const start = Math.max(0, Math.min(first, length - rows) - OVERSCAN);
    const end = Math.min(length, start + rows + 2 * OVERSCAN);
    const height = this.#rowHeight();
    return { start, end, above: start * height, below: (length - end) * height };
  });

  constructor(length: Signal<number>) {
    this.#length = length;
    merge(fromEvent(window, 'scroll'), fromEvent(window, 'resize'))
      .pipe(auditTime(0, animationFrameScheduler), takeUntilDestroyed())
      .subscribe(() => this.#measure());
    afterNextRender(() => this.#measure());
  }

  /** Keeps the rows in view in their place if rows above them come or go, and highlights those that change. */
  follow({ list, added, removed, moved, changed }: ListPatch<unknown>): void {
    const isFirst = added.length === list.length;
    const { first } = this.#view();
    const entered = [...added, ...moved].filter(({ index }) => index <= first).length;
    const left =
      removed.filter(({ index }) => index < first).length +
      moved.filter(({ from }) => from < first).length;
    afterNextRender(
      () => {
        if (!isFirst && first > 0) scrollBy(0, (entered - left) * this.#rowHeight());
        this.#measure();
        if (!isFirst) this.#highlight([...added, ...changed].map(({ index }) => index));
      },
      { injector: this.#injector },
    );
  }

  #measure(): void {
    const list = this.#list();
    const row = list?.querySelector('li:not(.empty)');
    if (!list || !row) return;
    const height = row.getBoundingClientRect().height;
    this.#rowHeight.set(height);
    const first = Math.max(0, Math.floor(-list.getBoundingClientRect().top / height));
    const rows = Math.ceil(innerHeight / height);
    const view = this.#view();
    if (view.first !== first || view.rows !== rows) this.#view.set({ first, rows });
  }

  #highlight(indexes: readonly number[]): void {
    const { start, end } = this.range();
    for (const index of indexes) {
      if (index < start || index >= end) continue;
      const row = this.#list()?.children[index - start];
      row?.animate({ backgroundColor: ['var(--highlight)', 'transparent'] }, 900);
    }
  }

  #list(): Element | null {
    return this.#host.querySelector('.orders');
  }
}
