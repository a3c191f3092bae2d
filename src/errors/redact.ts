import { findSecrets, formsOf } from './secret-forms.ts';
import type { Form, Range } from './secret-forms.ts';

/**
 * Masks every credential in a text. Cuts the text after `max` characters, and never within a
 * credential.
 */
export type Redact = (text: string, max?: number) => string;

/** Replaces a credential. */
export const MASK = '***';
/** The characters that are shown at most. */
const MAX_SHOWN = 24_576;
/** The longest encoding of one character, such as an entity that is encoded again. */
const MAX_ENCODED = 40;
/** The characters that are searched behind the shown ones at least. */
const MARGIN = 1024;
/** The run of characters after `://`. It cannot match within itself, so the search takes linear time. */
const AFTER_SCHEME = /:\\{0,4}\/\\{0,4}\/[^\s"'<>]*/g;

/** Makes a function that masks the userinfo of every URL in a text, and the given secrets. */
export function redactor(secrets: readonly string[]): Redact {
  let forms: readonly Form[] | undefined;
  return (text, max) => mask(text, (forms ??= secrets.flatMap(formsOf)), max);
}

function mask(text: string, forms: readonly Form[], max = MAX_SHOWN): string {
  const longest = forms.reduce((length, { codes }) => Math.max(length, codes.length), 0);
  // A credential that begins before `max` must be found whole.
  const searched = text.slice(0, max + Math.max(MARGIN, longest * MAX_ENCODED));
  const ranges = [
    ...findSecrets(searched, forms),
    ...findUserinfo(searched, searched.length < text.length),
  ];
  return cover(searched, ranges, max);
}

/** Replaces ranges of a text by masks, and cuts the text after `max` characters. */
function cover(text: string, ranges: Range[], max = text.length): string {
  let clean = '';
  let shown = 0;
  for (const { start, stop } of ranges.sort((a, b) => a.start - b.start)) {
    if (start >= max) break;
    if (stop <= shown) continue;
    // A range that overlaps the previous one belongs to the same mask.
    if (start >= shown) clean += text.slice(shown, start) + MASK;
    shown = stop;
  }
  return clean + text.slice(shown, Math.max(shown, max));
}

/** Finds the userinfo of the URLs in a text, also of malformed ones: all up to the last `@`. */
function findUserinfo(text: string, isCut: boolean): Range[] {
  if (!isCut && !text.includes('@')) return [];
  const ranges: Range[] = [];
  for (const { 0: run, index } of text.matchAll(AFTER_SCHEME)) {
    const isOpen = isCut && index + run.length === text.length;
    const stop = isOpen ? run.length : run.lastIndexOf('@');
    const start = run.indexOf('/', run.indexOf('/') + 1) + 1;
    if (stop > start) ranges.push({ start: index + start, stop: index + stop });
  }
  return ranges;
}

/**
 * The kind of a secret: a credential of the connection; a secret of a single request, such as the
 * password of a new user; or the value of a header, which may hold a key.
 */
export type SecretKind = 'credential' | 'request' | 'header';

/** The number of recent secrets of each kind: more than are in use at the same time. */
const MAX_RECENT = 100;

/** The functions that mask the secrets of one request, in addition to those of the connection. */
export interface Redactions {
  readonly text: Redact;
  /** Masks credentials only: the value of a header can be an ordinary word of a path. */
  readonly path: Redact;
}

/**
 * Remembers the secrets of a connection. It keeps each kind apart, so that many secrets of one kind
 * never displace another kind.
 */
export class Redactor implements Redactions {
  readonly #fixed: readonly string[];
  readonly #recent: Record<SecretKind, Set<string>> = {
    credential: new Set(),
    request: new Set(),
    header: new Set(),
  };
  #redactions: Redactions | null = null;

  /** @param fixed - Values of headers that never change. */
  constructor(fixed: readonly string[]) {
    this.#fixed = fixed;
  }

  readonly text: Redact = (text, max) => this.#current.text(text, max);
  readonly path: Redact = (text, max) => this.#current.path(text, max);

  /** Masks more secrets from now on. */
  hide(secrets: readonly string[], kind: SecretKind = 'credential'): void {
    const recent = this.#recent[kind];
    for (const secret of secrets) {
      // A secret in use moves to the end of the set, and is dropped last.
      recent.delete(secret);
      recent.add(secret);
    }
    for (const oldest of recent) {
      if (recent.size <= MAX_RECENT) break;
      recent.delete(oldest);
    }
    this.#redactions = null;
  }

  /** Returns the functions for a request, which know its own secrets however many follow. */
  including(credentials: readonly string[], headers: readonly string[]): Redactions {
    const { credential, request, header } = this.#recent;
    const isKnown =
      credentials.every((secret) => credential.has(secret) || request.has(secret)) &&
      headers.every((secret) => header.has(secret));
    return isKnown ? this : this.#make(credentials, headers);
  }

  get #current(): Redactions {
    return (this.#redactions ??= this.#make([], []));
  }

  #make(credentials: readonly string[], headers: readonly string[]): Redactions {
    const { credential, request, header } = this.#recent;
    const secrets = [...credential, ...request, ...credentials];
    const forms = secrets.flatMap(formsOf);
    const all = [...forms, ...[...this.#fixed, ...header, ...headers].flatMap(formsOf)];
    return {
      text: (text, max) => mask(text, all, max),
      path: (path, max) => cover(path, findSecrets(path, forms), max),
    };
  }
}

/** The characters of a platform's message that are shown. */
const MAX_CAUSE_LENGTH = 1000;

/**
 * Converts a platform's error into one that is safe to show: its name, code and message, without
 * credentials. It drops all other properties, because got's errors carry the request headers.
 */
export function describeCause(thrown: unknown, redact: Redact): Error {
  const text = (key: 'name' | 'message' | 'code'): string | null => {
    const value: unknown =
      typeof thrown === 'object' && thrown !== null && key in thrown
        ? (thrown as Record<string, unknown>)[key]
        : undefined;
    return typeof value === 'string' && value !== '' ? redact(value, MAX_CAUSE_LENGTH) : null;
  };
  // A SyntaxError quotes a part of the text, which may be a part of a credential.
  const isQuote = thrown instanceof SyntaxError || text('name') === 'SyntaxError';
  const message = isQuote ? 'the text is not JSON' : text('message');
  const other = typeof thrown === 'string' ? thrown : `a value of type ${typeof thrown}`;
  const cause = new Error(message ?? redact(other, MAX_CAUSE_LENGTH));
  cause.name = text('name') ?? 'Error';
  cause.stack = `${cause.name}: ${cause.message}`;
  const code = text('code');
  if (code !== null) Object.assign(cause, { code });
  return cause;
}

/**
 * Returns the secrets in a header of a request: its value, and the parts that a server may send back
 * alone. These are the text after a scheme such as `Bearer`, a decoded password, and each cookie.
 */
export function secretsOfHeader(name: string, value: string): string[] {
  if (name.toLowerCase() === 'cookie') return [value, ...cookieValues(value)];
  const [scheme = ''] = value.split(' ', 1);
  const rest = value.slice(scheme.length).trim();
  return /^basic$/i.test(scheme) ? [value, rest, passwordOf(rest)] : [value, rest];
}

/** Headers whose values are no secrets, and appear in many answers: `application/json`. */
const PUBLIC = /^(?:accept|content-type)$/i;

/** Returns the secrets in all headers of a request. */
export function secretsOfHeaders(headers: Readonly<Record<string, string>>): string[] {
  return Object.entries(headers)
    .filter(([name]) => !PUBLIC.test(name))
    .flatMap(([name, value]) => secretsOfHeader(name, value));
}

function cookieValues(header: string): string[] {
  return header.split(';').flatMap((pair) => {
    const value = pair.slice(pair.indexOf('=') + 1).trim();
    return [value, value.replace(/^"|"$/g, '')];
  });
}

/** Decodes the password of Basic credentials. Returns an empty text if they are malformed. */
function passwordOf(encoded: string): string {
  try {
    const bytes = Uint8Array.from(atob(encoded), (char) => char.charCodeAt(0));
    const pair = new TextDecoder().decode(bytes);
    return pair.slice(pair.indexOf(':') + 1);
  } catch {
    return '';
  }
}
