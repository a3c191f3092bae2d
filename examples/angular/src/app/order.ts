import { InjectionToken, inject } from '@angular/core';
import { DOCUMENT } from '@angular/common';
import type { Database } from 'corduroy';
import { injectCouch } from 'corduroy/angular';

export const STATUSES = ['open', 'served', 'paid'] as const;
export type Status = (typeof STATUSES)[number];

/** The order of a restaurant table. */
export interface Order {
  table: number;
  dishes: string;
  total: number;
  status: Status;
  note: string;
  placed: string;
}

/** The editable fields and their labels. */
export const FIELD_LABELS = {
  dishes: 'Dishes',
  total: 'Total',
  note: 'Note',
  status: 'Status',
} as const;
export type EditableField = keyof typeof FIELD_LABELS;

/**
 * The database of the orders. The server of this example writes its name into the page, because the
 * name differs from run to run. For a fixed name, use `databaseToken<Order>('orders')`.
 */
export const ORDERS = new InjectionToken<Database<Order>>('the orders', {
  providedIn: 'root',
  factory: () => {
    const meta = inject(DOCUMENT).querySelector('meta[name=corduroy-database]');
    return injectCouch().use<Order>(meta?.getAttribute('content') ?? 'orders');
  },
});
