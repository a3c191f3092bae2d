import type { DocumentCache } from './document-cache.ts';
import { wins } from './live-entry.ts';
import type { LiveChange, LiveEntry } from './live-entry.ts';
import type { Heard, LiveResult, Outcome } from './live-result.ts';

/** The rules of a list with one place for each requested id. */
export interface KeyedRules<Item> {
  /** The requested ids. An id may occur several times. */
  readonly ids: readonly string[];
  readonly itemOf: (entry: LiveEntry) => Item;
  /** Returns the state of a document in an answer. */
  readonly entryOf: (item: Item) => LiveEntry;
  /** Whether the items contain the documents, so that the cache holds them. */
  readonly holds: boolean;
}

/** The result of a query for certain documents: one item for each id, in the order of the ids. */
export class KeyedList<Item> implements LiveResult<readonly Item[], readonly Item[]> {
  readonly #rules: KeyedRules<Item>;
  readonly #cache: DocumentCache;
  readonly #indexes = new Map<string, number[]>();
  #items: readonly Item[] = [];

  constructor(rules: KeyedRules<Item>, cache: DocumentCache) {
    this.#rules = rules;
    this.#cache = cache;
    rules.ids.forEach((id, i) => {
      const indexes = this.#indexes.get(id);
      if (indexes === undefined) this.#indexes.set(id, [i]);
      else indexes.push(i);
    });
  }

  get value(): readonly Item[] {
    return this.#items;
  }

  answer(answer: readonly Item[], heard: Heard): Outcome {
    const { ids, itemOf, entryOf, holds } = this.#rules;
    const refetch: string[] = [];
    this.clear();
    this.#items = answer.map((item, i) => {
      const id = ids[i] as string;
      const { rev } = entryOf(item);
      const present = this.#cache.get(id) ?? heard.get(id);
      if (present !== undefined && present.rev === rev) return holds ? itemOf(present) : item;
      if (present !== undefined) {
        // A present revision that loses may be older or newer: the queries keep it until the fetch tells.
        if (!wins(present.rev, rev)) refetch.push(id);
        return itemOf(present);
      }
      if (!this.#cache.isNotOlder(id, rev)) refetch.push(id);
      this.#cache.record(id, rev);
      return item;
    });
    if (holds) {
      for (const [, [first = 0]] of this.#indexes)
        this.#cache.retain(entryOf(this.#items[first] as Item));
    }
    return { changed: true, reread: false, refetch };
  }

  apply(changes: readonly LiveChange[]): Outcome {
    const { itemOf, entryOf } = this.#rules;
    let items: Item[] | null = null;
    for (const { after } of changes) {
      const indexes = this.#indexes.get(after.id);
      if (indexes === undefined) continue;
      const present = (items ?? this.#items)[indexes[0] as number] as Item;
      if (entryOf(present).rev === after.rev) continue;
      items ??= [...this.#items];
      const item = itemOf(after);
      for (const index of indexes) items[index] = item;
    }
    if (items !== null) this.#items = items;
    return { changed: items !== null, reread: false, refetch: [] };
  }

  clear(): void {
    if (this.#rules.holds && this.#items.length > 0)
      for (const id of this.#indexes.keys()) this.#cache.release(id);
    this.#items = [];
  }
}
