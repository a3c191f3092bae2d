// Runs the tests of the service in virtual time: with scripted answers, and with the server in memory.
import { describe, expect, it } from '@jest/globals';
import { marbleTests, memoryServer } from 'corduroy/testing';
import type { MarbleHelpers } from 'corduroy/testing';
import { Orders } from './orders.ts';
import { ann, ordersTests } from './orders.tests.ts';
import type { Client } from './orders.tests.ts';
import { scriptOrders } from './scripted-orders.ts';

const marbles = marbleTests((actual, expected) => expect(actual).toEqual(expected));

const servers: Readonly<Record<string, (helpers: MarbleHelpers) => Client>> = {
  'scripted answers': (helpers) => {
    scriptOrders(helpers);
    return (options) => new Orders(helpers.server.couch(options).use('orders'));
  },
  'the server in memory': () => {
    const server = memoryServer({ databases: { orders: [ann] }, latency: 5 });
    return (options) => new Orders(server.couch(options).use('orders'));
  },
};

describe.each(Object.entries(servers))('the orders of a shop, with %s', (_, connect) => {
  it.each(Object.entries(ordersTests))('%s', (_name, test) => {
    let completed = false;
    marbles((helpers) => {
      test(connect(helpers)).subscribe({ complete: () => (completed = true) });
    })();
    expect(completed).toBe(true);
  });
});
