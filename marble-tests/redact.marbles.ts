import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import {
  ConnectionError,
  DatabaseReplaced,
  RedirectRefused,
  TimeoutError,
  isDatabaseReplaced,
} from 'corduroy';
import {
  isCorduroyError,
  isKind,
  isTransient,
  isTransientAnswer,
} from '../src/errors/corduroy-error.ts';
import { withMayBeWritten, withResolution } from '../src/errors/corduroy-error.ts';
import {
  cleanHeaders,
  errorFromAnswer,
  errorFromResponse,
  isWrongPassword,
  redactHeaders,
  rememberRedaction,
  viewHeaders,
} from '../src/errors/from-response.ts';
import { HTTPError, NotFound, rawAnswer } from '../src/errors/http-error.ts';
import {
  Redactor,
  describeCause,
  redactor,
  secretsOfHeader,
  secretsOfHeaders,
} from '../src/errors/redact.ts';
import { findSecrets, formsOf } from '../src/errors/secret-forms.ts';

const PASSWORD = `s3"c<r&e'tß /+%世🌍`;

/** Encodes each character in its own way. */
const each = (text: string, encode: (char: string, code: number) => string): string =>
  Array.from(text, (char) => encode(char, char.codePointAt(0) ?? 0)).join('');
const hex = (code: number, length = 0): string => code.toString(16).padStart(length, '0');
const units = (text: string, encode: (unit: number) => string): string =>
  Array.from({ length: text.length }, (_, i) => encode(text.charCodeAt(i))).join('');
const repeat = (encode: (text: string) => string, times: number, text: string): string =>
  times === 0 ? text : repeat(encode, times - 1, encode(text));
const percentAll = (text: string): string =>
  Array.from(new TextEncoder().encode(text), (byte) => `%${hex(byte, 2)}`).join('');

const encodings: Record<string, (text: string) => string> = {
  'as it is': (text) => text,
  'percent-encoded': encodeURIComponent,
  'percent-encoded in lower case': (text) => encodeURIComponent(text).toLowerCase(),
  'percent-encoded in each byte': percentAll,
  'percent-encoded in each byte, in upper case': (text) => percentAll(text).toUpperCase(),
  'percent-encoded twice': (text) => repeat(encodeURIComponent, 2, text),
  'percent-encoded three times': (text) => repeat(encodeURIComponent, 3, text),
  'percent-encoded four times': (text) => repeat(encodeURIComponent, 4, text),
  'in a form': (text) => new URLSearchParams([['', text]]).toString().slice(1),
  'as decimal entities': (text) => each(text, (_, code) => `&#${code};`),
  'as decimal entities with zeros': (text) => each(text, (_, code) => `&#00000000${code};`),
  'as hexadecimal entities': (text) => each(text, (_, code) => `&#x${hex(code)};`),
  'as hexadecimal entities in upper case': (text) =>
    each(text, (_, code) => `&#X00${hex(code).toUpperCase()};`),
  'as entities that are encoded again': (text) => each(text, (_, code) => `&amp;#${code};`),
  'as entities that are encoded three times': (text) =>
    each(text, (_, code) => `&amp;amp;amp;#${code};`),
  'with named entities': (text) => text.replace(/[^a-z0-9]/gu, '&name;'),
  'with named entities that end with a digit': (text) => text.replace(/[^a-z0-9]/gu, '&frac12;'),
  'with escapes of JSON': (text) => JSON.stringify(text).slice(1, -1),
  'with escapes for each unit': (text) => units(text, (unit) => `\\u${hex(unit, 4)}`),
  'with escapes in upper case': (text) => units(text, (unit) => `\\u${hex(unit, 4).toUpperCase()}`),
  'with escapes of escapes': (text) => units(text, (unit) => `\\\\u${hex(unit, 4)}`),
  'as JSON in JSON': (text) => repeat((one) => JSON.stringify(one).slice(1, -1), 3, text),
  'as JSON in a query': (text) => encodeURIComponent(JSON.stringify(text).slice(1, -1)),
  'with escaped signs': (text) => text.replace(/[^\w\s]/gu, '\\$&'),
  'in UTF-8 read as Latin-1': (text) =>
    units(Buffer.from(text).toString('latin1'), (unit) => String.fromCharCode(unit)),
  'in two ways': (text) => each(text, (char, code) => (code % 2 === 0 ? char : `&#${code};`)),
};

describe('a mask', () => {
  it.each(Object.entries(encodings))('covers a password %s, and nothing else', (_, encode) => {
    const redact = redactor([PASSWORD]);
    const form = encode(PASSWORD);
    expect(redact(`before (${form}) after`)).toBe('before (***) after');
    expect(redact(form)).toBe('***');
    expect(redact(`${form}, ${form}`)).toBe('***, ***');
  });

  const anyChar = fc.constantFrom(...Array.from('abcxyz0189!"#$()*+,-./:;<=>?@[]^_`{|}~éß世🌍'));
  it.each(Object.entries(encodings))('covers any text %s', (_, encode) => {
    fc.assert(
      fc.property(fc.string({ unit: anyChar, minLength: 6, maxLength: 12 }), (secret) => {
        expect(redactor([secret])(`(((${encode(secret)})))`)).toContain('***');
        expect(redactor([secret])(`(((${encode(secret)})))`)).not.toContain(secret);
      }),
      { numRuns: 30 },
    );
  });

  it.each([
    ['"', '\\"'],
    ['\n', '\\n'],
    ['\t', '\\t'],
    ['\b', '\\b'],
    ['\f', '\\f'],
    ['\r', '\\r'],
    ['\\', '\\\\'],
    ['/', '\\/'],
    ['é', 'Ã©'],
    ['世', 'ä¸\u0096'],
    ['🌍', 'ð\u009f\u008c\u008d'],
    ['🌍', '\\ud83c\\udf0d'],
    ['🌍', '\\uD83C\\\\uDF0D'],
    ['🌍', '%F0%9F%8C%8D'],
    ['é', '%C3%A9'],
    ['é', '%25C3%25A9'],
    ['€', '&euro;'],
    ['€', '&#8364'],
    ['€', '&#x20ac'],
    ['&', '&amp;'],
    ['&', '&amp;amp;'],
    [' ', '+'],
    [' ', '%20'],
    [' ', '\u00a0'],
    [' ', '-'],
    ['\t', ' '],
    ['\r', ' '],
    ['-', '+'],
    ['_', '/'],
    ['/', '_'],
    ['=', '%3d'],
    ['%', '%25'],
    ['%', '%2525'],
  ])('knows %j as %j', (char, form) => {
    const redact = redactor([`pass${char}word`]);
    expect(redact(`(pass${form}word)`)).toBe('(***)');
    // Also at the start and at the end of the secret.
    expect(redactor([`${char}password`])(`(${form}password)`)).toBe('(***)');
    expect(redactor([`password${char}`])(`(password${form})`)).toBe('(***)');
  });

  it.each([
    'passXword',
    'passé',
    'pass%C3word',
    'pass%C3%29word',
    'pass%C3%C9word',
    'pass%zz%A9word',
    'passÃword',
    'pass\\u00e8word',
    'pass\\u00gword',
    'pass&#232;word',
    'pass&#xe8;word',
    'password',
    'passééword',
    'pass&e;word',
    'pass&9;word',
    'pass&eacuteword',
    'pass%25%43%33word',
    'pass&lt;#233;word',
    'pass%41e9word',
    'pass\\uzzzzword',
    'pass\\xword',
    'pass%dpword',
    'pass%f)word',
    'pass%e@word',
  ])('does not cover %j for passéword', (text) => {
    expect(redactor(['passéword'])(`(${text})`)).toBe(`(${text})`);
  });

  it('reads no named entity as a letter or a digit', () => {
    expect(redactor(['secret1'])('&name;ecret1 secret&name; s&name;cret1')).toBe(
      '&name;ecret1 secret&name; s&name;cret1',
    );
    for (const char of '/:@[`{') expect(redactor([`abc${char}`])('(abc&name;)')).toBe('(***)');
    for (const char of '09AZaz')
      expect(redactor([`abc${char}`])('(abc&name;)')).toBe('(abc&name;)');
  });

  it.each([0, 1, 2])('covers base64 at an offset of %d, with its neighbours', (offset) => {
    const encoded = Buffer.from(`${'x'.repeat(offset)}secret word`).toString('base64');
    expect(redactor(['secret word'])(`Basic ${encoded}.`)).toMatch(/^Basic .{0,2}\*\*\*\.$/);
    const longer = Buffer.from(`${'x'.repeat(offset + 30)}secret word, and more`).toString(
      'base64',
    );
    const shown = redactor(['secret word'])(`(${longer})`);
    expect(shown).toMatch(/^\([\w+/]+\*\*\*\)$/);
    // What is shown decodes to a part of the text before the secret.
    const before = Buffer.from(shown.slice(1, shown.indexOf('*')), 'base64').toString();
    expect('x'.repeat(offset + 30).startsWith(before.slice(0, -2))).toBe(true);
  });

  it('covers base64 for URLs, and what follows it', () => {
    const secret = 'ÿþ?ÿþ?>>>???';
    const url = Buffer.from(secret).toString('base64url');
    const plain = Buffer.from(secret).toString('base64');
    expect([redactor([secret])(`a ${url}== b`), redactor([secret])(`a ${plain}-_ b`)]).toEqual([
      'a *** b',
      'a *** b',
    ]);
  });

  it('covers a secret without its blanks', () => {
    expect(redactor(['se cr\tet'])('(secret) (se cr et)')).toBe('(***) (***)');
    expect(redactor(['ab cd'])('(abcd)')).toBe('(***)');
    expect(redactor(['ab cd ef'])('xabcdefx')).toBe('x***x');
    expect(redactor(['pass word'])('(pass\\xword)')).toBe('(pass\\xword)');
    // Without them it is too short.
    expect(redactor(['a b c'])('(abc) (a b c)')).toBe('(abc) (***)');
  });

  it('covers secrets from 4 characters on', () => {
    expect(redactor(['abc', ''])('(abc)')).toBe('(abc)');
    expect(redactor(['abcd'])('(abcd)')).toBe('(***)');
  });

  it('covers the longest of several secrets, overlapping ones once, and neighbours each', () => {
    expect(redactor(['pass', 'password'])('(password) (pass)')).toBe('(***) (***)');
    expect(redactor(['password', 'pass'])('(password)')).toBe('(***)');
    expect(redactor(['abcd', 'wxyz'])('abcdwxyz')).toBe('******');
    // In any order, within each other, and over the end of each other.
    expect(redactor(['password'])('http://u:p@a password')).toBe('http://***@a ***');
    expect(redactor(['password'])('http://u:passwordX@a')).toBe('http://***@a');
    expect(redactor(['p@abc'])('http://u:p@abc.d')).toBe('http://***.d');
    expect(redactor(['user:pass'])('http://user:pass@a')).toBe('http://***@a');
  });

  it('covers everything if the search takes too long', () => {
    const secret = `${'%'.repeat(2000)}x`;
    expect(redactor([secret])('%25'.repeat(4000))).toBe('***');
    expect(findSecrets('%25'.repeat(4000), formsOf(secret))).toEqual([{ start: 0, stop: 12_000 }]);
    expect(findSecrets('abc', [])).toEqual([]);
  });

  it.each([
    ['http://u:p@a/b', 'http://***@a/b'],
    ['see http://u:p@a and ftp://v@b!', 'see http://***@a and ftp://***@b!'],
    ['http://u:p@x@a', 'http://***@a'],
    ['http://a/b@c', 'http://***@c'],
    ['http:\\/\\/u:p@a', 'http:\\/\\/***@a'],
    ['"http://u:p@a"', '"http://***@a"'],
    ['http://a @b', 'http://a @b'],
    ['http://a "@b', 'http://a "@b'],
    ['http://@a', 'http://@a'],
    ['u:p@a', 'u:p@a'],
    ['http:/u:p@a', 'http:/u:p@a'],
    ['http://a', 'http://a'],
    ['a@b http://c', 'a@b http://c'],
  ])('covers the userinfo of a URL: %s', (text, masked) => {
    expect(redactor([])(text)).toBe(masked);
  });

  it('never cuts within a credential', () => {
    const redact = redactor(['password']);
    expect(redact('12345password', 8)).toBe('12345***');
    expect(redact('12345password6789', 5)).toBe('12345');
    expect(redact('12345password6789', 6)).toBe('12345***');
    expect(redact('12345password6789', 14)).toBe('12345***6');
    expect(redact('12345password6789')).toBe('12345***6789');
    expect(redact('x'.repeat(30_000))).toHaveLength(24_576);
    // The end of the URL is out of sight, so that the rest of the run may be userinfo.
    expect(redactor([])(`http://${'a'.repeat(30_000)}`)).toBe('http://***');
    expect(redactor([])(`http://${'a'.repeat(990)}@b`, 12)).toBe('http://***');
    expect(redactor([])(`http://a ${'b'.repeat(30_000)}`, 12)).toBe('http://a bbb');
    expect(redactor(['p'.repeat(60)])(`${'x'.repeat(5)}${'&#0000112;'.repeat(60)}`, 6)).toBe(
      'xxxxx***',
    );
  });
});

describe('the secrets of a connection', () => {
  it('are the fixed ones, and those that were hidden later', () => {
    const secrets = new Redactor(['fixed']);
    expect(secrets.text('fixed later other')).toBe('*** later other');
    secrets.hide(['later']);
    expect(secrets.text('fixed later other')).toBe('*** *** other');
    // A header may hold an ordinary word of a path.
    secrets.hide(['other'], 'header');
    secrets.hide(['request'], 'request');
    expect(secrets.text('other request')).toBe('*** ***');
    expect(secrets.path('fixed/later/other/request')).toBe('fixed/***/other/***');
    expect(secrets.path('http://a@b/later')).toBe('http://a@b/***');
    expect(secrets.text('one later two', 5)).toBe('one ***');
    expect(secrets.path('one later two', 5)).toBe('one ***');
  });

  it('are at most 100 of each kind: one in use stays', () => {
    const secrets = new Redactor([]);
    secrets.hide(['first', 'used.']);
    const names = Array.from({ length: 99 }, (_, i) => `name${String(i).padStart(3, '0')}`);
    secrets.hide(names.slice(0, 98));
    expect(secrets.text('first used.')).toBe('*** ***');
    secrets.hide(['used.']);
    secrets.hide(names.slice(98));
    expect(secrets.text('first used. name000 name098')).toBe('first *** *** ***');
    secrets.hide(names, 'request');
    expect(secrets.text('used.')).toBe('***');
  });

  it('of a request are known however many follow', () => {
    const secrets = new Redactor(['fixed']);
    expect(secrets.including([], [])).toBe(secrets);
    secrets.hide(['pass'], 'credential');
    secrets.hide(['body1'], 'request');
    secrets.hide(['head1'], 'header');
    expect(secrets.including(['pass', 'body1'], ['head1'])).toBe(secrets);
    for (const [credentials, headers] of [
      [['head1'], []],
      [[], ['pass']],
      [['own1'], ['own2']],
      [['pass', 'own1'], []],
      [[], ['head1', 'own2']],
    ] as const) {
      const own = secrets.including(credentials, headers);
      expect(own).not.toBe(secrets);
      for (const secret of ['fixed', 'pass', 'body1', 'head1', ...credentials, ...headers])
        expect(own.text(`(${secret})`)).toBe('(***)');
      expect(own.path('own1 own2')).toBe(
        (credentials as readonly string[]).includes('own1') ? '*** own2' : 'own1 own2',
      );
    }
  });

  it.each([
    ['Authorization', 'Bearer abc', ['Bearer abc', 'abc']],
    ['x-token', 'abc', ['abc', '']],
    [
      'authorization',
      `Basic ${btoa('ada:p:q')}`,
      [`Basic ${btoa('ada:p:q')}`, btoa('ada:p:q'), 'p:q'],
    ],
    ['authorization', 'basic %%', ['basic %%', '%%', '']],
    ['authorization', 'xbasic YTpi', ['xbasic YTpi', 'YTpi']],
    ['authorization', 'basicx YTpi', ['basicx YTpi', 'YTpi']],
    [
      'authorization',
      `Basic ${Buffer.from('ä:ö').toString('base64')}`,
      [
        `Basic ${Buffer.from('ä:ö').toString('base64')}`,
        Buffer.from('ä:ö').toString('base64'),
        'ö',
      ],
    ],
    ['Cookie', 'a=1; b="2"', ['a=1; b="2"', '1', '1', '"2"', '2']],
    ['cookie', 'a = x=1 ', ['a = x=1 ', 'x=1', 'x=1']],
    ['cookie', 'a=1"2"3', ['a=1"2"3', '1"2"3', '1"2"3']],
  ])('in the header %s: %s', (name, value, secrets) => {
    expect(secretsOfHeader(name, value)).toEqual(secrets);
  });

  it('are in all headers but the public ones', () => {
    const headers = { accept: 'a', 'Content-Type': 'b', 'x-accept': 'c', 'content-type-x': 'd' };
    expect(secretsOfHeaders(headers)).toEqual(['c', '', 'd', '']);
  });
});

describe('the cause of an error', () => {
  const redact = redactor(['password']);
  const shown = (thrown: unknown): unknown[] => {
    const cause = describeCause(thrown, redact) as Error & { code?: string };
    expect(cause.stack).toBe(`${cause.name}: ${cause.message}`);
    return [cause.name, cause.message, cause.code];
  };

  it.each([
    [
      Object.assign(new TypeError('no password'), { code: 'E1', options: 1 }),
      ['TypeError', 'no ***', 'E1'],
    ],
    [{ name: 'password', message: 'm', code: 7 }, ['***', 'm', undefined]],
    [{ name: '', message: '', code: '' }, ['Error', 'a value of type object', undefined]],
    [{}, ['Error', 'a value of type object', undefined]],
    [null, ['Error', 'a value of type object', undefined]],
    [7, ['Error', 'a value of type number', undefined]],
    ['a password', ['Error', 'a ***', undefined]],
    [new SyntaxError('Unexpected "passw"'), ['SyntaxError', 'the text is not JSON', undefined]],
    [{ name: 'SyntaxError', message: 'passw' }, ['SyntaxError', 'the text is not JSON', undefined]],
    [new Error('x'.repeat(2000)), ['Error', 'x'.repeat(1000), undefined]],
    ['x'.repeat(2000), ['Error', 'x'.repeat(1000), undefined]],
  ])('of %p is its name, message and code: %j', (thrown, expected) => {
    expect(shown(thrown)).toEqual(expected);
    expect(Object.keys(describeCause(thrown, redact)).filter((key) => key === 'options')).toEqual(
      [],
    );
  });
});

describe('the error of an answer', () => {
  const request = { method: 'GET', url: 'http://a/db' };
  const redact = redactor(['password']);
  const errorOf = (status: number, body: string, headers: Record<string, string> = {}): HTTPError =>
    errorFromResponse(status, headers, body, request, redact);

  it.each([
    [400, 'BadRequest', false],
    [401, 'Unauthorized', false],
    [403, 'Forbidden', false],
    [404, 'NotFound', false],
    [405, 'HTTPError', false],
    [408, 'HTTPError', true],
    [409, 'Conflict', false],
    [412, 'PreconditionFailed', false],
    [413, 'PayloadTooLarge', false],
    [425, 'HTTPError', true],
    [429, 'TooManyRequests', true],
    [499, 'HTTPError', false],
    [500, 'ServerError', true],
    [501, 'ServerError', false],
    [502, 'ServerError', true],
    [503, 'ServerError', true],
    [504, 'ServerError', true],
    [505, 'ServerError', false],
    [507, 'ServerError', true],
    [508, 'ServerError', true],
  ])('of status %d is a %s, and transient: %p', (status, name, transient) => {
    const error = errorOf(status, '{"error":"e","reason":"r"}');
    expect([error.name, error.transient, error.message]).toEqual([
      name,
      transient,
      `GET http://a/db: ${status} e: r`,
    ]);
    expect([
      isTransientAnswer(status, ''),
      isTransient(error),
      isTransient({ transient: 1 }),
    ]).toEqual([transient, transient, false]);
    expect([
      isCorduroyError(error),
      isKind(error, name),
      isKind({ name }, name),
      isKind(null, name),
    ]).toEqual([true, true, false, false]);
  });

  it.each([
    ['{"error":"e","reason":"a password"}', 'e', 'a ***'],
    ['{"error":"e"}', 'e', ''],
    ['{"status":"maintenance_mode"}', 'maintenance_mode', ''],
    ['{"error":["x"],"reason":{"a":1}}', '["x"]', '{"a":1}'],
    ['{"error":null,"reason":null}', '', ''],
    ['[]', '', ''],
    ['null', '', 'null'],
    ['"text"', '', '"text"'],
    ['', '', ''],
    ['<h1>Bad</h1>\n<p>gateway</p>', '', 'Bad gateway'],
    ['<p>a password</p>', '', 'a ***'],
    // Tags or blanks within a credential.
    ['<p>pass<b>word</b></p>', '', '***'],
    ['pass word', '', '***'],
    ['mail a@b or http://c', '', 'mail a@b or http://c'],
    [`<p>${'x'.repeat(500)}</p>`, '', 'x'.repeat(300)],
    [
      JSON.stringify({ error: 'e'.repeat(500), reason: 'r'.repeat(3000) }),
      'e'.repeat(200),
      'r'.repeat(2000),
    ],
  ])('of the body %j shows its error and its reason', (body, error, reason) => {
    expect(errorOf(500, body)).toMatchObject({ error, reason });
  });

  it('decides by what the server sent, and not by the mask', () => {
    const deleted = errorFromAnswer(
      404,
      { 'retry-after': '7' },
      { error: 'e', reason: 'deleted' },
      request,
      redactor(['deleted']),
    );
    expect([deleted.reason, deleted instanceof NotFound && deleted.deleted]).toEqual(['***', true]);
    expect(rawAnswer(deleted)).toEqual({ error: 'e', reason: 'deleted', retryAfter: '7' });
    expect(errorOf(404, '{"error":"e","reason":"missing"}')).toMatchObject({ deleted: false });
    expect(rawAnswer(errorOf(503, '<p>busy</p>', { 'retry-after': '3' }))).toEqual({
      error: '',
      reason: 'busy',
      retryAfter: '3',
    });
    const own = new HTTPError({
      status: 412,
      error: 'nodedown',
      reason: '',
      headers: { 'retry-after': '1' },
      request,
    });
    expect([own.transient, rawAnswer(own)]).toEqual([
      true,
      { error: 'nodedown', reason: '', retryAfter: '1' },
    ]);
  });

  it.each([
    [403, 'Account is temporarily locked due to x', 'AccountLocked', true, false],
    [403, 'The account is temporarily locked', 'Forbidden', false, false],
    [401, 'Account is temporarily locked', 'Unauthorized', false, false],
    [401, 'Name or password is incorrect.', 'Unauthorized', false, true],
    [401, 'The name or password is incorrect.', 'Unauthorized', false, false],
    [403, 'Name or password is incorrect.', 'Forbidden', false, false],
  ])('of status %d and the reason %j is a %s', (status, reason, name, transient, wrong) => {
    const error = errorOf(status, JSON.stringify({ error: 'e', reason }));
    expect([error.name, error.transient, isWrongPassword(error)]).toEqual([name, transient, wrong]);
    expect([isWrongPassword(null), isWrongPassword('x')]).toEqual([false, false]);
  });

  it('has the headers without cookies and credentials', () => {
    const secret = [
      'authorization',
      'cookie',
      'proxy-authorization',
      'set-cookie',
      'set-cookie2',
      'x-auth-couchdb-token',
    ];
    const headers = Object.fromEntries(
      [...secret, 'x-a', 'x-password'].map((name) => [name, 'a password']),
    );
    const clean = { 'x-a': 'a ***', 'x-***': 'a ***' };
    expect(redactHeaders(headers, redact)).toEqual(clean);
    expect(errorOf(500, '{}', headers).headers).toEqual(clean);
    expect(errorOf(500, '<p>', headers).headers).toEqual(clean);
  });

  it('has the headers of other answers masked only for a viewer', () => {
    const [unseen, seen, later] = [{ a: 'password' }, { a: 'password' }, { a: 'password' }];
    rememberRedaction(unseen, redact);
    const end = viewHeaders();
    rememberRedaction(seen, redact);
    end();
    rememberRedaction(later, redact);
    expect([cleanHeaders(unseen), cleanHeaders(seen), cleanHeaders(later)]).toEqual([
      unseen,
      { a: '***' },
      later,
    ]);
  });

  it('may carry a save, which no log prints, and the mark of a possible write', () => {
    const error = errorOf(500, '{}');
    expect([
      error.resolution,
      error.mayBeWritten,
      Object.keys(error).includes('resolution'),
    ]).toEqual([null, false, false]);
    const resolution = { pending: new Map(), resolved: new Map() } as never;
    expect(withResolution(error, resolution)).toBe(error);
    expect([error.resolution, Object.keys(error).includes('resolution')]).toEqual([
      resolution,
      false,
    ]);
    expect(withResolution(error, null).resolution).toBeNull();
    expect([
      withMayBeWritten(error).mayBeWritten,
      Object.keys(error).includes('mayBeWritten'),
    ]).toEqual([true, true]);
  });

  it('is told from other values', () => {
    for (const other of [null, undefined, 'transient', 7, {}, { transient: false }]) {
      expect([isTransient(other), isCorduroyError(other), isWrongPassword(other)]).toEqual([
        false,
        false,
        false,
      ]);
    }
    expect(isTransient({ transient: true })).toBe(true);
  });

  it('has a cause if the platform failed, and a hint and a code if they are known', () => {
    const cause = new Error('platform');
    const plain = new ConnectionError('a');
    expect(plain).toMatchObject({ code: null, hint: null, reusedSocket: false, request: null });
    expect(['cause' in plain, new ConnectionError('a', { cause }).cause]).toEqual([false, cause]);
    const details = { code: 'E', hint: 'h', reusedSocket: true };
    expect(new ConnectionError('a', details)).toMatchObject(details);
    expect([
      new TimeoutError(5, request).mayBeWritten,
      new TimeoutError(5, request, true).mayBeWritten,
    ]).toEqual([false, true]);
    expect(isDatabaseReplaced(new DatabaseReplaced(request))).toBe(true);
    expect(new DatabaseReplaced(request).request).toEqual(request);
  });

  it.each([
    ['http://b', 'GET http://a/db: redirect from http://a to http://b refused: why'],
    [null, 'GET http://a/db: redirect from http://a refused: why'],
  ])('of a redirect names its target, %p, if it is known', (to, message) => {
    const refused = new RedirectRefused({ from: 'http://a', to, problem: 'why' }, request);
    expect([refused.message, refused.request]).toEqual([message, request]);
  });

  it('is known across copies of the package', () => {
    const copy = (name: string, ...brands: string[]): object =>
      Object.fromEntries([
        ['name', name],
        ...brands.map((one) => [Symbol.for(`corduroy.${one}`), true] as const),
      ]);
    expect(isKind(copy('Conflict', 'CorduroyError'), 'Conflict')).toBe(true);
    expect(isKind(copy('Conflict'), 'Conflict')).toBe(false);
    expect(isKind(copy('Other', 'CorduroyError'), 'Conflict')).toBe(false);
    expect(isKind(copy('Other', 'Conflict'), 'Conflict')).toBe(true);
  });
});
