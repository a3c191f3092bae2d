import { missing } from '../reply.ts';
import type { MemoryDatabase } from './database.ts';
import type { Content, Revision, RevisionTree } from './revision-tree.ts';
import { generationOf, hashOf } from './revision-tree.ts';
import { toBase64 } from './revision-hash.ts';

/** The options of a read: what it adds to the document. */
export interface ReadOptions {
  readonly revs?: boolean;
  readonly revsInfo?: boolean;
  readonly conflicts?: boolean;
  readonly deletedConflicts?: boolean;
  readonly localSeq?: boolean;
  /** Adds the bytes of attachments, as base64. */
  readonly attachments?: boolean;
  /** Adds the bytes of the attachments that are newer than these revisions. */
  readonly attsSince?: readonly string[];
}

export type JsonDocument = Readonly<Record<string, unknown>> & {
  readonly _id: string;
  readonly _rev: string;
};

/** Returns a revision as a document, with what a read asks for. */
export function toDocument(
  db: MemoryDatabase,
  id: string,
  revision: Revision,
  options: ReadOptions = {},
): JsonDocument {
  const { rev, history, content } = revision;
  const tree = treeOf(db, id);
  const others = tree.ranked.filter((leaf) => leaf.rev !== rev);
  const live = others.filter((leaf) => leaf.content?.deleted !== true).map((leaf) => leaf.rev);
  const deleted = others.filter((leaf) => leaf.content?.deleted === true).map((leaf) => leaf.rev);
  return {
    _id: id,
    _rev: rev,
    ...content?.fields,
    ...(content?.deleted === true && { _deleted: true }),
    ...(options.revs === true && {
      _revisions: { start: generationOf(rev), ids: history.map(hashOf) },
    }),
    ...(options.revsInfo === true && { _revs_info: revsInfo(tree, history) }),
    ...(options.conflicts === true && live.length > 0 && { _conflicts: live }),
    ...(options.deletedConflicts === true && deleted.length > 0 && { _deleted_conflicts: deleted }),
    ...(options.localSeq === true && { _local_seq: db.seqOf(id) }),
    ...(content !== null &&
      content.attachments.size > 0 && { _attachments: attachmentsOf(content, history, options) }),
  };
}

export function treeOf(db: MemoryDatabase, id: string): RevisionTree {
  const tree = db.tree(id);
  if (tree === undefined) throw missing();
  return tree;
}

function revsInfo(tree: RevisionTree, history: readonly string[]): readonly object[] {
  return history.map((rev) => {
    const content = tree.find(rev)?.content ?? null;
    const status = content === null ? 'missing' : content.deleted ? 'deleted' : 'available';
    return { rev, status };
  });
}

function attachmentsOf(
  { attachments }: Content,
  history: readonly string[],
  { attachments: all = false, attsSince }: ReadOptions,
): object {
  const since = attsSince?.filter((rev) => history.includes(rev)).map(generationOf) ?? [];
  const newest = attsSince === undefined ? Infinity : Math.max(0, ...since);
  return Object.fromEntries(
    [...attachments].map(([name, { data, content_type: type, revpos, digest, length }]) => {
      const common = { content_type: type, revpos, digest };
      const isSent = all || revpos > newest;
      return [
        name,
        isSent ? { ...common, data: toBase64(data) } : { ...common, length, stub: true },
      ];
    }),
  );
}

/** Returns the winner of a document. Throws a 404 if it does not exist, or is deleted. */
export function winnerOf(db: MemoryDatabase, id: string): Revision {
  const { winner } = treeOf(db, id);
  if (winner === undefined) throw missing();
  if (winner.content?.deleted === true) throw missing('deleted');
  return winner;
}

/** Returns a revision. Throws a 404 if its content is not known. */
export function revisionAt(db: MemoryDatabase, id: string, rev: string): Revision {
  const found = treeOf(db, id).find(rev);
  if (found === undefined || found.content === null) throw missing();
  return found;
}
