import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import {
  arrayField,
  asArray,
  asObject,
  numberOrNull,
  requireSameId,
  sequence,
  stringField,
} from '../src/http/decode.ts';
import {
  count,
  flag,
  functionQuery,
  isRestriction,
  json,
  oneOf,
  requireBackoff,
  restriction,
  text,
  toBody,
  toQuery,
  wireName,
} from '../src/http/query.ts';
import {
  databaseAt,
  designAt,
  designName,
  documentAt,
  encodeText,
  endpoint,
  explainEmptyAnswer,
  isLongPath,
  isUrl,
  nodeAt,
  parseAddress,
  parseAddresses,
  parseDatabaseUrl,
  readByPost,
  requireDatabaseName,
  requireId,
  requireUrlId,
  requireWellFormed,
  revQuery,
  SERVER,
  splitName,
} from '../src/http/url.ts';

const LONE = '\ud800';

describe('the URL of a server', () => {
  it.each([
    ['http://a:1', 'http://a:1', undefined],
    ['https://a/prefix//', 'https://a/prefix', undefined],
    ['http://ada:b%40c@a/', 'http://a', 'ada:b@c'],
    ['http://ada@a', 'http://a', 'ada:'],
    ['http://a%zz:b%zz@a', 'http://a', 'a%zz:b%zz'],
  ])('%s is split into its address and its credentials', (given, url, pair) => {
    const { authorization, ...rest } = parseAddress(given);
    expect(rest).toEqual({ url });
    expect(authorization.headers).toEqual(
      pair === undefined ? {} : { authorization: `Basic ${btoa(pair)}` },
    );
  });

  it.each([
    ['a', 'Not a URL: "a"; expected something like http://127.0.0.1:5984'],
    ['http://u:p@[', /with encodeURIComponent, or pass them as `auth`$/],
    ['ftp://a', 'must begin with http:// or https:// (received "ftp://a")'],
    ['http://a?b', /must not have a query or a fragment$/],
    ['http://a#b', /must not have a query or a fragment$/],
    ['http://u:p@a?b', /fragment; percent-encode/],
    ['http://a/b@c', /must not have an @ in its path .*; percent-encode/],
  ])('%s is refused', (given, message) => {
    expect(() => parseAddress(given)).toThrow(TypeError);
    expect(() => parseAddress(given)).toThrow(message);
  });

  it('has no advice about passwords if it has no @', () => {
    for (const given of ['a', 'http://a?b'])
      expect(() => parseAddress(given)).toThrow(/^(?!.*percent-encode)/);
  });

  it('may be a list of nodes, and the first credentials apply to all', () => {
    const { url, urls, authorization } = parseAddresses([
      'http://a',
      'http://u:p@b',
      'http://v:q@c',
    ]);
    expect([url, urls]).toEqual(['http://a', ['http://a', 'http://b', 'http://c']]);
    expect(authorization.headers).toEqual({ authorization: `Basic ${btoa('u:p')}` });
    expect(parseAddresses('http://a').authorization.headers).toEqual({});
    expect(() => parseAddresses([])).toThrow('The list of node URLs must not be empty');
  });

  it.each([
    ['http://u:p@a/db', 'http://u:p@a/', 'db'],
    ['http://a/x/y%2Fz/', 'http://a/x', 'y/z'],
  ])('%s is split into the server and the name of the database', (given, server, name) => {
    expect(parseDatabaseUrl(given)).toEqual({ server, name });
  });

  it('without the name of a database is refused where one is needed, without its password', () => {
    expect(() => parseDatabaseUrl('http://u:p@a/')).toThrow(
      'The URL must end with the name of a database (received http://a)',
    );
  });

  it.each([
    ['http://a', true],
    ['HTTP://a', true],
    ['a+b.c-1://x', true],
    ['db', false],
    ['1http://a', false],
    ['db/http://a', false],
    ['http:/a', false],
  ])('is told from a name: %s', (given, expected) => {
    expect(isUrl(given)).toBe(expected);
  });
});

describe('the path and the route of', () => {
  const db = databaseAt('a/b+c');
  it.each([
    ['a database', db, '/a%2Fb%2Bc', '/{db}'],
    ['a document', documentAt(db, 'x/y', '?a=1'), '/a%2Fb%2Bc/x%2Fy?a=1', '/{db}/{docid}'],
    [
      'a design document',
      documentAt(db, '_design/x/y'),
      '/a%2Fb%2Bc/_design/x%2Fy',
      '/{db}/_design/{ddoc}',
    ],
    [
      'a local document',
      documentAt(db, '_local/x/y'),
      '/a%2Fb%2Bc/_local/x%2Fy',
      '/{db}/_local/{docid}',
    ],
    [
      'an id with a prefix inside',
      documentAt(db, 'x_local/y'),
      '/a%2Fb%2Bc/x_local%2Fy',
      '/{db}/{docid}',
    ],
    ['a named design document', designAt(db, 'x'), '/a%2Fb%2Bc/_design/x', '/{db}/_design/{ddoc}'],
    ['a node', nodeAt('couchdb@a', 'node'), '/_node/couchdb%40a', '/_node/{node-name}'],
    [
      'a view',
      endpoint(SERVER, '/{a}/_view/{b}/*', '?k=1', 'x', 'y', 'z/{a}'),
      '/x/_view/y/z/{a}?k=1',
      '/{a}/_view/{b}/*',
    ],
    ['an endpoint without values', endpoint(SERVER, '/{a}/*'), '/{a}/*', '/{a}/*'],
  ])('%s', (_, address, path, route) => {
    expect(address).toEqual({ path, route });
  });

  it('a read by POST, which has a body', () => {
    const address = { path: '/a', route: '/{db}' };
    expect(readByPost(address, [1])).toEqual({
      ...address,
      method: 'POST',
      reads: true,
      json: [1],
    });
  });

  it.each([
    ['', 'must be a string that is not empty'],
    ['.', 'must not be "."'],
    ['..', 'must not be ".."'],
    [LONE, 'must be well-formed Unicode'],
    ['_design/.', 'must not be "."'],
    ['_local/', 'must be a string that is not empty'],
  ])('no document: the id %j is in no URL', (id, message) => {
    expect(() => documentAt(db, id)).toThrow(`The id of a document ${message}`);
    expect(() => documentAt(db, id, '', 'ddoc')).toThrow(`ddoc ${message}`);
  });

  it('a database without a name is refused', () => {
    expect(() => databaseAt('')).toThrow('The name of a database must be');
  });

  it('any well-formed text is one segment that decodes to the same text', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', minLength: 1 }), (id) => {
        fc.pre(!/^\.{1,2}$|^_(?:design|local)\//.test(id));
        const { path } = documentAt(SERVER, id);
        expect(path).toMatch(/^\/[^/?#+]+$/);
        expect(decodeURIComponent(path.slice(1))).toBe(id);
      }),
    );
  });

  it('the revision of a document', () => {
    expect([revQuery('1-a+b'), revQuery(undefined), revQuery(null)]).toEqual([
      '?rev=1-a%2Bb',
      '',
      '',
    ]);
    expect(() => revQuery(LONE)).toThrow('_rev must be well-formed Unicode');
  });
});

describe('a long path', () => {
  const path = (length: number): string => '/'.repeat(length);

  it('has more than 6,000 characters', () => {
    expect([isLongPath(path(6000)), isLongPath(path(6001))]).toEqual([false, true]);
  });

  it.each([
    [400, 6001, true],
    [413, 6001, true],
    [414, 6001, true],
    [431, 6001, true],
    [400, 6000, false],
    [404, 6001, false],
  ])('explains an empty answer of status %d to %d characters: %s', (status, length, explains) => {
    const explanation = explainEmptyAnswer(status, 'GET', path(length));
    expect(
      explanation.startsWith(`the request line is too long: it has ${length + 13} bytes`),
    ).toBe(explains);
    if (!explains) expect(explanation).toBe('');
  });
});

describe('the name of', () => {
  it.each(['a', 'a0_$()+-/z', '_users', '_global_changes'])('the database %s is valid', (name) => {
    expect(() => requireDatabaseName(name)).not.toThrow();
  });

  it.each([
    ['A', /must begin with a lower-case letter/],
    ['0a', /must begin/],
    ['aB', /must begin/],
    ['a.b', /must begin/],
    ['_', /must begin/],
    ['_a1', /must begin/],
    ['x_A', /must begin/],
    ['', /must begin/],
    [null, /The name of a database must begin .* \(received null\)/],
    ['http://a/db', /pass a URL to `new Couch` or `new Database`$/],
  ])('the database %j is refused', (name, message) => {
    expect(() => requireDatabaseName(name)).toThrow(message);
  });

  it.each([
    ['a/b', ['a', 'b']],
    ['a/b/c+d', ['a%2Fb', 'c%2Bd']],
    ['/b', null],
    ['a/', null],
    ['ab', null],
    [7, null],
  ])('a view, %j, is split at its last slash: %j', (name, parts) => {
    expect(splitName(name, 'view')).toEqual(parts);
  });

  it('a view has well-formed parts', () => {
    expect(() => splitName('../a', 'view')).toThrow('The design document of the view must not be');
    expect(() => splitName('a/..', 'view')).toThrow('The name of the view must not be');
  });

  it('a design document may have the prefix', () => {
    expect([designName('_design/a/b', 'x'), designName('a_design/', 'x')]).toEqual([
      'a%2Fb',
      'a_design%2F',
    ]);
    for (const name of ['', '_design/', null])
      expect(() => designName(name, 'call')).toThrow(
        'call: ddoc must be the name of a design document',
      );
    expect(() => designName('..', 'call')).toThrow('call: ddoc must not be');
  });
});

describe('the id of a document', () => {
  it.each(['a', '.', '..', 'x_local/..', '_design/a', '_local/..a', 'ä'])('may be %s', (id) => {
    expect(() => requireId(id)).not.toThrow();
  });

  it.each([
    ['', 'The id of a document must be a string that is not empty'],
    [1, 'The id of a document must be a string that is not empty'],
    ['_a', 'must not begin with an underscore (received "_a")'],
    ['_design/', 'must not begin with an underscore'],
    ['_designs/a', 'must not begin with an underscore'],
    [LONE, 'must be well-formed Unicode'],
    ['_design/.', "must not end with '/.'"],
    ['_local/..', "must not end with '/.'"],
  ])('is not %j', (id, message) => {
    expect(() => requireId(id)).toThrow(TypeError);
    expect(() => requireId(id)).toThrow(message);
    expect(() => requireId(id, () => 'docs[1]')).toThrow(/^docs\[1\] must /);
  });

  it('in a URL is not a dot segment', () => {
    expect(() => requireUrlId('a', 'id')).not.toThrow();
    expect(() => requireUrlId('..', 'id')).toThrow('id must not be ".."');
    expect(() => requireUrlId('_a', 'id')).toThrow('underscore');
  });
});

describe('text with a lone surrogate', () => {
  it('is refused, because UTF-8 cannot hold it', () => {
    expect(() => encodeText(LONE, 'key')).toThrow('key must be well-formed Unicode (received');
    expect(() => requireWellFormed(LONE, 'body')).toThrow('body must be well-formed Unicode');
    expect(() => requireWellFormed('🌍', 'body')).not.toThrow();
    expect(encodeText('🌍/', 'key')).toBe('%F0%9F%8C%8D%2F');
  });
});

describe('an option', () => {
  const parameters = {
    limit: count,
    includeDocs: flag,
    startKey: json,
    selector: restriction,
    feed: oneOf('normal', 'longpoll'),
    ddoc: text,
  };

  it.each<[object, string]>([
    [{}, ''],
    [{ limit: 0, includeDocs: false }, '?limit=0&include_docs=false'],
    [{ startKey: ['a b', null], ddoc: undefined }, '?startkey=%5B%22a%20b%22%2Cnull%5D'],
    [
      { selector: { a: 1 }, feed: 'longpoll', ddoc: 'x' },
      '?selector=%7B%22a%22%3A1%7D&feed=longpoll&ddoc=x',
    ],
  ])('of %j is encoded in a query string', (options, query) => {
    expect(toQuery(parameters, options, 'call')).toBe(query);
  });

  it('is validated, and kept as a value in a body', () => {
    const options = { includeDocs: true, startKey: [1], ddoc: undefined };
    expect(toBody(parameters, options, 'call')).toEqual({ include_docs: true, startkey: [1] });
  });

  it.each<[object, string, typeof TypeError]>([
    [{ limit: -1 }, 'limit must be a whole number from 0 (received -1)', RangeError],
    [{ limit: 1.5 }, 'limit must be a whole number from 0', RangeError],
    [{ limit: 2 ** 53 }, 'limit must be a whole number from 0', RangeError],
    [{ limit: '1' }, 'limit must be a whole number from 0', RangeError],
    [{ includeDocs: 1 }, 'includeDocs must be true or false', TypeError],
    [{ ddoc: '' }, 'ddoc must be a string that is not empty', TypeError],
    [{ ddoc: 1 }, 'ddoc must be a string that is not empty', TypeError],
    [{ feed: 'x' }, "feed must be one of 'normal', 'longpoll'", TypeError],
    [{ feed: ['normal'] }, "feed must be one of 'normal', 'longpoll'", TypeError],
    [{ startKey: NaN }, 'startKey cannot be written as JSON', TypeError],
    [{ selector: { a: undefined } }, 'selector', TypeError],
    [
      { selector: undefined },
      'selector must not be undefined: the request would find more',
      TypeError,
    ],
    [{ startKey: undefined }, 'startKey must not be undefined', TypeError],
    [
      { include_docs: true },
      "unknown option 'include_docs'; did you mean 'includeDocs'?",
      TypeError,
    ],
    [{ INCLUDEDOCS: true }, "did you mean 'includeDocs'?", TypeError],
    [{ constructor: 1 }, "unknown option 'constructor'", TypeError],
  ])('of %j is refused in a query and in a body', (options, message, Class) => {
    for (const encode of [toQuery, toBody]) {
      expect(() => encode(parameters, options, 'call')).toThrow(Class);
      expect(() => encode(parameters, options, 'call')).toThrow(/^call: /);
      expect(() => encode(parameters, options, 'call')).toThrow(message);
    }
  });

  it('is written by the codec of the connection', () => {
    const codec = { parse: JSON.parse, stringify: () => '"own"' };
    expect(
      toQuery({ startKey: json, selector: restriction }, { startKey: 1, selector: {} }, 'x', codec),
    ).toBe('?startkey=%22own%22&selector=%22own%22');
  });

  it.each([
    ['includeDocs', 'include_docs'],
    ['startKey', 'startkey'],
    ['endKey', 'endkey'],
    ['startKeyDocId', 'startkey_docid'],
    ['endKeyDocId', 'endkey_docid'],
    ['constructor', 'constructor'],
    ['limit', 'limit'],
  ])('%s is %s for CouchDB', (name, wire) => {
    expect(wireName(name)).toBe(wire);
  });

  it('restricts what is found, or not', () => {
    const names =
      'key keys startKey endKey startKeyDocId endKeyDocId selector partialFilterSelector';
    const others = 'docIds filter view queryParams q drilldown states';
    for (const name of `${names} ${others}`.split(' ')) expect(isRestriction(name)).toBe(true);
    expect(['limit', 'skip', 'descending', ''].some(isRestriction)).toBe(false);
  });
});

describe('the parameters of a function on the server', () => {
  it('are encoded as texts', () => {
    expect(functionQuery({ 'a b': 'ä&', n: -1.5, b: false }, 'query')).toBe(
      'a%20b=%C3%A4%26&n=-1.5&b=false',
    );
    expect(functionQuery({}, 'query')).toBe('');
  });

  it.each([
    [null, 'query must be an object'],
    ['a=1', 'query must be an object'],
    [{ a: undefined }, 'query: a must be a string, a number or a boolean'],
    [{ a: NaN }, 'query: a must be'],
    [{ a: {} }, 'query: a must be'],
    [{ a: LONE }, 'query: a must be well-formed'],
    [{ [LONE]: 1 }, 'query must be well-formed'],
  ])('are not %j', (parameters, message) => {
    expect(() => functionQuery(parameters as object, 'query')).toThrow(message);
  });
});

describe('the delays between retries', () => {
  it.each([{}, { initialDelay: 0, maxDelay: Infinity, random: Math.random }])(
    'may be %j',
    (one) => {
      expect(() => requireBackoff(one, 'retry')).not.toThrow();
    },
  );

  it.each([
    [null, 'retry must be an object'],
    [3, 'retry must be an object'],
    [{ initialDelay: -1 }, 'retry.initialDelay must be milliseconds from 0'],
    [{ maxDelay: NaN }, 'retry.maxDelay must be milliseconds from 0'],
    [{ maxDelay: '1' }, 'retry.maxDelay must be milliseconds from 0'],
    [{ random: 1 }, 'retry.random must be a function'],
    [{ maxdelay: 1 }, "did you mean 'maxDelay'?"],
  ])('are not %j', (options, message) => {
    expect(() => requireBackoff(options, 'retry')).toThrow(message);
  });
});

describe('a field of an answer', () => {
  it.each([[null], [[]], ['a'], [undefined], [7]])('is not in %j, which is no object', (body) => {
    expect(() => asObject(body)).toThrow('expected an object');
  });

  it('has its type', () => {
    const body = { a: 'x', b: [1] };
    expect([asObject(body), stringField(body, 'a'), arrayField(body, 'b'), asArray([1])]).toEqual([
      body,
      'x',
      [1],
      [1],
    ]);
    expect(() => stringField(body, 'b')).toThrow("expected a string as 'b'");
    expect(() => arrayField(body, 'a')).toThrow("expected an array as 'a'");
    expect(() => asArray(body)).toThrow('expected an array');
    expect([numberOrNull(0), numberOrNull('0'), numberOrNull(undefined)]).toEqual([0, null, null]);
  });

  it.each([
    ['7-a', '7-a'],
    [7, '7'],
    [7n, '7'],
    [[7, 'a'], '[7,"a"]'],
  ])('%p is the sequence %s', (value, written) => {
    expect(sequence(value)).toBe(written);
  });

  it.each([[null], [{}], [true], [undefined]])('%j is no sequence', (value) => {
    expect(() => sequence(value)).toThrow('expected a sequence');
  });

  it('is about the document that was sent', () => {
    expect(() => requireSameId('a', 'a')).not.toThrow();
    expect(() => requireSameId('a/b', 'b')).toThrow(
      '"a/b" was sent, and "b" was answered: a proxy between Corduroy and CouchDB changes paths',
    );
  });
});
