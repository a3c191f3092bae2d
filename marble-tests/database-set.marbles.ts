import { describe, expect, it } from '@jest/globals';
import { DatabaseSet } from '../src/changes/database-set.ts';
import type { DatabaseLook, DatabaseTask } from '../src/changes/database-set.ts';
import { randomly } from './helpers/random.ts';

type UpdateType = 'created' | 'updated' | 'deleted';

const SEQUENCES = 10_000;
const CONCURRENCY = 3;
const NAMES = ['a1', 'a2', 'a3', 'a4', 'b1'];
const matches = (name: string): boolean => name.startsWith('a');

/** A database of the simulated server. */
interface Simulated {
  readonly identity: string;
  /** How many changes it has. */
  seq: number;
  /** The changes that were delivered. */
  readonly delivered: Set<number>;
  /** Changes before this one may be left out: the first list met the database there. */
  from: number;
}

/**
 * A server, and a shell that executes the decisions of the set. The server's updates are late, merged and
 * in any order. They are lost only if the feed reconnects, which causes another list.
 */
class World {
  readonly set = new DatabaseSet(matches, CONCURRENCY);
  readonly databases = new Map<string, Simulated>();
  /** The sequences of the databases that have joined. */
  readonly positions = new Map<string, number>();
  readonly updates: { name: string; type: UpdateType }[] = [];
  readonly running: DatabaseTask[] = [];
  readonly resting: DatabaseTask[] = [];
  readonly random: (below: number) => number;
  #created = 0;
  #isListed = false;

  constructor(seed: number) {
    this.random = randomly(seed);
  }

  change(): void {
    const name = NAMES[this.random(NAMES.length)] as string;
    const db = this.databases.get(name);
    if (db === undefined) {
      this.#created += 1;
      const identity = String(this.#created);
      this.databases.set(name, { identity, seq: 0, delivered: new Set(), from: 0 });
      this.#announce(name, 'created');
    } else if (this.random(4) === 0) {
      this.databases.delete(name);
      this.#announce(name, 'deleted');
    } else {
      db.seq += 1;
      this.#announce(name, 'updated');
    }
  }

  #announce(name: string, type: UpdateType): void {
    // The server keeps one update of each type and database.
    const isKnown = this.updates.some((one) => one.name === name && one.type === type);
    if (!isKnown) this.updates.splice(this.random(this.updates.length + 1), 0, { name, type });
  }

  deliverUpdate(): void {
    const update = this.updates.shift();
    if (update !== undefined) this.set.update(update.name, update.type);
  }

  look(name: string): DatabaseLook | null {
    const db = this.databases.get(name);
    return db === undefined ? null : { identity: db.identity, updateSeq: String(db.seq) };
  }

  list(): void {
    const names = [...this.databases.keys()].filter(matches);
    // The names and the states of the databases come in several answers.
    for (let i = this.random(4); i > 0; i--) {
      this.change();
      if (this.random(2) === 0) this.deliverUpdate();
    }
    for (const name of names) {
      if (!this.set.listed(name, this.look(name))) continue;
      const db = this.databases.get(name) as Simulated;
      this.positions.set(name, this.#isListed ? 0 : db.seq);
      if (!this.#isListed) db.from = db.seq;
      if (this.positions.get(name) !== db.seq) this.set.want(name, 'pull');
    }
    this.#isListed = true;
    this.set.completeList(new Set(names));
  }

  start(): void {
    const task = this.set.next();
    if (task === null) return;
    const busy = [...this.running, ...this.resting];
    if (busy.some(({ name }) => name === task.name)) throw new Error(`${task.name} is busy`);
    this.running.push(task);
    if (this.running.length > CONCURRENCY) throw new Error('too many requests run');
  }

  end(mayFail: boolean): void {
    const [task] = this.running.splice(this.random(this.running.length), 1);
    if (task === undefined) return;
    const { name, type } = task;
    if (mayFail && this.random(5) === 0) {
      this.set.want(name, type);
      this.set.rest(name);
      this.resting.push(task);
      return;
    }
    if (type === 'look') this.#see(name);
    else this.#pull(name);
    this.set.ended(name);
  }

  #see(name: string): void {
    const verdict = this.set.see(name, this.look(name));
    if (verdict === 'joined' || verdict === 'replaced') {
      this.positions.set(name, 0);
      this.set.want(name, 'pull');
    }
    if (verdict === 'left') this.positions.delete(name);
  }

  #pull(name: string): void {
    const since = this.positions.get(name) as number;
    const db = this.databases.get(name);
    if (db === undefined) return this.set.want(name, 'look');
    const end = Math.min(db.seq, since + 2);
    // As a server that does not notice that the sequence is that of another database.
    for (let seq = since + 1; seq <= end; seq++) db.delivered.add(seq);
    this.positions.set(name, Math.max(since, end));
    return end < db.seq ? this.set.want(name, 'pull') : undefined;
  }

  resume(): void {
    const [task] = this.resting.splice(this.random(this.resting.length), 1);
    if (task !== undefined) this.set.resume(task.name);
  }

  /** Lets everything happen that is under way. */
  settle(): void {
    for (let i = 0; i < 100; i++) {
      this.deliverUpdate();
      this.start();
      this.resume();
      this.end(false);
    }
    expect([this.running, this.resting, this.updates]).toEqual([[], [], []]);
  }
}

describe('a set of databases', () => {
  it(`follows every database in ${SEQUENCES} random sequences of events`, () => {
    for (let seed = 1; seed <= SEQUENCES; seed++) {
      const world = new World(seed);
      for (let i = world.random(6); i > 0; i--) world.change();
      // The feed starts: what was before is not announced.
      world.updates.length = 0;
      for (let i = world.random(4); i > 0; i--) {
        world.change();
        world.deliverUpdate();
      }
      world.list();
      for (let i = 0; i < 40; i++) {
        const choice = world.random(12);
        if (choice < 3) world.change();
        else if (choice < 6) world.deliverUpdate();
        else if (choice < 8) world.start();
        else if (choice < 10) world.end(true);
        else if (choice < 11) world.resume();
        else if (world.random(4) === 0) {
          world.updates.length = 0;
          world.list();
        }
      }
      world.settle();
      const present = [...world.databases.keys()].filter(matches).sort();
      const joined = [...world.positions.keys()].sort();
      const known = NAMES.filter((name) => world.set.has(name));
      if ([joined, known].some((names) => names.join() !== present.join()))
        expect({ seed, joined, known }).toEqual({ seed, joined: present, known: present });
      for (const name of present) {
        const { seq, from, delivered } = world.databases.get(name) as Simulated;
        const missed = Array.from({ length: seq - from }, (_, i) => from + i + 1).filter(
          (one) => !delivered.has(one),
        );
        if (missed.length > 0) expect({ seed, name, missed }).toEqual({ seed, name, missed: [] });
      }
    }
  });

  it('does work for an update that does not depend on the number of databases', () => {
    let calls = 0;
    const set = new DatabaseSet(() => {
      calls += 1;
      return true;
    }, 1);
    const names = Array.from({ length: 10_000 }, (_, i) => `db-${i}`);
    for (const name of names) set.listed(name, { identity: '1', updateSeq: '0' });
    set.completeList(new Set(names));
    expect(set.next()).toBeNull();
    calls = 0;
    set.update('db-5000', 'updated');
    expect(calls).toBe(1);
    expect(set.next()).toEqual({ name: 'db-5000', type: 'pull' });
    set.ended('db-5000');
    expect(set.next()).toBeNull();
  });

  it('reads the databases in the order of their updates, and each once for several', () => {
    const set = new DatabaseSet(matches, 1);
    for (const name of ['a1', 'a2', 'a3']) set.listed(name, { identity: '1', updateSeq: '0' });
    set.completeList(new Set(['a1', 'a2', 'a3']));
    for (const name of ['a2', 'a1', 'a2', 'b1', 'a2']) set.update(name, 'updated');
    expect(set.next()).toEqual({ name: 'a2', type: 'pull' });
    // It changes again while it is read.
    set.update('a2', 'updated');
    set.ended('a2');
    expect(set.next()).toEqual({ name: 'a1', type: 'pull' });
    set.ended('a1');
    expect(set.next()).toEqual({ name: 'a2', type: 'pull' });
    set.ended('a2');
    expect(set.next()).toBeNull();
  });

  it('does not start over if the server does not tell the identity', () => {
    const set = new DatabaseSet(matches, 1);
    set.listed('a1', { identity: null, updateSeq: '5' });
    set.completeList(new Set(['a1']));
    set.update('a1', 'created');
    expect(set.next()).toEqual({ name: 'a1', type: 'look' });
    expect(set.see('a1', { identity: null, updateSeq: '5' })).toBe('present');
    set.ended('a1');
    expect(set.next()).toBeNull();
  });
});
