import type { Routes } from '@angular/router';
import { OrderPage } from './order-page';
import { OrdersPage } from './orders-page';

export const routes: Routes = [
  { path: '', component: OrdersPage, title: 'Orders' },
  { path: 'orders/:id', component: OrderPage, title: 'Order' },
  { path: '**', redirectTo: '' },
];
