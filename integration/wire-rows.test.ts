import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { Couch } from 'corduroy';
import type { Database, Page, Row } from 'corduroy';
import { firstValueFrom, lastValueFrom, take, tap, toArray } from 'rxjs';
import { startStub } from './helpers/stub-server.ts';
import type { StubServer } from './helpers/stub-server.ts';

// The requests for streams of rows, and the answers to them: as CouchDB writes them, as other servers
// write them, and as broken connections cut them.

let stub: StubServer;
let db: Database;
beforeAll(async () => {
  stub = await startStub();
  db = new Couch(stub.url, { auth: ['ada', 'secret'] }).use('db');
});
afterAll(() => stub.close());
beforeEach(() => {
  stub.requests.length = 0;
});

const answer = (body: string): void => stub.answer((_, response) => response.end(body));
const sent = (): string[] =>
  stub.requests.map(
    ({ method, url, body }) => `${method} ${url}${body.length > 0 ? ` ${body.toString()}` : ''}`,
  );
const HEAD = '{"total_rows":3,"offset":0,"rows":[\r\n';
const ROWS = [
  '{"id":"a","key":"a","value":1},\r\n',
  '{"id":"b","key":"ß🌍","value":{"rows":["],"]}},\r\n',
  '{"key":"c","error":"not_found"}\r\n',
];
const printed = `${HEAD}${ROWS.join('')}]}\n`;
const wanted = [
  { id: 'a', key: 'a', value: 1, doc: null, error: null },
  { id: 'b', key: 'ß🌍', value: { rows: ['],'] }, doc: null, error: null },
  { id: null, key: 'c', value: null, doc: null, error: 'not_found' },
];
const read = (name = 'd/v'): Promise<Row[]> => lastValueFrom(db.viewRows(name).pipe(toArray()));

describe('viewRows', () => {
  it.each([
    [
      'a view',
      (): unknown => db.viewRows('d/v', { startKey: 1 }),
      'GET /db/_design/d/_view/v?startkey=1',
    ],
    ['keys', () => db.viewRows('d/v', { keys: [1] }), 'POST /db/_design/d/_view/v {"keys":[1]}'],
    [
      'all documents',
      () => db.viewRows('_all_docs', { includeDocs: true }),
      'GET /db/_all_docs?include_docs=true',
    ],
  ])('requests %s', async (_, call, request) => {
    answer(printed);
    await lastValueFrom((call() as ReturnType<Database['viewRows']>).pipe(toArray()));
    expect(sent()).toEqual([request]);
  });

  it.each([
    ['as CouchDB writes them', printed],
    ['without a newline at the end', printed.trimEnd()],
    ['with bare newlines', printed.replaceAll('\r', '')],
    ['on a single line', printed.replaceAll(/[\r\n]/g, '')],
    ['by a pretty printer', JSON.stringify(JSON.parse(printed), null, 2)],
    ['after empty lines', `\n\n${printed}`],
  ])('reads rows %s', async (_, body) => {
    answer(body);
    const stream = db.viewRows('d/v');
    expect(await lastValueFrom(stream.pipe(toArray()))).toEqual(wanted);
    expect(stream.info).toEqual({ totalRows: 3, offset: 0, updateSeq: null });
  });

  it('reads rows that arrive byte by byte', async () => {
    const bytes = Buffer.from(printed);
    stub.answer((_, response) => {
      const write = (offset: number): void => {
        if (offset === bytes.length) response.end();
        else response.write(bytes.subarray(offset, offset + 1), () => write(offset + 1));
      };
      write(0);
    });
    expect(await read()).toEqual(wanted);
  });

  it('emits nothing if there are no rows', async () => {
    for (const body of [
      `${HEAD}\r\n]}\n`,
      '{"total_rows":3,"offset":0,"rows":[]}',
      '{"rows":[\r\n\r\n]}\n',
    ]) {
      answer(body);
      expect(await read()).toEqual([]);
    }
  });

  it('emits each row when its line has arrived, and sets info before the first', async () => {
    let goOn = (): void => {};
    stub.answer((_, response) => {
      response.write(HEAD + ROWS[0]);
      goOn = () => response.end(`${ROWS[1]}${ROWS[2]}]}`);
    });
    const stream = db.viewRows('d/v');
    const heads: unknown[] = [];
    await lastValueFrom(
      stream.pipe(
        tap(() => {
          heads.push(stream.info?.totalRows);
          goOn();
        }),
      ),
    );
    expect(heads).toEqual([3, 3, 3]);
  });

  it('aborts the transfer after take', async () => {
    stub.answer((_, response) => {
      response.write(HEAD + ROWS[0] + ROWS[1]);
    });
    const closed = stub.aborted();
    const two = await lastValueFrom(db.viewRows('d/v').pipe(take(2), toArray()));
    await closed;
    expect(two).toEqual(wanted.slice(0, 2));
  });

  it('aborts the transfer when a loop breaks', async () => {
    stub.answer((_, response) => {
      response.write(HEAD + ROWS[0] + ROWS[1]);
    });
    const closed = stub.aborted();
    const keys: unknown[] = [];
    for await (const { key } of db.viewRows('d/v')) {
      keys.push(key);
      if (keys.length === 2) break;
    }
    await closed;
    expect(keys).toEqual(['a', 'ß🌍']);
  });

  it.each([
    ['in a row', printed.slice(0, 90), 1],
    ['after a row', HEAD + ROWS[0], 1],
    ['before the last bracket', printed.slice(0, -2), 3],
    ['in the head', HEAD.slice(0, 20), 0],
    ['before the head', '', 0],
    ['on a single line', printed.replaceAll(/[\r\n]/g, '').slice(0, -5), 0],
  ])('errors if the answer ends early %s', async (_, body, before) => {
    answer(body);
    const seen: Row[] = [];
    const failure: unknown = await lastValueFrom(
      db.viewRows('d/v').pipe(tap((row) => seen.push(row))),
    ).catch((error: unknown) => error);
    expect(failure).toMatchObject({ name: 'ProtocolError', transient: true });
    expect(seen).toEqual(wanted.slice(0, before));
  });

  it.each([
    ['between rows', `${HEAD}${ROWS[0]}{"error":"timeout","reason":"of secret"}\n`],
    ['after empty lines', `${HEAD}${ROWS[0]}\n\n{"error":"timeout","reason":"of secret"}\n`],
    ['instead of the rows', '{"error":"timeout","reason":"of secret"}\n'],
  ])('errors if the server reports an error %s, and shows no credentials', async (_, body) => {
    answer(body);
    await expect(read()).rejects.toMatchObject({
      name: 'ProtocolError',
      transient: true,
      message: expect.stringMatching(/timeout: of (?!secret)/),
    });
  });

  it('errors for a line that is not a row, and does not show it', async () => {
    answer(`${HEAD}secret\r\n]}`);
    await expect(read()).rejects.toMatchObject({
      name: 'ProtocolError',
      message: expect.not.stringContaining('secret'),
    });
  });

  it('errors with NotFound for a missing view', async () => {
    stub.answer((_, response) => response.writeHead(404).end('{"error":"not_found"}'));
    await expect(read()).rejects.toMatchObject({ name: 'NotFound' });
  });
});

describe('changeRows', () => {
  it('sends the request of changes, emits each change, and has the last sequence in info', async () => {
    answer(
      '{"results":[\n{"seq":"1-a","id":"a","changes":[{"rev":"1-x"}]},\r\n' +
        '{"seq":2,"id":"b","changes":[{"rev":"1-y"}],"deleted":true}\n],\n"last_seq":"3-c","pending":7}\n',
    );
    const stream = db.changeRows({ since: '0', docIds: ['a', 'b'] });
    expect(await lastValueFrom(stream.pipe(toArray()))).toEqual([
      { seq: '1-a', id: 'a', changes: [{ rev: '1-x' }] },
      { seq: '2', id: 'b', changes: [{ rev: '1-y' }], deleted: true },
    ]);
    expect(stream.info).toEqual({ lastSeq: '3-c', pending: 7 });
    expect(sent()).toEqual(['POST /db/_changes?since=0&filter=_doc_ids {"doc_ids":["a","b"]}']);
  });

  it('errors if the last sequence is missing', async () => {
    answer('{"results":[\n\n]}\n');
    await expect(lastValueFrom(db.changeRows())).rejects.toMatchObject({ name: 'ProtocolError' });
  });
});

describe('findRows', () => {
  it('sends the request of find, emits each document, and has the rest of the result in info', async () => {
    answer(
      '{"docs":[\r\n{"_id":"a","error":"x","reason":"y"},\r\n{"error":"x","reason":"y"}\r\n],\r\n' +
        '"bookmark": "here",\r\n"warning": "No matching index found."}\r\n\n',
    );
    const fields = ['_id', 'error', 'reason'] as const;
    const stream = db.findRows({ selector: { n: 1 }, limit: 2, fields });
    expect(await lastValueFrom(stream.pipe(toArray()))).toEqual([
      { _id: 'a', error: 'x', reason: 'y' },
      { error: 'x', reason: 'y' },
    ]);
    expect(stream.info).toEqual({
      bookmark: 'here',
      warning: 'No matching index found.',
      executionStats: null,
    });
    const body = '{"selector":{"n":1},"limit":2,"fields":["_id","error","reason"]}';
    expect(sent()).toEqual([`POST /db/_find ${body}`]);
  });

  it('errors if the server reports a failure in place of a document', async () => {
    answer('{"docs":[\r\n{"_id":"a","error":"x","reason":"y"},\r\n{"error":"x","reason":"y"}\r\n');
    const ids: unknown[] = [];
    const found = db.findRows({ selector: {} }).pipe(tap(({ _id }) => ids.push(_id)));
    await expect(lastValueFrom(found)).rejects.toMatchObject({
      name: 'ProtocolError',
      message: expect.stringContaining('the answer breaks off: x: y'),
    });
    expect(ids).toEqual(['a']);
  });
});

describe('viewPages', () => {
  /** Serves a list of [key, id] as a view, with the options that viewPages sends. */
  const serve = (all: readonly (readonly [unknown, string])[]): void =>
    stub.answer(({ url }, response) => {
      const query = new URL(url, stub.url).searchParams;
      const start = query.get('startkey');
      const id = query.get('startkey_docid');
      const begin =
        start === null
          ? 0
          : all.findIndex(
              (row) => JSON.stringify(row[0]) === start && (id === null || row[1] === id),
            );
      const from = begin + Number(query.get('skip'));
      const rows = all
        .slice(from, from + Number(query.get('limit')))
        .map(([key, of]) => ({ id: of, key, value: null }));
      response.end(JSON.stringify({ total_rows: all.length, offset: from, rows }));
    });
  const ids = (pages: readonly Page<Row>[]): unknown[] =>
    pages.map(({ rows }) => rows.map(({ id }) => id).join(''));
  const letters = Array.from('abcdefg').map((id) => [1, id] as const);

  it('starts each page where the previous one ended', async () => {
    serve(letters);
    const pages = await lastValueFrom(db.viewPages('d/v', { pageSize: 3 }).pipe(toArray()));
    expect(ids(pages)).toEqual(['abc', 'def', 'g']);
    expect(sent()).toEqual([
      'GET /db/_design/d/_view/v?limit=4',
      'GET /db/_design/d/_view/v?startkey=1&startkey_docid=d&limit=4',
      'GET /db/_design/d/_view/v?startkey=1&startkey_docid=g&limit=4',
    ]);
    expect(pages.map(({ next, totalRows }) => [next, totalRows])).toEqual([
      [{ startKey: 1, startKeyDocId: 'd' }, 7],
      [{ startKey: 1, startKeyDocId: 'g' }, 7],
      [null, 7],
    ]);
  });

  it('emits no empty page after a full last page', async () => {
    serve(letters.slice(0, 6));
    expect(ids(await lastValueFrom(db.viewPages('d/v', { pageSize: 3 }).pipe(toArray())))).toEqual([
      'abc',
      'def',
    ]);
    expect(sent()).toHaveLength(2);
  });

  it('emits one page for an empty view', async () => {
    serve([]);
    expect(ids(await lastValueFrom(db.viewPages('d/v').pipe(toArray())))).toEqual(['']);
  });

  it('reads every row once if a document emits a key many times', async () => {
    serve(Array.from('abbbbbbbc').map((id) => [null, id] as const));
    const pages = await lastValueFrom(db.viewPages('d/v', { pageSize: 2 }).pipe(toArray()));
    expect(ids(pages)).toEqual(['ab', 'bb', 'bb', 'bb', 'c']);
  });

  it('applies the limit to all pages, and skip to the first', async () => {
    serve(letters);
    const pages = db.viewPages('d/v', { pageSize: 2, limit: 5, skip: 1 });
    expect(ids(await lastValueFrom(pages.pipe(toArray())))).toEqual(['bc', 'de', 'f']);
    expect(sent()[2]).toBe('GET /db/_design/d/_view/v?startkey=1&startkey_docid=f&limit=1');
  });

  it('continues within a key, and by the id only in _all_docs', async () => {
    serve(letters);
    await lastValueFrom(db.viewPages('d/v', { pageSize: 6, key: 1 }));
    serve(letters.map(([, id]) => [id, id] as const));
    await lastValueFrom(db.viewPages('_all_docs', { pageSize: 6 }));
    expect(sent()).toEqual([
      'GET /db/_design/d/_view/v?key=1&limit=7',
      'GET /db/_design/d/_view/v?endkey=1&startkey=1&startkey_docid=g&limit=7',
      'GET /db/_all_docs?limit=7',
      'GET /db/_all_docs?startkey=%22g%22&limit=7',
    ]);
  });

  it('continues from the next of a page', async () => {
    serve(letters);
    const { next } = await firstValueFrom(db.viewPages('d/v', { pageSize: 3 }));
    const rest = await lastValueFrom(db.viewPages('d/v', { ...next, pageSize: 3 }).pipe(toArray()));
    expect(ids(rest)).toEqual(['def', 'g']);
  });

  it('requests no page after take', async () => {
    serve(letters);
    await lastValueFrom(db.viewPages('d/v', { pageSize: 2 }).pipe(take(2)));
    await fetch(`${stub.url}/marker`);
    expect(stub.requests.map(({ url }) => url).slice(2)).toEqual(['/marker']);
  });

  it('requests a page when a loop needs it, and none after a break', async () => {
    serve(letters);
    const requests: number[] = [];
    for await (const { rows } of db.viewPages('d/v', { pageSize: 2 })) {
      await fetch(`${stub.url}/marker`);
      requests.push(stub.requests.filter(({ url }) => url !== '/marker').length);
      if (rows.some(({ id }) => id === 'e')) break;
    }
    await fetch(`${stub.url}/marker`);
    expect(requests).toEqual([1, 2, 3]);
    expect(stub.requests.filter(({ url }) => url !== '/marker')).toHaveLength(3);
  });

  it('aborts the request and ends if return() is called during next()', async () => {
    stub.answer(() => {});
    const closed = stub.aborted();
    const pages = db.viewPages('d/v')[Symbol.asyncIterator]();
    const pending = pages.next();
    await stub.seen('/db/_design/d/_view/v?limit=101');
    await pages.return?.();
    await closed;
    expect(await pending).toEqual({ done: true, value: undefined });
    expect(await pages.next()).toEqual({ done: true, value: undefined });
  });
});
