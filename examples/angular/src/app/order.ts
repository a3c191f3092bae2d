import { InjectionToken, inject } from '@angular/core';
import { DOCUMENT } from '@angular/common';
import type { Database } from 'corduroy';
import { injectCouch } from 'corduroy/angular';

export const STATUSES = ['open', 'served', 'paid'] as const;
export type Status = (typeof STATUSES)[number];

/** What a table of a restaurant has ordered. */
export interface Order {
  table: number;
  dishes: string;
  total: number;
  status: Status;
  note: string;
  placed: string;
}

/** The fields that can be edited, and what they are called. */
export const FIELDS = { dishes: 'Dishes', total: 'Total', note: 'Note' } as const;
export type Field = keyof typeof FIELDS;

/** The database of the orders. Where its name does not change, `databaseToken<Order>('orders')` will do. */
export const ORDERS = new InjectionToken<Database<Order>>('the orders', {
  providedIn: 'root',
  factory: () => {
    const meta = inject(DOCUMENT).querySelector('meta[name=corduroy-database]');
    return injectCouch().use<Order>(meta?.getAttribute('content') ?? 'orders');
  },
});
