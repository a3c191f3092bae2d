import { Subject } from 'rxjs';
import type { Observable } from 'rxjs';
import { isRecord } from './reply.ts';
import { MemoryIndexes } from './memory-indexes.ts';
import { Refusal, badRequest, conflict, missing, notImplemented } from './reply.ts';
import { RevisionTree, computeRevision } from './revision-tree.ts';
import type { Fields } from './revision-tree.ts';

/** A document to write, split into its parts. */
interface Edit {
  readonly id: string;
  readonly rev: string | undefined;
  readonly deleted: boolean;
  readonly fields: Fields;
  /** The revision and its ancestors, the newest first. Writes with `new_edits=false` use it. */
  readonly history: readonly string[];
}

/** The result of a write. */
export interface WriteReceipt {
  readonly id: string;
  readonly rev: string;
}

/** A local document. Its revision is a counter. */
interface LocalDocument {
  readonly revisionNumber: number;
  readonly fields: Fields;
}

/** A database in memory: its documents, and the order of their changes. */
export class MemoryDatabase {
  readonly name: string;
  /** The `instance_start_time`. It differs if the database is deleted and created again. */
  readonly instanceStartTime: string;
  /** The local documents, which are not replicated. */
  readonly local: Map<string, LocalDocument> = new Map();
  readonly indexes: MemoryIndexes = new MemoryIndexes();
  readonly #trees = new Map<string, RevisionTree>();
  /** The sequence of the last change of each document, in ascending order. */
  readonly #seqs = new Map<string, number>();
  readonly #changed$ = new Subject<void>();
  #lastSeq = 0;

  constructor(name: string, instanceStartTime: string) {
    this.name = name;
    this.instanceStartTime = instanceStartTime;
  }

  /** Emits after each write; errors when the database is deleted. */
  get changed$(): Observable<void> {
    return this.#changed$.asObservable();
  }

  /** The sequence of the last change. */
  get lastSeq(): number {
    return this.#lastSeq;
  }

  /** Each document with the sequence of its last change, in ascending order. */
  get seqs(): readonly (readonly [id: string, seq: number])[] {
    return [...this.#seqs];
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

  /** Writes a document as an editor does. Throws a conflict if it has changed meanwhile. */
  write(id: string, doc: unknown): WriteReceipt {
    const { rev, deleted, fields } = readEdit(id, doc);
    const tree = this.#trees.get(id);
    const parent = parentOf(tree, rev);
    const newRev = computeRevision(parent, deleted, fields);
    this.#add(id, newRev, parent === null ? [] : (tree?.ancestry(parent) ?? []), fields, deleted);
    return { id, rev: newRev };
  }

  /**
   * Writes an existing revision as replication does (`new_edits=false`), without conflict
   * detection.
   */
  writeReplicated(id: string, doc: unknown): WriteReceipt {
    const { rev, deleted, fields, history } = readEdit(id, doc);
    if (rev === undefined) throw badRequest('When `new_edits: false`, the document needs a `_rev`');
    this.#add(id, rev, history.slice(1), fields, deleted);
    return { id, rev };
  }

  /** Breaks the connections of feeds, because the database was deleted. */
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
    this.#lastSeq += 1;
    this.#seqs.delete(id);
    this.#seqs.set(id, this.#lastSeq);
    this.#changed$.next();
  }
}

/** Orders ids as `_all_docs` does. */
export function byCodeUnits(a: string, b: string): number {
  return a === b ? 0 : a < b ? -1 : 1;
}

/** Returns a reversed copy. ES2022 has no `toReversed`. */
export function reversed<T>(list: readonly T[]): T[] {
  return list.map((_, i) => list[list.length - 1 - i] as T);
}

/** Validates a document, and splits it into its parts. */
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
  if (_attachments !== undefined) throw notImplemented('support attachments');
  const fields: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(rest)) {
    if (!name.startsWith('_')) fields[name] = value;
    // CouchDB ignores these fields in writes, because it adds them to reads.
    else if (!IGNORED_FIELDS.has(name))
      throw new Refusal(400, 'doc_validation', `Bad special document member: ${name}`);
  }
  const rev = typeof _rev === 'string' ? _rev : undefined;
  if (rev !== undefined && !/^\d+-./.test(rev)) throw badRequest('Invalid rev format');
  const ancestors = isRecord(_revisions)
    ? (_revisions['ids'] as string[]).map((hash, i) => `${Number(_revisions['start']) - i}-${hash}`)
    : [];
  const history = ancestors.length > 0 ? ancestors : rev === undefined ? [] : [rev];
  return { id, rev: rev ?? history[0], deleted: _deleted === true, fields, history };
}

const IGNORED_FIELDS = new Set(['_conflicts', '_deleted_conflicts', '_revs_info', '_local_seq']);

/** Returns the revision that an edit replaces, or null for a new document. */
function parentOf(tree: RevisionTree | undefined, rev: string | undefined): string | null {
  if (tree === undefined) {
    if (rev !== undefined) throw conflict();
    return null;
  }
  const { leaves, winner } = tree;
  if (rev === undefined) {
    // A write without `_rev` re-creates a deleted document.
    if (!winner.deleted) throw conflict();
    return winner.rev;
  }
  if (!leaves.some((leaf) => leaf.rev === rev)) throw conflict();
  return rev;
}

/** Returns the tree of a document. Throws a 404 if there is none. */
export function findTree(db: MemoryDatabase, id: string): RevisionTree {
  const tree = db.tree(id);
  if (tree === undefined) throw missing();
  return tree;
}
