import { InjectionToken, inject } from '@angular/core';
import { Couch } from '../couch.ts';
import type { Database } from '../database.ts';
import type { AnyFields } from '../model/document.ts';

/**
 * Returns the `Couch` that `provideCorduroy` made. Nothing is sent.
 *
 * @param token - Of which server, where there are several; by default the one without a token.
 * @throws Error outside an injection context, and where nothing is provided.
 */
export function injectCouch(token?: InjectionToken<Couch>): Couch {
  const couch = inject(token ?? Couch, { optional: true });
  if (couch !== null) return couch;
  const missing =
    token === undefined ? 'provideCorduroy()' : `provideCorduroy() for ${token.toString()}`;
  throw new Error(`Nobody provides a Couch: ${missing} is missing among the providers`);
}

/**
 * Returns a database, whose documents have the fields of `T`: by its name on the server of
 * `provideCorduroy`, or by its token. Nothing is sent.
 *
 * @example
 * readonly #orders = injectDatabase<Order>('orders');
 *
 * @throws Error outside an injection context, and where no server is provided; TypeError for a name
 * that CouchDB would refuse.
 */
export function injectDatabase<T extends object = AnyFields>(
  nameOrToken: string | InjectionToken<Database<T>>,
): Database<T> {
  return typeof nameOrToken === 'string' ? injectCouch().use<T>(nameOrToken) : inject(nameOrToken);
}

/**
 * Makes a token for a database, which needs no provider: it carries the name, the server and the type
 * of the documents, so that each is said once.
 *
 * @param name - Of the database.
 * @param couch - The token of its server, where that is not the one without a token.
 *
 * @example
 * export const ORDERS = databaseToken<Order>('orders');
 * readonly #orders = inject(ORDERS);
 */
export function databaseToken<T extends object = AnyFields>(
  name: string,
  couch?: InjectionToken<Couch>,
): InjectionToken<Database<T>> {
  return new InjectionToken<Database<T>>(`the database ${name}`, {
    providedIn: 'root',
    factory: () => injectCouch(couch).use<T>(name),
  });
}
