import { Subject } from 'rxjs';
import type { Observable } from 'rxjs';
import { byId } from '../../model/document.ts';
import { Refusal, conflict } from '../reply.ts';
import { contentOf } from './draft.ts';
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

/** Decides whether a document may be written. Throws a `Refusal` if not. */
export type Validate = (id: string, draft: Content, rev: string, old: Revision | undefined) => void;

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
  revsLimit = 1000;
  purgeSeq = 0;
  readonly #documents = new Map<string, Stored>();
  readonly #changed$ = new Subject<void>();
  #sorted: readonly (readonly [id: string, winner: Revision])[] | undefined;
  #lastSeq = 0;

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
    return this.#winners().filter(([, { content }]) => content?.deleted !== true);
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
    const prepared = drafts.map((draft) => capture(() => this.#prepareEdit(draft, validate)));
    const results = prepared.map((one): Written => one as Written);
    this.#inOrder(drafts, (draft, i) => {
      const edit = prepared[i];
      if (edit === undefined || edit instanceof Refusal) return;
      results[i] = capture(() => ({ rev: this.#applyEdit(draft, edit) }));
    });
    return results;
  }

  /** Writes existing revisions as replication does (`new_edits=false`), without conflict detection. */
  replicate(drafts: readonly Draft[], validate: Validate): readonly Written[] {
    const results: Written[] = [];
    this.#inOrder(drafts, (draft, i) => {
      const [rev = ''] = draft.history;
      results[i] = capture(() => {
        const tree = this.tree(draft.id);
        const base = tree?.find(rev)?.content ?? tree?.find(draft.history[1] ?? '')?.content;
        const content = contentOf(draft, base, generationOf(rev), missingStub);
        validate(draft.id, content, rev, tree?.find(draft.history[1] ?? ''));
        const leaves = tree?.leaves.length;
        const known = tree?.find(rev);
        const stored = this.#documents.get(draft.id) ?? { tree: new RevisionTree(), seq: 0 };
        const added = stored.tree.add(draft.history, content);
        stored.tree.stem(this.revsLimit);
        if (added !== 'known' || known?.content === null || leaves !== stored.tree.leaves.length)
          this.#touch(draft.id, stored);
        return { rev };
      });
    });
    return results;
  }

  /** Forgets leaf revisions. Returns those that it had, for each document. */
  purge(
    revsById: readonly (readonly [id: string, revs: readonly string[]])[],
  ): readonly (readonly string[])[] {
    const purged = revsById.map(([id, revs]) => {
      const stored = this.#documents.get(id);
      const gone = stored?.tree.purge(revs) ?? [];
      this.purgeSeq += 1;
      if (stored !== undefined && gone.length > 0) {
        if (stored.tree.winner === undefined) {
          this.#documents.delete(id);
          this.#sorted = undefined;
          this.#lastSeq += 1;
        } else this.#touch(id, stored);
      }
      return gone;
    });
    this.#changed$.next();
    return purged;
  }

  /** Breaks the connections of feeds, because the database was deleted. */
  close(): void {
    this.#changed$.error(new Error('the database was deleted'));
  }

  #winners(): readonly (readonly [id: string, winner: Revision])[] {
    this.#sorted ??= [...this.#documents]
      .flatMap(([id, { tree }]) => (tree.winner === undefined ? [] : [[id, tree.winner] as const]))
      .sort(([a], [b]) => byId(a, b));
    return this.#sorted;
  }

  /** Calls a function for each draft in the order of the ids, and tells the feeds once. */
  #inOrder(drafts: readonly Draft[], apply: (draft: Draft, index: number) => void): void {
    const before = this.#lastSeq;
    const order = drafts.map((_, i) => i);
    order.sort((a, b) => byId((drafts[a] as Draft).id, (drafts[b] as Draft).id) || a - b);
    for (const i of order) apply(drafts[i] as Draft, i);
    if (this.#lastSeq !== before) this.#changed$.next();
  }

  #prepareEdit(draft: Draft, validate: Validate): Prepared {
    const { id, history } = draft;
    const [rev] = history;
    const tree = this.tree(id);
    const generation = rev === undefined ? 1 : generationOf(rev) + 1;
    if (rev === undefined) {
      if (tree?.winner !== undefined && tree.winner.content?.deleted !== true) throw conflict();
      const content = contentOf(draft, undefined, generation, missingStub);
      validate(id, content, '', undefined);
      return { content, parent: undefined };
    }
    const parent = tree?.leaves.find((leaf) => leaf.rev === rev);
    if (tree !== undefined && parent === undefined) throw conflict();
    const content = contentOf(draft, parent?.content, generation, missingStub);
    validate(id, content, rev, parent);
    return { content, parent: parent?.history ?? history };
  }

  #applyEdit({ id }: Draft, { content, parent }: Prepared): string {
    const stored = this.#documents.get(id) ?? { tree: new RevisionTree(), seq: 0 };
    const { winner } = stored.tree;
    let base = parent;
    if (winner?.content?.deleted === true) {
      // A deleted document continues after its tombstone, and only if the writer does not know it.
      if (parent !== undefined || content.deleted) throw conflict();
      base = winner.history;
    } else if (winner !== undefined && base === undefined) throw conflict();
    const rev = revisionOf(base?.[0], content);
    const added = stored.tree.add([rev, ...(base ?? [])], content);
    if (added !== 'leaf') throw conflict();
    stored.tree.stem(this.revsLimit);
    this.#touch(id, stored);
    return rev;
  }

  #touch(id: string, stored: Stored): void {
    this.#lastSeq += 1;
    this.#sorted = undefined;
    stored.seq = this.#lastSeq;
    this.#documents.set(id, stored);
  }
}

interface Prepared {
  readonly content: Content;
  /** The history of the revision that the edit replaces. */
  readonly parent: readonly string[] | undefined;
}

const missingStub = (name: string): Refusal =>
  new Refusal(412, 'missing_stub', `Invalid attachment stub in document for ${name}`);

/** Returns what a function returns, or the refusal that it throws. */
export function capture<T>(make: () => T): T | Refusal {
  try {
    return make();
  } catch (error) {
    if (error instanceof Refusal) return error;
    throw error;
  }
}
