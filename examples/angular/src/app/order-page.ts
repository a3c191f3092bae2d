import { DatePipe } from '@angular/common';
import { ChangeDetectionStrategy, Component, computed, inject, input, signal } from '@angular/core';
import { RouterLink } from '@angular/router';
import { isHTTPError } from 'corduroy';
import type { CorduroyError } from 'corduroy';
import { liveResource, liveSignal } from 'corduroy/angular';
import { ConflictDialog } from './conflict-dialog';
import { Conflicts } from './conflicts';
import { ORDERS, STATUSES } from './order';
import type { Order } from './order';

/** How long nobody may type before what was typed is saved unasked. */
const PAUSE = 30_000;

/** One order, as it is and as it is being edited. */
@Component({
  selector: 'app-order-page',
  imports: [ConflictDialog, DatePipe, RouterLink],
  providers: [Conflicts],
  changeDetection: ChangeDetectionStrategy.OnPush,
  template: `
    <a class="back" routerLink="/">← All orders</a>
    @if (edited(); as state) {
      @if (state.value; as order) {
        <form class="card" (submit)="save($event)">
          <h1>
            Table {{ order.table }}
            <span class="status" [attr.data-status]="order.status">{{ order.status }}</span>
          </h1>
          <label>
            Dishes
            <textarea
              name="dishes"
              rows="2"
              [value]="order.dishes"
              (input)="patch({ dishes: $any($event.target).value })"
            ></textarea>
          </label>
          <label>
            Total
            <input
              name="total"
              type="number"
              min="0"
              step="0.1"
              [value]="order.total"
              (input)="patch({ total: $any($event.target).valueAsNumber || 0 })"
            />
          </label>
          <label>
            Note
            <input
              name="note"
              [value]="order.note"
              (input)="patch({ note: $any($event.target).value })"
            />
          </label>
          <div class="choices" role="group" aria-label="Status">
            @for (status of statuses; track status) {
              <button
                type="button"
                [attr.aria-pressed]="status === order.status"
                (click)="patch({ status })"
              >
                {{ status }}
              </button>
            }
          </div>
          @if (state.error; as error) {
            <p class="error" role="alert">Not saved: {{ why(error) }}</p>
          }
          <footer>
            <button type="submit" [disabled]="!state.pending || isSaving()">
              {{ isSaving() ? 'Saving …' : 'Save' }}
            </button>
            @if (state.pending) {
              <button class="quiet" type="button" (click)="discard()">Discard</button>
            }
            <span class="saved">{{ state.pending ? 'Not saved yet' : 'Saved' }}</span>
          </footer>
        </form>
        <app-conflict-dialog />
      } @else {
        <p class="empty">This order is gone.</p>
      }
    } @else {
      <p class="empty">{{ edited.error()?.message ?? 'Loading …' }}</p>
    }
    @if (stored.hasValue() && stored.value(); as order) {
      <p class="meta" [class.stale]="stored.stale()">
        On the server: revision {{ order._rev.split('-')[0] }}, placed at
        {{ order.placed | date: 'HH:mm' }}
      </p>
    }
  `,
})
export class OrderPage {
  /** From the route. */
  readonly id = input.required<string>();

  readonly #db = inject(ORDERS);
  readonly #conflicts = inject(Conflicts);
  readonly #edit = computed(() =>
    this.#db.edit$(this.id(), { merge: this.#conflicts.merge, debounce: PAUSE }),
  );

  protected readonly statuses = STATUSES;
  protected readonly edited = liveSignal(() => this.#edit());
  /** The same document without the edits: both ride on one connection. */
  protected readonly stored = liveResource({
    params: () => this.id(),
    stream: ({ params }) => this.#db.doc$(params),
  });
  protected readonly isSaving = signal(false);

  /** An error in the words of whoever looks at the page. */
  protected why(error: CorduroyError): string {
    if (error.transient) return 'the server does not answer. It is tried again.';
    return isHTTPError(error) ? error.reason : error.message;
  }

  protected patch(changes: Partial<Order>): void {
    this.#edit().patch(changes);
  }

  protected discard(): void {
    this.#edit().discard();
  }

  protected save(event: Event): void {
    event.preventDefault();
    this.isSaving.set(true);
    this.#edit()
      .flush()
      .subscribe({
        complete: () => this.isSaving.set(false),
        // Why is on the page: it is a value of the editor's.
        error: () => this.isSaving.set(false),
      });
  }
}
