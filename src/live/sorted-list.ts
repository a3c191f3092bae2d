import { generation } from '../model/document.ts';
import type { Verdict } from '../queries/verdict.ts';
import type { DocumentCache } from './document-cache.ts';
import { wins } from './live-entry.ts';
import type { LiveChange, LiveEntry } from './live-entry.ts';
import { keepEqual } from './live-result.ts';
import type { Heard, LiveResult, Outcome } from './live-result.ts';

/** Compares items. Undefined means that only the server knows their order. */
export type Comparison<Item> = (a: Item, b: Item) => number | undefined;

/** The rules of a sorted list: which documents it contains, in which order, as which items. */
export interface ListRules<Item> {
  readonly idOf: (item: Item) => string;
  readonly revOf: (item: Item) => string | null;
  /** Returns the version of an item: the list emits an item again only if its version differs. */
  readonly versionOf: (item: Item) => string;
  readonly itemOf: (entry: LiveEntry) => Item;
  /** Returns whether a document belongs into the list; undefined if only the server knows. */
  readonly accepts: (entry: LiveEntry) => Verdict;
  /** Returns the order of the items of an answer. Each answer may have another one. */
  readonly orderOf: (items: readonly Item[]) => Comparison<Item>;
  /** Whether a new item has a place in this order. If not, an item enters a limited list by an answer. */
  readonly placesNew: boolean;
  /** The maximum number of items. */
  readonly limit: number;
  /** How many matching documents come before the list. */
  readonly skip: number;
  /**
   * Returns the document of an item, which the cache then holds. Null if the items contain no documents:
   * then their order must follow from the id alone.
   */
  readonly entryOf: ((item: Item) => LiveEntry) | null;
}

/** A change of the list: the items that leave their places, and those that need one. */
interface Edits<Item> {
  /** The indexes of the items that leave, in the former list. */
  readonly removed: number[];
  readonly inserted: { readonly item: Item; readonly index: number }[];
  readonly replaced: { readonly item: Item; readonly index: number }[];
}

/** Up to this many edits, moving blocks of memory is faster than building a new list. */
const FEW_EDITS = 16;

/**
 * The result of a query as a sorted list. Each change costs a binary search, and each batch of changes
 * one copy of the list. Each value is a new array, and items that did not change are the same objects.
 */
export class SortedList<Item> implements LiveResult<readonly Item[], readonly Item[]> {
  readonly #rules: ListRules<Item>;
  readonly #cache: DocumentCache;
  #items: readonly Item[] = [];
  /** The value: the items, except while only the server knows them. */
  #shown: readonly Item[] = this.#items;
  /** Whether the value waits for an answer. */
  #waiting = false;
  #compare: Comparison<Item>;
  /** Whether the list contains all matching documents after its first `skip`. */
  #complete = true;
  /** Whether the list may not follow the order, because only the server knows it for some items. */
  #disordered = false;

  constructor(rules: ListRules<Item>, cache: DocumentCache) {
    this.#rules = rules;
    this.#cache = cache;
    this.#compare = rules.orderOf([]);
  }

  get value(): readonly Item[] {
    return this.#shown;
  }

  answer(answer: readonly Item[], heard: Heard): Outcome {
    const { idOf, revOf, versionOf, itemOf, accepts, orderOf, limit, skip, entryOf } = this.#rules;
    const refetch: string[] = [];
    const late: LiveChange[] = [];
    const ids = heard.size > 0 ? new Set<string>() : null;
    const current = answer.filter((item) => {
      const id = idOf(item);
      ids?.add(id);
      const present = (entryOf && this.#cache.get(id)) ?? heard.get(id);
      if (present === undefined) {
        if (!this.#cache.isNotOlder(id, revOf(item))) refetch.push(id);
        else if (entryOf === null) this.#cache.record(id, revOf(item));
        return true;
      }
      if (present.doc !== null && versionOf(itemOf(present)) === versionOf(item)) return true;
      // A present revision that loses may be older or newer: the queries keep it until the fetch tells.
      if (!wins(present.rev, revOf(item))) refetch.push(id);
      late.push({ before: undefined, after: present });
      return false;
    });
    const isSame = (a: Item, b: Item): boolean =>
      a === b || (idOf(a) === idOf(b) && versionOf(a) === versionOf(b));
    const items = keepEqual(
      this.#shown,
      current.map((item) => this.#held(item)),
      idOf,
      isSame,
    );
    this.#hold(items);
    this.#items = items;
    this.#compare = orderOf(items);
    this.#complete = answer.length < limit;
    this.#disordered = false;
    let { reread } = this.#apply(late);
    for (const [id, entry] of heard) {
      // A match that is not in the answer may be an old revision.
      if (ids?.has(id) === true || accepts(entry) === false) continue;
      if (limit === Infinity && skip === 0) refetch.push(id);
      else reread = true;
    }
    // Only the server knows which document takes the place of one that left during the read.
    if (this.#items.length < answer.length && (!this.#complete || skip > 0)) reread = true;
    this.#waiting = false;
    const [next, shown] = [this.#items, this.#shown];
    const isUnchanged =
      next.length === shown.length && next.every((item, i) => isSame(item, shown[i] as Item));
    if (isUnchanged) this.#items = shown;
    return { changed: this.#show(), reread, refetch };
  }

  apply(changes: readonly LiveChange[]): Outcome {
    const { reread } = this.#apply(changes);
    // Half of a result would mislead: the former value stays until the answer comes.
    if (reread) this.#waiting = true;
    return { changed: !this.#waiting && this.#show(), reread, refetch: [] };
  }

  clear(): void {
    this.#hold([]);
    this.#items = [];
    this.#shown = this.#items;
  }

  #show(): boolean {
    const changed = this.#shown !== this.#items;
    this.#shown = this.#items;
    return changed;
  }

  /** Applies changes to the items. Returns whether only the server knows the result. */
  #apply(changes: readonly LiveChange[]): { readonly reread: boolean } {
    const { skip, limit, placesNew } = this.#rules;
    const edits: Edits<Item> = { removed: [], inserted: [], replaced: [] };
    let reread = false;
    for (const change of changes) reread = this.#plan(change, edits) || reread;
    const { removed, inserted, replaced } = edits;
    // Only the server knows which document moves up into a list that is a part of the result.
    if (removed.length > 0 && !this.#complete) reread = true;
    if (skip > 0 && removed.length + inserted.length > 0) reread = true;
    const keepsOut = skip > 0 || (limit !== Infinity && !placesNew);
    if (keepsOut && inserted.length > 0) reread = true;
    this.#edit({ removed, inserted: keepsOut ? [] : inserted, replaced });
    return { reread };
  }

  /** Plans the edits for one change. Returns whether only the server can tell them. */
  #plan({ before, after }: LiveChange, { removed, inserted, replaced }: Edits<Item>): boolean {
    const { accepts, itemOf, versionOf } = this.#rules;
    const verdict = accepts(after);
    const index = this.#locate(before, after);
    if (index === -1) {
      // It may have been among the skipped documents, whose places then change.
      if (this.#rules.skip > 0 && !isNew(after)) return true;
      if (verdict === false) return false;
      return verdict === undefined || this.#insert(itemOf(after), inserted);
    }
    const present = this.#items[index] as Item;
    if (verdict === false) {
      removed.push(index);
      return false;
    }
    const next = itemOf(after);
    if (versionOf(next) === versionOf(present)) return false;
    const order = this.#compare(present, next);
    if (order === 0 || order === undefined || verdict === undefined) {
      replaced.push({ item: next, index });
      if (order !== 0) this.#disordered = true;
      return order === undefined || verdict === undefined;
    }
    removed.push(index);
    return this.#insert(next, inserted);
  }

  /** Plans an insertion. Returns whether only the server knows the place. */
  #insert(item: Item, inserted: Edits<Item>['inserted']): boolean {
    const index = this.#search(item);
    if (index === undefined) return true;
    // Beyond the end of a part of the result, other documents may come first.
    const { placesNew } = this.#rules;
    if (placesNew && !this.#complete && index === this.#items.length) return false;
    inserted.push({ item, index });
    return false;
  }

  /** Returns the index of a document; -1 if it is not in the list. */
  #locate(before: LiveEntry | undefined, after: LiveEntry): number {
    const { idOf, itemOf, entryOf } = this.#rules;
    const { id } = after;
    // All documents of the list are in the cache. Items without documents are ordered by id.
    if (entryOf !== null && before === undefined) return -1;
    if (entryOf !== null && before?.doc === null) return -1;
    if (!this.#disordered) {
      const index = this.#search(itemOf(before ?? after));
      if (index !== undefined) {
        const found = this.#items[index];
        return found !== undefined && idOf(found) === id ? index : -1;
      }
    }
    return this.#items.findIndex((item) => idOf(item) === id);
  }

  /** Returns the first index whose item does not come before this one; undefined if unknown. */
  #search(item: Item): number | undefined {
    let [low, high] = [0, this.#items.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      const order = this.#compare(this.#items[middle] as Item, item);
      if (order === undefined) return undefined;
      if (order < 0) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  #edited({ removed, inserted, replaced }: Edits<Item>): readonly Item[] {
    removed.sort((a, b) => a - b);
    inserted.sort((a, b) => a.index - b.index || (this.#compare(a.item, b.item) ?? 0));
    const items = this.#items.slice();
    for (const { item, index } of replaced) items[index] = item;
    const [from, to] = [removed[0], inserted[0]];
    if (from !== undefined && to !== undefined && removed.length + inserted.length === 2) {
      // One item moves: the items between its places shift, and the list keeps its memory.
      const target = to.index > from ? to.index - 1 : to.index;
      for (let i = from; i < target; i++) items[i] = items[i + 1] as Item;
      for (let i = from; i > target; i--) items[i] = items[i - 1] as Item;
      items[target] = to.item;
      return items;
    }
    if (removed.length + inserted.length <= FEW_EDITS) {
      // From the end, so that the indexes before stay valid.
      let r = removed.length - 1;
      let i = inserted.length - 1;
      while (r >= 0 || i >= 0) {
        const { index = -1, item } = inserted[i] ?? {};
        if ((removed[r] ?? -1) >= index) items.splice(removed[r--] as number, 1);
        else items.splice(index, 0, inserted[i--]?.item ?? (item as Item));
      }
      return items;
    }
    const merged: Item[] = [];
    let [r, i] = [0, 0];
    for (let index = 0; index <= items.length; index++) {
      for (; inserted[i]?.index === index; i++) merged.push((inserted[i] as { item: Item }).item);
      if (removed[r] === index) r += 1;
      else if (index < items.length) merged.push(items[index] as Item);
    }
    return merged;
  }

  /** Edits the items, and holds their documents. */
  #edit(edits: Edits<Item>): void {
    const { limit, idOf, entryOf } = this.#rules;
    const { removed, inserted, replaced } = edits;
    if (removed.length + inserted.length + replaced.length === 0) return;
    const former = this.#items;
    const edited = this.#edited(edits);
    const cut = edited.length > limit ? edited.slice(limit) : [];
    if (cut.length > 0) this.#complete = false;
    const items = cut.length > 0 ? edited.slice(0, limit) : edited;
    // An item may have been inserted beyond the limit alone.
    const same = cut.length > 0 && former.every((item, i) => item === items[i]);
    this.#items = same && former.length === limit ? former : items;
    if (entryOf !== null) {
      for (const { item } of inserted) this.#cache.retain(entryOf(item));
      for (const index of removed) this.#cache.release(idOf(former[index] as Item));
      for (const item of cut) this.#cache.release(idOf(item));
    }
  }

  /** Holds the documents of other items instead of the present ones. */
  #hold(items: readonly Item[]): void {
    const { idOf, entryOf } = this.#rules;
    if (entryOf === null || items === this.#items) return;
    for (const item of items) this.#cache.retain(entryOf(item));
    for (const item of this.#items) this.#cache.release(idOf(item));
  }

  /** Returns an item with the document that the queries hold already, if it is the same revision. */
  #held(item: Item): Item {
    const { entryOf, idOf, itemOf, versionOf } = this.#rules;
    if (entryOf === null) return item;
    const entry = this.#cache.get(idOf(item));
    if (entry === undefined || entry.doc === null) return item;
    const held = itemOf(entry);
    return versionOf(held) === versionOf(item) ? held : item;
  }
}

/** Returns whether a document was created by this change. */
function isNew({ rev }: LiveEntry): boolean {
  return rev !== null && generation(rev) === 1;
}
