/**
 * The door for pages that count bytes: everything public, over fetch, with a `Couch` and a `Database`
 * that leave out live queries, consumers, administration, search and what replication needs. A bundler
 * leaves out with them what they alone reach.
 */
export * from './public.ts';
export { CoreCouch as Couch } from './core-couch.ts';
export { CoreDatabase as Database } from './core-database.ts';
