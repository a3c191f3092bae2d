import { Subject } from 'rxjs';
import type { Observable } from 'rxjs';
import { byId } from '../../model/document.ts';
import { Refusal, conflict } from '../reply.ts';
import { contentOf } from './draft.ts';
import { capture, hasStub, inOrder, needsCheck, refusesAll, withoutStubs } from './drafts.ts';
import type { Draft } from './draft.ts';
import { revisionOf } from './revision-hash.ts';
import { RevisionTree, generationOf } from './revision-tree.ts';
import type { Content, Fields, Revision } from './revision-tree.ts';

/** The result of a write: a revision, or the reason of the refusal. */
export type Written = { readonly rev: string } | Refusal;

/** A local document. Its revision is a counter. */
export interface LocalDocument {
  readonly rev: string;
  readonly fields: Fields;
}

/** Decides whether documents may be written. */
export interface Validate {
  /** Throws a `Refusal` if a document may not be written. */
  readonly run: (id: string, draft: Content, rev: string, old: Revision | undefined) => void;
  /** Whether the database has functions that decide. */
  readonly hasFunctions: (db: MemoryDatabase) => boolean;
}

interface Stored {
  readonly tree: RevisionTree;
  seq: number;
}

/** A database in memory: its documents, and the order of their changes. */
export class MemoryDatabase {
  readonly name: string;
  readonly partitioned: boolean;
  /** The `instance_start_time`. It differs if the database is deleted and created again. */
  readonly instanceStartTime: string;
  /** The local documents, which are not replicated. */
  readonly local: Map<string, LocalDocument> = new Map();
  security: unknown = { members: { roles: ['_admin'] }, admins: { roles: ['_admin'] } };
  purgeSeq = 0;
  #revsLimit = 1000;
  readonly #documents = new Map<string, Stored>();
  readonly #changed$ = new Subject<void>();
  #sorted: readonly (readonly [id: string, winner: Revision])[] | undefined;
  #lastSeq = 0;
  /**
   * Whether CouchDB knows that no document validates writes. It finds out with the first valid write, and
   * again after each design document. Until then a revision of a document that never was is a conflict;
   * from then on it is not.
   */
  #isUnguarded = false;

  constructor(name: string, instanceStartTime: string, partitioned: boolean) {
    this.name = name;
    this.instanceStartTime = instanceStartTime;
    this.partitioned = partitioned;
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
    return [...this.#documents]
      .map(([id, { seq }]) => [id, seq] as const)
      .sort(([, a], [, b]) => a - b);
  }

  /** The documents that are not deleted, with their winners, by id. */
  get live(): readonly (readonly [id: string, winner: Revision])[] {
    return this.documents.filter(([, { content }]) => content?.deleted !== true);
  }

  get deletedCount(): number {
    return this.#documents.size - this.live.length;
  }

  tree(id: string): RevisionTree | undefined {
    return this.#documents.get(id)?.tree;
  }

  seqOf(id: string): number | undefined {
    return this.#documents.get(id)?.seq;
  }

  /** Returns the winner if it is not deleted. */
  find(id: string): Revision | undefined {
    const winner = this.tree(id)?.winner;
    return winner?.content?.deleted === true ? undefined : winner;
  }

  /** Writes documents as editors do. Changes have the order of the ids, as in CouchDB with one shard. */
  edit(drafts: readonly Draft[], validate: Validate): readonly Written[] {
    const isChecked = !this.#isUnguarded || drafts.some(needsCheck);
    const prepared: (Prepared | Refusal)[] = [];
    for (const [draft, i] of inOrder(drafts)) {
      const edit = capture(() => this.#prepareEdit(draft, validate, isChecked));
      if (edit instanceof Refusal && refusesAll(edit)) throw edit;
      prepared[i] = edit;
    }
    const results = prepared.map((one): Written => one as Written);
    this.#inOrder(drafts, (draft, i) => {
      const edit = prepared[i];
      if (edit === undefined || edit instanceof Refusal) return false;
      const written = capture(() => ({ rev: this.#applyEdit(draft, edit) }));
      results[i] = written;
      return !(written instanceof Refusal);
    });
    return results;
  }

  /** Writes existing revisions as replication does (`new_edits=false`), without conflict detection. */
  replicate(drafts: readonly Draft[], validate: Validate): readonly Written[] {
    const isChecked = !this.#isUnguarded || drafts.some(needsCheck);
    const results: (Written | undefined)[] = [];
    const contents: (Content | undefined)[] = [];
    for (const [draft, i] of inOrder(drafts)) {
      const prepared = capture(() => this.#prepareReplicated(draft, drafts, validate, isChecked));
      if (prepared instanceof Refusal && refusesAll(prepared)) throw prepared;
      results[i] = prepared instanceof Refusal ? prepared : { rev: draft.history[0] ?? '' };
      contents[i] = prepared instanceof Refusal ? undefined : prepared;
    }
    this.#inOrder(drafts, ({ id, history }, i) => {
      const content = contents[i];
      if (content === undefined) return false;
      const { tree } = this.#stored(id);
      const known = tree.find(history[0] ?? '');
      const added = tree.add(history, content);
      tree.stem(this.#revsLimit);
      return added !== 'known' || known?.content === null;
    });
    return results as readonly Written[];
  }

  /**
   * Returns the content to add, or undefined if there is nothing to add: CouchDB checks only revisions that
   * become leaves, and ignores the others then.
   */
  #prepareReplicated(
    draft: Draft,
    drafts: readonly Draft[],
    validate: Validate,
    isChecked: boolean,
  ): Content | undefined {
    const { id, history } = draft;
    const [rev = ''] = history;
    const generation = generationOf(rev);
    const tree = this.tree(id);
    if (!isChecked) return contentOf(draft, undefined, generation);
    if (tree === undefined) {
      const content = contentOf(draft, undefined, generation);
      validate.run(id, content, rev, undefined);
      this.#guard(id, validate);
      return content;
    }
    if (tree.leaves.some((leaf) => leaf.rev === rev)) return undefined;
    const merged = tree.copy();
    for (const other of drafts) if (other.id === id) merged.add(other.history, NO_CONTENT);
    const leaf = merged.leaves.find((one) => one.rev === rev);
    if (leaf === undefined) return undefined;
    const before = leaf.history
      .slice(1)
      .map((ancestor) => tree.find(ancestor))
      .find((ancestor) => ancestor !== undefined && ancestor.content !== null);
    const content = contentOf(draft, before?.content, generation);
    validate.run(id, content, rev, before);
    this.#guard(id, validate);
    return content;
  }

  get revsLimit(): number {
    return this.#revsLimit;
  }

  /** Sets how many revisions of a branch the database keeps. Takes a sequence, as in CouchDB. */
  setRevsLimit(limit: number): void {
    this.#revsLimit = limit;
    this.#lastSeq += 1;
  }

  /** Takes a sequence, as in CouchDB. */
  setSecurity(security: unknown): void {
    this.security = security;
    this.#lastSeq += 1;
  }

  /** Forgets leaf revisions. Returns those that it had, for each document. */
  purge(
    revsById: readonly (readonly [id: string, revs: readonly string[]])[],
  ): readonly (readonly string[])[] {
    const before = this.#lastSeq;
    const purged = revsById.map(([id, revs]) => {
      const stored = this.#documents.get(id);
      const gone = stored?.tree.purge(revs) ?? [];
      this.purgeSeq += 1;
      if (stored === undefined || gone.length === 0) return gone;
      if (stored.tree.winner !== undefined) {
        // CouchDB gives each remaining leaf a sequence.
        this.#lastSeq += stored.tree.leaves.length - 1;
        this.#touch(id, stored);
      } else {
        this.#documents.delete(id);
        this.#sorted = undefined;
      }
      return gone;
    });
    // A purge that changes no document takes a sequence, too.
    this.#lastSeq = Math.max(this.#lastSeq, before + 1);
    this.#changed$.next();
    return purged;
  }

  /** Breaks the connections of feeds, because the database was deleted. */
  close(): void {
    this.#changed$.error(new Error('the database was deleted'));
  }

  /** All documents, with their winners, by id. */
  get documents(): readonly (readonly [id: string, winner: Revision])[] {
    this.#sorted ??= [...this.#documents]
      .flatMap(([id, { tree }]) => (tree.winner === undefined ? [] : [[id, tree.winner] as const]))
      .sort(([a], [b]) => byId(a, b));
    return this.#sorted;
  }

  /**
   * Calls a function for each draft in the order of the ids. Each document that it changes gets one
   * sequence. Tells the feeds once.
   */
  #inOrder(drafts: readonly Draft[], changes: (draft: Draft, index: number) => boolean): void {
    const changed = new Set<string>();
    for (const [draft, i] of inOrder(drafts)) if (changes(draft, i)) changed.add(draft.id);
    for (const id of changed) this.#touch(id, this.#stored(id));
    if (changed.size > 0) this.#changed$.next();
  }

  #stored(id: string): Stored {
    const stored = this.#documents.get(id) ?? { tree: new RevisionTree(), seq: 0 };
    this.#documents.set(id, stored);
    return stored;
  }

  #guard(id: string, validate: Validate): void {
    this.#isUnguarded = !id.startsWith('_design/') && !validate.hasFunctions(this);
  }

  #prepareEdit(draft: Draft, validate: Validate, isChecked: boolean): Prepared {
    const { id, history } = draft;
    const [rev] = history;
    const tree = this.tree(id);
    const generation = rev === undefined ? 1 : generationOf(rev) + 1;
    const parent = tree?.leaves.find((leaf) => leaf.rev === rev);
    if (!isChecked) {
      // The write itself finds conflicts.
      const content = contentOf(draft, parent?.content, generation);
      return { content, parent: rev === undefined ? undefined : (parent?.history ?? history) };
    }
    if (rev === undefined) {
      if (tree?.winner !== undefined && tree.winner.content?.deleted !== true) throw conflict();
    } else if (parent === undefined) {
      // CouchDB looks for the stubs of a document that it does not have first.
      if (tree === undefined) contentOf(draft, undefined, generation);
      throw conflict();
    }
    const isStubOfDeleted = parent === undefined && tree !== undefined && hasStub(draft);
    const content = contentOf(
      isStubOfDeleted ? withoutStubs(draft) : draft,
      parent?.content,
      generation,
    );
    validate.run(id, content, rev ?? '', parent);
    this.#guard(id, validate);
    if (isStubOfDeleted) throw new Refusal(500, 'unknown_error', 'function_clause');
    return { content, parent: parent?.history };
  }

  #applyEdit({ id }: Draft, { content, parent }: Prepared): string {
    const { tree } = this.#stored(id);
    const { winner } = tree;
    let base = parent;
    if (winner?.content?.deleted === true) {
      // A deleted document continues after its tombstone, and only if the writer does not know it.
      if (parent !== undefined || content.deleted) throw conflict();
      base = winner.history;
    } else if (winner !== undefined && base === undefined) throw conflict();
    const rev = revisionOf(base?.[0], content, winner?.content?.deleted === true);
    const continues = base === undefined ? false : tree.leaves.some((leaf) => leaf.rev === base[0]);
    if (winner !== undefined && !continues) throw conflict();
    tree.add([rev, ...(base ?? [])], content);
    tree.stem(this.#revsLimit);
    return rev;
  }

  #touch(id: string, stored: Stored): void {
    this.#lastSeq += 1;
    this.#sorted = undefined;
    stored.seq = this.#lastSeq;
    if (id.startsWith('_design/')) this.#isUnguarded = false;
  }
}

const NO_CONTENT: Content = { deleted: false, fields: {}, attachments: new Map() };

interface Prepared {
  readonly content: Content;
  /** The history of the revision that the edit replaces. */
  readonly parent: readonly string[] | undefined;
}
