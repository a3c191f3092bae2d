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
  withoutEdits,
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

describe('the data of an editor, step by step', () => {
  type Data = EditData<Note>;
  const version = (rev: string | null, doc: Note | null): ServerVersion<Note> => ({
    rev,
    doc: doc === null || rev === null ? null : { ...doc, _id: 'a', _rev: rev },
  });
  const [v1, v2] = [version('1-a', { theirs: 1 }), version('2-b', { theirs: 2 })];
  const gone = version('2-d', null);
  const never = version(null, null);
  const clean = (server: ServerVersion<Note>): Data => ({
    server,
    base: server,
    local: null,
    sent: null,
  });
  const edit = { doc: { theirs: 1, mine: 5 } };
  const edited: Data = { server: v1, base: v1, local: edit, sent: null };
  const unreadEdit: Data = { ...UNREAD, local: edit };
  const sentEdit: SentEdit<Note> = { ...edit, replaces: '1-a' };
  const sending: Data = { ...edited, sent: sentEdit };
  const saved = version('2-s', { theirs: 1, mine: 5 });
  const deletion: Data = { server: v1, base: v1, local: { doc: null }, sent: null };

  it.each<[string, Data, Data]>([
    ['the first version is shown', withServer<Note>(UNREAD, v1), clean(v1)],
    ['an equal version changes nothing', withServer(clean(v1), { ...v1 }), clean(v1)],
    ['another version replaces a clean one', withServer(clean(v1), v2), clean(v2)],
    ['edits stay over another version', withServer(edited, v2), { ...edited, server: v2 }],
    ['a sent edit that arrives is saved', withServer(sending, saved), clean(saved)],
    [
      'a sent edit is not saved by the version that it replaces',
      withServer(
        {
          ...sending,
          local: { doc: { theirs: 1 } },
          sent: { doc: { theirs: 1 }, replaces: '1-a' },
        },
        v1,
      ),
      { ...sending, local: { doc: { theirs: 1 } }, sent: { doc: { theirs: 1 }, replaces: '1-a' } },
    ],
    ['another version is no answer', withServer(sending, v2), { ...sending, server: v2 }],
    ['two deletions are one', withServer(deletion, gone), clean(gone)],
    ['a deletion stays over an edit', withServer(deletion, v2), { ...deletion, server: v2 }],
    ['an edit stays over a deletion', withServer(edited, gone), { ...edited, server: gone }],
    ['an edit before the first read waits', withEdit<Note>(UNREAD, edit.doc), unreadEdit],
    ['an edit begins on the version of the server', withEdit(clean(v1), edit.doc), edited],
    [
      'a further edit keeps its base',
      withEdit({ ...edited, server: v2 }, { mine: 6 }),
      { ...edited, server: v2, local: { doc: { mine: 6 } } },
    ],
    ['an edit that restores the document is none', withEdit(edited, { theirs: 1 }), clean(v1)],
    [
      'an edit that restores it stays while another is sent',
      withEdit(sending, { theirs: 1 }),
      { ...sending, local: { doc: { theirs: 1 } } },
    ],
    [
      'an edit that restores the base of others is none',
      withEdit({ ...edited, server: v2 }, { theirs: 1 }),
      clean(v2),
    ],
    ['a deletion of a missing document is none', withEdit(clean(never), null), clean(never)],
    [
      'a deletion before the first read waits',
      withEdit<Note>(UNREAD, null),
      { ...UNREAD, local: { doc: null } },
    ],
    [
      'dropped edits leave the version of the server',
      withoutEdits({ ...edited, server: v2 }),
      clean(v2),
    ],
    ['dropped edits of an unread document stay', withoutEdits(unreadEdit), unreadEdit],
    ['a save is sent with the revision that it replaces', withSent(edited), sending],
    [
      'a save of a new document replaces none',
      withSent({ ...edited, server: never, base: never }),
      { ...edited, server: never, base: never, sent: { ...edit, replaces: null } },
    ],
    [
      'a save before the first read replaces none',
      withSent(unreadEdit),
      { ...unreadEdit, sent: { ...edit, replaces: null } },
    ],
    ['without edits nothing is sent', withSent(clean(v1)), clean(v1)],
    ['a failed save leaves the edits', withoutSent(sending), edited],
    ['without a save nothing fails', withoutSent(edited), edited],
    ['a save that succeeds leaves none', withSaved(sending, sentEdit, saved), clean(saved)],
    [
      'edits made meanwhile are based on it',
      withSaved({ ...sending, local: { doc: { mine: 6 } } }, sentEdit, saved),
      { server: saved, base: saved, local: { doc: { mine: 6 } }, sent: null },
    ],
    [
      'a later version of the server stays',
      withSaved({ ...sending, server: v2 }, sentEdit, saved),
      clean(v2),
    ],
    [
      'a save of an unread document is its version',
      withSaved({ ...sending, server: null }, sentEdit, saved),
      clean(saved),
    ],
    [
      'a save without later edits is clean',
      withSaved({ ...sending, local: null }, sentEdit, saved),
      clean(saved),
    ],
    [
      'a merge is based on the version of the server',
      withMerged({ ...edited, server: v2 }, v2, { theirs: 2, mine: 5 }),
      { server: v2, base: v2, local: { doc: { theirs: 2, mine: 5 } }, sent: null },
    ],
    [
      'a merge that changes nothing needs no save',
      withMerged({ ...edited, server: v2 }, v2, { theirs: 2 }),
      clean(v2),
    ],
    ['a merge of an unread document', withMerged(unreadEdit, v2, { theirs: 2 }), clean(v2)],
    [
      'a merge that deletes',
      withMerged({ ...edited, server: v2 }, v2, { _deleted: true }),
      { server: v2, base: v2, local: { doc: null }, sent: null },
    ],
    [
      'a merge that deletes a deleted document',
      withMerged({ ...edited, server: gone }, gone, { _deleted: true }),
      clean(gone),
    ],
  ])('%s', (_, received, expected) => {
    expect(received).toEqual(expected);
  });

  it('keeps the same data if nothing changes', () => {
    expect(withoutSent(edited)).toBe(edited);
    expect(withSent(clean(v1))).toEqual(clean(v1));
    const before = clean(v1);
    expect(withServer(before, { ...v1 }).server).toBe(v1);
    const untouched = clean(v1);
    expect(withSent(untouched)).toBe(untouched);
    expect(withoutEdits(unreadEdit)).toBe(unreadEdit);
  });

  it.each<[string, Data, string]>([
    ['an unread document', UNREAD, 'none'],
    ['an edit before the first read', unreadEdit, 'none'],
    ['a clean document', clean(v1), 'none'],
    ['an edit', edited, 'save'],
    ['an edit of another version', { ...edited, server: v2 }, 'merge'],
    ['an edit without a base', { ...edited, base: null }, 'merge'],
  ])('the task of %s', (_, data, task) => {
    expect(taskOf(data)).toBe(task);
  });

  it.each<[string, Data, object | null]>([
    ['an unread document', UNREAD, null],
    ['a clean document', clean(v1), v1.doc],
    ['a deleted document', clean(gone), null],
    ['a deletion', deletion, null],
    ['an edit', edited, { _id: 'a', _rev: '1-a', theirs: 1, mine: 5 }],
    ['an edit of a deleted document', { ...edited, base: gone }, { _id: 'a', theirs: 1, mine: 5 }],
    ['an edit of a new document', { ...edited, base: never }, { _id: 'a', theirs: 1, mine: 5 }],
    ['an edit without a base', { ...edited, base: null }, { _id: 'a', theirs: 1, mine: 5 }],
  ])('the document of %s', (_, data, doc) => {
    expect(documentOf(data, 'a')).toEqual(doc);
  });
});
