/** Replaces every credential that a text holds. */
export type Redact = (text: string) => string;

const MASK = '***';
/** Below this length a secret is too likely to be part of an innocent word. */
const SHORTEST = 4;
const USERINFO = /\b([a-z][a-z0-9+.-]*:\/\/)[^\s/?#"'<>@]*(?:@[^\s/?#"'<>@]*)*@/gi;

/**
 * Makes a function that masks the userinfo of any URL in a text, and the given secrets: as they
 * are, URL-encoded, and as JSON writes them.
 */
export function redactor(secrets: readonly string[]): Redact {
  const forms = new Set<string>();
  for (const secret of secrets) {
    if (secret.length < SHORTEST) continue;
    forms.add(secret);
    forms.add(encodeURIComponent(secret));
    forms.add(JSON.stringify(secret).slice(1, -1));
  }
  // The longest first: a form may contain another.
  const ordered = [...forms].sort((a, b) => b.length - a.length);
  return (text) => {
    let clean = text.includes('@') ? text.replace(USERINFO, `$1${MASK}@`) : text;
    for (const form of ordered) clean = clean.replaceAll(form, MASK);
    return clean;
  };
}

/** How many secrets that came later are remembered: more than can be in use at once. */
const REMEMBERED = 100;

/** Masks secrets that change over time, besides those that are known from the beginning. */
export class Redactor {
  readonly #lasting: readonly string[];
  readonly #passing = new Set<string>();
  #mask: Redact;

  constructor(lasting: readonly string[]) {
    this.#lasting = lasting;
    this.#mask = redactor(lasting);
  }

  readonly redact: Redact = (text) => this.#mask(text);

  /** Masks these as well from now on. */
  hide(secrets: readonly string[]): void {
    for (const secret of secrets) {
      // What is in use moves to the end, and is forgotten last.
      this.#passing.delete(secret);
      this.#passing.add(secret);
    }
    for (const oldest of this.#passing) {
      if (this.#passing.size <= REMEMBERED) break;
      this.#passing.delete(oldest);
    }
    this.#mask = redactor([...this.#lasting, ...this.#passing]);
  }
}

/**
 * Turns what a platform threw into an error that may be shown: its name, code and message without
 * credentials, and none of its other properties (got's errors carry the request's headers).
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
