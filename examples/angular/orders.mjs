/** The orders with which the example starts, and their changes. */

import { exhaustMap, interval, tap } from 'rxjs';

const MENU = [
  ['Tomato soup', 6.5],
  ['Lentil salad', 8.9],
  ['Mushroom risotto', 13.8],
  ['Grilled trout', 17.2],
  ['Potato gratin', 11.4],
  ['Apple crumble', 6.2],
  ['Espresso', 2.4],
  ['Lemonade', 3.6],
];

const STATUSES = ['open', 'served', 'paid'];

const MINUTE = 60_000;

/** Creates an order. The number determines its content, so each run shows the same orders. */
function createOrder(number, placed) {
  const dishes = [0, 3, 5]
    .slice(0, 1 + (number % 3))
    .map((step) => MENU[(number + step) % MENU.length]);
  const status = ['open', 'open', 'served', 'paid'][number % 4];
  return {
    _id: `order-${String(number).padStart(3, '0')}`,
    table: 1 + ((number * 5) % 12),
    dishes: dishes.map(([dish]) => dish).join(', '),
    total: Number(dishes.reduce((sum, [, price]) => sum + price, 0).toFixed(2)),
    status,
    note: number % 5 === 0 ? 'No onions' : '',
    placed: new Date(placed).toISOString(),
  };
}

/** Creates orders, 12 by default: one every 7 minutes until now, or closer together within 30 days. */
export function createOrders(count = 12, now = Date.now()) {
  const distance = Math.min(7, (30 * 24 * 60) / count) * MINUTE;
  return Array.from({ length: count }, (_, i) => createOrder(i + 1, now - (count - i) * distance));
}

/**
 * Changes `rate` orders a second until the subscriber leaves, ten times a second. Most changes are of one of the
 * 200 latest orders: another total, or another status. One in ten is a new order.
 */
export function changeOrders(database, orders, rate) {
  const latest = orders.slice(-200);
  let [number, turn] = [orders.length, 0];
  const nextBatch = () =>
    Array.from(
      { length: Math.round(((turn += 1) * rate) / 10) - Math.round(((turn - 1) * rate) / 10) },
      (_, i) => {
        const place = (turn * 37 + i * 11) % latest.length;
        if (i % 10 === 9) return (latest[place] = createOrder((number += 1), Date.now()));
        const order = latest[place];
        if (i % 3 === 0) order.status = STATUSES[(STATUSES.indexOf(order.status) + 1) % 3];
        else order.total = Number((5 + ((turn * 7 + i * 13) % 400) / 10).toFixed(2));
        return order;
      },
    );
  return interval(100).pipe(
    // A slow server gets fewer batches.
    exhaustMap(() => database.save(nextBatch())),
    // A user was faster: these orders are left to the user.
    tap(({ pending }) => {
      for (const id of pending.keys()) {
        const place = latest.findIndex(({ _id }) => _id === id);
        if (place >= 0) latest[place] = createOrder((number += 1), Date.now());
      }
    }),
  );
}
