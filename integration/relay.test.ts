import { afterEach, describe, expect, it, jest } from '@jest/globals';
import { Couch } from 'corduroy';
import { relay } from 'corduroy/relay';
import type { RelayOptions, RelayStats } from 'corduroy/relay';
import { request as forward } from 'node:http';
import { Subject, filter, firstValueFrom, timeout } from 'rxjs';
import { startFaultyProxy } from './helpers/faulty-proxy.ts';
import { listen, serve, startRelay } from './helpers/relay.ts';
import type { ListenOptions, RawListener, RunningRelay } from './helpers/relay.ts';
import { createDatabase, rawFetch, server } from './helpers/server.ts';

jest.setTimeout(30_000);

const cleanUps: (() => unknown)[] = [];
afterEach(async () => {
  for (let last = cleanUps.pop(); last; last = cleanUps.pop()) await last();
});

async function started(options: RelayOptions = {}, target?: string): Promise<RunningRelay> {
  const running = await startRelay(options, target);
  cleanUps.push(running.close);
  return running;
}

/** Opens a feed that is closed at the end of the test. */
async function open(url: string, options?: ListenOptions): Promise<RawListener> {
  const listener = await listen(url, options);
  cleanUps.push(() => listener.close());
  return listener;
}

async function put(name: string, id: string, doc: object = {}): Promise<string> {
  const path = `/${name}/${encodeURIComponent(id).replace('%2F', '/')}`;
  const response = await rawFetch(path, { method: 'PUT', body: doc });
  return ((await response.json()) as { rev: string }).rev;
}

const statsOf = (running: RunningRelay): Promise<RelayStats> =>
  firstValueFrom(running.relay.stats$);
const until = (running: RunningRelay, holds: (stats: RelayStats) => boolean): Promise<RelayStats> =>
  firstValueFrom(running.relay.stats$.pipe(filter(holds), timeout(15_000)));

const FEEDS = ['continuous', 'eventsource', 'longpoll'] as const;

/** What rows say, whatever the order in which shards were read. */
const content = ({ rows }: RawListener): unknown =>
  rows
    .map(({ id, changes, deleted, doc }) => ({ id, changes, deleted, doc }))
    .sort((a, b) => (a.id < b.id ? -1 : 1));

describe('a relay answers as the server does', () => {
  const QUERIES: readonly (readonly [query: string, body?: object])[] = [
    ['feed=continuous&timeout=200'],
    ['feed=continuous&timeout=200&since=now'],
    ['feed=longpoll&since=0'],
    ['feed=longpoll&since=now&timeout=200'],
    ['feed=eventsource&timeout=200'],
    ['feed=normal'],
    ['feed=continuous&timeout=200&include_docs=true'],
    ['feed=continuous&timeout=200&include_docs=true&conflicts=true&style=all_docs'],
    ['feed=longpoll&style=all_docs'],
    ['feed=normal&descending=true&limit=2'],
    ['feed=longpoll&filter=_design'],
    ['feed=longpoll&filter=d/cats'],
    ['feed=longpoll&filter=d/named&name=ada'],
    ['feed=longpoll&filter=_view&view=d/cats'],
    ['feed=longpoll&filter=_doc_ids', { doc_ids: ['ada', 'none'] }],
    ['feed=longpoll&filter=_selector', { selector: { kind: 'cat' } }],
    ['feed=longpoll&filter=_selector&include_docs=true', { selector: { kind: 'cat' } }],
    ['feed=longpoll&filter=_selector&style=all_docs', { selector: { kind: 'cat' } }],
  ];

  for (const [query, body] of QUERIES) {
    it(`${query}${body === undefined ? '' : ` with ${JSON.stringify(body)}`}`, async () => {
      const name = await createDatabase();
      await put(name, '_design/d', {
        filters: {
          cats: "function (doc) { return doc.kind === 'cat'; }",
          named: 'function (doc, req) { return doc._id === req.query.name; }',
        },
        views: { cats: { map: "function (doc) { if (doc.kind === 'cat') emit(null); }" } },
      });
      await put(name, 'ada', { kind: 'cat' });
      await put(name, 'bob', { kind: 'dog' });
      const { url } = await started();
      const path = `/${name}/_changes?${query}`;
      const options = body === undefined ? {} : { body };
      const [relayed, direct] = [
        await open(url + path, options),
        await open(server.url + path, options),
      ];
      expect(await relayed.ended).toBe(await direct.ended);
      expect(relayed.status).toBe(200);
      expect(relayed.headers['content-type']).toBe(direct.headers['content-type']);
      expect(content(relayed)).toEqual(content(direct));
      expect(relayed.lastSeq === undefined).toBe(direct.lastSeq === undefined);
    });
  }

  it('refuses with the answers of the server', async () => {
    const name = await createDatabase();
    const { url } = await started();
    for (const query of [
      'feed=continuous&limit=x',
      'feed=continuous&filter=no/such',
      'feed=continuous&filter=x',
      'feed=continuous&since=bogus',
      'feed=nonsense',
    ]) {
      const path = `/${name}/_changes?${query}&timeout=100`;
      const [relayed, direct] = [await open(url + path), await open(server.url + path)];
      await Promise.all([relayed.ended, direct.ended]);
      expect([query, relayed.status]).toEqual([query, direct.status]);
    }
    const missing = await open(`${url}/no-such-database/_changes?feed=continuous`);
    await missing.ended;
    expect([missing.status, JSON.parse(missing.text)]).toMatchObject([404, { error: 'not_found' }]);
  });

  it('answers nothing else, unless it forwards', async () => {
    const name = await createDatabase();
    const bare = await started({ databases: [`${name.slice(0, 8)}*`] });
    for (const path of [
      `/${name}`,
      '/',
      `/${name}/_all_docs`,
      '/other/_changes',
      `/${name}/_changes/x`,
    ]) {
      const refused = await open(bare.url + path);
      await refused.ended;
      expect([path, refused.status, JSON.parse(refused.text)]).toMatchObject([path, 404, {}]);
    }
    const full = await started({ forward: true });
    const couch = new Couch(full.url, { auth: [server.username, server.password] });
    const db = couch.use<{ n: number }>(name);
    await firstValueFrom(db.save({ _id: 'a', n: 1 }));
    const { _rev: rev } = await firstValueFrom(db.get('a'));
    expect(await firstValueFrom(db.get('a'))).toMatchObject({ n: 1 });
    await firstValueFrom(db.putAttachment({ _id: 'a', _rev: rev }, 'bytes', 'f.bin'));
    expect(String.fromCharCode(...(await firstValueFrom(db.getAttachment('a', 'f.bin'))))).toBe(
      'bytes',
    );
  });
});

describe('a framework around a relay', () => {
  /** Reads the body of a request, as a middleware does, before the relay gets it. */
  async function behindParser(parse: (text: string) => unknown): Promise<string> {
    const handler = relay(new Couch(server.url, { auth: [server.username, server.password] }), {
      forward: true,
    });
    const served = await serve((request, response) => {
      const parts: Buffer[] = [];
      request.on('data', (part: Buffer) => parts.push(part));
      request.once('end', () => {
        const body = parse(Buffer.concat(parts).toString());
        if (body !== undefined) Object.assign(request, { body });
        setImmediate(() => handler(request, response));
      });
    });
    cleanUps.push(() => handler.close(), served.close);
    return served.url;
  }

  it('may have parsed the body', async () => {
    const name = await createDatabase();
    const url = await behindParser((text) => (text === '' ? undefined : JSON.parse(text)));
    const couch = new Couch(url, { auth: [server.username, server.password] });
    await firstValueFrom(couch.use(name).save([{ _id: 'a' }, { _id: 'b' }]));
    const poll = await open(`${url}/${name}/_changes?feed=longpoll&filter=_doc_ids`, {
      body: { doc_ids: ['b'] },
    });
    await poll.ended;
    expect(poll.ids).toEqual(['b']);
  });

  it('that has dropped the body gets an error at once', async () => {
    const name = await createDatabase();
    const url = await behindParser(() => undefined);
    const refused = await open(`${url}/${name}/_changes?feed=longpoll&filter=_doc_ids`, {
      body: { doc_ids: ['b'] },
    });
    await refused.ended;
    expect([refused.status, refused.text]).toEqual([
      400,
      expect.stringContaining('pass it on unread'),
    ]);
  });
});

describe('a shared feed', () => {
  for (const feed of FEEDS) {
    it(`brings each row to fifty listeners with one request to the server: ${feed}`, async () => {
      const name = await createDatabase();
      const proxy = await startFaultyProxy(server.url);
      cleanUps.push(() => proxy.close());
      const running = await started({}, proxy.url);
      const path = `${running.url}/${name}/_changes?feed=${feed}&since=now&heartbeat=1000`;
      // A poll has no head before its first row or sign of life.
      const opening = Promise.all(Array.from({ length: 50 }, () => open(path)));
      await until(running, ({ feeds }) => feeds[0]?.listeners === 50);
      const before = proxy.requests.length;
      await put(name, 'ada');
      const listeners = await opening;
      await Promise.all(listeners.map((listener) => listener.has('ada')));
      const texts = new Set(
        listeners.map(({ text }) => text.replace(/^\n+|event: heartbeat\ndata: \n\n/gm, '')),
      );
      expect(texts.size).toBe(1);
      const feeds = proxy.requests.filter(({ url: sent }) =>
        /feed=(continuous|longpoll)/.test(sent),
      );
      expect(feeds.length).toBeLessThanOrEqual(2);
      expect(proxy.requests.length - before).toBeLessThanOrEqual(2);
    });
  }

  it('decides about ids and selectors, and leaves to the server what only it can decide', async () => {
    const name = await createDatabase();
    const { url } = await started();
    const path = `${url}/${name}/_changes?feed=continuous&since=now&heartbeat=1000`;
    const byIds = await open(`${path}&filter=_doc_ids`, { body: { doc_ids: ['a', 'c'] } });
    const selected = await open(`${path}&filter=_selector`, {
      body: { selector: { n: { $gt: 1 } } },
    });
    // The order of letters beyond ASCII is that of the server's libraries.
    const undecided = await open(`${path}&filter=_selector`, {
      body: { selector: { name: { $gte: 'ä' } } },
    });
    const pattern = await open(`${path}&filter=_selector&include_docs=true`, {
      body: { selector: { name: { $regex: '^(z|y)' } } },
    });
    const docs: readonly (readonly [string, object])[] = [
      ['a', { n: 1, name: 'a' }],
      ['b', { n: 2, name: 'z' }],
      ['c', { n: 3, name: 'ö' }],
      ['d', { name: 'yes' }],
    ];
    for (const [id, doc] of docs) await put(name, id, doc);
    await byIds.has('a', 'c');
    await selected.has('b', 'c');
    await undecided.has('b', 'c', 'd');
    await pattern.has('b', 'd');
    expect(byIds.ids).toEqual(['a', 'c']);
    expect(selected.ids).toEqual(['b', 'c']);
    expect(new Set(undecided.ids)).toEqual(new Set(['b', 'c', 'd']));
    expect(new Set(pattern.ids)).toEqual(new Set(['b', 'd']));
    expect(selected.rows[0]).not.toHaveProperty('doc');
    expect(pattern.rows[0]?.doc).toMatchObject({ name: 'z' });
  });

  it('does not change numbers on their way', async () => {
    const name = await createDatabase();
    const { url } = await started();
    const path = `/${name}/_changes?feed=continuous&since=now&heartbeat=1000&include_docs=true`;
    const [relayed, direct] = [await open(url + path), await open(server.url + path)];
    await rawFetch(`/${name}/n`, {
      method: 'PUT',
      headers: { 'content-type': 'application/json' },
      body: '{"big":12345678901234567890,"float":1.0}',
    });
    await Promise.all([relayed.has('n'), direct.has('n')]);
    const docOf = ({ text }: RawListener): string | undefined => /"doc":(\{.*?\})/.exec(text)?.[1];
    expect(docOf(relayed)).toBe(docOf(direct));
  });

  it('serves a listener that comes back from the window, and another one by a request of its own', async () => {
    const name = await createDatabase();
    await put(name, 'old');
    const running = await started();
    const path = `${running.url}/${name}/_changes?feed=continuous&heartbeat=1000`;
    const first = await open(`${path}&since=0`);
    await first.has('old');
    expect((await statsOf(running)).caughtUp).toBe(1);
    await put(name, 'one');
    await first.has('one');
    const seq = first.rows.at(-1)?.seq ?? '';
    first.close();
    await put(name, 'two');
    const second = await open(`${path}&since=${encodeURIComponent(seq)}`);
    await second.has('two');
    expect(second.ids).toEqual(['two']);
    expect((await statsOf(running)).caughtUp).toBe(1);
    // A sequence of the server itself is unknown to the window, or is not: nothing is lost either way.
    const direct = (await (await rawFetch(`/${name}/_changes?limit=1`)).json()) as {
      last_seq: string;
    };
    const third = await open(`${path}&since=${encodeURIComponent(direct.last_seq)}`);
    await put(name, 'three');
    await third.has('two', 'three');
    expect(new Set(third.ids).size).toBe(third.ids.length);
  });

  it('has the rows that came while the server answered the own request of a listener', async () => {
    const name = await createDatabase();
    await put(name, 'old');
    const answered = new Subject<void>();
    const gate = new Subject<void>();
    // The answer is complete before the next write, and reaches the relay after it.
    const slow = await serve((incoming, outgoing) => {
      const { method, headers, url = '' } = incoming;
      const upstream = forward(new URL(url, server.url), { method, headers }, (answer) => {
        outgoing.writeHead(answer.statusCode ?? 502, answer.headers);
        if (!url.includes('limit=1000&') && !url.endsWith('limit=1000'))
          return answer.pipe(outgoing);
        const parts: Buffer[] = [];
        answer.on('data', (part: Buffer) => parts.push(part));
        return answer.once('end', () => {
          gate.subscribe(() => outgoing.end(Buffer.concat(parts)));
          answered.next();
        });
      });
      upstream.once('error', () => outgoing.destroy());
      outgoing.once('close', () => upstream.destroy());
      incoming.pipe(upstream);
    });
    cleanUps.push(slow.close);
    const running = await started({}, slow.url);
    const path = `${running.url}/${name}/_changes?feed=continuous&heartbeat=1000&since=`;
    const other = await open(`${path}now`);
    const held = firstValueFrom(answered);
    const opening = open(`${path}0`);
    await held;
    await put(name, 'new');
    await other.has('new');
    gate.next();
    const listener = await opening;
    await listener.has('old', 'new');
    await put(name, 'last');
    await listener.has('last');
    expect(listener.ids).toEqual(['old', 'new', 'last']);
  });

  it('continues on another relay, and on the server, after the last row', async () => {
    const name = await createDatabase();
    const [one, two] = [await started(), await started()];
    const query = `/${name}/_changes?feed=continuous&heartbeat=1000&since=`;
    const seen: string[] = [];
    let since = 'now';
    for (const [round, { url }] of [one, two, { url: server.url }, one].entries()) {
      const listener = await open(url + query + encodeURIComponent(since));
      await put(name, `a${round}`);
      await put(name, `b${round}`);
      await listener.has(`a${round}`, `b${round}`);
      seen.push(...listener.ids);
      since = listener.rows.at(-1)?.seq ?? '';
      listener.close();
      await put(name, `between${round}`);
    }
    const wanted = [0, 1, 2, 3].flatMap((n) => [`a${n}`, `b${n}`]);
    expect(seen).toEqual(expect.arrayContaining([...wanted, 'between0', 'between1', 'between2']));
  });

  it('reconnects a browser by the id of its last event', async () => {
    const name = await createDatabase();
    const { url } = await started();
    const path = `${url}/${name}/_changes?feed=eventsource&since=now&heartbeat=1000`;
    const first = await open(path);
    await put(name, 'one');
    await first.has('one');
    await first.until(() => first.text.includes('\nid: '));
    const id = /\nid: (.*)/.exec(first.text)?.[1] ?? '';
    first.close();
    await put(name, 'two');
    const again = await open(path, { headers: { 'last-event-id': id } });
    await again.has('two');
    expect(again.ids).toEqual(['two']);
  });

  it('ends after the limit, and after the timeout, with the sequence to continue from', async () => {
    const name = await createDatabase();
    for (const id of ['a', 'b', 'c']) await put(name, id);
    const { url } = await started();
    const path = `${url}/${name}/_changes?feed=continuous`;
    const limited = await open(`${path}&limit=2`);
    expect(await limited.ended).toBe(true);
    expect(limited.rows).toHaveLength(2);
    const rest = await open(
      `${path}&timeout=200&since=${encodeURIComponent(limited.lastSeq ?? '')}`,
    );
    expect(await rest.ended).toBe(true);
    expect([...limited.ids, ...rest.ids].sort()).toEqual(['a', 'b', 'c']);
    const next = await open(`${path}&limit=1&since=${encodeURIComponent(rest.lastSeq ?? '')}`);
    await put(name, 'd');
    expect(await next.ended).toBe(true);
    expect(next.ids).toEqual(['d']);
  });

  it('is that of the design document: a changed filter function is another one', async () => {
    const name = await createDatabase();
    const design = (kind: string): object => ({
      filters: { f: `function (doc) { return doc.kind === '${kind}'; }` },
    });
    const _rev = await put(name, '_design/d', design('cat'));
    const { url } = await started({ recheck: 1000 });
    const path = `${url}/${name}/_changes?feed=continuous&since=now&heartbeat=1000&filter=d/f`;
    const cats = await open(path);
    await put(name, 'ada', { kind: 'cat' });
    await cats.has('ada');
    await put(name, '_design/d', { _rev, ...design('dog') });
    let dogs = await open(path);
    // The relay reads the function again after `recheck`.
    for (let round = 0; !dogs.ids.includes(`dog${round - 1}`); round += 1) {
      await put(name, `dog${round}`, { kind: 'dog' });
      const [listener] = [dogs];
      await Promise.race([
        listener.has(`dog${round}`),
        listener.until(() => false).catch(() => {}),
        pause(300),
      ]);
      if (listener.ids.includes(`dog${round}`)) break;
      listener.close();
      dogs = await open(path);
    }
    expect(dogs.ids.every((id) => id.startsWith('dog'))).toBe(true);
  });
});

const pause = (milliseconds: number): Promise<void> =>
  new Promise((resolve) => {
    setTimeout(resolve, milliseconds);
  });

describe('a slow listener', () => {
  it('is cut off after a complete row, and resumes without a loss', async () => {
    const name = await createDatabase();
    const running = await started({ maxBacklog: 20, maxStall: 1000 });
    const path = `${running.url}/${name}/_changes?feed=continuous&heartbeat=60000&include_docs=true&since=`;
    const slow = await open(`${path}now`);
    slow.pause();
    const text = 'x'.repeat(400_000);
    for (let n = 0; n < 60; n += 1) await put(name, `n${n}`, { text });
    await until(running, ({ ended }) => ended.slow === 1);
    slow.resume();
    await slow.ended;
    const { rows } = slow;
    expect(rows.length).toBeGreaterThan(0);
    expect(rows.length).toBeLessThan(60);
    const rest = await open(path + encodeURIComponent(rows.at(-1)?.seq ?? ''));
    await rest.until(() => rest.ids.includes('n59'));
    const all = new Set([...slow.ids, ...rest.ids]);
    expect(all.size).toBe(60);
  });
});

describe('trouble between the relay and the server', () => {
  it('is visible, and loses nothing', async () => {
    const name = await createDatabase();
    const proxy = await startFaultyProxy(server.url);
    cleanUps.push(() => proxy.close());
    const running = await started({}, proxy.url);
    const listener = await open(
      `${running.url}/${name}/_changes?feed=continuous&since=now&heartbeat=1000`,
    );
    await put(name, 'one');
    await listener.has('one');
    proxy.refuse();
    proxy.cut();
    await put(name, 'two');
    await until(running, ({ feeds }) => feeds[0]?.status === 'waiting');
    await proxy.accept();
    await listener.has('two');
    expect((await statsOf(running)).feeds[0]).toMatchObject({ database: name, listeners: 1 });
  });

  it('ends the feeds if the server is away for too long, and refuses new ones meanwhile', async () => {
    const name = await createDatabase();
    const proxy = await startFaultyProxy(server.url);
    cleanUps.push(() => proxy.close());
    const running = await started({ maxBlind: 1000 }, proxy.url);
    const path = `${running.url}/${name}/_changes?feed=continuous&since=now&heartbeat=1000`;
    const listener = await open(path);
    await put(name, 'one');
    await listener.has('one');
    proxy.refuse();
    proxy.cut();
    await listener.ended;
    const refused = await open(path);
    await refused.ended;
    expect(refused.status).toBe(503);
    expect(refused.headers['retry-after']).toBe('2');
    await proxy.accept();
    await until(running, ({ feeds }) => feeds[0]?.status === 'live');
    const again = await open(path);
    await put(name, 'two');
    await again.has('two');
  });

  it('ends the feeds of a database that is deleted', async () => {
    const name = await createDatabase();
    const running = await started({ recheck: 1000 });
    const path = `${running.url}/${name}/_changes?feed=continuous&since=now&heartbeat=1000`;
    const listener = await open(path);
    // The embedded server does not end a feed that opens while its database is deleted.
    await until(running, ({ feeds }) => feeds[0]?.status === 'live');
    await rawFetch(`/${name}`, { method: 'DELETE' });
    await listener.ended;
    // The relay may still believe an answer of the server for a moment.
    let gone: RawListener;
    do {
      gone = await open(path);
      await gone.ended;
    } while (gone.status === 200);
    expect(gone.status).toBe(404);
  });
});

describe('a relay', () => {
  it('ends its feeds in good order, and takes no more', async () => {
    const name = await createDatabase();
    const running = await started();
    const path = `${running.url}/${name}/_changes?since=now&heartbeat=1000`;
    const listener = await open(`${path}&feed=continuous`);
    const events = await open(`${path}&feed=eventsource`);
    await put(name, 'one');
    await Promise.all([listener.has('one'), events.has('one')]);
    await running.relay.close({ over: 100 });
    expect([await listener.ended, await events.ended]).toEqual([true, true]);
    expect(listener.lastSeq).toBe(listener.rows.at(-1)?.seq);
    const late = await open(`${path}&feed=continuous`);
    await late.ended;
    expect(late.status).toBe(503);
    const health = await open(`${running.url}/_relay/up`);
    expect(health.status).toBe(503);
  });

  it('takes as many listeners as it may have', async () => {
    const name = await createDatabase();
    const running = await started({ maxClients: 2 });
    const path = `${running.url}/${name}/_changes?feed=continuous&since=now&heartbeat=1000`;
    const [first] = [await open(path), await open(path)];
    const third = await open(path);
    await third.ended;
    expect([third.status, third.headers['retry-after']]).toEqual([503, '2']);
    first.close();
    await until(running, ({ listeners }) => listeners === 1);
    expect((await open(path)).status).toBe(200);
  });

  it('reports its figures to administrators, as JSON and for Prometheus', async () => {
    const name = await createDatabase();
    const running = await started();
    const listener = await open(
      `${running.url}/${name}/_changes?feed=continuous&since=now&heartbeat=1000`,
    );
    await put(name, 'one');
    await listener.has('one');
    const json = await open(`${running.url}/_relay`);
    await json.ended;
    expect(JSON.parse(json.text)).toMatchObject({
      listeners: 1,
      delivered: 1,
      feeds: [{ database: name, listeners: 1, status: 'live', rows: 1 }],
    });
    const metrics = await open(`${running.url}/_relay/metrics`);
    await metrics.ended;
    expect(metrics.text).toContain('\ncorduroy_relay_listeners 1\n');
    expect(metrics.text).toContain(`corduroy_relay_feed_live{database="${name}",feed="0"} 1\n`);
    const stranger = await open(`${running.url}/_relay`, { auth: null });
    await stranger.ended;
    expect(stranger.status).toBe(401);
    expect(stranger.text).not.toContain(name);
  });

  it('closes a feed that nobody needs after a while', async () => {
    const name = await createDatabase();
    const running = await started({ linger: 100 });
    const listener = await open(
      `${running.url}/${name}/_changes?feed=continuous&since=now&heartbeat=1000`,
    );
    expect((await statsOf(running)).feeds).toHaveLength(1);
    listener.close();
    await until(running, ({ feeds }) => feeds.length === 0);
  });

  it('refuses wrong options', () => {
    const couch = new Couch(server.url);
    const wrong: readonly (readonly [unknown, string])[] = [
      [{ database: ['a'] }, "relay: unknown option 'database'; did you mean 'databases'?"],
      [
        { databases: [''] },
        'relay: databases must be a list of names, a RegExp or a function (received an array)',
      ],
      [{ recheck: 5 }, 'relay: recheck must be milliseconds from 1000 (received 5)'],
      [{ maxClients: 0 }, 'relay: maxClients must be a whole number from 1 (received 0)'],
      [
        { heartbeat: 90_000 },
        'relay: heartbeat must be a whole number from 1 to 60000 (received 90000)',
      ],
      [{ forward: 'yes' }, 'relay: forward must be a boolean (received "yes")'],
      [
        { credentialHeaders: 'cookie' },
        'relay: credentialHeaders must be a list of names of headers (received "cookie")',
      ],
      [null, 'relay: options must be an object (received null)'],
    ];
    for (const [options, message] of wrong)
      expect(() => relay(couch, options as RelayOptions)).toThrow(message);
    expect(() => relay('http://127.0.0.1:5984' as never)).toThrow(
      'relay: couch must be a Couch (received "http://127.0.0.1:5984")',
    );
  });
});

describe('PouchDB', () => {
  it('replicates from a database through a relay that forwards, live and in both directions', async () => {
    const name = await createDatabase();
    await put(name, 'old', { n: 1 });
    const running = await started({ forward: true });
    const [PouchDB, ...plugins] = (await Promise.all(
      ['core', 'adapter-http', 'adapter-memory', 'replication'].map(
        async (module) => ((await import(`pouchdb-${module}`)) as { default: unknown }).default,
      ),
    )) as [Pouch, ...object[]];
    for (const plugin of plugins) PouchDB.plugin(plugin);
    const local = new PouchDB(name, { adapter: 'memory' });
    const { username, password } = server;
    const remote = new PouchDB(`${running.url}/${name}`, {
      adapter: 'http',
      auth: { username, password },
    });
    const sync = local.sync(remote, { live: true, retry: true });
    sync.catch(() => {});
    cleanUps.push(async () => {
      const complete = new Promise<void>((resolve) => sync.on('complete', resolve));
      sync.cancel();
      await complete;
      await Promise.all([local.close(), remote.close()]);
    });
    const has = async (read: () => Promise<unknown>): Promise<void> => {
      while (!(await read().catch(() => false))) await pause(20);
    };
    await has(() => local.get('old'));
    await put(name, 'new', { n: 2 });
    await has(() => local.get('new'));
    await local.put({ _id: 'mine', n: 3 });
    await has(async () => (await rawFetch(`/${name}/mine`)).ok);
    const { feeds } = await statsOf(running);
    expect(feeds).toMatchObject([{ database: name }]);
  });
});

interface Pouch {
  plugin(plugin: object): void;
  new (
    name: string,
    options: object,
  ): {
    sync(
      remote: unknown,
      options: object,
    ): {
      cancel(): void;
      on(event: string, handler: () => void): void;
      catch(handler: () => void): void;
    };
    get(id: string): Promise<unknown>;
    put(doc: object): Promise<unknown>;
    close(): Promise<void>;
  };
}
