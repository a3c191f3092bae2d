import { CurrencyPipe, DatePipe } from '@angular/common';
import { ChangeDetectionStrategy, Component, computed, inject, signal } from '@angular/core';
import { RouterLink } from '@angular/router';
import { liveSignal } from 'corduroy/angular';
import { ORDERS, STATUSES } from './order';
import type { Status } from './order';

/** The list of orders, filtered by the server and kept up to date by its changes. */
@Component({
  selector: 'app-orders-page',
  imports: [CurrencyPipe, DatePipe, RouterLink],
  changeDetection: ChangeDetectionStrategy.OnPush,
  template: `
    <nav class="filter" aria-label="Which orders">
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

    @if (orders.error(); as error) {
      <p class="error" role="alert">
        {{ error.message }}
        <button type="button" (click)="orders.reload()">Try again</button>
      </p>
    }
    <ul class="orders" [class.stale]="orders.stale()" [attr.aria-busy]="orders.isLoading()">
      @for (order of sorted(); track order._id) {
        <li>
          <a [routerLink]="['/orders', order._id]">
            <span class="table">Table {{ order.table }}</span>
            <span class="dishes">{{ order.dishes }}</span>
            <span class="total">{{ order.total | currency: 'EUR' }}</span>
            <span class="meta">
              <span class="status" [attr.data-status]="order.status">{{ order.status }}</span>
              {{ order.placed | date: 'HH:mm' }}
            </span>
          </a>
        </li>
      } @empty {
        <li class="empty">{{ orders.isLoading() ? 'Loading …' : 'Nothing here.' }}</li>
      }
    </ul>
    <p class="count">
      {{ sorted().length }} {{ sorted().length === 1 ? 'order' : 'orders' }},
      {{ sum() | currency: 'EUR' }}
    </p>
  `,
})
export class OrdersPage {
  readonly #db = inject(ORDERS);

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
