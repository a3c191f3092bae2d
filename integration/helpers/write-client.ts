import {
  fields,
  isConnectionError,
  isCorduroyError,
  isProtocolError,
  isTimeoutError,
  isTransient,
  resolveConflicts,
  union,
} from 'corduroy';
import type { ConflictResolution, Database, Document, Draft, Merge, SaveOptions } from 'corduroy';
import { type Observable, firstValueFrom } from 'rxjs';
import { lack } from './capabilities.ts';
import { server as running } from './server.ts';
import type { FaultsInForce } from './write-faults.ts';
import { LONGEST_PAD } from './write-faults.ts';
import type { Body, Ledger, Report, Violation } from './write-ledger.ts';
import { MISSING_STUB, tokensOf } from './write-ledger.ts';
import type { Rival } from './write-rival.ts';
import type { ChangeKind, Edit, Operation, RivalAct, SaveMode, Step } from './write-schedule.ts';

/** A document that an operation is to write, and how to tell whether it did. */
interface Attempt {
  readonly id: string;
  /** The object that is given to Corduroy, which records the new `_rev` on it. */
  readonly doc: Body;
  readonly rev: string | undefined;
  /** Only this write adds these. */
  readonly own: readonly string[];
  /** Everything that the client wants to be in the document. */
  readonly wanted: readonly string[];
  /** The client destroys these. */
  readonly releases: readonly string[];
  /** It deletes the revision `rev`, and writes nothing. */
  readonly deletes?: boolean;
}

/** The outcome of an operation, as far as it says something on all documents. */
type Result = { readonly value: unknown } | { readonly error: unknown };

export type Pets = Database<Body>;

/** A client that writes through the faults, and that enters into the ledger what it is told. */
export class Client {
  readonly violations: Violation[] = [];
  readonly copies = new Map<string, Body>();
  readonly #stale = new Map<string, Body>();
  readonly #db: Pets;
  readonly #coalesced: Pets;
  readonly #ledger: Ledger;
  readonly #rival: Rival;
  readonly #idOf: (name: string) => string;
  readonly #hash: () => string;
  #by: Report = { by: '', step: undefined };
  #token = '';
  #step: Step | undefined;
  #faults: FaultsInForce | undefined;

  constructor(options: {
    readonly db: Pets;
    readonly coalesced: Pets;
    readonly ledger: Ledger;
    readonly rival: Rival;
    readonly idOf: (name: string) => string;
    readonly hash: () => string;
  }) {
    this.#db = options.db;
    this.#coalesced = options.coalesced;
    this.#ledger = options.ledger;
    this.#rival = options.rival;
    this.#idOf = options.idOf;
    this.#hash = options.hash;
  }

  async run(step: Step, place: number, faults: FaultsInForce): Promise<void> {
    this.#step = step;
    this.#faults = faults;
    this.#token = `t${place}`;
    this.#by = { by: `step ${place} (${step.do.op})`, step: place };
    await this.#run(step.do);
  }

  async #run(operation: Operation): Promise<void> {
    switch (operation.op) {
      case 'save':
        return this.#save(operation.edit, operation.mode);
      case 'save list':
        return this.#saveList(operation.edits, operation.mode);
      case 'save coalesced':
        return this.#saveCoalesced(operation.edits);
      case 'save leaves':
        return this.#saveLeaves(operation);
      case 'delete':
        return this.#delete(this.#idOf(operation.id), operation.base);
      case 'upsert':
        return this.#upsert(this.#idOf(operation.id), operation.change);
      case 'upsert list':
        return this.#upsertList(operation.ids.map(this.#idOf), operation.change);
      case 'resolveLeaves':
        return this.#resolveLeaves(this.#idOf(operation.id), operation.change);
      case 'putAttachment':
        return this.#putAttachment(this.#idOf(operation.id));
      case 'deleteAttachment':
        return this.#deleteAttachment(this.#idOf(operation.id));
      case 'read':
        return this.#read(this.#idOf(operation.id));
      case 'rival':
        return this.#rival.act(this.#idOf(operation.id), operation.act);
      default:
        throw new Error('An unknown operation');
    }
  }

  async #save(edit: Edit, mode: SaveMode): Promise<void> {
    const attempt = this.#attempt(edit, mode);
    const save = this.#db.save(attempt.doc as Draft<Body>, this.#options(mode, edit));
    const result = await outcome(this.#resolved(save, mode, [edit]));
    await this.#enter([attempt], result);
  }

  async #saveList(edits: readonly Edit[], mode: SaveMode): Promise<void> {
    await this.#rival.create(
      edits
        .filter(({ met }) => met)
        .map(({ id }) => ({ _id: this.#idOf(id), tokens: [`met-${this.#token}`] })),
    );
    const attempts = edits.map((edit) => this.#attempt(edit, mode));
    const docs = attempts.map(({ doc }) => doc as Draft<Body>);
    const save = this.#db.save(docs, this.#options(mode, ...edits));
    await this.#enter(attempts, await outcome(this.#resolved(save, mode, edits)));
  }

  async #saveCoalesced(edits: readonly Edit[]): Promise<void> {
    const attempts = edits.map((edit) => this.#attempt(edit, 'plain'));
    const results = attempts.map(({ doc }) => outcome(this.#coalesced.save(doc as Draft<Body>)));
    for (const [i, result] of (await Promise.all(results)).entries())
      await this.#enter([attempts[i] as Attempt], result);
  }

  async #saveLeaves({ id: name, kinds }: Operation & { op: 'save leaves' }): Promise<void> {
    const id = this.#idOf(name);
    const attempts = kinds.map((kind, i): Attempt => {
      const token = `${this.#token}.${i}`;
      const doc: Body = {
        _id: id,
        _rev: `${1 + (i % 3)}-${this.#hash()}`,
        tokens: [token],
        ...(kind === 'forbidden' && { forbidden: true }),
        ...(kind === 'attachment' && { _attachments: { [`f-${token}`]: file() } }),
      };
      return { id, doc, rev: doc._rev, own: tokensOf(doc), wanted: tokensOf(doc), releases: [] };
    });
    const docs = attempts.map(({ doc }) => doc as Draft<Body>);
    const result = await outcome(this.#db.save(docs, { newEdits: false }));
    if ('error' in result || resolutionOf(result.value).pending.size === 0) {
      await this.#enter(attempts, result);
    } else if (resolutionOf(result.value).resolved.size === 0) {
      for (const { own } of attempts) this.#ledger.refused(id, own, this.#by);
    } else {
      // Both maps have one entry for all leaves of a document: a client learns no more than this.
      for (const { own, doc } of attempts)
        if (doc.forbidden === true) this.#ledger.refused(id, own, this.#by);
    }
  }

  async #delete(id: string, base: 'copy' | 'stale'): Promise<void> {
    const copy = base === 'copy' ? this.copies.get(id) : this.#stale.get(id);
    if (copy?._rev === undefined) return;
    const { _rev: rev } = copy;
    const isLeaf = await this.#isLiveLeaf(id, rev);
    const result = await outcome(this.#db.delete({ _id: id, _rev: rev }));
    const releases = tokensOf(copy);
    const attempt = { id, doc: copy, rev, own: [], wanted: [], releases, deletes: isLeaf };
    await this.#enter([attempt], result);
    if ('value' in result) this.#forget(id);
  }

  async #upsert(id: string, change: ChangeKind): Promise<void> {
    let seen: Body | null = null;
    const made = this.#change([id], change);
    const result = await outcome(
      this.#db.upsert(id, (doc) => {
        seen = doc;
        return made(doc);
      }),
    );
    const { own } = this.#ownOf(change);
    const attempt = (wanted: readonly string[]): Attempt => ({
      id,
      doc: { _id: id },
      rev: undefined,
      own,
      wanted,
      releases: [],
    });
    if (!('value' in result)) return this.#enter([attempt([])], result);
    const doc = result.value as Body | null;
    if (doc === null || change === 'null') return;
    await this.#enter([attempt([...own, ...(seen === null ? [] : tokensOf(seen))])], result);
    this.#keep(doc);
  }

  async #upsertList(ids: readonly string[], change: ChangeKind): Promise<void> {
    const seen = new Map<string, readonly string[]>();
    const made = this.#change(ids, change);
    const result = await outcome(
      this.#db.upsert(ids, (doc) => {
        if (doc !== null) seen.set(doc._id, tokensOf(doc));
        return made(doc);
      }),
    );
    const { own } = this.#ownOf(change);
    const attempts = ids.map((id): Attempt => ({
      id,
      doc: { _id: id },
      rev: undefined,
      own,
      wanted: [...own, ...(seen.get(id) ?? [])],
      releases: [],
    }));
    await this.#enter(attempts, result);
  }

  async #resolveLeaves(id: string, change: ChangeKind): Promise<void> {
    let merges = 0;
    const refused = change === 'forbidden' || change === 'large';
    const added: string[] = [];
    const rivals = this.#rivals([id]);
    const merge: Merge<Body> = async (local, server) => {
      await rivals(id);
      const token = `${this.#token}.${(merges += 1)}`;
      added.push(token);
      const tokens = joined(local, server, token);
      if (change === 'throws') throw new Error('on purpose');
      if (change === 'null') return null;
      if (change === 'tokens only') return { tokens } as Draft<Body>;
      return {
        ...local,
        tokens,
        ...(change === 'forbidden' && { forbidden: true }),
        ...(change === 'large' && { pad: 'x'.repeat(LONGEST_PAD) }),
      };
    };
    const result = await outcome(this.#db.revs.resolveLeaves(id, merge));
    // Of a merge that fails, earlier rounds may be written.
    if (refused) this.#ledger.refused(id, added, this.#by);
    if (!('value' in result)) {
      this.#requireOwnError(id, result.error);
      return;
    }
    const doc = result.value as Body;
    // Without the last merge, if another client left nothing to be merged.
    this.#ledger.written(id, tokensOf(doc), doc._rev, this.#by);
    this.#keep(doc);
    if (this.#step?.rival !== undefined || this.#faults?.rivalBetween === true) return;
    const left = (await this.#ledger.read([id])).get(id)?.liveRevs.size ?? 0;
    if (left !== 1) {
      this.#broken('leaves left over', id, `${left} after`);
    }
  }

  async #putAttachment(id: string): Promise<void> {
    const doc = this.copies.get(id) ?? { _id: id };
    const { _rev: rev } = doc;
    const name = `f-${this.#token}`;
    const before = tokensOf(doc);
    const result = await outcome(
      this.#db.putAttachment(doc, 'text', name, {
        contentType: 'application/octet-stream',
      }),
    );
    const wanted = [...before, name];
    await this.#enter([{ id, doc, rev, own: [name], wanted, releases: [] }], result);
  }

  async #deleteAttachment(id: string): Promise<void> {
    const doc = this.copies.get(id);
    const [name] = Object.keys(doc?._attachments ?? {});
    if (doc?._rev === undefined || name === undefined) return;
    const { _rev: rev } = doc;
    const result = await outcome(this.#db.deleteAttachment(doc as Document<Body>, name));
    const wanted = tokensOf(doc).filter((token) => token !== name);
    await this.#enter([{ id, doc, rev, own: [], wanted, releases: [name] }], result);
  }

  async #read(id: string): Promise<void> {
    const result = await outcome(this.#db.get(id));
    if ('value' in result) this.#keep(result.value as Body);
  }

  #attempt({ id: name, base, kind }: Edit, mode: SaveMode): Attempt {
    const id = this.#idOf(name);
    const copies = { copy: this.copies, stale: this.#stale, none: undefined }[base];
    const copy = copies?.get(id) ?? { _id: id };
    if (kind === 'deleted' && copy._rev !== undefined) {
      if (mode === 'force') this.#ledger.releaseAll(id);
      const doc: Body = { _id: id, _rev: copy._rev, _deleted: true };
      const releases = tokensOf(copy);
      return { id, doc, rev: doc._rev, own: [], wanted: [], releases };
    }
    const doc: Body = structuredClone(copy);
    doc.tokens = [...(copy.tokens ?? []), this.#token];
    const own = [this.#token];
    if (kind === 'forbidden') doc.forbidden = true;
    if (kind === 'large') doc.pad = 'x'.repeat(LONGEST_PAD);
    if (kind === 'missing stub')
      doc._attachments = { ...doc._attachments, [MISSING_STUB]: { ...STUB } };
    if (kind === 'attachment') {
      doc._attachments = { ...doc._attachments, [`f-${this.#token}`]: file() };
      own.push(`f-${this.#token}`);
    }
    if (mode === 'force') this.#ledger.releaseAll(id);
    return { id, doc, rev: doc._rev, own, wanted: tokensOf(doc), releases: [] };
  }

  #options(mode: SaveMode, ...edits: readonly Edit[]): SaveOptions<Body> {
    if (mode === 'force') return { force: true };
    const rivals = this.#rivals(edits.map(({ id }) => this.#idOf(id)));
    const merged =
      (make: (local: Body, server: Body | null) => Body | null): Merge<Body> =>
      async (local, server) => {
        await rivals(local._id);
        return make(local, server);
      };
    switch (mode) {
      case 'merge: all fields':
        return { merge: merged(allFields) };
      case 'merge: tokens only':
        return {
          merge: merged((local, server) =>
            local._deleted ? null : { _id: local._id, tokens: joined(local, server) },
          ),
        };
      case 'merge: fields()':
        return {
          merge: fields((field, local, server) =>
            field === 'tokens' ? union(field, local, server, undefined) : local,
          ),
        };
      case 'merge: null':
        return { merge: () => null };
      case 'merge: throws':
        return {
          merge: () => {
            throw new Error('on purpose');
          },
        };
      default:
        return {};
    }
  }

  #resolved(
    save: Observable<ConflictResolution<Body>>,
    mode: SaveMode,
    edits: readonly Edit[],
  ): Observable<ConflictResolution<Body>> {
    if (mode !== 'resolveConflicts') return save;
    const { merge } = this.#options('merge: all fields', ...edits);
    return merge === undefined ? save : save.pipe(resolveConflicts(merge));
  }

  #change(
    ids: readonly string[],
    change: ChangeKind,
  ): (doc: Body | null) => Promise<Draft<Body> | null> {
    const rivals = this.#rivals(ids);
    return async (doc) => {
      await rivals(doc?._id ?? ids[0] ?? '');
      const tokens = [...(doc?.tokens ?? []), this.#token];
      if (change === 'throws') throw new Error('on purpose');
      if (change === 'null') return null;
      if (change === 'tokens only') return { tokens } as Draft<Body>;
      return {
        ...doc,
        tokens,
        ...(change === 'forbidden' && { forbidden: true }),
        ...(change === 'large' && { pad: 'x'.repeat(LONGEST_PAD) }),
        ...(change === 'attachment' && {
          _attachments: { ...doc?._attachments, [`f-${this.#token}`]: file() },
        }),
      } as Draft<Body>;
    };
  }

  #ownOf(change: ChangeKind): { readonly own: readonly string[] } {
    return { own: change === 'attachment' ? [this.#token, `f-${this.#token}`] : [this.#token] };
  }

  /** Lets the other client act once, on the first of these documents that is merged. */
  #rivals(ids: readonly string[]): (id: string) => Promise<void> {
    let act: RivalAct | undefined = this.#step?.rival;
    return async (id) => {
      const once = act;
      if (once === undefined || !ids.includes(id)) return;
      act = undefined;
      await this.#rival.act(id, once);
    };
  }

  /** Enters an outcome into the ledger, document by document. */
  async #enter(attempts: readonly Attempt[], result: Result): Promise<void> {
    const unknown: Attempt[] = [];
    for (const attempt of attempts) {
      const { id, own, releases } = attempt;
      const verdict = verdictOn(attempt, result);
      if (verdict.type === 'refused') {
        const { by, step } = this.#by;
        this.#ledger.refused(id, own, { by: `${by}: ${verdict.word}`, step });
        continue;
      }
      this.#ledger.released(id, releases);
      if (verdict.type === 'unknown') unknown.push(attempt);
      if (verdict.type === 'written') this.#enterWritten(attempt, verdict.doc, verdict.rev);
    }
    if ('error' in result) this.#requireOwnError(attempts[0]?.id ?? '', result.error);
    await this.#requireReports(unknown);
  }

  #enterWritten(attempt: Attempt, doc: Body, rev: string | undefined): void {
    const { id, wanted, own } = attempt;
    if (own.length === 0 && wanted.length === 0) {
      this.#ledger.written(id, [], rev, this.#by);
      this.#forget(id);
      return;
    }
    const forced = this.#forces;
    if (forced) this.#ledger.releaseAll(id);
    this.#ledger.written(id, forced ? own : [...wanted, ...tokensOf(doc)], rev, this.#by);
    if (doc._rev !== undefined) this.#keep(doc);
  }

  /** CouchDB refuses a list for one missing stub, and has written a part of it. */
  get #mayBeHalfWritten(): boolean {
    const operation = this.#step?.do;
    return (
      operation !== undefined &&
      'edits' in operation &&
      operation.edits.some(({ kind }) => kind === 'missing stub')
    );
  }

  get #forces(): boolean {
    const operation = this.#step?.do;
    return operation !== undefined && 'mode' in operation && operation.mode === 'force';
  }

  /** After one fault Corduroy has to find out whether a document was written. */
  async #requireReports(unknown: readonly Attempt[]): Promise<void> {
    if (unknown.length === 0 || this.#faults === undefined) return;
    const { strikes, rivalBetween } = this.#faults;
    if (rivalBetween || strikes + (this.#mayBeHalfWritten ? 1 : 0) > 1) return;
    const stored = await this.#ledger.read(unknown.map(({ id }) => id));
    for (const { id, own, rev, deletes = false } of unknown) {
      const { tokens, liveRevs } = stored.get(id) ?? {};
      const token = own.find((one) => tokens?.has(one) === true);
      const deleted = deletes && rev !== undefined && liveRevs?.has(rev) !== true;
      // One request for many documents shows only their winners there.
      if (WINNERS_ONLY && (deleted || liveRevs?.size !== 1)) continue;
      if (token === undefined && !deleted) continue;
      this.#broken('written, but not reported', id, `${token ?? 'the deletion'} by`);
    }
  }

  async #isLiveLeaf(id: string, rev: string): Promise<boolean> {
    const stored = await this.#ledger.read([id]);
    return stored.get(id)?.liveRevs.has(rev) === true;
  }

  #requireOwnError(id: string, error: unknown): void {
    const ours = isCorduroyError(error) || String(error) === 'Error: on purpose';
    if (ours) return;
    this.#broken('foreign error', id, `${String(error)} by`);
  }

  #broken(rule: Violation['rule'], id: string, what: string): void {
    const { by, step } = this.#by;
    this.violations.push({ rule, id, what: `${what} ${by}`, step });
  }

  #keep(doc: Body): void {
    const old = this.copies.get(doc._id);
    if (old !== undefined && old !== doc) this.#stale.set(doc._id, old);
    this.copies.set(doc._id, structuredClone(doc));
  }

  #forget(id: string): void {
    const copy = this.copies.get(id);
    if (copy !== undefined) this.#stale.set(id, copy);
    this.copies.delete(id);
  }
}

const WINNERS_ONLY = lack(running.kind, 'bulk-get-leaves') !== undefined;
const STUB = { content_type: 'text/plain', stub: true } as const;

function file(): { content_type: string; data: string } {
  return { content_type: 'application/octet-stream', data: 'dGV4dA==' };
}

function joined(local: Body, server: Body | null, ...more: string[]): string[] {
  return [...new Set([...(server?.tokens ?? []), ...(local.tokens ?? []), ...more])];
}

function allFields(local: Body, server: Body | null): Body | null {
  if (local._deleted === true) return null;
  return { ...server, ...local, tokens: joined(local, server) };
}

async function outcome(operation: Observable<unknown>): Promise<Result> {
  try {
    return { value: await firstValueFrom(operation) };
  } catch (error) {
    return { error };
  }
}

type Maps = Pick<ConflictResolution<Body>, 'pending' | 'resolved'>;

function resolutionOf(value: unknown): Maps {
  const { pending, resolved } = (value ?? {}) as Partial<Maps>;
  return { pending: pending ?? new Map(), resolved: resolved ?? new Map() };
}

type Verdict =
  | { readonly type: 'written'; readonly doc: Body; readonly rev: string | undefined }
  | { readonly type: 'refused'; readonly word: string }
  /** The error leaves it open. */
  | { readonly type: 'unknown' }
  /** Several leaves of the document share one entry. */
  | { readonly type: 'either' };

/** What a client learns of one document from the outcome of an operation. */
function verdictOn({ id, doc, rev }: Attempt, result: Result): Verdict {
  if ('value' in result && !(result.value instanceof Object && 'resolved' in result.value)) {
    const { rev: alone, ...emitted } = result.value as Body & { rev?: string };
    // An attachment or a deletion answers its revision; what is in the document, the client knows.
    return alone === undefined
      ? { type: 'written', doc: emitted, rev: emitted._rev }
      : { type: 'written', doc, rev: alone };
  }
  const { pending, resolved } = resolutionOf(
    'value' in result ? result.value : (result.error as { resolution?: unknown }).resolution,
  );
  const written = resolved.get(id);
  if (written !== undefined && pending.has(id)) return { type: 'either' };
  if (written !== undefined) return { type: 'written', doc: written, rev: written._rev };
  if ('error' in result && doc._rev !== rev) return { type: 'written', doc, rev: doc._rev };
  const word = pending.get(id)?.error;
  if (word !== undefined) return word === 'unknown' ? { type: word } : { type: 'refused', word };
  if (!('error' in result)) return { type: 'refused', word: 'not among the outcomes' };
  if (isAmbiguous(result.error)) return { type: 'unknown' };
  return { type: 'refused', word: String(result.error) };
}

/** After such an error the request may have been carried out, or not. */
function isAmbiguous(error: unknown): boolean {
  if (isConnectionError(error) || isTimeoutError(error) || isProtocolError(error)) return true;
  return isTransient(error);
}
