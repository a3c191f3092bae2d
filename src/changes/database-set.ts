import type { DbUpdate } from './db-updates.ts';
import type { Sequence } from '../model/change.ts';

/** The state of a database on the server. */
export interface DatabaseLook {
  /** Differs between two databases of the same name; null if the server does not tell. */
  readonly identity: string | null;
  readonly updateSeq: Sequence;
}

/** A request for one database: for its state, or for its changes. */
export interface DatabaseTask {
  readonly name: string;
  readonly type: 'look' | 'pull';
}

/** The result of a look at a database. */
export type Verdict = 'joined' | 'left' | 'replaced' | 'present' | 'absent';

/** A database that matches, and the request that it needs next. */
interface Entry {
  /** The last look; null before it has joined. */
  look: DatabaseLook | null;
  needsLook: boolean;
  needsPull: boolean;
  /** Idle, in the queue, or out of it: a request runs, or waits for its next attempt. */
  status: 'idle' | 'queued' | 'running' | 'resting';
}

/**
 * Decides which databases belong to a feed of many, and which of them is read next. Pure: it has no timer
 * and no request. The work for an update does not depend on the number of databases.
 *
 * - A database has one request at a time, so its changes stay in order. A look precedes a pull.
 * - Updates only cause requests: those of the server may be late, merged, or in another order. The
 *   answer to a look decides.
 */
export class DatabaseSet {
  readonly #matches: (name: string) => boolean;
  readonly #concurrency: number;
  readonly #entries = new Map<string, Entry>();
  /** A set keeps the order in which names were added. */
  readonly #queue = new Set<string>();
  /** Names that were updated before the first list was complete; null afterwards. */
  #early: Set<string> | null = new Set();
  #running = 0;

  constructor(matches: (name: string) => boolean, concurrency: number) {
    this.#matches = matches;
    this.#concurrency = concurrency;
  }

  /** How many requests run. */
  get running(): number {
    return this.#running;
  }

  has(name: string): boolean {
    return (this.#entries.get(name)?.look ?? null) !== null;
  }

  /** Takes an update of the server. */
  update(name: string, type: DbUpdate['type']): void {
    if (!this.#matches(name)) return;
    // The list that is being read decides whether the database is new.
    if (this.#early !== null && !this.has(name)) this.#early.add(name);
    else this.want(name, type === 'updated' && this.has(name) ? 'pull' : 'look');
  }

  /**
   * Takes the state of a database from a list.
   *
   * @returns Whether the database has joined. Anything else that differs is looked at again.
   */
  listed(name: string, look: DatabaseLook | null): boolean {
    const entry = this.#entries.get(name);
    if (entry === undefined) {
      if (look === null) return false;
      this.#entries.set(name, { look, needsLook: false, needsPull: false, status: 'idle' });
      return true;
    }
    // A look at it is due already.
    if (entry.look === null) return false;
    if (look === null || differs(entry.look, look)) this.want(name, 'look');
    else if (entry.look.updateSeq !== look.updateSeq) {
      entry.look = look;
      this.want(name, 'pull');
    }
    return false;
  }

  /**
   * Ends a list: databases that it lacks are looked at, and so are those that were updated during the
   * first list.
   *
   * @param names - The names in the list that match.
   */
  completeList(names: { readonly has: (name: string) => boolean }): void {
    for (const name of this.#entries.keys()) if (!names.has(name)) this.want(name, 'look');
    const early = this.#early ?? [];
    this.#early = null;
    for (const name of early) this.want(name, 'look');
  }

  /** Adds a request for a database. */
  want(name: string, type: DatabaseTask['type']): void {
    const unknown: Entry = { look: null, needsLook: false, needsPull: false, status: 'idle' };
    const entry = this.#entries.get(name) ?? unknown;
    this.#entries.set(name, entry);
    if (type === 'look') entry.needsLook = true;
    else entry.needsPull = true;
    if (entry.status === 'idle') this.#enqueue(name, entry);
  }

  /** Returns the next request, which then runs; null if none is due, or if enough of them run. */
  next(): DatabaseTask | null {
    if (this.#running >= this.#concurrency) return null;
    for (const name of this.#queue) {
      this.#queue.delete(name);
      const entry = this.#entries.get(name) as Entry;
      const isLook = entry.needsLook || entry.look === null;
      // The same may be needed again while this one runs.
      if (isLook) entry.needsLook = false;
      else entry.needsPull = false;
      entry.status = 'running';
      this.#running += 1;
      return { name, type: isLook ? 'look' : 'pull' };
    }
    return null;
  }

  /** Takes the answer to a look that runs: null if the database does not exist. */
  see(name: string, look: DatabaseLook | null): Verdict {
    const entry = this.#entries.get(name) as Entry;
    const before = entry.look;
    entry.look = look;
    if (look === null) {
      entry.needsPull = false;
      return before === null ? 'absent' : 'left';
    }
    if (before === null) return 'joined';
    if (differs(before, look)) return 'replaced';
    if (before.updateSeq !== look.updateSeq) entry.needsPull = true;
    return 'present';
  }

  /** Ends a request. A database that does not exist is forgotten, unless another look is wanted. */
  ended(name: string): void {
    this.#running -= 1;
    this.#settle(name);
  }

  /** Ends a request, and holds the next one for this database until `resume`. */
  rest(name: string): void {
    this.#running -= 1;
    (this.#entries.get(name) as Entry).status = 'resting';
  }

  /** Lets the next request for a database run. */
  resume(name: string): void {
    this.#settle(name);
  }

  #settle(name: string): void {
    const entry = this.#entries.get(name) as Entry;
    entry.status = 'idle';
    if (entry.needsLook || entry.needsPull) this.#enqueue(name, entry);
    else if (entry.look === null) this.#entries.delete(name);
  }

  #enqueue(name: string, entry: Entry): void {
    entry.status = 'queued';
    this.#queue.add(name);
  }
}

/** Whether two looks met different databases. An unknown identity differs from no other. */
function differs(before: DatabaseLook, { identity }: DatabaseLook): boolean {
  const isKnown = before.identity !== null && identity !== null;
  return isKnown && before.identity !== identity;
}
