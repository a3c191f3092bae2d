import { Random } from './random.ts';

const PLAIN = 'abcdefghijkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789';
/** Characters that URLs, JSON, HTML and forms have to escape. */
const AWKWARD = `${PLAIN.slice(0, 12)}:/?#[]@!$&'()*+,;=%"\\<>~ ßé世`;
const VISIBLE = `${PLAIN}:/?#[]@!$&'()*+,;=%"\\<>~`;

/** The random values of one case that no error may show and no other origin may receive. */
export interface Secrets {
  readonly username: string;
  readonly password: string;
  /** The value of the session cookie that an honest login sets. */
  readonly cookie: string;
  readonly token: string;
  /** The value of a header of the `Couch`. */
  readonly header: string;
  /** A password or a header of one request. */
  readonly single: string;
  /** The password of a URL that the server itself reports. */
  readonly stranger: string;
  /** A text in each document that a case writes: private, but no credential. */
  readonly content: string;
}

export function makeSecrets(seed: number, index: number): Secrets {
  const random = new Random(seed, `secrets ${index}`);
  const awkward = (): string =>
    `${random.text(PLAIN, 3, 3)}${random.text(AWKWARD, 8, 14)}${random.text(PLAIN, 2, 2)}`;
  return {
    username: random.text('abcdefghijklmnopqrstuvwxyz', 3, 6),
    password: awkward(),
    cookie: random.text(`${PLAIN}-_`, 24, 40),
    token: random.text(`${PLAIN}-_.`, 20, 40),
    header: random.text(PLAIN, 2, 2) + random.text(VISIBLE, 10, 16),
    single: random.text(PLAIN, 2, 2) + random.text(VISIBLE, 10, 16),
    stranger: random.text(PLAIN, 14, 14),
    content: random.text(PLAIN, 20, 20),
  };
}

type Encoding = (text: string) => string;

const base64: Encoding = (text) => Buffer.from(text).toString('base64');
const base64url: Encoding = (text) => Buffer.from(text).toString('base64url');
const percent: Encoding = (text) => encodeURIComponent(text);
const percentAll: Encoding = (text) =>
  percent(text).replace(
    /[!'()*~]/g,
    (char) => `%${char.charCodeAt(0).toString(16).padStart(2, '0').toUpperCase()}`,
  );
const lowerEscapes: Encoding = (text) =>
  text.replace(/%[0-9A-F]{2}/g, (escape) => escape.toLowerCase());
const form: Encoding = (text) => new URLSearchParams({ '': text }).toString().slice(1);
const json: Encoding = (text) => JSON.stringify(text).slice(1, -1);
const unit = (char: string): string => char.charCodeAt(0).toString(16).padStart(4, '0');
const NAMED: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&apos;',
};
const named: Encoding = (text) => text.replace(/[&<>"']/g, (char) => NAMED[char] ?? char);
const point = (char: string): number => char.codePointAt(0) ?? 0;

/** The ways in which a server may write what it has received. */
export const ENCODINGS: Readonly<Record<string, Encoding>> = {
  plain: (text) => text,
  percent,
  'percent, lower-case': (text) => lowerEscapes(percent(text)),
  'percent, all': percentAll,
  'percent, all, lower-case': (text) => lowerEscapes(percentAll(text)),
  form,
  'form, lower-case': (text) => lowerEscapes(form(text)),
  base64,
  base64url,
  'HTML, named': named,
  'HTML, decimal apostrophes': (text) => named(text).replaceAll('&apos;', '&#39;'),
  'HTML, decimal': (text) =>
    Array.from(text, (char) => (/\w/.test(char) ? char : `&#${point(char)};`)).join(''),
  'HTML, hex': (text) =>
    Array.from(text, (char) => (/\w/.test(char) ? char : `&#x${point(char).toString(16)};`)).join(
      '',
    ),
  'HTML, hex, upper-case': (text) =>
    Array.from(text, (char) =>
      /\w/.test(char) ? char : `&#X${point(char).toString(16).toUpperCase()};`,
    ).join(''),
  JSON: json,
  'JSON, ASCII': (text) => json(text).replace(/[^ -~]/g, (char) => `\\u${unit(char)}`),
  'JSON, ASCII, upper-case': (text) =>
    json(text).replace(/[^ -~]/g, (char) => `\\u${unit(char).toUpperCase()}`),
  'JSON, safe in HTML': (text) => json(text).replace(/[<>&']/g, (char) => `\\u${unit(char)}`),
  'JSON, slashes': (text) => json(text).replaceAll('/', '\\/'),
};

/** One value that an error must not show. */
export interface Hidden {
  readonly name: string;
  readonly value: string;
  /** The user whose Basic credentials hold the value, if any. */
  readonly username?: string;
}

/** What a leak is: which value, in which encoding, and the part of it that was found. */
export interface Leak {
  readonly name: string;
  readonly encoding: string;
  readonly part: 'all' | 'a part';
  /** The text that was found. */
  readonly text: string;
}

/**
 * Makes a function that finds a secret in a text: in each encoding, whole or for the most part. A part
 * counts if it has at least eight characters and three fifths of the whole.
 */
export function leakFinder(secrets: readonly Hidden[]): (text: string) => Leak | null {
  const probes = new Map<string, Leak>();
  for (const { name, value, username } of secrets) {
    for (const [encoding, encode] of Object.entries(ENCODINGS)) {
      addProbes(probes, encode(value), name, encoding);
      if (username === undefined || !encoding.startsWith('base64')) continue;
      // The characters that encode the user's name are no secret.
      const known = Math.ceil(((username.length + 1) * 4) / 3);
      const pair = encode(`${username}:${value}`);
      addProbes(probes, pair.slice(known).replace(/=+$/, ''), name, `${encoding} of the pair`);
    }
  }
  return (text) => {
    let found: Leak | null = null;
    for (const [probe, leak] of probes) {
      if (!text.includes(probe)) continue;
      if (leak.part === 'all') return leak;
      found ??= leak;
    }
    return found;
  };
}

function addProbes(probes: Map<string, Leak>, whole: string, name: string, encoding: string): void {
  const add = (probe: string, part: Leak['part']): void => {
    if (!probes.has(probe)) probes.set(probe, { name, encoding, part, text: probe });
  };
  add(whole, 'all');
  const length = Math.max(8, Math.ceil(whole.length * 0.6));
  if (length >= whole.length) return;
  const middle = Math.floor((whole.length - length) / 2);
  for (const start of [0, middle, whole.length - length]) {
    add(whole.slice(start, start + length), 'a part');
  }
}
