import { backwards } from './parameters.ts';

/** The fields of a document without those of CouchDB. */
export type Fields = Readonly<Record<string, unknown>>;

/** An attachment with its bytes. */
export interface StoredAttachment {
  readonly content_type: string;
  /** The generation in which it was written. */
  readonly revpos: number;
  readonly digest: string;
  readonly length: number;
  readonly data: Uint8Array;
}

/** The content of a revision. */
export interface Content {
  readonly deleted: boolean;
  readonly fields: Fields;
  readonly attachments: ReadonlyMap<string, StoredAttachment>;
}

/** A revision with its place in the tree. */
export interface Revision {
  readonly rev: string;
  /** The revision and its known ancestors, the newest first. */
  readonly history: readonly string[];
  /** Null if only its place in the history is known. */
  readonly content: Content | null;
}

const NO_CONTENT: Content = { deleted: false, fields: {}, attachments: new Map() };

interface Node {
  readonly hash: string;
  content: Content | null;
  children: readonly Node[];
}

/** A tree whose root has this generation: older ancestors are unknown. */
interface Root {
  readonly start: number;
  readonly node: Node;
}

/**
 * The place of an added revision: the continuation of a leaf, a new branch, one with more ancestors than before,
 * or a known revision.
 */
export type Added = 'leaf' | 'branch' | 'longer' | 'known';

/**
 * The revisions of a document: trees, because a replication may write a revision without its ancestors.
 * Siblings and trees have the order of CouchDB, which the order of its answers depends on.
 */
export class RevisionTree {
  #roots: readonly Root[] = [];
  #leaves: readonly Revision[] | undefined;
  #ranked: readonly Revision[] | undefined;

  /** The leaves in the order in which CouchDB answers them. */
  get leaves(): readonly Revision[] {
    this.#leaves ??= this.#paths()
      .filter(({ node }) => node.children.length === 0)
      .map(toRevision);
    return this.#leaves;
  }

  /** The leaves, the winner first: live ones before deleted ones, then the longest history. */
  get ranked(): readonly Revision[] {
    this.#ranked ??= [...this.leaves].sort(
      (a, b) => Number(isDeleted(a)) - Number(isDeleted(b)) || compareRevs(b.rev, a.rev),
    );
    return this.#ranked;
  }

  /** Undefined if all revisions were purged. */
  get winner(): Revision | undefined {
    return this.ranked[0];
  }

  find(rev: string): Revision | undefined {
    const path = this.#paths().find(({ rev: one }) => one === rev);
    return path && toRevision(path);
  }

  /** Returns the leaves that descend from a revision, or the revision itself if it is a leaf. */
  latest(rev: string): readonly Revision[] {
    return this.leaves.filter(({ history }) => history.includes(rev));
  }

  /** Adds a revision with its ancestors, the newest first. */
  add(history: readonly string[], content: Content): Added {
    const added = this.#insert(history, content);
    this.#forget();
    // Two trees with the same revision become one, as soon as its ancestors are known.
    const revs = this.#roots.length > 1 ? this.#paths().map(({ rev }) => rev) : [];
    if (new Set(revs).size < revs.length) this.#rebuild(this.leaves);
    return added;
  }

  #insert(history: readonly string[], content: Content): Added {
    const path = backwards(history);
    const start = generationOf(path[0] as string);
    const hashes = path.map(hashOf);
    for (const root of this.#roots) {
      const added = this.#merge(root, start, hashes, content);
      if (added !== undefined) return added;
    }
    const added = this.#roots.length === 0 ? 'leaf' : 'branch';
    this.#setRoots([...this.#roots, { start, node: chain(hashes, content) as Node }]);
    return added;
  }

  /** Returns a copy, to which revisions can be added without a change of this tree. */
  copy(): RevisionTree {
    const tree = new RevisionTree();
    tree.#roots = this.#roots.map(({ start, node }) => ({ start, node: copyNode(node) }));
    return tree;
  }

  /** Removes leaves, with the ancestors that no other leaf has. Returns those that were leaves, in order. */
  purge(revs: readonly string[]): readonly string[] {
    const { leaves } = this;
    const purged = leaves.filter(({ rev }) => revs.includes(rev)).map(({ rev }) => rev);
    purged.sort(compareRevs);
    if (purged.length > 0) this.#rebuild(leaves.filter(({ rev }) => !purged.includes(rev)));
    return purged;
  }

  /** Forgets the ancestors of each leaf beyond a number of revisions. */
  stem(limit: number): void {
    const { leaves } = this;
    if (leaves.every(({ history }) => history.length <= limit)) return;
    this.#rebuild(leaves.map((one) => ({ ...one, history: one.history.slice(0, limit) })));
  }

  /** Makes the trees again from the histories of leaves, those with the oldest ancestors first. */
  #rebuild(leaves: readonly Revision[]): void {
    const contents = new Map<string, Content>();
    for (const { rev, node } of this.#paths())
      if (node.content !== null && !contents.has(rev)) contents.set(rev, node.content);
    this.#roots = [];
    const firstOf = ({ history }: Revision): number => generationOf(history.at(-1) ?? '0');
    for (const { history } of [...leaves].sort((a, b) => firstOf(a) - firstOf(b)))
      this.#insert(history, NO_CONTENT);
    for (const { rev, node } of this.#paths()) node.content = contents.get(rev) ?? null;
    this.#forget();
  }

  #forget(): void {
    this.#leaves = undefined;
    this.#ranked = undefined;
  }

  #merge(
    { start: treeStart, node }: Root,
    start: number,
    hashes: readonly string[],
    content: Content,
  ): Added | undefined {
    if (start >= treeStart) {
      const at = find([node], start - treeStart, hashes[0] as string);
      return at && extend(at, hashes.slice(1), content);
    }
    // The new path begins before the tree, and gives it more ancestors.
    const rest = hashes.slice(treeStart - start);
    if (rest.length === 0 || rest[0] !== node.hash) return undefined;
    const added = extend(node, rest.slice(1), content);
    const ancestors = hashes.slice(0, treeStart - start);
    const root = ancestors.reduceRight<Node>(
      (child, hash) => ({ hash, content: null, children: [child] }),
      node,
    );
    this.#setRoots([...this.#roots.filter((one) => one.node !== node), { start, node: root }]);
    return added === 'known' ? 'longer' : added;
  }

  #setRoots(roots: readonly Root[]): void {
    this.#roots = [...roots].sort(
      (a, b) => a.start - b.start || compareHashes(a.node.hash, b.node.hash),
    );
  }

  /** All revisions with their histories. CouchDB answers the trees that begin last first. */
  #paths(): readonly Path[] {
    return backwards(this.#roots).flatMap(({ start, node }) => pathsOf(node, start, []));
  }
}

function copyNode({ hash, content, children }: Node): Node {
  return { hash, content, children: children.map(copyNode) };
}

interface Path {
  readonly rev: string;
  readonly history: readonly string[];
  readonly node: Node;
}

function pathsOf(root: Node, start: number, ancestors: readonly string[]): Path[] {
  const paths: Path[] = [];
  const open: { node: Node; generation: number; above: readonly string[] }[] = [
    { node: root, generation: start, above: ancestors },
  ];
  // Depth first, and without recursion: a history may be long.
  for (let next = open.pop(); next !== undefined; next = open.pop()) {
    const { node, generation, above } = next;
    const rev = `${generation}-${node.hash}`;
    const history = [rev, ...above];
    paths.push({ rev, history, node });
    for (let i = node.children.length - 1; i >= 0; i--)
      open.push({ node: node.children[i] as Node, generation: generation + 1, above: history });
  }
  return paths;
}

function toRevision({ rev, history, node }: Path): Revision {
  return { rev, history, content: node.content };
}

function isDeleted({ content }: Revision): boolean {
  return content?.deleted === true;
}

/** Finds a node by its depth below nodes, and its hash. */
function find(nodes: readonly Node[], depth: number, hash: string): Node | undefined {
  let level = nodes;
  for (let i = 0; i < depth && level.length > 0; i++) level = level.flatMap((one) => one.children);
  return level.find((one) => one.hash === hash);
}

/** Adds the rest of a path below a node that it has in common with the tree. */
function extend(from: Node, hashes: readonly string[], content: Content): Added {
  let node = from;
  for (const [i, hash] of hashes.entries()) {
    const child = node.children.find((one) => one.hash === hash);
    if (child === undefined) {
      const added = node.children.length === 0 ? 'leaf' : 'branch';
      const children = [...node.children, chain(hashes.slice(i), content) as Node];
      node.children = children.sort((a, b) => compareHashes(a.hash, b.hash));
      return added;
    }
    node = child;
  }
  node.content ??= content;
  return 'known';
}

function chain(hashes: readonly string[], content: Content): Node | undefined {
  return hashes.reduceRight<Node | undefined>(
    (child, hash) =>
      child === undefined
        ? { hash, content, children: [] }
        : { hash, content: null, children: [child] },
    undefined,
  );
}

export function generationOf(rev: string): number {
  return Number.parseInt(rev, 10);
}

export function hashOf(rev: string): string {
  return rev.slice(rev.indexOf('-') + 1);
}

export function compareRevs(a: string, b: string): number {
  return generationOf(a) - generationOf(b) || compareHashes(hashOf(a), hashOf(b));
}

/** Compares hashes by their bytes: CouchDB stores 32 hexadecimal digits as 16 bytes, other text as it is. */
function compareHashes(a: string, b: string): number {
  const [left, right] = [bytesOf(a), bytesOf(b)];
  return left === right ? 0 : left < right ? -1 : 1;
}

function bytesOf(hash: string): string {
  if (!/^[\da-f]{32}$/.test(hash)) return hash;
  return hash.replace(/../g, (pair) => String.fromCharCode(Number.parseInt(pair, 16)));
}
