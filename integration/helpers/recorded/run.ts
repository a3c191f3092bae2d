import type { Database } from 'corduroy';
import { HTTPError } from 'corduroy';
import { firstValueFrom } from 'rxjs';
import type { Observable } from 'rxjs';
import type { Operation } from './operations.ts';

// Plays operations on a database, and notes the answers in a form that two servers have in common.

/** What a run has seen: the values that later operations refer to. */
interface Seen {
  readonly revs: Map<string, string[]>;
  readonly seqs: string[];
  leaves: readonly string[];
  bookmark: string;
}

/** The answers to the operations, and the state at the end. */
export interface Played {
  readonly answers: readonly unknown[];
  readonly state: unknown;
}

/** Plays the operations one after the other. A failure is an answer, too. */
export async function play(db: Database, operations: readonly Operation[]): Promise<Played> {
  const seen: Seen = { revs: new Map(), seqs: [], leaves: [], bookmark: 'nil' };
  const answers: unknown[] = [];
  for (const [method, ...args] of operations) answers.push(await answerOf(db, seen, method, args));
  const played = { answers, state: await stateOf(db) };
  // Each run has a database of its own.
  const text = JSON.stringify(played).replaceAll(JSON.stringify(db.name), '"db"');
  return JSON.parse(text) as Played;
}

async function answerOf(
  db: Database,
  seen: Seen,
  method: string,
  args: readonly unknown[],
): Promise<unknown> {
  try {
    await readLeaves(db, args, seen);
    const resolved = args.map((one) => resolve(one, seen));
    note(resolved, seen);
    const answer = await firstValueFrom(invoke(db, method, resolved));
    note(answer, seen);
    return comparable(answer);
  } catch (error) {
    if (error instanceof HTTPError) {
      const { status, error: code, reason } = error;
      // Each JavaScript engine has its own words for a syntax error.
      return comparable({
        status,
        error: code,
        reason: reason.replace(/(view failed): .*/s, '$1'),
      });
    }
    return { error: (error as Error).name };
  }
}

/** Reads the leaves that arguments refer to. */
async function readLeaves(db: Database, args: readonly unknown[], seen: Seen): Promise<void> {
  const id = /"\$leaf (\S+) \d"/.exec(JSON.stringify(args))?.[1];
  if (id === undefined) return;
  const changes = await firstValueFrom(db.changes({ style: 'all_docs', docIds: [id] }));
  seen.leaves = changes.results.flatMap((change) => change.changes.map(({ rev }) => rev));
}

function invoke(db: Database, method: string, args: readonly unknown[]): Observable<unknown> {
  const path = method.split('.');
  const last = path.pop() as string;
  let owner = db as unknown as Readonly<Record<string, unknown>>;
  for (const name of path) {
    const [part = '', key] = name.split(' ');
    owner = (key === undefined ? owner[part] : db.partition(key)) as Readonly<
      Record<string, unknown>
    >;
  }
  const call = owner[last] as (...all: readonly unknown[]) => Observable<unknown>;
  return call.apply(owner, [...args]);
}

/** Puts what the run has seen in place of the references. Copies the arguments, which Corduroy may change. */
function resolve(value: unknown, seen: Seen): unknown {
  if (typeof value === 'string') {
    if (value === '$bookmark') return seen.bookmark;
    const [kind, name, nth] = value.split(' ');
    if (kind === '$rev') {
      const revs = seen.revs.get(name ?? '') ?? [];
      return revs.at(-1 - Number(nth)) ?? '1-0000000000000000000000000000aaaa';
    }
    if (kind === '$leaf')
      return seen.leaves.at(Number(nth)) ?? '1-0000000000000000000000000000aaaa';
    if (kind === '$seq') return seen.seqs.at(-1 - Number(name)) ?? 0;
    return value;
  }
  if (Array.isArray(value)) return value.map((one) => resolve(one, seen));
  if (typeof value !== 'object' || value === null) return value;
  const entries = Object.entries(value)
    // A document that the run has not seen has no revision.
    .filter(([name, one]) => name !== '_rev' || !isUnknown(one, seen))
    .map(([name, one]) => [name, resolve(one, seen)] as const);
  return Object.fromEntries(entries);
}

function isUnknown(value: unknown, seen: Seen): boolean {
  const id = /^\$rev (\S+) \d$/.exec(String(value))?.[1];
  return id !== undefined && !seen.revs.has(id);
}

/** Notes the revisions, the sequences and the bookmark in a value. */
function note(value: unknown, seen: Seen): void {
  if (Array.isArray(value) || value instanceof Map) {
    for (const one of value.values()) note(one, seen);
    return;
  }
  if (typeof value !== 'object' || value === null || value instanceof Uint8Array) return;
  const one = value as Record<string, unknown>;
  const id = one['_id'] ?? one['id'];
  const rev = one['_rev'] ?? one['rev'];
  if (typeof id === 'string' && typeof rev === 'string') {
    const revs = seen.revs.get(id) ?? [];
    if (!revs.includes(rev)) seen.revs.set(id, [...revs, rev]);
  }
  const seq = one['lastSeq'] ?? one['last_seq'];
  if (typeof seq === 'string') seen.seqs.push(seq);
  if (typeof one['bookmark'] === 'string') seen.bookmark = one['bookmark'];
  for (const [name, field] of Object.entries(one)) if (name !== '_attachments') note(field, seen);
}

/** The values that each server chooses, without a meaning for the client. */
const PRIVATE = new Set([
  'cluster',
  'db_name',
  'dbname',
  'dbName',
  'digest',
  'indexCandidates',
  'disk_format_version',
  'instance_start_time',
  'instanceStartTime',
  'props',
  'sizes',
  'uuid',
]);

/** Returns what two servers must have in common: sequences as their numbers, and no private values. */
export function comparable(value: unknown, name = ''): unknown {
  if (/^(?:seq|last_seq|lastSeq|update_seq|updateSeq|purge_seq|purgeSeq)$/.test(name))
    return value === null ? null : Number.parseInt(value as string, 10);
  if (name === 'bookmark') return value === 'nil' ? 'nil' : 'bookmark';
  if (value instanceof Uint8Array) return `bytes ${Buffer.from(value).toString('base64')}`;
  if (value instanceof Map) return comparable(Object.fromEntries(value));
  if (Array.isArray(value)) return value.map((one) => comparable(one));
  if (typeof value !== 'object' || value === null) return value;
  if (value instanceof HTTPError)
    return comparable({ status: value.status, error: value.error, reason: value.reason });
  if (value instanceof Error) return { error: value.name };
  const entries = Object.entries(value).filter(
    // The information of a database was recorded before it had a purgeSeq, which is in `raw` too.
    ([field]) => !PRIVATE.has(field) && !(field === 'purgeSeq' && 'raw' in value),
  );
  return Object.fromEntries(
    entries.map(([field, one]) => [field, comparable(one, field)] as const),
  );
}

/** Reads all changes, all documents with their leaves and histories, and the counts. */
async function stateOf(db: Database): Promise<unknown> {
  const read = (path: string): Promise<object> =>
    firstValueFrom(db.request<object>({ path, headers: { accept: 'application/json' } }));
  const changes = (await read('/_changes?style=all_docs')) as {
    readonly results: readonly { readonly id: string }[];
  };
  const documents: unknown[] = [];
  for (const { id } of changes.results)
    documents.push(await firstValueFrom(db.revs.open(id, 'all', { revs: true })));
  const info = await firstValueFrom(db.info());
  return comparable({ changes, documents, docs: await read('/_all_docs'), info });
}
