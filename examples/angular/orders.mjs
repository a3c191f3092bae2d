/** The orders with which the example starts. */

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

/** Creates 12 orders, one every 7 minutes until now. */
export function createOrders(now = Date.now()) {
  return Array.from({ length: 12 }, (_, i) => createOrder(i + 1, now - (12 - i) * 7 * MINUTE));
}
