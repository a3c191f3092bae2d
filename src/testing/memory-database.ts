import { Subject } from 'rxjs';
import type { Observable } from 'rxjs';
import { isRecord } from './matcher.ts';
import { MemoryIndexes } from './memory-indexes.ts';
import { Refusal, badRequest, conflict, missing, notImplemented } from './reply.ts';
import { RevisionTree, nameRevision } from './revision-tree.ts';
import type { Fields } from './revision-tree.ts';

/** A document that is to be written, taken apart. */
interface Edit {
  readonly id: string;
  readonly rev: string | undefined;
  readonly deleted: boolean;
  readonly fields: Fields;
  /** The revision and its ancestors, the newest first; for writes with `new_edits=false`. */
  readonly history: readonly string[];
}

/** A document that was written. */
export interface WriteReceipt {
  readonly id: string;
  readonly rev: string;
}

/** A document that is not replicated: its revision is a count. */
interface LocalDocument {
  readonly number: number;
  readonly fields: Fields;
}

/** A database in memory: its documents, and the order in which they changed. */
export class MemoryDatabase {
  readonly name: string;
  /** When it was made, as CouchDB says it: what tells it from another of the same name. */
  readonly born: string;
  /** The documents that are not replicated, with the number of their revision. */
  readonly local: Map<string, LocalDocument> = new Map();
  readonly indexes: MemoryIndexes = new MemoryIndexes();
  readonly #trees = new Map<string, RevisionTree>();
  /** The place of the last change of each document, in the order of the places. */
  readonly #places = new Map<string, number>();
  readonly #changed$ = new Subject<void>();
  #place = 0;

  constructor(name: string, born: string) {
    this.name = name;
    this.born = born;
  }

  /** Emits after each write; errors when the database is deleted. */
  get changed$(): Observable<void> {
    return this.#changed$.asObservable();
  }

  /** The place of the last change. */
  get place(): number {
    return this.#place;
  }

  /** Every document with the place of its last change, in that order. */
  get places(): readonly (readonly [id: string, place: number])[] {
    return [...this.#places];
  }

  /** The ids of the documents that are not deleted, in order. */
  get ids(): readonly string[] {
    const live = [...this.#trees].filter(([, { winner }]) => !winner.deleted);
    return live.map(([id]) => id).sort(byCodeUnits);
  }

  get deletedCount(): number {
    return this.#trees.size - this.ids.length;
  }

  tree(id: string): RevisionTree | undefined {
    return this.#trees.get(id);
  }

  /** Writes a document as somebody who edits it; throws a conflict where it has changed meanwhile. */
  write(id: string, doc: unknown): WriteReceipt {
    const { rev, deleted, fields } = readEdit(id, doc);
    const tree = this.#trees.get(id);
    const parent = parentOf(tree, rev);
    const name = nameRevision(parent, deleted, fields);
    this.#add(id, name, parent === null ? [] : (tree?.ancestry(parent) ?? []), fields, deleted);
    return { id, rev: name };
  }

  /** Writes a revision as it is elsewhere, as replication does: there is no conflict to see. */
  graft(id: string, doc: unknown): WriteReceipt {
    const { rev, deleted, fields, history } = readEdit(id, doc);
    if (rev === undefined) throw badRequest('When `new_edits: false`, the document needs a `_rev`');
    this.#add(id, rev, history.slice(1), fields, deleted);
    return { id, rev };
  }

  /** Ends the connections of those who listen: the database is no more. */
  close(): void {
    this.#changed$.error(new Error('the database was deleted'));
  }

  #add(
    id: string,
    rev: string,
    ancestors: readonly string[],
    fields: Fields,
    deleted: boolean,
  ): void {
    const tree = this.#trees.get(id) ?? new RevisionTree();
    this.#trees.set(id, tree);
    if (!tree.add(rev, ancestors, fields, deleted)) return;
    this.#place += 1;
    this.#places.delete(id);
    this.#places.set(id, this.#place);
    this.#changed$.next();
  }
}

/** Orders ids as `_all_docs` does. */
export function byCodeUnits(a: string, b: string): number {
  return a === b ? 0 : a < b ? -1 : 1;
}

/** A list from its end; ES2022 has no `toReversed`. */
export function backwards<T>(list: readonly T[]): T[] {
  return list.map((_, i) => list[list.length - 1 - i] as T);
}

/** Takes a document apart; refuses what is none. */
function readEdit(id: string, doc: unknown): Edit {
  if (!isRecord(doc)) throw badRequest('Document must be a JSON object');
  if (id.startsWith('_') && !/^_(?:design|local)\/./.test(id)) {
    throw new Refusal(
      400,
      'illegal_docid',
      'Only reserved document ids may start with underscore.',
    );
  }
  const { _id, _rev, _deleted, _revisions, _attachments, ...rest } = doc;
  if (_attachments !== undefined) throw notImplemented('keep attachments');
  const fields: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(rest)) {
    if (!name.startsWith('_')) fields[name] = value;
    // What CouchDB adds to what it is asked for comes back to it unseen.
    else if (!READ_ONLY.has(name))
      throw new Refusal(400, 'doc_validation', `Bad special document member: ${name}`);
  }
  const rev = typeof _rev === 'string' ? _rev : undefined;
  if (rev !== undefined && !/^\d+-./.test(rev)) throw badRequest('Invalid rev format');
  const known = isRecord(_revisions)
    ? (_revisions['ids'] as string[]).map((hash, i) => `${Number(_revisions['start']) - i}-${hash}`)
    : [];
  const history = known.length > 0 ? known : rev === undefined ? [] : [rev];
  return { id, rev: rev ?? history[0], deleted: _deleted === true, fields, history };
}

const READ_ONLY = new Set(['_conflicts', '_deleted_conflicts', '_revs_info', '_local_seq']);

/** The revision that an edit replaces; null where the document is new. */
function parentOf(tree: RevisionTree | undefined, rev: string | undefined): string | null {
  if (tree === undefined) {
    if (rev !== undefined) throw conflict();
    return null;
  }
  const { leaves, winner } = tree;
  if (rev === undefined) {
    // Who writes a document that was deleted makes it anew.
    if (!winner.deleted) throw conflict();
    return winner.rev;
  }
  if (!leaves.some((leaf) => leaf.rev === rev)) throw conflict();
  return rev;
}

/** Finds a document that is not deleted. */
export function findTree(db: MemoryDatabase, id: string): RevisionTree {
  const tree = db.tree(id);
  if (tree === undefined) throw missing();
  return tree;
}
