/** A user's name and password. */
export interface BasicCredentials {
  readonly username: string;
  readonly password: string;
}

/** Who asks: a name and a password, as an object or as a pair; or a JWT. */
export type Auth =
  BasicCredentials | readonly [username: string, password: string] | { readonly bearer: string };

/** The headers by which a request shows who asks; they never follow to another origin. */
export const CREDENTIAL_HEADERS: readonly string[] = [
  'authorization',
  'cookie',
  'x-auth-couchdb-username',
  'x-auth-couchdb-roles',
  'x-auth-couchdb-token',
];

/** What a connection needs of credentials: the header to send, and what must never be shown. */
export interface Authorization {
  readonly headers: Readonly<Record<string, string>>;
  readonly secrets: readonly string[];
  /** Name and password, where that is what was given: for servers that replicate. */
  readonly basic?: BasicCredentials;
}

/** Nobody in particular. */
export const ANONYMOUS: Authorization = { headers: {}, secrets: [] };

/**
 * Makes the header for credentials.
 *
 * @throws TypeError when a part is missing or is not a string.
 */
export function authorize(auth: Auth): Authorization {
  if ('bearer' in auth) {
    requireText(auth.bearer, 'auth.bearer');
    return { headers: { authorization: `Bearer ${auth.bearer}` }, secrets: [auth.bearer] };
  }
  const { username, password } = isPair(auth) ? { username: auth[0], password: auth[1] } : auth;
  requireText(username, 'auth.username');
  if (typeof password !== 'string') throw new TypeError('auth.password must be a string');
  // RFC 7617: the name ends at the first colon.
  if (username.includes(':')) throw new TypeError('auth.username cannot hold a colon');
  const encoded = base64(`${username}:${password}`);
  return {
    headers: { authorization: `Basic ${encoded}` },
    secrets: [password, encoded],
    basic: { username, password },
  };
}

function isPair(auth: object): auth is readonly [string, string] {
  return Array.isArray(auth);
}

function requireText(value: unknown, name: string): void {
  if (typeof value !== 'string' || value === '') {
    throw new TypeError(`${name} must be a string that is not empty`);
  }
}

/** Base64 of the UTF-8 bytes; `btoa` alone takes only Latin-1. */
function base64(text: string): string {
  let binary = '';
  for (const byte of new TextEncoder().encode(text)) binary += String.fromCharCode(byte);
  return btoa(binary);
}
