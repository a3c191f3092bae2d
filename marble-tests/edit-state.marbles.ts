import { describe, expect, it } from '@jest/globals';
import {
  UNREAD,
  documentOf,
  taskOf,
  withEdit,
  withMerged,
  withSaved,
  withSent,
  withServer,
  withoutSent,
} from '../src/live/edit-state.ts';
import type { EditData, SentEdit, ServerVersion } from '../src/live/edit-state.ts';
import type { Document, Draft } from '../src/model/document.ts';
import { randomly } from './helpers/random.ts';

// The data of an editor, against random sequences of events.

interface Note {
  mine?: number;
  theirs?: number;
}

/** A server with one document, whose revisions have any generation: leaves win and lose, purges forget. */
class Server {
  version: ServerVersion<Note> = { rev: '1-a', doc: { _id: 'a', _rev: '1-a' } };
  /** The last field of other clients, which no edit may overwrite; undefined after a deletion. */
  theirs: number | undefined;
  /** All versions in the order of time. */
  readonly history: ServerVersion<Note>[] = [this.version];
  #count = 0;
  readonly #random: (below: number) => number;

  constructor(random: (below: number) => number) {
    this.#random = random;
  }

  write(doc: Note | null): ServerVersion<Note> {
    const rev = `${1 + this.#random(9)}-${(this.#count += 1)}`;
    if (doc === null) this.theirs = undefined;
    this.version = { rev, doc: doc === null ? null : { ...doc, _id: 'a', _rev: rev } };
    this.history.push(this.version);
    return this.version;
  }

  purge(): void {
    this.theirs = undefined;
    this.version = { rev: null, doc: null };
    this.history.push(this.version);
  }
}

const merged = (data: EditData<Note>): Draft<Note> => {
  const edited = documentOf(data, 'a');
  if (edited === null) return { _deleted: true };
  // The fields of two clients never meet.
  return { ...data.server?.doc, ...(edited.mine !== undefined && { mine: edited.mine }) };
};

/** Merges and saves until nothing is left to do. The save may be answered late, or not at all. */
function settle(data: EditData<Note>, server: Server): EditData<Note> {
  let next = withServer(data, server.version);
  for (let round = 0; round < 5; round++) {
    const task = taskOf(next);
    if (task === 'none') return next;
    if (task === 'merge') next = withMerged(next, next.server as ServerVersion<Note>, merged(next));
    else {
      next = withSent(next);
      next = withSaved(next, next.sent as SentEdit<Note>, server.write(documentOf(next, 'a')));
    }
  }
  throw new Error(`The editor is stuck: ${JSON.stringify(next)}`);
}

function simulate(seed: number): void {
  const random = randomly(seed);
  const server = new Server(random);
  let data: EditData<Note> = withServer<Note>(UNREAD, server.version);
  /** The last value that the user typed; null for a deletion; undefined if others have overwritten it. */
  let typed: number | null | undefined;
  let inFlight: {
    readonly sent: SentEdit<Note>;
    readonly written: ServerVersion<Note> | null;
  } | null = null;
  let shown = 0;
  for (let step = 0; step < 40; step++) {
    const event = random(8);
    if (event === 0) {
      server.write({ ...server.version.doc, theirs: step });
      server.theirs = step;
    }
    if (event === 1) server.write(null);
    // No feed tells of a purge during a save, which creates the document again.
    if (event === 2 && inFlight === null) server.purge();
    // News may be skipped, but never invented.
    if (event === 3) data = withServer(data, server.version);
    if (event === 4) {
      typed = random(5) === 0 ? null : step;
      // A user who deletes the document, or creates it again, drops all fields.
      if (typed === null || documentOf(data, 'a') === null) server.theirs = undefined;
      const doc = typed === null ? null : { ...documentOf(data, 'a'), mine: typed };
      data = withEdit(data, doc);
    }
    if (event === 5 && inFlight === null && taskOf(data) === 'save') {
      data = withSent(data);
      const isCurrent = data.base?.rev === server.version.rev;
      const written = isCurrent ? server.write(documentOf(data, 'a')) : null;
      inFlight = { sent: data.sent as SentEdit<Note>, written };
    }
    if (event === 6 && inFlight !== null) {
      const { sent, written } = inFlight;
      inFlight = null;
      // A save is answered, refused because of a conflict, or its answer is lost.
      if (written !== null && random(3) > 0) data = withSaved(data, sent, written);
      else if (written === null) data = withoutSent(withServer(data, server.version));
    }
    if (event === 7 && inFlight === null && taskOf(data) === 'merge')
      data = withMerged(data, data.server as ServerVersion<Note>, merged(data));
    // The server's version never goes back.
    const index = server.history.lastIndexOf(data.server as ServerVersion<Note>);
    expect(index).toBeGreaterThanOrEqual(shown);
    shown = index;
    if (data.local === null) {
      expect(data.base).toBe(data.server);
      expect(documentOf(data, 'a')).toBe(data.server?.doc);
    }
    // It can be stored and read again.
    expect(JSON.parse(JSON.stringify(data))).toEqual(data);
  }
  const pendingEdit = data.local;
  const after = settle(data, server);
  expect(after.local).toBeNull();
  expect(after.server).toEqual(server.version);
  const doc: Document<Note> | null = server.version.doc;
  if (doc !== null && server.theirs !== undefined) expect(doc.theirs).toBe(server.theirs);
  if (pendingEdit === null) return;
  // What the user typed last is on the server.
  if (typed === null) expect(doc).toBeNull();
  else expect(doc?.mine).toBe(typed);
}

describe('the data of an editor', () => {
  it('follows the server and loses no edit, over 1,000 random sequences', () => {
    for (let seed = 1; seed <= 1000; seed++) {
      try {
        simulate(seed);
      } catch (error) {
        throw new Error(`Seed ${seed}`, { cause: error });
      }
    }
  });
});
