/** The entry point for browsers, workers, Deno and Bun: everything public, over fetch. */
export * from './public.ts';
