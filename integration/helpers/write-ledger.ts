import { lack } from './capabilities.ts';
import { rawFetch, server } from './server.ts';

// The oracle of the random writes: what clients were told, against what the server has.

/** A document of the schedules: each write adds a token that no other write has. */
export interface Body {
  _id: string;
  _rev?: string;
  _deleted?: boolean;
  _attachments?: Record<string, { content_type: string; data?: string; stub?: true }>;
  tokens?: string[];
  /** The validation function refuses it. */
  forbidden?: boolean;
  /** The proxy refuses a document with a long one, as CouchDB does above its limit. */
  pad?: string;
}

/** The attachment that an edit refers to, and that the server never has. */
export const MISSING_STUB = 'missing';

/** Everything of a body that must not get lost: its tokens and the names of its attachments. */
export function tokensOf({ tokens = [], _attachments: files = {} }: Body): string[] {
  return [...tokens, ...Object.keys(files).filter((name) => name !== MISSING_STUB)];
}

/** What the server has of a document. */
export interface Stored {
  /** Of all live leaves together. */
  readonly tokens: ReadonlySet<string>;
  /** Every revision in the tree, deleted or not. */
  readonly revs: ReadonlySet<string>;
  readonly liveRevs: ReadonlySet<string>;
}

interface Leaf extends Body {
  readonly _revisions: { readonly start: number; readonly ids: readonly string[] };
}

const NONE: Stored = { tokens: new Set(), revs: new Set(), liveRevs: new Set() };

/** Reads all leaves of documents from the server itself. */
export async function readStored(
  database: string,
  ids: Iterable<string>,
  hasLeaves: (id: string) => boolean,
): Promise<ReadonlyMap<string, Stored>> {
  const together: string[] = [];
  const alone: string[] = [];
  const winnersOnly = lack(server.kind, 'bulk-get-leaves') !== undefined;
  for (const id of ids) (winnersOnly && hasLeaves(id) ? alone : together).push(id);
  const all = new Map<string, Leaf[]>();
  if (together.length > 0) {
    const { results } = await answer<{
      results: { id: string; docs: { ok?: Leaf }[] }[];
    }>(`/${database}/_bulk_get?revs=true`, { docs: together.map((id) => ({ id })) });
    for (const { id, docs } of results)
      all.set(
        id,
        docs.flatMap(({ ok }) => ok ?? []),
      );
  }
  for (const id of alone) {
    const path = `/${database}/${encodeURIComponent(id)}?open_revs=all&revs=true`;
    const leaves = await answer<{ ok?: Leaf }[]>(path);
    all.set(id, Array.isArray(leaves) ? leaves.flatMap(({ ok }) => ok ?? []) : []);
  }
  return new Map([...all].map(([id, leaves]) => [id, summarize(leaves)]));
}

function summarize(leaves: readonly Leaf[]): Stored {
  const live = leaves.filter(({ _deleted: deleted }) => deleted !== true);
  const revs = leaves.flatMap(({ _revisions: { start, ids } }) =>
    ids.map((hash, i) => `${start - i}-${hash}`),
  );
  return {
    tokens: new Set(live.flatMap(tokensOf)),
    revs: new Set(revs),
    liveRevs: new Set(live.map(({ _rev: rev = '' }) => rev)),
  };
}

async function answer<T>(path: string, body?: object): Promise<T> {
  const response = await rawFetch(path, {
    headers: { accept: 'application/json' },
    ...(body && { method: 'POST', body }),
  });
  return (await response.json()) as T;
}

/** A rule that was broken. */
export interface Violation {
  readonly rule:
    | 'lost'
    | 'no such revision'
    | 'refused, but there'
    | 'written, but not reported'
    | 'leaves left over'
    | 'foreign error';
  readonly id: string;
  readonly what: string;
  /** The step whose report is wrong; undefined for one of another client. */
  readonly step: number | undefined;
}

/** Who told a client, and in which step. */
export interface Report {
  readonly step: number | undefined;
  readonly by: string;
}

/** What the clients of one schedule were told. */
export class Ledger {
  readonly #told = new Map<string, Map<string, Report>>();
  readonly #revs = new Map<string, Map<string, Report>>();
  readonly #refused = new Map<string, Map<string, Report>>();
  readonly #released = new Map<string, Set<string>>();
  readonly #database: string;
  readonly #hasLeaves: (id: string) => boolean;

  constructor(database: string, hasLeaves: (id: string) => boolean) {
    this.#database = database;
    this.#hasLeaves = hasLeaves;
  }

  /** A client was told that these tokens are written, in this revision. */
  written(id: string, tokens: readonly string[], rev: string | undefined, by: Report): void {
    const told = of(this.#told, id);
    for (const token of tokens) if (!told.has(token)) told.set(token, by);
    if (rev !== undefined) of(this.#revs, id).set(rev, by);
  }

  /** A client was told that these tokens are not written. */
  refused(id: string, tokens: readonly string[], by: Report): void {
    for (const token of tokens) of(this.#refused, id).set(token, by);
  }

  /** A client knows these tokens, and destroys them on purpose. */
  released(id: string, tokens: readonly string[]): void {
    const released = this.#released.get(id) ?? new Set();
    for (const token of tokens) released.add(token);
    this.#released.set(id, released);
  }

  /** A client overwrites a document, without a look at it. */
  releaseAll(id: string): void {
    this.released(id, [...(this.#told.get(id)?.keys() ?? [])]);
  }

  read(ids: Iterable<string>): Promise<ReadonlyMap<string, Stored>> {
    return readStored(this.#database, ids, this.#hasLeaves);
  }

  async check(): Promise<Violation[]> {
    const violations: Violation[] = [];
    const ids = new Set([...this.#told.keys(), ...this.#revs.keys(), ...this.#refused.keys()]);
    const stored = await this.read(ids);
    for (const id of ids) {
      const { tokens, revs } = stored.get(id) ?? NONE;
      for (const [token, { by, step }] of of(this.#told, id))
        if (!tokens.has(token) && this.#released.get(id)?.has(token) !== true)
          violations.push({ rule: 'lost', id, what: `${token}, written by ${by}`, step });
      for (const [rev, { by, step }] of of(this.#revs, id))
        if (!revs.has(rev))
          violations.push({ rule: 'no such revision', id, what: `${rev}, written by ${by}`, step });
      for (const [token, { by, step }] of of(this.#refused, id))
        if (tokens.has(token))
          violations.push({
            rule: 'refused, but there',
            id,
            what: `${token}, refused by ${by}`,
            step,
          });
    }
    return violations;
  }
}

function of<V>(maps: Map<string, Map<string, V>>, id: string): Map<string, V> {
  const found = maps.get(id) ?? new Map<string, V>();
  maps.set(id, found);
  return found;
}
