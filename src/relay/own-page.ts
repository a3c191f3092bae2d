import { StringDecoder } from 'node:string_decoder';
import type { Change, Sequence } from '../model/change.ts';
import type { Subscribed } from './listener.ts';
import type { Origin } from './origin.ts';
import { passedBack } from './origin.ts';
import type { Refusal } from './refusal.ts';
import type { WindowRow } from './window.ts';

/** Changes that were read for one listener alone. */
export interface OwnPage {
  readonly rows: readonly WindowRow[];
  readonly lastSeq: Sequence;
  /** How many rows follow, as CouchDB says; 0 if it does not say. */
  readonly pending: number;
  /** Whether there was nothing behind the page when CouchDB answered. */
  readonly isLast: boolean;
}

/** How many rows one request reads at most, and how many characters before it stops. */
const PAGE = { rows: 1000, size: 4_194_304 };

/** A filter may pass nothing for a long time, in milliseconds. */
const PATIENCE = 600_000;

/**
 * Reads changes for one listener, with its credentials. Resolves with the answer of CouchDB if that is an
 * error. Rejects if CouchDB is not there, or if its answer ends early.
 */
export async function readOwnPage(
  origin: Origin,
  { credentials, path, query: { own, body } }: Subscribed,
  since: Sequence,
  limit: number,
): Promise<OwnPage | Refusal> {
  const most = Math.min(limit, PAGE.rows);
  const search = new URLSearchParams([...own, ['since', since], ['limit', String(most)]]);
  const response = await origin.send({
    method: body === null ? 'GET' : 'POST',
    path: `${path}?${search.toString()}`,
    headers: {
      ...credentials.headers,
      ...(body !== null && { 'content-type': 'application/json' }),
    },
    body,
    patience: PATIENCE,
  });
  const { statusCode = 502, headers } = response;
  const rows: WindowRow[] = [];
  const others: string[] = [];
  let section = 'head' as 'head' | 'rows' | 'tail';
  let size = 0;
  const decoder = new StringDecoder('utf8');
  let rest = '';
  const read = (line: string): void => {
    if (section === 'rows' && line.startsWith('{')) {
      const text = line.endsWith(',') ? line.slice(0, -1) : line;
      rows.push({ text, change: JSON.parse(text) as Change<object> });
    } else if (section === 'head' && statusCode === 200 && line.endsWith('"results":[')) {
      section = 'rows';
    } else if (section === 'rows' && line.startsWith(']')) {
      section = 'tail';
    } else if (line !== '') others.push(line);
  };
  for await (const chunk of response as AsyncIterable<Buffer>) {
    const lines = (rest + decoder.write(chunk)).split('\n');
    rest = lines.pop() ?? '';
    // CouchDB separates rows by both characters.
    for (const line of lines) read(line.endsWith('\r') ? line.slice(0, -1) : line);
    size += chunk.length;
    const last = rows.at(-1)?.change.seq;
    // The rest follows with the next page.
    if (size > PAGE.size && typeof last === 'string') {
      response.destroy();
      return { rows, lastSeq: last, pending: 0, isLast: false };
    }
  }
  read(rest + decoder.end());
  if (statusCode !== 200)
    return { status: statusCode, headers: passedBack(headers), text: `${others.join('\n')}\n` };
  if (section === 'rows') throw new Error('the answer of CouchDB ended early');
  const end = JSON.parse(section === 'tail' ? `{${others.join('\n')}` : others.join('\n')) as {
    readonly results?: readonly Change<object>[];
    readonly last_seq: Sequence;
    readonly pending?: number;
    readonly error?: string;
  };
  if (end.last_seq === undefined) throw new Error('CouchDB broke its answer off');
  for (const change of end.results ?? []) rows.push({ change, text: JSON.stringify(change) });
  const { last_seq: lastSeq, pending = 0 } = end;
  return { rows, lastSeq, pending, isLast: rows.length < most };
}

/** Runs at most some tasks at the same time. The others wait, in order. */
export class Turns {
  #free: number;
  readonly #waiting: (() => void)[] = [];

  constructor(most: number) {
    this.#free = most;
  }

  async run<T>(task: () => Promise<T>): Promise<T> {
    if (this.#free > 0) this.#free -= 1;
    else await new Promise<void>((resolve) => this.#waiting.push(resolve));
    try {
      return await task();
    } finally {
      const next = this.#waiting.shift();
      if (next === undefined) this.#free += 1;
      else next();
    }
  }
}
