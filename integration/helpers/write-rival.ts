import type { Body, Ledger } from './write-ledger.ts';
import { tokensOf } from './write-ledger.ts';
import { rawFetch, server } from './server.ts';
import type { RivalAct } from './write-schedule.ts';

const RIVAL = { by: 'the rival', step: undefined } as const;

/** Another client, which writes to the server itself and suffers no faults. */
export class Rival {
  readonly #database: string;
  readonly #ledger: Ledger;
  readonly #hash: () => string;
  #acts = 0;

  constructor(database: string, ledger: Ledger, hash: () => string) {
    this.#database = database;
    this.#ledger = ledger;
    this.#hash = hash;
  }

  async act(id: string, act: RivalAct): Promise<void> {
    const token = `rival-${(this.#acts += 1)}`;
    const winner = await this.#read(id);
    if (act === 'leaf') return this.#leaf(id, token, winner);
    if (act === 'delete') return winner === null ? undefined : this.#delete(winner);
    const { _revisions: _history, ...rest } = winner ?? { _id: id };
    const doc: Body = { ...rest, tokens: [...(winner?.tokens ?? []), token] };
    const { rev } = await this.#request(`/${encodeURIComponent(id)}`, 'PUT', doc);
    if (rev !== undefined) this.#ledger.written(id, tokensOf(doc), rev, RIVAL);
  }

  /** Creates documents with one request, and returns them. */
  async create(docs: readonly Body[]): Promise<Body[]> {
    const response = await rawFetch(`/${this.#database}/_bulk_docs`, {
      method: 'POST',
      body: { docs },
    });
    const results = (await response.json()) as { rev?: string }[];
    return docs.flatMap((doc, i) => {
      const rev = results[i]?.rev;
      if (rev === undefined) return [];
      this.#ledger.written(doc._id, tokensOf(doc), rev, RIVAL);
      return [{ ...doc, _rev: rev }];
    });
  }

  async #delete({ _id: id, _rev: rev = '', ...rest }: Body): Promise<void> {
    const path = `/${encodeURIComponent(id)}?rev=${rev}`;
    const deleted = await this.#request(path, 'DELETE');
    if (deleted.rev === undefined) return;
    this.#ledger.released(id, tokensOf({ _id: id, ...rest }));
    this.#ledger.written(id, [], deleted.rev, RIVAL);
  }

  /** Writes a leaf beside the winner, with the same parent. */
  async #leaf(id: string, token: string, winner: Read | null): Promise<void> {
    const { start, ids } = winner?._revisions ?? { start: 1, ids: [''] };
    // express-pouchdb has lost such a leaf in some schedules, in which CouchDB keeps it.
    if (start === 1 && server.kind === 'embedded') return;
    const hashes = [this.#hash(), ...ids.slice(1)];
    const rev = `${start}-${hashes[0]}`;
    const doc = { _id: id, _rev: rev, _revisions: { start, ids: hashes }, tokens: [token] };
    const body = { new_edits: false, docs: [doc] };
    const response = await rawFetch(`/${this.#database}/_bulk_docs`, { method: 'POST', body });
    await response.arrayBuffer();
    if (response.ok) this.#ledger.written(id, [token], rev, RIVAL);
  }

  async #read(id: string): Promise<Read | null> {
    const read = await this.#request<Read>(`/${encodeURIComponent(id)}?revs=true`, 'GET');
    return read._id === undefined ? null : read;
  }

  async #request<T = { rev?: string }>(path: string, method: string, body?: object): Promise<T> {
    const response = await rawFetch(`/${this.#database}${path}`, { method, ...(body && { body }) });
    return (await response.json()) as T;
  }
}

type Read = Body & { readonly _revisions: { readonly start: number; readonly ids: string[] } };
