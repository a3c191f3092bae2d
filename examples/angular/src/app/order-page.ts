import {
  ChangeDetectionStrategy,
  Component,
  computed,
  effect,
  inject,
  input,
  signal,
  untracked,
} from '@angular/core';
import { RouterLink } from '@angular/router';
import { isHTTPError } from 'corduroy';
import type { CorduroyError } from 'corduroy';
import { liveResource, liveSignal } from 'corduroy/angular';
import { Subscription, finalize } from 'rxjs';
import { ConflictDialog } from './conflict-dialog';
import { Conflicts, contestedFields } from './conflicts';
import { MoneyInput } from './money-input';
import { ORDERS, STATUSES } from './order';
import type { EditableField, Order } from './order';
import { OrderTimePipe, Today } from './order-time';

/** The time without typing after which edits are saved, in milliseconds. */
const AUTOSAVE_DELAY = 30_000;

/** Shows one order and edits it. */
@Component({
  selector: 'app-order-page',
  imports: [ConflictDialog, MoneyInput, OrderTimePipe, RouterLink],
  providers: [Conflicts],
  changeDetection: ChangeDetectionStrategy.OnPush,
  template: `
    <a class="back" routerLink="/">← All orders</a>
    @if (edit(); as state) {
      @if (state.value; as order) {
        <form class="card" (submit)="$event.preventDefault(); save()">
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
          <div class="fields">
            <label>
              Note
              <input
                name="note"
                placeholder="No note"
                autocomplete="off"
                [value]="order.note"
                (input)="patch({ note: $any($event.target).value })"
              />
            </label>
            <label>
              Total
              <span class="money">
                <input
                  name="total"
                  [appMoney]="order.total"
                  (appMoneyChange)="patch({ total: $event })"
                />
              </span>
            </label>
          </div>
          <div class="segments choices" role="group" aria-label="Status">
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
            <p class="error" role="alert">The order is not saved: {{ describe(error) }}</p>
          }
          @if (contested().length > 0) {
            <p class="notice conflict" role="status">
              Another user changed this order.
              <button class="quiet" type="button" (click)="isReviewing.set(true)">
                Review changes
              </button>
            </p>
          }
          <footer>
            <button type="submit" [disabled]="!state.pending || isSaving()">
              {{ isSaving() ? 'Saving …' : 'Save' }}
            </button>
            @if (state.pending) {
              <button class="quiet" type="button" (click)="discard()">Discard</button>
            }
            <span class="saved" [attr.data-pending]="state.pending">{{
              state.pending ? 'Not saved yet' : 'Saved'
            }}</span>
          </footer>
        </form>
        <app-conflict-dialog
          [open]="isReviewing() && contested().length > 0"
          [mine]="order"
          [contested]="contested()"
          (keep)="keep($event)"
          (postpone)="postpone()"
        />
      } @else {
        <p class="empty">This order was deleted.</p>
      }
    } @else {
      <p class="empty">{{ edit.error()?.message ?? 'Loading …' }}</p>
    }
    @if (stored.hasValue() && stored.value(); as order) {
      <p class="meta" [class.stale]="stored.stale()">
        Placed at {{ order.placed | orderTime: today() }} · revision
        {{ order._rev.split('-')[0] }} on the server
      </p>
    }
  `,
})
export class OrderPage {
  /** The id of the order, from the route. */
  readonly id = input.required<string>();

  readonly #db = inject(ORDERS);
  readonly #conflicts = inject(Conflicts);
  readonly #edit = computed(() =>
    this.#db.edit$(this.id(), { merge: this.#conflicts.merge, debounce: AUTOSAVE_DELAY }),
  );
  #saving = Subscription.EMPTY;

  protected readonly today = inject(Today).date;
  protected readonly statuses = STATUSES;
  protected readonly edit = liveSignal(() => this.#edit());
  /** The order without the edits. Both queries share one connection. */
  protected readonly stored = liveResource({
    params: () => this.id(),
    stream: ({ params }) => this.#db.doc$(params),
  });
  protected readonly isSaving = signal(false);
  /** Whether the page may open the conflict dialogue. Typing resets it, so the dialogue waits. */
  protected readonly isReviewing = signal(false);
  /** The fields on which the user must decide. */
  protected readonly contested = computed(() => {
    const conflict = this.#conflicts.pending();
    const mine = this.edit()?.value;
    return conflict && mine ? contestedFields(mine, conflict.theirs, conflict.base) : [];
  });

  constructor() {
    // Typing can end a conflict, for example with the same value as the other user's.
    effect(() => {
      if (this.#conflicts.pending() === null || this.contested().length > 0) return;
      untracked(() => this.#conflicts.decide(new Set()));
    });
  }

  protected describe(error: CorduroyError): string {
    if (error.transient)
      return 'the server does not answer. This page keeps your edits, and retries.';
    return isHTTPError(error) ? error.reason : error.message;
  }

  protected patch(changes: Partial<Order>): void {
    this.isReviewing.set(false);
    this.#edit().patch(changes);
  }

  protected discard(): void {
    this.postpone();
    this.#edit().reset();
  }

  protected save(): void {
    this.#saving.unsubscribe();
    this.isSaving.set(true);
    // If the server has a conflict, the user who clicked Save decides at once.
    this.isReviewing.set(true);
    this.#saving = this.#edit()
      .save()
      .pipe(
        finalize(() => {
          this.isSaving.set(false);
          this.isReviewing.set(false);
        }),
      )
      // The page shows the error of the edit state.
      .subscribe({ error: () => undefined });
  }

  /** Applies the decision of the user and saves the order. */
  protected keep(fromTheirs: ReadonlySet<EditableField>): void {
    this.#conflicts.decide(fromTheirs);
    this.save();
  }

  /** Closes the conflict dialogue without a decision. */
  protected postpone(): void {
    this.#saving.unsubscribe();
    this.isReviewing.set(false);
  }
}
