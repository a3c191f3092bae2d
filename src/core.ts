/**
 * The entry point for pages that must stay small: everything public, over fetch, with a `Couch` and
 * a `Database` without live queries, consumers, administration, search and replication. Bundlers
 * also drop the code that only those need.
 */
export * from './public.ts';
export { CoreCouch as Couch } from './core-couch.ts';
export { CoreDatabase as Database } from './core-database.ts';
