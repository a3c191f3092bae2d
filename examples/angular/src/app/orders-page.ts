import { CurrencyPipe } from '@angular/common';
import { ChangeDetectionStrategy, Component, computed, inject, signal } from '@angular/core';
import { RouterLink } from '@angular/router';
import { liveSignal } from 'corduroy/angular';
import { ORDERS, STATUSES } from './order';
import type { Status } from './order';
import { OrderTimePipe, Today } from './order-time';

/** Shows the orders of one status. CouchDB selects them, and its changes keep the list up to date. */
@Component({
  selector: 'app-orders-page',
  imports: [CurrencyPipe, OrderTimePipe, RouterLink],
  changeDetection: ChangeDetectionStrategy.OnPush,
  template: `
    <div class="heading">
      <h1>Orders</h1>
      <p class="count">
        {{ sorted().length }} {{ sorted().length === 1 ? 'order' : 'orders' }} ·
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
    <ul class="orders" [class.stale]="orders.stale()" [attr.aria-busy]="orders.isLoading()">
      @for (order of sorted(); track order._id) {
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
      return this.#db.find$({ selector: status === 'all' ? {} : { status } });
    },
    { initialValue: [], keepPrevious: true },
  );
  protected readonly sorted = computed(() =>
    [...this.orders()].sort((a, b) => (a.placed < b.placed ? 1 : -1)),
  );
  protected readonly sum = computed(() => this.orders().reduce((sum, { total }) => sum + total, 0));
}
