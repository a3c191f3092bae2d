import { describe, expect, it } from '@jest/globals';
import { call, del, newDatabase, post, put } from '../call.ts';
import { rawFetch } from '../server.ts';

// Tests of the embedded server that pass on CouchDB 3.5 too.

interface Row {
  readonly id: string;
  readonly seq: string;
}

async function filled(): Promise<string> {
  const path = await newDatabase();
  // Sequential, so that their order is known.
  for (const id of ['a', 'b', 'c']) await put(`${path}/${id}`, { letter: id });
  return path;
}

const idsOf = (body: Record<string, unknown>): string[] =>
  (body['results'] as Row[]).map(({ id }) => id);
const feed = (path: string, query: string): ReturnType<typeof call> =>
  call(`${path}/_changes?${query}`);

/** The lines of a feed. `next()` resolves with the next line, or undefined at the end. */
async function open(path: string, query: string) {
  const controller = new AbortController();
  const response = await rawFetch(`${path}/_changes?${query}`, { signal: controller.signal });
  const reader = response.body!.pipeThrough(new TextDecoderStream()).getReader();
  let text = '';
  return {
    response,
    close: () => controller.abort(),
    async next(): Promise<string | undefined> {
      while (!text.includes('\n')) {
        const { done, value } = await reader.read();
        if (done) return undefined;
        text += value;
      }
      const [line = '', ...rest] = text.split('\n');
      text = rest.join('\n');
      return line;
    },
  };
}

const until = async (
  source: { next(): Promise<string | undefined> },
  wanted: (line: string) => boolean,
): Promise<string> => {
  for (;;) {
    const line = await source.next();
    if (line === undefined) throw new Error('The feed ended');
    if (wanted(line)) return line;
  }
};

describe('sequences', () => {
  it('are opaque strings, accepted as since', async () => {
    const path = await filled();
    const { body } = await feed(path, '');
    expect(idsOf(body).toString()).toHaveLength(5);
    const rows = body['results'] as Row[];
    for (const { seq } of rows) expect(seq).toMatch(/^\d+-\S+$/);
    expect(body['last_seq']).toMatch(/^3-/);
    const since = encodeURIComponent(String(body['last_seq']));
    await put(`${path}/d`, {});
    expect(idsOf((await feed(path, `since=${since}`)).body)).toEqual(['d']);
    expect(idsOf((await feed(path, 'since=0')).body)).toHaveLength(4);
    expect((await feed(path, 'since=now')).body).toMatchObject({ results: [], pending: 0 });
  });

  it.each(['zz', '3', '12-'])('are rejected if malformed: %s', async (since) => {
    const reason = "Malformed sequence supplied in 'since' parameter.";
    const answer = await feed(await newDatabase(), `since=${since}`);
    expect(answer).toMatchObject({ status: 400, body: { reason } });
  });

  it('of an earlier database of the same name start from the beginning', async () => {
    const path = await filled();
    const { body: before } = await feed(path, '');
    await del(path);
    await put(path, undefined);
    await put(`${path}/new`, {});
    const since = String(before['last_seq']);
    const { status, body } = await feed(path, `since=${encodeURIComponent(since)}`);
    expect([status, idsOf(body)]).toEqual([200, ['new']]);
    expect(body['last_seq']).not.toBe(since);
  });
});

describe('the normal feed', () => {
  it('writes one row per line', async () => {
    const path = await newDatabase();
    const { body: made } = await put(`${path}/a`, {});
    const { text } = await feed(path, 'include_docs=true');
    const rev = String(made['rev']);
    const [first, row, ...rest] = text.split('\n');
    expect(first).toBe('{"results":[');
    expect(row).toMatch(
      /^\{"seq":"1-[^"]+","id":"a","changes":\[\{"rev":"1-\w+"\}\],"doc":\{"_id"/,
    );
    expect(row).toContain(rev);
    expect(rest).toEqual(
      [']', expect.stringMatching(/^"last_seq":"1-.*","pending":0\}$/), '', ''].map((line) =>
        line === ']' ? '],' : line,
      ),
    );
  });

  it('has a limit, and returns pending', async () => {
    const path = await filled();
    const { body } = await feed(path, 'limit=2');
    expect(body).toMatchObject({ pending: 1 });
    expect(idsOf(body)).toHaveLength(2);
    expect((await feed(path, 'limit=0')).body).toMatchObject({ results: [], pending: 3 });
    expect(idsOf((await feed(path, 'descending=true&limit=1')).body)).toHaveLength(1);
  });

  it('has filters', async () => {
    const path = await filled();
    const filters = { pick: 'function (doc, req) { return doc.letter === req.query.letter; }' };
    const views = { c: { map: 'function (doc) { if (doc.letter === "c") emit(null); }' } };
    await put(`${path}/_design/f`, { filters, views });
    const ids = async (query: string): Promise<string[]> => idsOf((await feed(path, query)).body);
    expect(await ids('filter=f/pick&letter=b')).toEqual(['b']);
    expect(await ids('filter=_view&view=f/c')).toEqual(['c']);
    expect(await ids('filter=_design')).toEqual(['_design/f']);
    expect(await ids(`filter=_doc_ids&doc_ids=${encodeURIComponent('["a"]')}`)).toEqual(['a']);
    const posted = async (filter: string, body: unknown): Promise<string[]> =>
      idsOf((await post(`${path}/_changes?filter=${filter}`, body)).body);
    expect(await posted('_doc_ids', { doc_ids: ['b', 'none'] })).toEqual(['b']);
    expect(await posted('_selector', { selector: { letter: { $lt: 'b' } } })).toEqual(['a']);
  });

  it.each([
    ['filter=none/none', 404],
    ['filter=none', 400],
    ['filter=_none', 400],
    ['filter=_view', 400],
    ['filter=_selector', 400],
    ['feed=what', 400],
    ['heartbeat=x', 400],
    ['heartbeat=0', 400],
  ])('refuses %s', async (query, status) => {
    expect((await feed(await newDatabase(), query)).status).toBe(status);
  });
});

describe('a waiting feed', () => {
  it('sends its headers at once, then heartbeats', async () => {
    const path = await newDatabase();
    const open_ = await open(path, 'feed=continuous&since=now&heartbeat=100');
    expect(open_.response.headers.get('content-type')).toBe('application/json');
    const started = performance.now();
    expect([await open_.next(), await open_.next(), await open_.next()]).toEqual(['', '', '']);
    expect(performance.now() - started).toBeLessThan(1_000);
    await put(`${path}/new`, {});
    expect(JSON.parse(await until(open_, Boolean))).toMatchObject({ id: 'new' });
    open_.close();
  });

  it('ends at its limit or its timeout with last_seq', async () => {
    const path = await filled();
    const limited = (await feed(path, 'feed=continuous&limit=2')).text.trim().split('\n');
    expect(limited).toHaveLength(3);
    expect(JSON.parse(limited[2]!)).toEqual({ last_seq: expect.stringMatching(/^2-/), pending: 1 });
    const { text } = await feed(path, 'feed=continuous&since=now&timeout=200');
    expect(JSON.parse(text)).toEqual({ last_seq: expect.stringMatching(/^3-/), pending: 0 });
    const { body } = await feed(path, 'feed=longpoll&since=now&timeout=200');
    expect(body).toEqual({ results: [], last_seq: expect.stringMatching(/^3-/), pending: 0 });
  });

  it('ends when its database is deleted', async () => {
    const path = await newDatabase();
    const open_ = await open(path, 'feed=continuous&since=now&heartbeat=200');
    await open_.next();
    await del(path);
    expect(JSON.parse(await until(open_, Boolean))).toHaveProperty('last_seq');
    expect(await until(open_, () => false).catch(() => 'ended')).toBe('ended');
  });

  it('answers a long poll with existing changes, or with the next one', async () => {
    const path = await filled();
    expect(idsOf((await feed(path, 'feed=longpoll')).body)).toHaveLength(3);
    const waiting = feed(path, 'feed=longpoll&since=now&heartbeat=1000');
    await new Promise((resolve) => setTimeout(resolve, 100));
    await put(`${path}/d`, {});
    expect(idsOf((await waiting).body)).toEqual(['d']);
  });

  it('can be an event stream', async () => {
    const path = await newDatabase();
    await put(`${path}/a`, {});
    const open_ = await open(path, 'feed=eventsource&heartbeat=100');
    expect(open_.response.headers.get('content-type')).toBe('text/event-stream');
    const data = await until(open_, Boolean);
    const { seq } = JSON.parse(data.replace(/^data: /, '')) as Row;
    expect(await until(open_, Boolean)).toBe(`id: "${seq}"`);
    expect(await until(open_, Boolean)).toBe('event: heartbeat');
    open_.close();
  });
});
