import { brotliCompressSync, deflateSync, gzipSync } from 'node:zlib';
import { TELLING } from './plan.ts';
import type { Plan } from './plan.ts';
import { ENCODINGS } from './secrets.ts';
import { Random } from './random.ts';

export interface Origins {
  readonly own: string;
  readonly foreign: string;
}

type Framing = 'length' | 'chunked' | 'close' | 'longer' | 'shorter' | 'none';

/** An answer, as the server writes it. */
export interface Answer {
  readonly status: number;
  readonly headers: readonly (readonly [name: string, value: string])[];
  readonly body: Buffer;
  readonly framing: Framing;
  /** How many bytes of head and body the server writes; null for all. */
  readonly cut: number | null;
  readonly end: 'keep' | 'fin' | 'rst' | 'nothing';
  /** Into how many writes the answer is divided. */
  readonly pieces: number;
  /** Bytes in place of an HTTP answer. */
  readonly raw: Buffer | null;
  /** A piece that the server repeats after the body, so many times. */
  readonly repeat: {
    readonly piece: Buffer;
    readonly times: number;
    readonly delay: number;
  } | null;
}

/** What the judge has to know of an answer. */
export interface AnswerFacts {
  readonly summary: string;
  readonly status: number;
  /** Whether a client can see that the body is not whole. */
  readonly truncated: boolean;
  /** Whether it asks for another protocol, as a 101 must. */
  readonly upgrade: boolean;
}

const STATUSES = [400, 401, 403, 404, 405, 406, 409, 412, 413, 415, 417, 429, 500, 501, 502, 503];
const JSON_TYPE = ['content-type', 'application/json'] as const;
const HTML_TYPE = ['content-type', 'text/html; charset=utf-8'] as const;
const MIB = 2 ** 20;

/** What every call understands, as far as one answer can. */
const SHAPE = {
  ok: true,
  id: 'a',
  rev: '2-b',
  _id: 'a',
  _rev: '1-a',
  total_rows: 1,
  offset: 0,
  rows: [{ id: 'a', key: 'a', value: { rev: '1-a' }, doc: { _id: 'a', _rev: '1-a' } }],
  docs: [{ _id: 'a', _rev: '1-a' }],
  bookmark: 'nil',
  results: [{ seq: '1-a', id: 'a', changes: [{ rev: '1-a' }] }],
  last_seq: '1-a',
  pending: 0,
  name: 'ada',
  roles: [],
  userCtx: { name: 'ada', roles: [] },
  info: { authenticated: 'cookie' },
  history: [],
  version: '3.5.0',
};

/** Makes the answer of a case, to every request of it but an honest login. */
export function makeAnswer(seed: number, plan: Plan, origins: Origins): Answer {
  return new AnswerMaker(new Random(seed, `answer ${plan.index}`), plan, origins).make();
}

class AnswerMaker {
  readonly #random: Random;
  readonly #plan: Plan;
  readonly #origins: Origins;

  constructor(random: Random, plan: Plan, origins: Origins) {
    this.#random = random;
    this.#plan = plan;
    this.#origins = origins;
  }

  make(): Answer {
    const random = this.#random;
    const made = (MAKERS[this.#plan.kind] as (maker: this) => Partial<Answer>)(this);
    const framings: Framing[] = ['length', 'length', 'chunked', 'close'];
    const framing = made.framing ?? random.pick(framings);
    return {
      status: 200,
      headers: [JSON_TYPE],
      body: Buffer.from('{}'),
      cut: null,
      end: framing === 'close' ? 'fin' : random.pick(['keep', 'keep', 'fin']),
      pieces: random.pick([1, 1, 2, 5]),
      raw: null,
      repeat: null,
      ...made,
      framing,
    };
  }

  get random(): Random {
    return this.#random;
  }

  get plan(): Plan {
    return this.#plan;
  }

  get origins(): Origins {
    return this.#origins;
  }

  /** The body that the call expects. */
  expected(): string {
    const { call } = this.#plan;
    if (call === 'save list') return JSON.stringify([SHAPE, { ok: true, id: 'b', rev: '2-b' }]);
    if (call === 'config' || call === 'set config') return '"info"';
    const change = JSON.stringify(SHAPE.results[0]);
    if (call === 'changes$') return `${change}\n${change}\n`;
    if (call === 'changeRows')
      return `{"results":[\n${change},\n${change}\n],\n"last_seq":"2","pending":0}\n`;
    if (call === 'viewRows') {
      const row = JSON.stringify(SHAPE.rows[0]);
      return `{"total_rows":2,"offset":0,"rows":[\r\n${row},\r\n${row}\r\n]}\n`;
    }
    return JSON.stringify(SHAPE);
  }

  /**
   * A text that holds the secrets, in one encoding each.
   *
   * @param ascii - Whether it goes into a head, which holds no other characters.
   */
  echo(ascii = false): string {
    const { hidden } = this.#plan;
    const parts = hidden.map(({ value, username, name }) => {
      if (name.includes('reported')) return `could not open http://bob:${value}@other:5984/x/`;
      const encode = ENCODINGS[this.#random.pick(Object.keys(ENCODINGS))] as (x: string) => string;
      const text =
        username !== undefined && this.#random.chance(0.5) ? `${username}:${value}` : value;
      const encoded = encode(text);
      // A client cannot recognize a secret of which the head has lost characters.
      const whole = ascii && /[^ -~]/.test(encoded) ? encodeURIComponent(text) : encoded;
      return this.#random.pick(['', 'you sent ', 'Authorization: Basic ']) + whole;
    });
    // The limits at which a text is cut are as likely as any other place.
    const filler = 'x '.repeat(
      this.#random.pick([0, 0, 10, 90, 120, 140, 145, this.#random.int(0, 160)]),
    );
    return filler + parts.sort(() => this.#random.next() - 0.5).join(' and ');
  }

  failure(): number {
    return this.#random.pick(STATUSES);
  }

  /** A status that lets the body count, or one that does not. */
  anyStatus(): number {
    return this.#random.chance(0.5) ? 200 : this.failure();
  }

  /** A random JSON value. */
  value(depth = 3): unknown {
    const { random } = this;
    const kind = random.int(0, depth > 0 ? 9 : 6);
    if (kind === 0) return null;
    if (kind === 1) return random.chance(0.5);
    if (kind === 2) return random.pick([0, -1, 1e308, 0.1, 2 ** 53]);
    if (kind <= 6) return random.pick(['', 'a', '1-a', '__proto__', 'x'.repeat(999), '\ud800']);
    const size = random.int(0, 4);
    if (kind === 7) return Array.from({ length: size }, () => this.value(depth - 1));
    const fields = random.chance(0.7) ? Object.keys(SHAPE) : ['constructor', 'then', 'length', 'x'];
    return Object.fromEntries(
      Array.from({ length: size }, () => [random.pick(fields), this.value(depth - 1)]),
    );
  }

  /** The expected answer, with one part replaced. */
  wrong(part: string): string {
    const { random } = this;
    const lines = this.expected().split('\n');
    if (lines.length > 1) {
      lines[random.int(0, lines.length - 2)] = part + random.pick(['', ',', '\r']);
      return lines.join('\n');
    }
    if (random.chance(0.3)) return part;
    const field = random.pick(Object.keys(SHAPE));
    const rest: Record<string, unknown> = { ...SHAPE };
    delete rest[field];
    return `{${JSON.stringify(field)}:${part},${JSON.stringify(rest).slice(1)}`;
  }

  compressed(text: string | Buffer): { readonly body: Buffer; readonly encoding: string } {
    const encoding = this.#random.pick(['gzip', 'deflate', 'br']);
    const compress = { gzip: gzipSync, deflate: deflateSync, br: brotliCompressSync }[encoding];
    return { body: (compress as (x: string | Buffer) => Buffer)(text), encoding };
  }

  /** Enough text that does not compress to nothing. */
  noise(): Buffer {
    const text = this.#random.text('abcdefghijklmnopqrstuvwxyz0123456789', 2000, 6000);
    return Buffer.from(JSON.stringify({ ...SHAPE, noise: text }));
  }
}

const html = (text: string): string =>
  `<html><head><title>502</title></head>\r\n<body><h1>Bad gateway</h1>\n<p>${text}</p></body></html>`;

const gzipped = new Map<string, Buffer>();
/** Compresses once what many cases send. */
function gzippedOnce(piece: string, times: number): Buffer {
  const key = `${piece} ${times}`;
  const known = gzipped.get(key) ?? gzipSync(piece.repeat(times), { level: 1 });
  gzipped.set(key, known);
  return known;
}

const MAKERS: Readonly<Record<string, (maker: AnswerMaker) => Partial<Answer>>> = {
  'the expected shape': (m) => ({
    status: m.random.pick([200, 201, 202, 299]),
    body: Buffer.from(m.expected()),
  }),
  'a wrong shape': (m) => ({
    status: m.random.pick([200, 201, 202]),
    body: Buffer.from(m.wrong(JSON.stringify(m.value()))),
  }),
  'any status': (m) => ({
    status: m.random.int(200, 599),
    headers: m.random.chance(0.8) ? [JSON_TYPE] : [],
    body: Buffer.from(
      m.random.pick(['', '{"error":"x","reason":"y"}', 'null', '[]', '{', m.expected()]),
    ),
  }),
  'JSON that echoes': (m) => {
    const { random, plan } = m;
    const error = { error: random.chance(0.2) ? m.echo() : 'echo', reason: m.echo() };
    if (plan.call === 'save list' && random.chance(0.7)) {
      const failed = { id: 'a', ...error, error: random.pick(['forbidden', 'conflict', 'echo']) };
      return { status: 201, body: Buffer.from(JSON.stringify([failed, { id: 'b', ...error }])) };
    }
    if (['changes$', 'changeRows', 'viewRows'].includes(plan.call) && random.chance(0.7))
      return { body: Buffer.from(m.wrong(JSON.stringify(error))) };
    const reason = random.chance(0.2) ? { nested: [error.reason] } : error.reason;
    return { status: m.failure(), body: Buffer.from(JSON.stringify({ ...error, reason })) };
  },
  'HTML that echoes': (m) => ({
    status: m.failure(),
    headers: [m.random.chance(0.9) ? HTML_TYPE : JSON_TYPE],
    body: Buffer.from(m.random.pick([html, (text: string) => text])(m.echo())),
  }),
  'an echo under 2xx': (m) => {
    const text = m.echo();
    const value = JSON.stringify(text);
    const body = m.random.pick([
      text,
      html(text),
      value,
      `{"a":${value}`,
      `{"rows":${value}}`,
      m.wrong(value),
      `[${text}]`,
      `{"ok":${text}}`,
    ]);
    return { status: m.random.pick([200, 201]), body: Buffer.from(body) };
  },
  'headers that echo': (m) => {
    const echo = m.echo(true);
    const names = [
      'x-echo',
      'www-authenticate',
      'server',
      'via',
      'etag',
      'retry-after',
      'location',
    ];
    return {
      status: m.random.pick([200, 201, 404, 500]),
      headers: [JSON_TYPE, [m.random.pick(names), echo], ['set-cookie', `X=${echo}`]],
      body: Buffer.from(m.expected()),
    };
  },
  'deep nesting': (m) => {
    const depth = m.random.pick([1000, 10_000, 100_000]);
    const [open, close] = m.random.pick([
      ['[', ']'],
      ['{"a":', '}'],
      ['{"rows":[', ']}'],
      ['{"reason":', '}'],
    ] as const);
    const deep = `${open.repeat(depth)}1${m.random.chance(0.8) ? close.repeat(depth) : ''}`;
    const whole = [deep, `{"error":${deep}}`, `{"reason":${deep},"error":"x"}`, m.wrong(deep)];
    return { status: m.anyStatus(), body: Buffer.from(m.random.pick(whole)) };
  },
  'a huge string': (m) => {
    const text = JSON.stringify(
      m.random.pick(['x', ' ', 'é', '\\', '\0', '://']).repeat(m.random.pick([1e4, 1e5, 4e5])),
    );
    const whole = [text, `{"error":"x","reason":${text}}`, `{"error":${text}}`, m.wrong(text)];
    return { status: m.anyStatus(), body: Buffer.from(m.random.pick(whole)) };
  },
  blanks: (m) => {
    const piece = m.random.pick([' ', '\n', '<b>', '<b> ', '\t ']);
    const times = Math.floor(m.random.pick([1e5, 8e6]) / piece.length);
    const headers = [HTML_TYPE, ['content-encoding', 'gzip']] as const;
    return { status: m.random.chance(0.8) ? 502 : 200, headers, body: gzippedOnce(piece, times) };
  },
  'open brackets': (m) => {
    const piece = m.random.pick([
      '<',
      '<',
      '< ',
      '<<b',
      '<!--',
      '&',
      '&#',
      '&#x',
      '%',
      '\\u',
      '\\',
    ]);
    const text = piece.repeat(m.random.pick([4e3, 24e3, 40e3]) / piece.length);
    const json = m.random.chance(0.3);
    const body = json ? JSON.stringify({ error: 'x', reason: text }) : text;
    return {
      status: m.failure(),
      headers: [json ? JSON_TYPE : HTML_TYPE],
      body: Buffer.from(body),
    };
  },
  'almost an address': (m) => {
    const piece = m.random.pick(['a.', 'a.', 'a+', 'a-b.', 'http:', 'http://', 'a://@', '@', 'A.']);
    const text =
      piece.repeat(m.random.pick([4e3, 24e3, 40e3]) / piece.length) +
      m.random.pick(['@', '@', '://x@', '']);
    const json = JSON.stringify({ error: 'x', reason: text });
    return {
      status: m.failure(),
      body: Buffer.from(m.random.pick([text, html(text), json, json])),
    };
  },
  'a wrong encoding': (m) => {
    const good = gzipSync(m.expected());
    const [encoding, body] = m.random.pick([
      ['GZIP', good],
      ['Gzip', good],
      ['__proto__', Buffer.from(m.expected())],
      ['constructor', Buffer.from(m.expected())],
      ['toString', Buffer.from(m.expected())],
      ['gzip', Buffer.from(m.expected())],
      ['br', good],
      ['deflate', good],
      ['identity', Buffer.from(m.expected())],
      ['gzip, gzip', gzipSync(good)],
      ['zstd', good],
      ['', Buffer.from(m.expected())],
      ['gzip', Buffer.alloc(0)],
      ['gzip', Buffer.concat([good, Buffer.from('trailing garbage')])],
    ] as const);
    return { status: m.anyStatus(), headers: [JSON_TYPE, ['content-encoding', encoding]], body };
  },
  compressed: (m) => {
    const { body, encoding } = m.compressed(m.random.chance(0.5) ? m.expected() : html(m.echo()));
    return { status: m.anyStatus(), headers: [JSON_TYPE, ['content-encoding', encoding]], body };
  },
  'cut anywhere': (m) => {
    const compressed = m.random.chance(0.5);
    const plain = m.random.chance(0.5) ? Buffer.from(m.expected()) : m.noise();
    const { body, encoding } = m.compressed(plain);
    return {
      status: m.random.chance(0.8) ? 200 : m.failure(),
      headers: compressed ? [JSON_TYPE, ['content-encoding', encoding]] : [JSON_TYPE],
      body: compressed ? body : plain,
      framing: m.random.pick(['length', 'chunked']),
      // The maker does not know how long the head is: the server takes it modulo the length.
      cut: m.random.int(0, 1e6),
      end: m.random.pick(['fin', 'rst']),
    };
  },
  'cut inside compression': (m) => {
    const { body, encoding } = m.compressed(m.noise());
    return {
      headers: [JSON_TYPE, ['content-encoding', encoding]],
      body: body.subarray(0, m.random.int(1, body.length - 9)),
    };
  },
  'a wrong length': (m) => ({
    body: m.noise(),
    framing: m.random.pick(['longer', 'longer', 'shorter']),
    end: m.random.pick(['fin', 'rst']),
  }),
  'no length, then a reset': (m) => ({ body: m.noise(), framing: 'close', end: 'rst' }),
  'a redirect to this origin': (m) =>
    redirect(m, `${m.random.pick(['', m.origins.own])}/elsewhere`),
  'a redirect to another origin': (m) => {
    const { foreign } = m.origins;
    const port = new URL(foreign).port;
    return redirect(
      m,
      m.random.pick([
        `${foreign}/abroad`,
        `//127.0.0.1:${port}/abroad`,
        `http://localhost:${port}/abroad`,
        `http://ada:${m.plan.secrets.stranger}@127.0.0.1:${port}/abroad`,
      ]),
    );
  },
  'a bad redirect': (m) =>
    redirect(
      m,
      m.random.pick([
        '/loop',
        '',
        '.',
        'http://',
        'http://[::bad/',
        '//',
        'ftp://127.0.0.1/x',
        'file:///etc/passwd',
        'data:application/json,{}',
        'javascript:1',
        'https://127.0.0.1:1/',
        `http://bob:${m.plan.secrets.stranger}@[bad/`,
        '\\\\127.0.0.1:1/x',
        'http://a b/',
        '%',
        '/%ff?#',
      ]),
    ),
  'many cookies': (m) => ({
    headers: [
      JSON_TYPE,
      ...Array.from(
        { length: m.random.int(2, 6) },
        (_, i) => ['set-cookie', `c${i}=v; Expires=Thu, 01 Jan 2099 00:00:00 GMT`] as const,
      ),
      [
        'set-cookie',
        `AuthSession=${m.plan.secrets.cookie}; Version=1; Max-Age=600; Path=/; HttpOnly`,
      ],
    ],
    body: Buffer.from(m.expected()),
  }),
  'a cookie that only resembles': (m) => ({
    headers: [JSON_TYPE, ...DECOYS.map((cookie) => ['set-cookie', cookie] as const)],
    body: Buffer.from(m.expected()),
  }),
  'huge headers': (m) => ({
    status: m.anyStatus(),
    headers: m.random.pick([
      [['x-big', 'x'.repeat(m.random.pick([1e4, 2e4, 2e5]))]],
      Array.from({ length: m.random.pick([200, 3000]) }, (_, i) => [`x-${i}`, 'y'] as const),
      [['__proto__', 'x'], ['constructor', 'y'], JSON_TYPE],
      [['content-type', `application/${'a.'.repeat(5000)}json`]],
      [
        ['content-type', 'x'],
        ['content-type', 'y'],
        ['etag', '"'],
        ['date', 'never'],
      ],
    ]),
    body: Buffer.from(m.expected()),
  }),
  'no HTTP': (m) => ({
    raw: Buffer.from(
      m.random.pick([
        m.echo(),
        'HTTP/1.1 ',
        'HTTP/9.9 200 OK\r\n\r\n',
        'HTTP/1.1 0 \r\n\r\n',
        'HTTP/1.1 2000 OK\r\n\r\n',
        `HTTP/1.1 200 ${m.echo(true)}\r\n\r\n`,
        'HTTP/1.1 200 OK\r\nbad header\r\n\r\n',
        'HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n',
        'HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab',
        'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n',
        'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nffffffffffffffff\r\nx',
        'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ncontent-length: 3\r\n\r\n3\r\n{}\n\r\n0\r\n\r\n',
        '\0\0\0\0',
        '',
        'HTTP/1.1 200 OK\r\nx: \0\r\n\r\n',
        'ICY 200 OK\r\n\r\n',
      ]),
    ),
    end: m.random.pick(['fin', 'rst']),
  }),
  'a strange retry-after': (m) => ({
    status: m.random.pick([429, 503]),
    headers: [
      JSON_TYPE,
      [
        'retry-after',
        m.random.pick([
          '-1',
          '1e9',
          'NaN',
          'Infinity',
          '0x10',
          'Thu, 01 Jan 2099 00:00:00 GMT',
          '1'.repeat(5000),
          'soon',
          '',
        ]),
      ],
    ],
    body: Buffer.from('{"error":"too_many_requests","reason":"x"}'),
  }),
  'an informational status': (m) => ({
    status: m.random.pick([100, 101, 101, 101, 102, 103, 199]),
    headers: m.random.pick([
      [],
      [
        ['connection', 'upgrade'],
        ['upgrade', 'websocket'],
      ],
    ]),
    framing: 'none',
    body: Buffer.alloc(0),
    end: 'nothing',
  }),
  silence: (m) => ({ cut: m.random.pick([0, 5, 60, 1e6]), end: 'nothing', framing: 'length' }),
  'no end': (m) => ({
    framing: m.random.pick(['chunked', 'close']),
    body: Buffer.from(m.expected().slice(0, m.random.pick([1, 20, 60, 1e6]))),
    repeat: {
      piece: Buffer.from(m.random.pick(['\n', ' ', 'x', '{}\n', '"'])),
      times: 1e6,
      delay: 20,
    },
  }),
  'a telling word': (m) => {
    const { status, body } = TELLING[m.plan.secrets.password as keyof typeof TELLING];
    return { status, body: Buffer.from(JSON.stringify(body)), framing: 'length' };
  },
  'many calls before': (m) => ({
    status: m.failure(),
    body: Buffer.from(JSON.stringify({ error: 'echo', reason: m.echo() })),
  }),
  'credentials that fail': (m) => ({ body: Buffer.from(m.expected()) }),
  'odd ids': (m) => ({ body: Buffer.from(m.expected()) }),
  'an endless body': (m) => ({
    framing: m.random.pick(['chunked', 'close']),
    body: Buffer.from(m.random.pick(['{"reason":"', '[1', '{"docs":[{"a":"', ''])),
    repeat: { piece: Buffer.alloc(MIB / 4, 'xy'), times: 384, delay: 0 },
  }),
  'an endless error page': (m) => ({
    status: m.failure(),
    framing: m.random.pick(['chunked', 'close']),
    headers: [HTML_TYPE],
    body: Buffer.from('<html>'),
    repeat: { piece: Buffer.alloc(MIB / 4, 'xy'), times: 384, delay: 0 },
  }),
  'a compressed bomb': () => ({
    headers: [JSON_TYPE, ['content-encoding', 'gzip']],
    body: gzippedOnce('xy'.repeat(MIB / 2), 96),
  }),
  'a compressed bomb in an error': (m) => ({
    status: m.failure(),
    headers: [JSON_TYPE, ['content-encoding', 'gzip']],
    body: gzippedOnce('xy'.repeat(MIB / 2), 96),
  }),
  'an endless line': (m) => ({
    framing: m.random.pick(['chunked', 'close']),
    body: Buffer.from(`${m.expected().split('\n')[0]}\n{"a":"`),
    repeat: { piece: Buffer.alloc(MIB / 4, 'xy'), times: 384, delay: 0 },
  }),
};

/** Cookies of other names, or that stand inside the values of others: each is named evil. */
export const DECOYS = [
  'LegacyAuthSession=evil1; Path=/',
  'x="AuthSession=evil2"; Path=/',
  'y=1; Path=/; Comment="AuthSession=evil3"',
];

function redirect(m: AnswerMaker, location: string): Partial<Answer> {
  return {
    status: m.random.pick([301, 302, 303, 307, 308]),
    headers: [
      ['location', location],
      ['set-cookie', 'AuthSession=evil0; Path=/'],
    ],
    body: Buffer.from(m.random.pick(['', 'moved', m.expected()])),
    framing: 'length',
  };
}

/** Writes the head of an answer. */
export function headOf(answer: Answer): Buffer {
  const { status, headers, body, framing } = answer;
  const lines = [`HTTP/1.1 ${status} ${framing === 'none' ? 'Info' : 'Whatever'}`];
  for (const [name, value] of headers) lines.push(`${name}: ${value}`);
  const off = { longer: 7, shorter: -7 }[framing as string] ?? 0;
  if (framing === 'length' || off !== 0) lines.push(`content-length: ${body.length + off}`);
  if (framing === 'chunked') lines.push('transfer-encoding: chunked');
  if (framing === 'close') lines.push('connection: close');
  return Buffer.from(`${lines.join('\r\n')}\r\n\r\n`, 'latin1');
}

export const chunk = (bytes: Buffer): Buffer =>
  Buffer.concat([Buffer.from(`${bytes.length.toString(16)}\r\n`), bytes, Buffer.from('\r\n')]);

/** Tells what a client can know of an answer to a request with a body in its answer. */
export function factsOf(plan: Plan, answer: Answer): AnswerFacts {
  const { status, framing, cut, end, body, raw, repeat } = answer;
  const truncated =
    plan.kind === 'cut inside compression' ||
    plan.kind === 'no length, then a reset' ||
    framing === 'longer' ||
    // A part of the trailer of a chunked answer is no part of the body.
    (cut !== null && end !== 'nothing' && cutLength(answer) < wholeLength(answer));
  const shown = raw === null ? `status ${status}, ${body.length} bytes, ${framing}` : 'no HTTP';
  const more = `${cut === null ? '' : `, cut after ${cutLength(answer)}`}${repeat === null ? '' : ', repeated'}`;
  const encoding = answer.headers.find(([name]) => name === 'content-encoding')?.[1];
  const location = answer.headers.find(([name]) => name === 'location')?.[1];
  const rest = [
    encoding && `content-encoding ${encoding}`,
    location !== undefined && `to ${JSON.stringify(location.slice(0, 60))}`,
  ];
  return {
    summary: [`${plan.kind}: ${shown}${more}, then ${end}`, ...rest].filter(Boolean).join(', '),
    status,
    truncated: truncated && body.length > 0,
    upgrade: answer.headers.some(([name]) => name === 'upgrade'),
  };
}

/** The length of head and body, without the chunk that ends the body. */
function wholeLength(answer: Answer): number {
  const { body, framing } = answer;
  return headOf(answer).length + (framing === 'chunked' ? chunk(body).length : body.length);
}

/** How many bytes of an answer the server writes. */
export function cutLength(answer: Answer): number {
  return answer.cut === null ? Infinity : answer.cut % wholeLength(answer);
}
