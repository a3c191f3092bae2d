import { describe, expect, it } from '@jest/globals';
import { ProtocolError } from 'corduroy';
import { Subject, from, of } from 'rxjs';
import { failureText, rows } from '../src/http/rows.ts';
import type { RowLayout } from '../src/http/rows.ts';
import { Chunks, concatenate, lines } from '../src/operators/lines.ts';
import { bytes } from './helpers/marble-transport.ts';

type Info = Readonly<Record<string, unknown>>;

interface Read {
  readonly rows: unknown[];
  readonly infos: Info[];
  /** `'open'`, `'complete'`, or the kind of the error and its message. */
  end: string;
}

const exchange = {
  request: { method: 'GET', url: 'http://a/db' },
  redact: (text: string): string => text.replaceAll('secret', '***'),
  maxBodySize: 100,
};
const layout: RowLayout<unknown, Info> = {
  field: 'rows',
  row: (raw) => raw,
  info: ({ rows: _rows, ...rest }) => rest,
};

/** Reads a response that arrives in one block for each argument. */
function read(blocks: readonly (readonly string[])[], options: Partial<typeof layout> = {}): Read {
  const found: Read = { rows: [], infos: [], end: 'open' };
  from(blocks)
    .pipe(
      rows({ codec: JSON }, exchange, { ...layout, ...options }, (info) => found.infos.push(info)),
    )
    .subscribe({
      next: (row) => found.rows.push(row),
      complete: () => (found.end = 'complete'),
      error: (error: ProtocolError) => {
        expect(error).toBeInstanceOf(ProtocolError);
        found.end = `${error.transient ? 'transient' : 'permanent'} ${error.message}`;
      },
    });
  return found;
}

describe('the rows of a response', () => {
  it.each<[string, string[][], unknown[], Info[]]>([
    [
      'with a head',
      [['{"total_rows":2,"rows":[', '1,', '2', ']}']],
      [1, 2],
      [{ total_rows: 2 }, { total_rows: 2 }],
    ],
    ['without metadata', [['{"rows":[', '1', ']}']], [1], [{}]],
    ['with a tail', [['{"rows":['], ['1', ''], [']', ',"a":1}']], [1], [{ a: 1 }]],
    [
      'with a head and a tail',
      [['{"a":1,"b":1,"rows":[', '],"b":2}']],
      [],
      [
        { a: 1, b: 1 },
        { a: 1, b: 2 },
      ],
    ],
    ['with signs of life', [[''], ['', '{"rows":[', '', '1', '', ']}', '']], [1], [{}]],
    ['in one line', [['{"rows":[1,2],"a":1}']], [1, 2], [{ a: 1 }]],
    ['indented', [['{', ' "rows": [', ' 1', ' ]', '}']], [1], [{}]],
    [
      'indented, with a line as in the usual layout',
      [['{', ' "rows":[', ' 1', ' ]', '}']],
      [1],
      [{}],
    ],
    ['that are null or texts', [['{"rows":[', 'null,', '"]"', ']}']], [null, ']'], [{}]],
  ])('%s are decoded', (_, blocks, expected, infos) => {
    expect(read(blocks)).toEqual({ rows: expected, infos, end: 'complete' });
    // However the lines arrive.
    expect(read(blocks.flat().map((line) => [line]))).toEqual({
      rows: expected,
      infos,
      end: 'complete',
    });
    expect(read([blocks.flat()])).toEqual({ rows: expected, infos, end: 'complete' });
  });

  it.each<[string, string[], unknown[], string]>([
    ['that end early', ['{"rows":[', '1,'], [1], 'the answer ended early'],
    ['that do not begin', [''], [], 'the answer ended early'],
    ['that are empty', [], [], 'the answer ended early'],
    [
      'with half a tail',
      ['{"rows":[', '1', ']'],
      [1],
      "the answer ended early, or is not in CouchDB's format",
    ],
    ['with half a line', ['{"rows":[', '{"a'], [], 'the answer contains a line that is not a row'],
    [
      'in half a line',
      ['{"rows": [1'],
      [],
      "the answer ended early, or is not in CouchDB's format",
    ],
    [
      'in another field',
      ['{"docs":[1]}'],
      [],
      "the answer ended early, or is not in CouchDB's format",
    ],
    ['in an array', ['[1]'], [], "the answer ended early, or is not in CouchDB's format"],
    [
      'with a failure',
      ['{"rows":[', '1,', '{"error":"e","reason":"secret"}', '2'],
      [1],
      'the answer breaks off: e: ***',
    ],
    [
      'that are a failure',
      ['{"error":"e","reason":"secret"}'],
      [],
      'the answer is an error: e: ***',
    ],
  ])('%s are a transient error', (_, blocks, expected, problem) => {
    expect(read([blocks])).toEqual({
      rows: expected,
      infos: [],
      end: `transient GET http://a/db: ${problem}`,
    });
  });

  it('may hold failures of their own', () => {
    const failure = { error: 'e', reason: 'r' };
    const blocks = [['{"rows":[', JSON.stringify(failure), ']}']];
    expect(read(blocks, { mayHoldErrors: true })).toMatchObject({
      rows: [failure],
      end: 'complete',
    });
  });

  it('have a limit for the text beside them, which counts line ends', () => {
    const beside = (length: number): string =>
      read([['{"rows":[', `]${' '.repeat(length - 2)}}`]]).end;
    expect([beside(100), beside(101).slice(0, 9)]).toEqual(['complete', 'permanent']);
    const split = (length: number): string =>
      read([['{"rows":[', ']', ' '.repeat(length - 3), '}']]).end;
    expect([split(99).slice(0, 8), split(100).slice(0, 9)]).toEqual(['complete', 'permanent']);
    // Empty lines count, but take no memory.
    expect(read([Array<string>(102).fill('')]).end).toMatch(/^permanent/);
  });

  it('are not read further after an unsubscription', () => {
    for (const block of [['{"rows":[', '1', '2', ']}'], ['{"rows":[1,2]}']]) {
      const found: unknown[] = [];
      const decoded: unknown[] = [];
      const row = (raw: unknown): unknown => {
        decoded.push(raw);
        return raw;
      };
      const infos: Info[] = [];
      const subscription = new Subject<readonly string[]>();
      const reading = subscription
        .pipe(rows({ codec: JSON }, exchange, { ...layout, row }, (info) => infos.push(info)))
        .subscribe((one) => {
          found.push(one);
          reading.unsubscribe();
        });
      subscription.next(block);
      subscription.complete();
      expect([found, infos]).toEqual([[1], []]);
      expect(decoded).toEqual([1]);
    }
  });

  it('stop at a row that its decoder refuses', () => {
    const row = (): never => {
      throw new TypeError('expected a string');
    };
    expect(read([['{"rows":[', '1', ']}']], { row }).end).toContain('a line that is not a row');
    const own = new ProtocolError('own', { request: exchange.request });
    const refuse = (): never => {
      throw own;
    };
    expect(read([['{"rows":[', '1', ']}']], { row: refuse }).end).toBe('permanent own');
    expect(read([['{"rows":[1]}']], { row: refuse }).end).toBe('permanent own');
  });
});

describe('a failure of the server in place of a row', () => {
  it.each<[row: unknown, text: string | null]>([
    [{ error: 'e', reason: 'secret' }, 'e: ***'],
    [{ error: 'e' }, null],
    [{ reason: 'r' }, null],
    [{ error: 'e', reason: 1 }, null],
    [{ error: 1, reason: 'r' }, null],
    [{ error: 'e', reason: 'r', key: 1 }, null],
    [{ error: 'e', reason: 'r', id: 'a' }, null],
    [{ error: 'e', reason: 'r', _id: 'a' }, null],
    [null, null],
    ['error', null],
  ])('%j is %p', (row, text) => {
    expect(failureText(row, exchange.redact)).toBe(text);
  });
});

describe('chunks of bytes', () => {
  it('are joined, and a single one is not copied', () => {
    const [a, b] = [bytes('ab'), bytes('c')];
    expect(concatenate([a])).toBe(a);
    expect(concatenate([])).toEqual(new Uint8Array(0));
    expect(concatenate([a, b, a])).toEqual(bytes('abcab'));
  });

  it('are counted, taken and forgotten, whatever their size', () => {
    const chunks = new Chunks();
    for (let round = 0; round < 2; round++) {
      const parts = Array.from({ length: 2500 }, (_, i) =>
        new Uint8Array(i % 900 === 0 ? 512 : 1).fill(i),
      );
      for (const part of parts) chunks.add(part);
      expect(chunks.length).toBe(2497 + 3 * 512);
      expect(Buffer.compare(chunks.take(), concatenate(parts))).toBe(0);
      expect(chunks.length).toBe(0);
      expect(chunks.take()).toEqual(new Uint8Array(0));
    }
  });
});

describe('the length of a line', () => {
  const limited = (parts: readonly string[], rest: 'drop' | 'keep' = 'keep'): unknown[] => {
    const found: unknown[] = [];
    const tooLong = (): Error => new Error('too long');
    of(...parts.map(bytes))
      .pipe(lines(rest, { max: 4, tooLong }))
      .subscribe({
        next: (block) => found.push(...block),
        error: (error: Error) => found.push(error.message),
      });
    return found;
  };

  it.each([
    [['abcd\n'], ['abcd']],
    [['abcde\n'], ['too long']],
    [['ab', 'cd', '\n'], ['abcd']],
    [['ab', 'cde'], ['too long']],
    [['abcd'], ['abcd']],
    [['abcde'], ['too long']],
    // Short lines may be in one long chunk.
    [['a\nb\nc\nd\ne\n'], ['a', 'b', 'c', 'd', 'e']],
    [
      ['ab', 'c\nabcd\n', 'x'],
      ['abc', 'abcd', 'x'],
    ],
    [['ab', 'cde\n'], ['too long']],
    [
      ['a\r\n', 'b\r', '\nc\r'],
      ['a', 'b', 'c'],
    ],
    [['a\r\nb\r\n\n'], ['a', 'b', '']],
    [
      ['\n', '\n'],
      ['', ''],
    ],
  ])('of %j has a limit of 4 bytes: %j', (parts, expected) => {
    expect(limited(parts)).toEqual(expected);
  });

  it('does not matter without a limit, nor does an open line at the end', () => {
    expect(limited(['a\nbc'], 'drop')).toEqual(['a']);
    expect(limited(['a\n'], 'keep')).toEqual(['a']);
  });
});
