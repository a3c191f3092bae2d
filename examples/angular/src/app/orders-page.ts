import { CurrencyPipe, DecimalPipe } from '@angular/common';
import { ChangeDetectionStrategy, Component, computed, inject, signal } from '@angular/core';
import { RouterLink } from '@angular/router';
import { liveSignal } from 'corduroy/angular';
import { asPatches } from 'corduroy';
import { animationFrameScheduler, auditTime, map, tap } from 'rxjs';
import { ORDERS, STATUSES } from './order';
import type { Status } from './order';
import { OrderTimePipe, Today } from './order-time';
import { VisibleRows } from './visible-rows';

/** Shows the orders of one status. CouchDB selects them, and its changes keep the list up to date. */
@Component({
  selector: 'app-orders-page',
  imports: [CurrencyPipe, DecimalPipe, OrderTimePipe, RouterLink],
  changeDetection: ChangeDetectionStrategy.OnPush,
  template: `
    <div class="heading">
      <h1>Orders</h1>
      <p class="count">
        {{ orders().length | number }} {{ orders().length === 1 ? 'order' : 'orders' }} ·
        {{ sum() | currency: 'EUR' }}
      </p>
      <nav class="segments filter" aria-label="Status">
        @for (choice of choices; track choice) {
          <button
            type="button"
            [attr.aria-pressed]="choice === filter()"
            (click)="filter.set(choice)"
          >
            {{ choice }}
          </button>
        }
      </nav>
    </div>

    @if (orders.error(); as error) {
      <p class="notice" role="alert">
        {{ error.message }}
        <button class="quiet" type="button" (click)="orders.reload()">Retry</button>
      </p>
    }
    <ul
      class="orders"
      [class.stale]="orders.stale()"
      [attr.aria-busy]="orders.isLoading()"
      [style.padding-top.px]="rows.range().above"
      [style.padding-bottom.px]="rows.range().below"
    >
      @for (order of visible(); track order._id) {
        <li>
          <a [routerLink]="['/orders', order._id]">
            <span class="table">Table {{ order.table }}</span>
            <span class="dishes">{{ order.dishes }}</span>
            <span class="status" [attr.data-status]="order.status">{{ order.status }}</span>
            <time class="placed" [attr.datetime]="order.placed">
              {{ order.placed | orderTime: today() }}
            </time>
            <span class="total">{{ order.total | currency: 'EUR' }}</span>
          </a>
        </li>
      } @empty {
        <li class="empty">{{ orders.isLoading() ? 'Loading …' : 'There are no orders.' }}</li>
      }
    </ul>
  `,
})
export class OrdersPage {
  readonly #db = inject(ORDERS);

  protected readonly today = inject(Today).date;
  protected readonly choices = ['all', ...STATUSES] as const;
  protected readonly filter = signal<Status | 'all'>('open');
  protected readonly orders = liveSignal(
    () => {
      const status = this.filter();
      // The sort takes the fields of an index: of `placed`, or of `status` and `placed`.
      const query =
        status === 'all'
          ? { selector: { placed: { $gt: '' } }, sort: [{ placed: 'desc' } as const] }
          : {
              selector: { status, placed: { $gt: '' } },
              sort: [{ status: 'desc' } as const, { placed: 'desc' } as const],
            };
      return this.#db.find$(query).pipe(
        // The page renders the list at most once a frame.
        auditTime(0, animationFrameScheduler),
        // A signal can skip values. Each patch follows the one before, so `tap` handles them all.
        asPatches(),
        tap((patch) => this.rows.follow(patch)),
        map(({ list }) => list),
      );
    },
    { initialValue: [], keepPrevious: true },
  );
  protected readonly rows = new VisibleRows(computed(() => this.orders().length));
  protected readonly visible = computed(() => {
    const { start, end } = this.rows.range();
    return this.orders().slice(start, end);
  });
  protected readonly sum = computed(() => this.orders().reduce((sum, { total }) => sum + total, 0));
}
