import { beforeAll, describe, expect, it } from '@jest/globals';
import { EventEmitter } from 'node:events';
import { PassThrough } from 'node:stream';
import { runInNewContext } from 'node:vm';
import { Couch, Database } from 'corduroy';
import type { JsonCodec, Transport } from 'corduroy';
import { NEVER, firstValueFrom, of } from 'rxjs';
import { assertJson } from '../src/model/json.ts';
import { createDatabase, rawFetch, server } from './helpers/server.ts';

const half = 'Great pizza 🍕'.slice(0, 13);

class Pet {
  readonly name = 'Ada';
  readonly #secret = 1;
  get [Symbol.toStringTag](): string {
    return `Pet ${this.#secret}`;
  }
}

/** Values that JSON loses or changes, with the problem that the error names. */
const lost: readonly (readonly [name: string, value: unknown, problem: string])[] = [
  ['a Promise', Promise.resolve(1), 'a Promise (await it first)'],
  ['a thenable', Object.create(Promise.resolve(1)) as object, 'a Promise (await it first)'],
  ['an Error', new RangeError('x'), 'an Error'],
  ['an Error with fields', Object.assign(new Error('x'), { code: 1 }), 'an Error'],
  ['a RegExp', /x/, 'a RegExp'],
  ['a Map', new Map([[1, 2]]), 'a Map (use an object or an array)'],
  ['a Set', new Set([1]), 'a Set (use an object or an array)'],
  ['a Map of another realm', runInNewContext('new Map()'), 'a Map'],
  ['a WeakMap', new WeakMap(), 'a WeakMap'],
  ['a Blob', new Blob(['x']), 'a Blob'],
  ['a File', new File(['x'], 'x.txt'), 'a File'],
  ['URLSearchParams', new URLSearchParams('a=1'), 'an object of the class URLSearchParams'],
  ['Headers', new Headers({ a: '1' }), 'an object of the class Headers'],
  ['a web stream', new ReadableStream(), 'an object of the class ReadableStream'],
  ['a stream of Node', new PassThrough(), 'a PassThrough (read it first)'],
  ['an Observable', of(1), 'a Observable (read it first)'],
  ['a Buffer', Buffer.from('x'), 'binary data (save it as an attachment)'],
  ['bytes', new Uint8Array(1), 'binary data (save it as an attachment)'],
  ['a DataView', new DataView(new ArrayBuffer(1)), 'binary data (save it as an attachment)'],
  ['an ArrayBuffer', new ArrayBuffer(1), 'binary data (save it as an attachment)'],
  ['an ArrayBuffer of another realm', runInNewContext('new ArrayBuffer(1)'), 'binary data'],
  ['a generator', (function* () {})(), 'a Generator'],
  ['an async generator', (async function* () {})(), 'an AsyncGenerator'],
  ['a function', () => 1, 'a function'],
  ['a symbol', Symbol('x'), 'a symbol'],
  ['a boxed symbol', Object(Symbol('x')), 'a Symbol'],
  ['a bigint', 1n, 'a bigint'],
  ['a boxed bigint', Object(1n), 'a bigint'],
  ['NaN', Number.NaN, 'NaN'],
  ['a boxed NaN', Object(Number.NaN), 'NaN'],
  ['Infinity', -Infinity, '-Infinity'],
  ['an invalid date', new Date(Number.NaN), 'an invalid date'],
  ['a hole', [1, , 2], 'undefined'], // oxlint-disable-line no-sparse-arrays
  ['half a character', half, 'a lone surrogate'],
  ['half a character in a box', Object(half), 'a lone surrogate'],
  ['half a character in a key', { [half]: 1 }, 'a lone surrogate'],
];

/** Values that JSON writes completely. */
const kept: readonly (readonly [name: string, value: unknown, written: unknown])[] = [
  ['an emoji', { '🍕': '🍕' }, { '🍕': '🍕' }],
  ['a date', new Date(0), '1970-01-01T00:00:00.000Z'],
  ['a URL', new URL('http://a.example/'), 'http://a.example/'],
  ['an object with toJSON', { toJSON: () => [1] }, [1]],
  ['an Error with toJSON', Object.assign(new Error('x'), { toJSON: () => 'x' }), 'x'],
  [
    'an object without a prototype',
    Object.assign(Object.create(null) as object, { a: 1 }),
    { a: 1 },
  ],
  ['an object of another realm', runInNewContext('({ a: [1] })'), { a: [1] }],
  ['an instance of a class', new Pet(), { name: 'Ada' }],
  ['boxed primitives', [Object(1), Object('a'), Object(false)], [1, 'a', false]],
  ['a field __proto__', JSON.parse('{"__proto__":{"a":1}}'), JSON.parse('{"__proto__":{"a":1}}')],
  ['a shared object', ((one) => [one, one])({ a: 1 }), [{ a: 1 }, { a: 1 }]],
];

let sent = 0;
const transport: Transport = {
  send: () => {
    sent += 1;
    return NEVER;
  },
};
const couch = new Couch('http://couch.test', { transport });
const db = couch.use('db');

/** The calls that send a value. Each puts it below the field `f`, and names it in its error. */
const calls: Readonly<Record<string, (f: unknown) => unknown>> = {
  save: (f) => db.save({ _id: 'a', f }),
  'save of a list': (f) => db.save([{ _id: 'a' }, { _id: 'b', f }]),
  'save of an attachment name': (f) =>
    db.save({ _id: 'a', _attachments: { x: { content_type: 'x', data: '', f } } } as never),
  key: (f) => db.view('a/b', { key: { f } }),
  startKey: (f) => db.viewRows('a/b', { startKey: [{ f }] }),
  endKey: (f) => db.viewPages('a/b', { endKey: { f } }),
  keys: (f) => db.view$('a/b', { keys: [{ f }] }),
  queries: (f) => db.viewQueries('a/b', [{ key: { f } }]),
  find: (f) => db.find({ selector: { f } }),
  findRows: (f) => db.findRows({ selector: { f } }),
  find$: (f) => db.find$({ selector: { f } }),
  explain: (f) => db.indexes.explain({ selector: { f } }),
  'indexes.create': (f) => db.indexes.create({ fields: ['a'], partialFilterSelector: { f } }),
  changes: (f) => db.changes({ selector: { f } }),
  changeRows: (f) => db.changeRows({ selector: { f } }),
  changes$: (f) => db.changes$({ selector: { f } }),
  consume: (f) => db.consume(() => {}, { name: 'x', selector: { f } }),
  'local.save': (f) => db.local.save({ _id: 'a', f }),
  'designs.save': (f) => db.designs.save({ _id: '_design/a', f }),
  'designs.deploy': (f) => db.designs.deploy({ _id: '_design/a', f }),
  'users.create': (f) => couch.users.create('ada', 'x', { fields: { f } }),
  'users.save': (f) => couch.users.save({ name: 'ada', roles: [], type: 'user', f }),
  replicate: (f) => couch.replicate('a', 'b', { selector: { f } }),
  'replicate: queryParams': (f) => couch.replicate('a', 'b', { queryParams: { f } }),
  security: (f) => db.upkeep.security({ f }),
  autoPurge: (f) => db.upkeep.autoPurge({ f }),
  'request: json': (f) => db.request({ method: 'POST', path: '/x', json: { f } }),
  'request: query': (f) => db.request({ path: '/x', query: { q: { f } } }),
};

const thrownBy = (act: () => unknown): unknown => {
  try {
    act();
  } catch (error) {
    return error;
  }
  return 'it did not throw';
};

describe('values that JSON cannot hold', () => {
  it.each(lost)('%s is a TypeError with its path, in every call', (_, value, problem) => {
    for (const [name, call] of Object.entries(calls)) {
      const error = thrownBy(() => call([value]));
      expect([name, error]).toEqual([name, expect.any(TypeError)]);
      const { message } = error as TypeError;
      expect([name, message]).toEqual([name, expect.stringContaining(`JSON: ${problem}`)]);
      expect([name, message]).toEqual([name, expect.stringMatching(/f\[0\]/)]);
    }
    expect(sent).toBe(0);
  });

  it('are found in names of attachments, and in keys, without a raw URIError', () => {
    const doc = { _id: 'a', _attachments: { [half]: { content_type: 'x', data: '' } } };
    expect(thrownBy(() => db.save(doc))).toEqual(
      new TypeError(
        'The document "a" cannot be written as JSON: a lone surrogate, which is half a character, ' +
          'in the key at _attachments.Great pizza \\ud83c',
      ),
    );
    for (const act of [
      () => db.putAttachment({ _id: 'a' }, 'x', half),
      () => db.putAttachment({ _id: 'a' }, half, 'x'),
      () => db.request({ path: '/x', method: 'PUT', body: half }),
      () => db.update('a/b', 'c', half),
      () => db.view('a/b', { startKeyDocId: half }),
      () => db.get('a', { rev: half }),
      () => db.show('a/b', 'c', { [half]: 1 }),
      () => db.changes({ query: { a: half }, filter: 'a/b' }),
    ]) {
      expect([String(act), thrownBy(act)]).toEqual([String(act), expect.any(TypeError)]);
    }
  });

  it('are named with their document', () => {
    expect(() => db.save([{ _id: 'a' }, { _id: 'b', x: { y: [/z/] } }])).toThrow(
      'docs[1] "b" cannot be written as JSON: a RegExp at x.y[0]',
    );
    const cycle: { _id: string; self?: unknown } = { _id: 'c' };
    cycle.self = cycle;
    expect(() => db.save(cycle)).toThrow(
      'The document "c" cannot be written as JSON: a cycle at self',
    );
  });

  it('are also refused if they came into a document after the call', async () => {
    const doc: { _id: string; f?: unknown } = { _id: 'a' };
    const save = db.save(doc);
    doc.f = new Map();
    await expect(firstValueFrom(save)).rejects.toThrow(TypeError);
    expect(sent).toBe(0);
  });

  it.each(kept)('%s is no such value', (_, value, written) => {
    expect(() => assertJson({ value }, 'it')).not.toThrow();
    expect(JSON.parse(JSON.stringify({ value }))).toEqual({ value: written });
  });

  it('an object with methods in its prototype is no such value', () => {
    class Ship extends EventEmitter {}
    expect(() => assertJson(Object.setPrototypeOf({ a: 1 }, {}), 'it')).not.toThrow();
    expect(() => assertJson(new Ship(), 'it')).not.toThrow();
  });
});

describe('a codec', () => {
  const codec: JsonCodec = {
    parse: (text) => JSON.parse(text) as unknown,
    stringify: (value) =>
      JSON.stringify(value, (_, one: unknown) =>
        typeof one === 'bigint' ? String(one) : one instanceof Map ? [...one] : one,
      ),
  };
  const own = new Database('db', { transport, codec });

  it('may write values that JSON loses', () => {
    expect(() => own.save({ _id: 'a', n: 1n, m: new Map([[1, 2]]) })).not.toThrow();
    expect(() => own.find({ selector: { n: { $gt: 1n } } })).not.toThrow();
    expect(() => own.view('a/b', { key: [1n] })).not.toThrow();
    expect(() => own.edit$('a')).not.toThrow();
  });

  it('does not save values that it loses too', () => {
    expect(() => own.save({ _id: 'a', s: new Set() })).toThrow(TypeError);
    expect(() => own.save({ _id: 'a', n: Number.NaN })).toThrow(TypeError);
    expect(() => own.save({ _id: 'a', n: Object(1n) as unknown })).toThrow(TypeError);
  });
});

describe('values that JSON holds, on a server', () => {
  let real: Database;
  beforeAll(async () => {
    real = new Couch(server.authenticatedUrl).use(await createDatabase());
  });

  it('are stored as JSON writes them, without undefined fields', async () => {
    const doc = Object.fromEntries(
      kept.filter(([name]) => name !== 'a field __proto__').map(([name, value]) => [name, value]),
    );
    const written = Object.fromEntries(
      kept.filter(([name]) => name !== 'a field __proto__').map(([name, , value]) => [name, value]),
    );
    await firstValueFrom(real.save({ _id: 'kept', ...doc, not: undefined }));
    const response = await rawFetch(`/${real.name}/kept`);
    expect(await response.json()).toEqual({
      _id: 'kept',
      _rev: expect.stringMatching(/^1-/),
      ...written,
    });
  });
});
