import { inspect } from 'node:util';

/** A text that can be reached from a value, and where. */
export interface Reached {
  readonly path: string;
  readonly text: string;
}

const MOST_OBJECTS = 3000;
const LONGEST = 60_000;

/**
 * Collects every text within reach of a value: of own and inherited properties, enumerable or not, of
 * its causes, and as `inspect`, `JSON` and `String` show it.
 */
export function reach(value: unknown): Reached[] {
  const found = new Map<string, string>();
  const known = new Set<object>();
  const add = (text: string, path: string): void => {
    // Only the ends of a long text are read, to save time.
    const short = text.length <= LONGEST ? text : text.slice(0, 30_000) + text.slice(-30_000);
    if (!found.has(short)) found.set(short, path);
  };
  const visit = (one: unknown, path: string): void => {
    if (typeof one === 'string') add(one, path);
    if (typeof one !== 'object' || one === null || known.has(one)) return;
    if (known.size >= MOST_OBJECTS) return;
    known.add(one);
    if (one instanceof Uint8Array) return add(Buffer.from(one).toString(), path);
    if (one instanceof Map || one instanceof Set) {
      for (const entry of one) visit(entry, `${path}.<entry>`);
    }
    for (const key of keysOf(one)) {
      if (typeof key === 'string') add(key, `${path}: the name of a property`);
      let inner: unknown;
      try {
        inner = Reflect.get(one, key);
      } catch {
        continue;
      }
      visit(inner, `${path}.${String(key)}`);
    }
  };
  visit(value, 'error');
  add(
    attempt(() => String(value)),
    'String(error)',
  );
  add(
    attempt(() => JSON.stringify(value) ?? ''),
    'JSON.stringify(error)',
  );
  const options = { depth: Infinity, showHidden: true, maxStringLength: Infinity };
  add(
    attempt(() => inspect(value, options)),
    'inspect(error)',
  );
  return Array.from(found, ([text, path]) => ({ text, path }));
}

/** The keys of an object and of its prototypes, but for those that every object has. */
function keysOf(object: object): Set<string | symbol> {
  const keys = new Set<string | symbol>();
  for (
    let one: object | null = object;
    one !== null && one !== Object.prototype && one !== Function.prototype;
    one = Reflect.getPrototypeOf(one)
  ) {
    for (const key of Reflect.ownKeys(one)) if (key !== 'constructor') keys.add(key);
  }
  return keys;
}

function attempt(show: () => string): string {
  try {
    return show();
  } catch {
    return '';
  }
}
