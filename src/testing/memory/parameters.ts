import { badRequest } from '../reply.ts';

/** Parses a JSON parameter. */
export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    throw badRequest('invalid UTF-8 JSON');
  }
}

/** Returns a reversed copy. ES2022 has no `toReversed`. */
export function backwards<T>(list: readonly T[]): T[] {
  return list.map((_, i) => list[list.length - 1 - i] as T);
}

/** Formats a value as Erlang's `~w` does, which some reasons of CouchDB contain. */
export function erlangTerm(value: unknown): string {
  if (typeof value === 'string') return `<<${[...new TextEncoder().encode(value)].join(',')}>>`;
  if (Array.isArray(value)) return `[${value.map(erlangTerm).join(',')}]`;
  if (typeof value !== 'object' || value === null) return String(value);
  const entries = Object.entries(value).map(
    ([name, field]) => `{${erlangTerm(name)},${erlangTerm(field)}}`,
  );
  return `{[${entries.join(',')}]}`;
}
