import { isObservable } from 'rxjs';
import type { Connection } from '../http/connection.ts';
import type { FeedSource, Sequenced } from './feed-source.ts';
import { SharedFeed } from './shared-feed.ts';
import type { FeedBehaviour } from './feed-behaviour.ts';

type AnyFeed = WeakRef<SharedFeed<never>>;

const registries = new WeakMap<Connection, Map<string, AnyFeed>>();
const numbers = new WeakMap<object, number>();
let count = 0;

/**
 * Finds the feed that others use who follow the same with the same parameters, or makes it. How one
 * waits between attempts, and how long a feed lingers, is no part of that: those of the first hold.
 */
export function sharedFeed<Item extends Sequenced>(
  source: FeedSource<Item>,
  parameters: object,
  behaviour: FeedBehaviour,
): SharedFeed<Item> {
  const registry = registries.get(source.connection) ?? new Map<string, AnyFeed>();
  registries.set(source.connection, registry);
  const { backoff: _pace, linger: _linger, ...agreed } = behaviour;
  const key = JSON.stringify([source.path, sorted(parameters), sorted(agreed)]);
  const known = registry.get(key)?.deref();
  if (known !== undefined) return known;
  for (const [stale, feed] of registry) if (feed.deref() === undefined) registry.delete(stale);
  const made = new SharedFeed<Item>(source, behaviour);
  registry.set(key, new WeakRef(made as unknown as SharedFeed<never>));
  return made;
}

function sorted(options: object): unknown {
  return Object.entries(options)
    .filter(([, value]) => value !== undefined)
    .map(([name, value]) => [name, hasNoText(value) ? numberOf(value) : value])
    .sort(([a], [b]) => (String(a) < String(b) ? -1 : 1));
}

function hasNoText(value: unknown): value is object {
  return isObservable(value) || typeof value === 'function';
}

/** Streams and functions have no text to compare: each is like itself alone. */
function numberOf(value: object): number {
  const number = numbers.get(value) ?? (count += 1);
  numbers.set(value, number);
  return number;
}
