import type { Document, Draft } from 'corduroy';
import { status } from 'corduroy/testing';
import type { MarbleHelpers } from 'corduroy/testing';
import { Subject, map, timer } from 'rxjs';
import type { Order } from './orders.ts';
import { ann } from './orders.tests.ts';

/**
 * Scripts a database with Ann's open order. A read takes 5 ms, and a write takes 20 ms. The feed sends a
 * change just before the writer receives its answer.
 */
export function scriptOrders({ server, cold }: Pick<MarbleHelpers, 'server' | 'cold'>): void {
  const stored = new Map<string, Document<Order>>([['ann', { ...ann, _rev: '1-x' }]]);
  const changes$ = new Subject<object>();
  const read = (answer: object) => cold('5ms a', { a: answer });

  server.feed('orders', changes$);
  server.on('GET /orders/:id', ({ id }) => read(stored.get(id) ?? status(404)));
  server.on('POST /orders/_find', () =>
    read({ docs: [...stored.values()].filter((order) => order.status === 'open') }),
  );
  server.on('POST /orders/_all_docs', (_, { body }) => {
    const { keys } = body as { keys: string[] };
    const docs = keys.flatMap((id) => stored.get(id) ?? []);
    return read({
      rows: docs.map((doc) => ({ id: doc._id, key: doc._id, value: { rev: doc._rev }, doc })),
    });
  });
  server.on('PUT /orders/:id', ({ id }, { body }) =>
    timer(20).pipe(
      map(() => {
        const { _rev = '0-x', ...order } = body as Draft<Order>;
        if ((stored.get(id)?._rev ?? '0-x') !== _rev) return status(409);
        const rev = `${Number.parseInt(_rev, 10) + 1}-x`;
        const written = { ...order, _id: id, _rev: rev };
        stored.set(id, written);
        if (order._deleted) stored.delete(id);
        changes$.next(written);
        return status(201, { ok: true, id, rev });
      }),
    ),
  );
}
