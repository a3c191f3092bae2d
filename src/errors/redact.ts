/** Masks every credential in a text. */
export type Redact = (text: string) => string;

const MASK = '***';
/** Shorter secrets are likely to be part of an ordinary word. */
const MIN_SECRET_LENGTH = 4;
const USERINFO = /\b([a-z][a-z0-9+.-]*:\/\/)[^\s/?#"'<>@]*(?:@[^\s/?#"'<>@]*)*@/gi;

/**
 * Makes a function that masks the userinfo of every URL in a text, and the given secrets: verbatim,
 * URL-encoded, and escaped as in JSON.
 */
export function redactor(secrets: readonly string[]): Redact {
  const forms = new Set<string>();
  for (const secret of secrets) {
    if (secret.length < MIN_SECRET_LENGTH) continue;
    forms.add(secret);
    forms.add(encodeURIComponent(secret));
    forms.add(JSON.stringify(secret).slice(1, -1));
  }
  // The longest first, because a form may contain another.
  const ordered = [...forms].sort((a, b) => b.length - a.length);
  return (text) => {
    let clean = text.includes('@') ? text.replace(USERINFO, `$1${MASK}@`) : text;
    for (const form of ordered) clean = clean.replaceAll(form, MASK);
    return clean;
  };
}

/** The number of recent secrets to keep: more than are in use at the same time. */
const MAX_RECENT = 100;

/** Masks secrets that change over time, in addition to a fixed list. */
export class Redactor {
  readonly #fixed: readonly string[];
  readonly #recent = new Set<string>();
  #mask: Redact;

  constructor(fixed: readonly string[]) {
    this.#fixed = fixed;
    this.#mask = redactor(fixed);
  }

  readonly redact: Redact = (text) => this.#mask(text);

  /** Masks more secrets from now on. */
  hide(secrets: readonly string[]): void {
    for (const secret of secrets) {
      // A secret in use moves to the end of the set, and is dropped last.
      this.#recent.delete(secret);
      this.#recent.add(secret);
    }
    for (const oldest of this.#recent) {
      if (this.#recent.size <= MAX_RECENT) break;
      this.#recent.delete(oldest);
    }
    this.#mask = redactor([...this.#fixed, ...this.#recent]);
  }
}

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
    return typeof value === 'string' && value !== '' ? redact(value) : null;
  };
  const cause = new Error(text('message') ?? redact(String(thrown)));
  cause.name = text('name') ?? 'Error';
  cause.stack = `${cause.name}: ${cause.message}`;
  const code = text('code');
  if (code !== null) Object.assign(cause, { code });
  return cause;
}
