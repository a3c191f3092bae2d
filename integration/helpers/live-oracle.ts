import { setTimeout as sleep } from 'node:timers/promises';
import type { Couch, Database, LiveEdit } from 'corduroy';
import { firstValueFrom, map } from 'rxjs';
import type { Observable, Subscription } from 'rxjs';
import { lack } from './capabilities.ts';
import type { FaultyProxy, Match } from './faulty-proxy.ts';
import { QUERIES } from './live-oracle-queries.ts';
import type { OracleQuery } from './live-oracle-queries.ts';
import type { Item } from './live-oracle-writes.ts';
import { OracleWriter, idOf } from './live-oracle-writes.ts';
import { server } from './server.ts';
import { randomFrom } from './write-schedule.ts';

/** How long live queries may take to follow, in milliseconds. A slow machine needs some seconds. */
const PATIENCE = 10_000;
/** How many documents are written at once. */
const AT_ONCE = 8;
/** How many writes there are between two quiet points. */
const PER_ROUND = 40;

const EDITED = [idOf(11), idOf(12)];

/** A rule that a live query broke. */
export interface OracleFailure {
  readonly query: string;
  readonly rule: 'differs from a fresh read' | 'emitted an equal value again' | 'errored';
  readonly round: number;
  readonly detail: string;
}

const text = (value: unknown): string => JSON.stringify(canonical(value));

/** The value with the fields of its objects in one order, as it is sent. */
function canonical(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(canonical);
  if (typeof value !== 'object' || value === null) return value;
  const entries = Object.entries(value).map(([key, field]) => [key, canonical(field)] as const);
  return Object.fromEntries(entries.sort(([a], [b]) => (a < b ? -1 : 1)));
}

/** The value of a stream, and the rules that its emissions broke. */
class Watched {
  readonly name: string;
  readonly #stream: Observable<unknown>;
  readonly #fail: (rule: OracleFailure['rule'], detail: string) => void;
  #subscription: Subscription | undefined;
  #last: string | undefined;
  emissions = 0;

  constructor(
    name: string,
    stream: Observable<unknown>,
    fail: (rule: OracleFailure['rule'], detail: string) => void,
  ) {
    this.name = name;
    this.#stream = stream;
    this.#fail = fail;
    this.start();
  }

  get last(): string | undefined {
    return this.#last;
  }

  /** Describes the state of the stream, for the report of a failure. */
  async state(): Promise<string> {
    const { state$ } = this.#stream as { readonly state$?: Observable<unknown> };
    return state$ === undefined ? 'unknown' : JSON.stringify(await firstValueFrom(state$));
  }

  start(): void {
    this.stop();
    this.#subscription = this.#stream.subscribe({
      next: (value) => {
        const now = text(value);
        this.emissions += 1;
        if (now === this.#last) this.#fail('emitted an equal value again', now.slice(0, 400));
        this.#last = now;
      },
      error: (error: unknown) => this.#fail('errored', String(error)),
    });
  }

  stop(): void {
    this.#subscription?.unsubscribe();
    this.#last = undefined;
  }
}

/** The first place at which two texts differ, with what surrounds it. */
function difference(live: string | undefined, fresh: string): string {
  if (live === undefined) return `live: nothing\n  fresh: ${fresh.slice(0, 300)}`;
  let at = 0;
  while (at < live.length && live[at] === fresh[at]) at += 1;
  const around = (value: string): string => value.slice(Math.max(0, at - 150), at + 150);
  return `live: …${around(live)}…\n  fresh: …${around(fresh)}…`;
}

export interface OracleOptions {
  readonly couch: Couch;
  readonly direct: Database<Item>;
  readonly proxy: FaultyProxy;
  readonly seed: number;
  readonly writes: number;
}

export interface OracleOutcome {
  readonly failures: readonly OracleFailure[];
  readonly queries: number;
  readonly comparisons: number;
  readonly emissions: number;
}

/**
 * Writes at random through network faults while live queries are open, and compares each of them with
 * a fresh read after each round.
 */
export async function runOracle(options: OracleOptions): Promise<OracleOutcome> {
  const { couch, direct, proxy, seed, writes } = options;
  const db = couch.use<Item>(direct.name);
  const writer = new OracleWriter(direct.name, randomFrom(seed));
  const failures: OracleFailure[] = [];
  let round = 0;
  let comparisons = 0;
  const watch = (name: string, stream: Observable<unknown>): Watched =>
    new Watched(name, stream, (rule, detail) =>
      failures.push({ query: name, rule, round, detail }),
    );

  const queries = QUERIES.filter(
    ({ needs }) => needs === undefined || lack(server.kind, needs) === undefined,
  );
  const pairs: [Watched, OracleQuery['fresh']][] = queries.map(({ name, live, fresh }) => [
    watch(name, live(db)),
    fresh,
  ]);
  const editors: Watched[] = [];
  const edits = EDITED.map((id) => db.edit$(id, { debounce: 20, backoff: { initialDelay: 20 } }));
  for (const [i, edit] of edits.entries()) {
    const editor = watch(`edit$ ${EDITED[i]}`, edit);
    editors.push(editor);
    pairs.push([editor, (fresh) => editState(fresh, EDITED[i] as string)]);
  }

  // A deletion that meets an edit waits for a decision of the user, at any time: this one drops it.
  const decisions = edits.map((edit) =>
    edit.state$.subscribe(({ status }) => {
      if (status === 'conflict') queueMicrotask(() => edit.reset());
    }),
  );
  try {
    for (let left = writes; left > 0; left -= PER_ROUND) {
      round += 1;
      writer.log.length = 0;
      const heal = disturb(proxy, writer);
      for (let i = 0; i < Math.min(left, PER_ROUND); i += AT_ONCE) {
        await writer.write(AT_ONCE);
        if (writer.chance(0.3)) editOne(edits, editors, writer);
        if (writer.chance(0.2)) proxy.cut(isFeed);
        if (writer.chance(0.3)) pairs[writer.below(pairs.length)]?.[0].start();
      }
      await heal();
      // Nothing else is written, unless an editor saves: it is compared like the others.
      await Promise.all(
        pairs.map(async ([watched, fresh]) => {
          comparisons += 1;
          const detail = await untilEqual(watched, () => firstValueFrom(fresh(direct)));
          if (detail === null) return;
          const log = writer.log.join('\n    ');
          failures.push({
            query: watched.name,
            rule: 'differs from a fresh read',
            round,
            detail: `${detail}\n  writes of the round:\n    ${log}`,
          });
        }),
      );
      proxy.requests.length = 0;
      // A query that is wrong once may stay wrong: later rounds would only wait for it.
      if (failures.some(({ rule }) => rule !== 'emitted an equal value again')) break;
    }
  } finally {
    for (const decision of decisions) decision.unsubscribe();
    for (const [watched] of pairs) watched.stop();
  }
  const emissions = pairs.reduce((sum, [watched]) => sum + watched.emissions, 0);
  return { failures, queries: pairs.length, comparisons, emissions };
}

/** Resolves with null when the live value equals a fresh read; after too long, with the difference. */
async function untilEqual(watched: Watched, read: () => Promise<unknown>): Promise<string | null> {
  const deadline = performance.now() + PATIENCE;
  for (;;) {
    const fresh = text(await read());
    if (watched.last === fresh) return null;
    if (performance.now() > deadline)
      return `${difference(watched.last, fresh)}\n  state: ${await watched.state()}`;
    await sleep(25);
  }
}

/** What an editor without unsaved edits emits. */
function editState(db: Database<Item>, id: string): Observable<unknown> {
  return db
    .get([id])
    .pipe(
      map(([value]) => ({ value: value ?? null, pending: false, status: 'clean', error: null })),
    );
}

function editOne(
  edits: readonly LiveEdit<Item>[],
  editors: readonly Watched[],
  writer: OracleWriter,
): void {
  const at = writer.below(edits.length);
  const edit = edits[at] as LiveEdit<Item>;
  const note = `note ${writer.below(1000)}`;
  const deletes = writer.chance(0.15);
  // An editor refuses edits until it has read the document.
  if (editors[at]?.last === undefined) return;
  writer.log.push(`edit$ ${EDITED[at]}: ${deletes ? 'delete' : note}`);
  if (deletes) edit.delete();
  else edit.patch({ note });
}

const isFeed: Match = ({ url }) => url.includes('feed=');
const isRead: Match = ({ url }) => /_find|_view|_all_docs/.test(url);

/** Disturbs the network for a round. Returns the function that repairs it. */
function disturb(proxy: FaultyProxy, writer: OracleWriter): () => Promise<void> {
  const kind = writer.below(6);
  if (kind === 1) proxy.cut();
  if (kind === 2) {
    proxy.refuse();
    proxy.cut();
  }
  if (kind === 3) proxy.cutAfter(200 + writer.below(5000), { match: isFeed, times: 2 });
  if (kind === 4) proxy.answer({ match: isRead, status: 503, times: 4, body: '{}' });
  if (kind === 5) proxy.truncate(isFeed, 100 + writer.below(3000), { times: 2 });
  if (kind === 3 || kind === 5) proxy.cut(isFeed);
  return async () => {
    proxy.heal();
    await proxy.accept();
  };
}
