import type { Couch } from 'corduroy';
import { memoryServer } from 'corduroy/testing';
import { readFile, writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { isDeepStrictEqual } from 'node:util';
import { brotliCompressSync, brotliDecompressSync, constants } from 'node:zlib';
import { asapScheduler, firstValueFrom } from 'rxjs';
import type { Operation, Sequence } from './operations.ts';
import { sampleSequences } from './operations.ts';
import { play } from './run.ts';
import type { Played } from './run.ts';

const file = fileURLToPath(new URL('../../recordings/operations.json.br', import.meta.url));

/** Random sequences of operations, with what a CouchDB answered. */
export interface Recording {
  readonly couchdb: string;
  readonly seed: number;
  readonly sequences: readonly (Played & Sequence)[];
}

/** A difference between two servers. */
export interface Difference {
  /** The index of the sequence, and of the operation, or `'state'`. */
  readonly at: string;
  readonly operation: Operation | 'state';
  readonly expected: unknown;
  readonly received: unknown;
}

/** Plays a sequence on a CouchDB, on a database with one shard. */
export async function playOn(couch: Couch, sequence: Sequence): Promise<Played> {
  const name = `recorded-${process.pid}-${Math.random().toString(36).slice(2)}`;
  const db = await firstValueFrom(
    couch.create(name, { q: 1, partitioned: sequence.partitioned ?? false }),
  );
  try {
    return await play(db, sequence.operations);
  } finally {
    await firstValueFrom(couch.delete(name));
  }
}

/** Plays a sequence on an in-memory server. */
export async function playInMemory({ partitioned = false, operations }: Sequence): Promise<Played> {
  const databases = { db: { docs: [], partitioned } };
  const server = memoryServer({ databases, latency: 0, scheduler: asapScheduler });
  return play(server.couch().use('db'), operations);
}

/** Plays several sequences at a time. Returns what came of each, in the order of the sequences. */
export async function atOnce<R>(
  sequences: readonly Sequence[],
  act: (sequence: Sequence, index: number) => Promise<R>,
): Promise<readonly R[]> {
  const results: R[] = [];
  const waiting = sequences.entries();
  const worker = async (): Promise<void> => {
    for (const [i, sequence] of waiting) results[i] = await act(sequence, i);
  };
  await Promise.all([worker(), worker(), worker(), worker()]);
  return results;
}

/**
 * Records sequences. CouchDB answers some of them in another way the next time, because it works in the
 * background: those are left out.
 */
export async function record(couch: Couch, count: number, seed: number): Promise<number> {
  const played = atOnce(sampleSequences(count, seed), async (sequence) => {
    const first = await playOn(couch, sequence);
    const second = await playOn(couch, sequence);
    return isDeepStrictEqual(first, second) ? [{ ...sequence, ...first }] : [];
  });
  const sequences = (await played).flat();
  const couchdb = await firstValueFrom(couch.version());
  const recording: Recording = { couchdb, seed, sequences };
  const params = { [constants.BROTLI_PARAM_LGWIN]: 24, [constants.BROTLI_PARAM_QUALITY]: 11 };
  await writeFile(file, brotliCompressSync(JSON.stringify(recording), { params }));
  return sequences.length;
}

export async function readRecording(): Promise<Recording> {
  return JSON.parse(brotliDecompressSync(await readFile(file)).toString()) as Recording;
}

/** Compares what two servers answered to the same operations. */
export function differences(
  at: number,
  { operations }: Sequence,
  expected: Played,
  received: Played,
): readonly Difference[] {
  const found = operations.flatMap((operation, i): Difference[] => {
    const [one, other] = [expected.answers[i], asJson(received.answers[i])];
    if (isDeepStrictEqual(one, other)) return [];
    return [{ at: `${at}.${i}`, operation, expected: one, received: other }];
  });
  const [one, other] = [expected.state, asJson(received.state)];
  if (isDeepStrictEqual(one, other)) return found;
  return [...found, { at: `${at}.state`, operation: 'state', expected: one, received: other }];
}

function asJson(value: unknown): unknown {
  return value === undefined ? value : (JSON.parse(JSON.stringify(value)) as unknown);
}
