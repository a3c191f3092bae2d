import { describe, expect, it } from '@jest/globals';
import { Couch, Database, designDocument, relax } from 'corduroy';
import { memoryServer } from 'corduroy/testing';
import { unknownOption } from '../src/model/invalid-argument.ts';

// What a newcomer types wrong, and the answer at the call.

const server = memoryServer({ databases: { pets: [] } });
const couch = server.couch();
const db = couch.use<{ name: string }>('pets');
const wrong = (options: object): never => options as never;

describe('an unknown option', () => {
  it.each<[call: () => unknown, message: string]>([
    [() => db.allDocs(wrong({ limt: 1 })), "allDocs: unknown option 'limt'; did you mean 'limit'?"],
    [
      () => db.allDocs(wrong({ includeDoc: true })),
      "allDocs: unknown option 'includeDoc'; did you mean 'includeDocs'?",
    ],
    [
      () => db.allDocs(wrong({ include_docs: true })),
      "allDocs: unknown option 'include_docs'; did you mean 'includeDocs'?",
    ],
    [
      () => db.allDocs(wrong({ endkey: 'a' })),
      "allDocs: unknown option 'endkey'; did you mean 'endKey'?",
    ],
    [() => db.allDocs(wrong({ colour: 'red' })), "allDocs: unknown option 'colour'"],
    [
      () => new Couch('http://localhost:5984', wrong({ Auth: {} })),
      "Couch: unknown option 'Auth'; did you mean 'auth'?",
    ],
    [
      () => new Couch('http://localhost:5984', wrong({ timeOut: 5 })),
      "Couch: unknown option 'timeOut'; did you mean 'timeout'?",
    ],
    [
      () => new Couch('http://localhost:5984', wrong({ username: 'ada', password: 'x' })),
      "Couch: unknown option 'username'; pass auth: { username, password }",
    ],
    [
      () => new Database('pets', wrong({ maxBodysize: 5 })),
      "Couch: unknown option 'maxBodysize'; did you mean 'maxBodySize'?",
    ],
    [
      () => new Couch('http://localhost:5984', { coalesce: wrong({ maxWaits: 5 }) }),
      "coalesce: unknown option 'maxWaits'; did you mean 'maxWait'?",
    ],
    [
      () => designDocument(wrong({ name: 'a', view: {} })),
      "designDocument: unknown option 'view'; did you mean 'views'?",
    ],
    [
      () => couch.replicate('a', 'b', wrong({ continous: true })),
      "replicate: unknown option 'continous'; did you mean 'continuous'?",
    ],
  ])('%s', (call, message) => {
    expect(call).toThrow(new TypeError(message));
    expect(server.requests).toEqual([]);
  });

  it.each([
    ['limit', ['limt', 'lim', 'limti', 'imit', 'Limit', 'limits']],
    [
      'createIfMissing',
      ['create', 'createIfMising', 'createifmissing', 'createIfMissng', 'creatIfMising'],
    ],
    ['batchSize', ['batchsize', 'batch_size', 'batchSzie']],
    [undefined, ['size', 'l', 'missing', '']],
  ])('is similar to %s if few letters differ', (meant, typed) => {
    const known = ['limit', 'createIfMissing', 'batchSize', 'r', 'w'];
    for (const name of typed)
      expect([name, unknownOption('call', name, known).message]).toEqual([
        name,
        `call: unknown option '${name}'${meant === undefined ? '' : `; did you mean '${meant}'?`}`,
      ]);
  });
});

describe('a call without what it needs', () => {
  it('names the options of a consumer', () => {
    expect(() => db.consume(() => undefined, undefined as never)).toThrow(
      'consume: options must be an object with the name of the consumer (received undefined)',
    );
  });

  it('asks for a generator', () => {
    const errors: unknown[] = [];
    relax((() => 1) as never).subscribe({ error: (error: unknown) => errors.push(error) });
    expect(errors).toEqual([
      new TypeError(
        'relax: body must be a generator function: write function* instead of a function',
      ),
    ]);
  });
});

describe('the URL of a server', () => {
  it('can be a URL object, or a list of these', () => {
    const url = new URL('http://ada:secret@localhost:5984/couch/');
    expect(new Couch(url).url).toBe('http://localhost:5984/couch');
    expect(new Couch([url, new URL('http://other:5984')]).url).toBe('http://localhost:5984/couch');
  });

  it.each<[value: unknown, received: string]>([
    [null, 'null'],
    [{ host: 'http://localhost:5984' }, 'an object'],
    [5984, '5984'],
    [[undefined], 'undefined'],
  ])('is no %p', (value, received) => {
    expect(() => new Couch(value as never)).toThrow(
      `The URL of a server must be a string, a URL, or a list of these (received ${received})`,
    );
  });

  it('comes before the options, which are an object', () => {
    expect(() => new Couch({ url: 'http://localhost:5984' } as never)).toThrow(
      'The URL of a server must be the first argument, before the options (received an object)',
    );
    expect(() => new Couch('http://localhost:5984', null as never)).toThrow(
      'The options of a Couch must be an object (received null)',
    );
  });
});
