import { describe, expect, it } from '@jest/globals';
import {
  changesRequest,
  decodeChange,
  lastSequence,
  readChange,
  sinceParameter,
} from '../src/changes/changes-request.ts';
import type { FeedConnection, FeedCore } from '../src/changes/feed-model.ts';
import * as pace from '../src/changes/feed-pace.ts';
import type { DatabaseScope } from '../src/http/scope.ts';
import type { Change } from '../src/model/change.ts';

// How long a feed waits in each state, and the requests and changes of a feed: pure functions, one by one.

const HEARTBEAT = 30_000;
const options = {
  kind: 'auto',
  heartbeat: HEARTBEAT,
  backoff: {},
  tolerance: Infinity,
  pollLimit: 1000,
  filtered: false,
  onDemand: false,
} as const;
const core = (more: object = {}): FeedCore =>
  ({
    options,
    phase: 'live',
    crowded: false,
    seq: '5',
    heartbeat: HEARTBEAT,
    main: null,
    rival: null,
    connectAt: Infinity,
    raceAt: Infinity,
    lookAt: Infinity,
    giveUpAt: Infinity,
    bufferedAt: null,
    reopened: 0,
    fruitless: 0,
    quick: 0,
    lastSilence: null,
    patience: 0,
    demand: true,
    ...more,
  }) as unknown as FeedCore;
const kindOf = (kind: string, more: object = {}): FeedCore =>
  core({ options: { ...options, kind }, ...more });
const connection = (more: object = {}): FeedConnection =>
  ({ requestedAt: 1000, received: 5, startedAfter: '1', heardAt: null, ...more }) as FeedConnection;

describe('the pace of a feed', () => {
  it('has the earliest deadline; a connection only on demand', () => {
    const times = { connectAt: 10, raceAt: 20, lookAt: 30, giveUpAt: 40 };
    expect(pace.deadline(core(times))).toBe(10);
    expect(pace.deadline(core({ ...times, demand: false }))).toBe(20);
    expect(pace.deadline(core({ ...times, connectAt: 99, raceAt: 99 }))).toBe(30);
    expect(pace.deadline(core({ giveUpAt: 40 }))).toBe(40);
    expect(pace.deadline(core())).toBe(Infinity);
  });

  it.each<[string, FeedCore, boolean]>([
    ['a stream', core(), false],
    ['a stream behind a proxy that held back', core({ bufferedAt: 400_001 }), true],
    ['the same, ten minutes later', core({ bufferedAt: 400_000 }), false],
    ['a stream that is wanted', kindOf('continuous', { bufferedAt: 900_000 }), false],
    ['a poll that is wanted', kindOf('longpoll'), true],
    ['one answer', kindOf('normal'), true],
    ['a feed without a connection to wait on', core({ crowded: true }), true],
  ])('chooses the next connection of %s', (_, given, isPoll) => {
    expect(pace.nextIsPoll(given, 1_000_000)).toBe(isPoll);
  });

  it.each([
    [5000, 10_000],
    [15_000, 30_000],
    [30_000, 45_000],
  ])('is patient beyond a heartbeat of %d ms for %d ms', (heartbeat, silence) => {
    expect(pace.longestSilence(heartbeat)).toBe(silence);
  });

  it('doubles the patience with polls, up to ten minutes', () => {
    const patience = [0, 1, 2, 3, 4].map((times) => pace.pollPatience(core({ patience: times })));
    expect(patience).toEqual([45_000, 90_000, 180_000, 360_000, 600_000]);
  });

  it.each<[string, FeedCore, number]>([
    ['live', core(), HEARTBEAT],
    ['connecting', core({ phase: 'connecting' }), 250],
    ['beside a rival', core({ rival: connection() }), 250],
    ['for one answer', kindOf('normal'), 250],
    ['in a crowd', core({ crowded: true }), 10],
  ])('lets a poll wait, %s', (_, given, wait) => {
    expect(pace.pollWait(given)).toBe(wait);
  });

  it('waits no longer than a heartbeat at first', () => {
    expect([pace.shortWait(100), pace.shortWait(1000)]).toEqual([100, 250]);
  });

  it('is overdue when its timers have stood still', () => {
    const waiting = core({ connectAt: 1000 });
    expect(pace.isOverdue(waiting, 31_000)).toBe(false);
    expect(pace.isOverdue(waiting, 31_001)).toBe(true);
    const quiet = core({ main: connection() });
    expect(pace.isOverdue(quiet, 38_500)).toBe(false);
    expect(pace.isOverdue(quiet, 38_501)).toBe(true);
    expect(pace.isOverdue(core({ main: connection({ heardAt: 2000 }) }), 38_501)).toBe(false);
    expect(pace.isOverdue(core({ main: connection(), patience: 1 }), 91_000)).toBe(false);
    expect(pace.isOverdue(core({ main: connection(), patience: 1 }), 91_001)).toBe(true);
    expect(pace.isOverdue(core(), 1e9)).toBe(false);
  });

  it('races a late head, and looks for items that are held back', () => {
    expect(pace.raceDelay(core())).toBe(1000);
    expect(pace.raceDelay(core({ heartbeat: 500 }))).toBe(500);
    expect(pace.raceDelay(kindOf('continuous'))).toBe(Infinity);
    expect(pace.lookDelay(core())).toBe(500);
    expect(pace.lookDelay(core({ options: { ...options, filtered: true } }))).toBe(300_000);
    const empty = connection({ received: 0 });
    expect(pace.mayBeHeldBack(core({ main: empty, reopened: 1 }))).toBe(true);
    expect(pace.mayBeHeldBack(core({ main: empty, reopened: 2 }))).toBe(false);
    expect(pace.mayBeHeldBack(kindOf('continuous', { main: empty }))).toBe(true);
    expect(pace.mayBeHeldBack(kindOf('continuous', { main: empty, reopened: 1 }))).toBe(false);
    expect(pace.mayBeHeldBack(core({ main: connection() }))).toBe(false);
    expect(pace.mayBeHeldBack(core())).toBe(false);
  });

  it.each<[string, object, object, number, object]>([
    ['a long and full one', {}, { received: 100 }, 20_000, { fruitless: 0, quick: 0, pause: 0 }],
    ['a quick and full one', { quick: 11 }, { received: 100 }, 1100, { quick: 11, pause: 0 }],
    ['a quick and small one', { quick: 3 }, {}, 1100, { quick: 4, pause: 0 }],
    ['one after a burst', { quick: 10 }, {}, 1100, { quick: 11, pause: 150 }],
    ['one at the end of a burst', { quick: 9 }, {}, 1100, { quick: 10, pause: 0 }],
    ['one of exactly the interval', { quick: 11 }, {}, 1250, { quick: 0, pause: 0 }],
    ['one without progress', { seq: '1', fruitless: 1 }, {}, 1100, { fruitless: 2 }],
    ['one without progress, but long', { seq: '1', fruitless: 1 }, {}, 16_001, { fruitless: 0 }],
    ['one without progress, half a heartbeat long', { seq: '1' }, {}, 16_000, { fruitless: 1 }],
    ['a short one, which restores patience', { patience: 2 }, {}, 46_000, { patience: 1 }],
    ['a short one, with full patience', {}, {}, 46_000, { patience: 0 }],
    ['a dead one, which does not', { patience: 2 }, {}, 46_001, { patience: 2 }],
    [
      'one in a crowd',
      { crowded: true, fruitless: 3, quick: 9 },
      {},
      1500,
      { fruitless: 0, quick: 0, pause: 1500 },
    ],
    ['a long one in a crowd', { crowded: true }, {}, 9000, { pause: 0 }],
    ['a full one in a crowd', { crowded: true }, { received: 100 }, 1500, { pause: 0 }],
    [
      'a full one of a consumer',
      { quick: 11, options: { ...options, pollLimit: 10 } },
      { received: 10 },
      1100,
      { quick: 11, pause: 0 },
    ],
  ])('after %s', (_, state, ended, now, expected) => {
    expect(pace.paceAfter(core(state), connection(ended), now)).toMatchObject(expected);
  });

  it.each<[string, object, number, object]>([
    ['is soon', { lastSilence: 20_000 }, 14_999, { heartbeat: 30_000, lastSilence: null }],
    ['is the first', {}, 15_000, { heartbeat: 30_000, lastSilence: 15_000 }],
    ['is another', { lastSilence: 20_000 }, 30_000, { heartbeat: 30_000, lastSilence: 30_000 }],
    ['is the same', { lastSilence: 20_000 }, 20_000, { heartbeat: 10_000, lastSilence: null }],
    [
      'is almost the same',
      { lastSilence: 22_000 },
      20_000,
      { heartbeat: 10_000, lastSilence: null },
    ],
    [
      'is no longer the same',
      { lastSilence: 22_001 },
      20_000,
      { heartbeat: 30_000, lastSilence: 20_000 },
    ],
    ['is long', { lastSilence: 90_000 }, 90_000, { heartbeat: 15_000, lastSilence: null }],
    [
      'is short',
      { heartbeat: 8000, lastSilence: 6000 },
      6000,
      { heartbeat: 5000, lastSilence: null },
    ],
    [
      'is the shortest',
      { heartbeat: 5000, lastSilence: 6000 },
      6000,
      { heartbeat: 5000, lastSilence: 6000 },
    ],
  ])('after a death in a silence that %s', (_, state, silence, expected) => {
    expect(pace.heartbeatAfter(core(state), silence)).toEqual(expected);
  });
});

describe('the request of a feed', () => {
  it.each<[object, Readonly<Record<string, unknown>>, object]>([
    [{}, {}, { method: 'GET', reads: true, query: '' }],
    [{ includeDocs: true }, { feed: 'longpoll' }, { query: '?include_docs=true&feed=longpoll' }],
    [{ filter: 'd/f' }, {}, { method: 'GET', query: '?filter=d%2Ff' }],
    [{ filter: 'd/f', query: { a: 'x y' } }, {}, { query: '?filter=d%2Ff&a=x%20y' }],
    [{ query: { a: 1 } }, {}, { query: '?a=1' }],
    [{ view: 'd/v' }, {}, { query: '?view=d%2Fv&filter=_view' }],
    [
      { docIds: ['a'] },
      {},
      { method: 'POST', reads: true, query: '?filter=_doc_ids', json: { doc_ids: ['a'] } },
    ],
    [
      { selector: { n: 1 } },
      {},
      { method: 'POST', query: '?filter=_selector', json: { selector: { n: 1 } } },
    ],
  ])('for %j', (parameters, added, expected) => {
    expect(changesRequest(parameters, added, 'changes', JSON)).toMatchObject(expected);
  });

  it.each<[object, RegExp]>([
    [{ query: undefined }, /^changes: query must be an object \(received undefined\)/],
    [{ docIds: [], view: 'd/v' }, /^changes: docIds and view exclude each other/],
    [{ since: '' }, /^changes: since must be a sequence that CouchDB gave, 'now' or 0/],
    [{ since: 5 }, /^changes: since must be a sequence/],
    [{ since: true }, /^changes: since must be a sequence/],
  ])('refuses %j', (parameters, message) => {
    expect(() => changesRequest(parameters, {}, 'changes', JSON)).toThrow(message);
  });

  it('starts at a sequence, now, or the beginning', () => {
    expect(['5-x', 'now', 0].map((since) => sinceParameter(since, 'since'))).toEqual([
      '5-x',
      'now',
      '0',
    ]);
  });
});

describe('a change', () => {
  it.each([
    ['5-x', '5-x'],
    [5, '5'],
    [[5, 'x'], '[5,"x"]'],
    [null, null],
  ])('has the sequence %j as text', (seq, expected) => {
    expect(decodeChange({ id: 'a', seq, changes: [] }).seq).toBe(expected);
  });

  it('that has no id, or no sequence, is refused', () => {
    expect(() => decodeChange({ seq: '5' })).toThrow(/expected a string as 'id'/);
    expect(() => decodeChange({ id: 'a', seq: true })).toThrow(/expected a sequence/);
  });

  it('is among others the last with a sequence', () => {
    expect(lastSequence([{ seq: '1' }, { seq: '2' }, { seq: null }])).toBe('2');
    expect(lastSequence([{ seq: null }])).toBeNull();
    expect(lastSequence([])).toBeNull();
  });

  it('has its document as the database decodes it', () => {
    const change = { id: 'a', seq: '1', changes: [], doc: { _id: 'a', _rev: '1-a' } } as Change;
    const bare = { id: 'a', seq: '1', changes: [] } as Change;
    const scope = (readOrWarn: ((doc: unknown) => unknown) | null): DatabaseScope =>
      ({ rules: readOrWarn === null ? null : { readOrWarn } }) as unknown as DatabaseScope;
    expect(readChange(scope(null), change)).toBe(change);
    expect(
      readChange(
        scope((doc) => doc),
        change,
      ),
    ).toBe(change);
    expect(
      readChange(
        scope(() => null),
        bare,
      ),
    ).toBe(bare);
    expect(
      readChange(
        scope(() => null),
        change,
      ),
    ).toEqual({ ...change, doc: null });
    const decoded = { _id: 'a', n: 1 };
    expect(
      readChange(
        scope(() => decoded),
        change,
      ).doc,
    ).toBe(decoded);
  });
});
