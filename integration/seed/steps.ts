import { it } from '@jest/globals';
import { Couch } from 'corduroy';
import type { AnyFields, Database } from 'corduroy';
import { firstValueFrom } from 'rxjs';
import type { Observable } from 'rxjs';
import { createDatabase, rawFetch, server } from '../helpers/server.ts';

// What every specification here begins with.

/** The server of this run, as its administrator. */
export const couch = new Couch(server.authenticatedUrl);

/** An empty database, which is deleted at the end of the file. */
export async function emptyDatabase<T extends object = AnyFields>(): Promise<Database<T>> {
  return couch.use<T>(await createDatabase());
}

/** What an operation emits. */
export const value = <T>(source: Observable<T>): Promise<T> => firstValueFrom(source);

/** What an operation errors with. */
export async function failure(source: Observable<unknown>): Promise<unknown> {
  try {
    await firstValueFrom(source);
  } catch (error) {
    return error;
  }
  throw new Error('It was to fail, and did not');
}

/** Looks at the server beside the library, as JSON. */
export async function look(path: string): Promise<Record<string, unknown>> {
  const response = await rawFetch(path);
  return (await response.json()) as Record<string, unknown>;
}

/** A list from its end; ES2022 has no `toReversed`. */
export const backwards = <T>(list: readonly T[]): T[] =>
  list.map((_, i) => list[list.length - 1 - i] as T);

/**
 * An `it` for what the embedded server answers otherwise than CouchDB does, and says why: as `needs`,
 * for a reason that concerns one specification alone.
 */
export const unlessEmbedded = (why: string): typeof it =>
  server.kind === 'embedded'
    ? (((name: string, ...rest: [Parameters<typeof it>[1], number?]) =>
        it.skip(`${name} (skipped: ${why})`, ...rest)) as typeof it)
    : it;

/** Asks again, a tenth of a second apart, until there is an answer; errors after so many times. */
export async function waitFor<T>(
  ask: () => Promise<T | undefined>,
  what: string,
  tries = 200,
): Promise<T> {
  for (let left = tries; left > 0; left -= 1) {
    const answer = await ask();
    if (answer !== undefined) return answer;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new Error(`It did not happen: ${what}`);
}
