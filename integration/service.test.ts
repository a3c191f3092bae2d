import { describe, it, jest } from '@jest/globals';
import { Couch } from 'corduroy';
import { lastValueFrom } from 'rxjs';
import { Orders } from '../examples/service/orders.ts';
import { ann, ordersTests } from '../examples/service/orders.tests.ts';
import { createDatabase, server } from './helpers/server.ts';

// The example's tests, which marble-tests run in virtual time, against a CouchDB.

// Longer than the ten seconds after which a test says what it waits for.
jest.setTimeout(30_000);

describe('the orders of a shop, with a CouchDB', () => {
  it.each(Object.entries(ordersTests))('%s', async (_, test) => {
    const name = await createDatabase();
    await lastValueFrom(new Couch(server.authenticatedUrl).use(name).save(ann));
    await lastValueFrom(
      test((options) => new Orders(new Couch(server.authenticatedUrl, options).use(name))),
    );
  });
});
