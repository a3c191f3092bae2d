import { Component, inject } from '@angular/core';
import { liveSignal } from 'corduroy/angular';
import { Orders } from './orders.ts';

@Component({
  selector: 'app-order-list',
  template: `
    @if (unpaid.isLoading()) {
      Loading
    } @else {
      Unpaid: {{ unpaid() }}
    }
  `,
})
export class OrderList {
  readonly #orders = inject(Orders);
  readonly unpaid = liveSignal(() => this.#orders.unpaid$);
}
