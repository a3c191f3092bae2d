import { Refusal, badRequest, isRecord, json } from '../reply.ts';
import type { Reply } from '../reply.ts';
import type { MemoryRequest } from './request.ts';
import type { MemoryDatabase } from './database.ts';
import type { UserContext } from './designs.ts';
import { hex, md5 } from './revision-hash.ts';

const ADMIN_PARTY: UserContext = { name: null, roles: ['_admin'] };
const NOBODY: UserContext = { name: null, roles: [] };

/** The prefix of the ids of users. */
const USER = 'org.couchdb.user:';

/**
 * The users of an in-memory server, and their sessions. Without admins everybody is one, but a wrong
 * password fails.
 */
export class MemoryUsers {
  readonly #admins: Readonly<Record<string, string>>;
  readonly #users: () => MemoryDatabase | undefined;
  #sessionCount = 0;
  readonly #sessions = new Map<string, string>();

  constructor(admins: Readonly<Record<string, string>>, users: () => MemoryDatabase | undefined) {
    this.#admins = admins;
    this.#users = users;
  }

  get hasAdmins(): boolean {
    return Object.keys(this.#admins).length > 0;
  }

  /** Returns who sends a request. Throws a 401 for wrong credentials. */
  identify({ headers = {} }: MemoryRequest): UserContext {
    const { authorization = '', cookie = '' } = headers;
    const basic = /^Basic (.+)$/i.exec(authorization)?.[1];
    if (basic !== undefined) {
      const [, name = '', password = ''] = /^([^:]*):(.*)$/s.exec(decode(basic)) ?? [];
      return this.#authenticate(name, password);
    }
    const token = /(?:^|;\s*)AuthSession=([^;]*)/.exec(cookie)?.[1];
    const name = token === undefined ? undefined : this.#sessions.get(token);
    if (name !== undefined) return this.#contextOf(name);
    return this.hasAdmins ? NOBODY : ADMIN_PARTY;
  }

  /** Answers a request for `_session`. */
  sessionReply(request: MemoryRequest): Reply {
    const { method, body } = request;
    if (method === 'DELETE')
      return json(200, { ok: true }, { 'set-cookie': 'AuthSession=; Version=1; Path=/; HttpOnly' });
    if (method === 'POST') {
      const fields = isRecord(body)
        ? body
        : Object.fromEntries(new URLSearchParams(typeof body === 'string' ? body : ''));
      const { name = '', username = name, password = '' } = fields as Record<string, string>;
      const user = this.#authenticate(username, password);
      this.#sessionCount += 1;
      const token = `${user.name ?? ''}-${this.#sessionCount}`;
      this.#sessions.set(token, user.name ?? '');
      return json(
        200,
        { ok: true, name: user.name, roles: user.roles },
        { 'set-cookie': `AuthSession=${token}; Version=1; Path=/; HttpOnly` },
      );
    }
    if (method !== 'GET' && method !== 'HEAD')
      throw new Refusal(405, 'method_not_allowed', 'Only GET,HEAD,POST,DELETE allowed');
    const user = this.identify(request);
    const isSession = /AuthSession=[^;]/.test(request.headers?.['cookie'] ?? '');
    return json(200, {
      ok: true,
      userCtx: user,
      info: {
        authentication_handlers: ['cookie', 'default'],
        ...(user.name !== null && { authenticated: isSession ? 'cookie' : 'default' }),
      },
    });
  }

  #authenticate(name: string, password: string): UserContext {
    const refusal = new Refusal(401, 'unauthorized', 'Name or password is incorrect.');
    const admin = Object.hasOwn(this.#admins, name) ? this.#admins[name] : undefined;
    if (admin !== undefined) {
      if (admin !== password) throw refusal;
      return this.#contextOf(name);
    }
    const user = this.#find(name);
    if (user === undefined) {
      if (this.hasAdmins) throw refusal;
      // In an admin party everybody is an admin.
      return { name, roles: ['_admin'] };
    }
    if (user['derived_key'] !== deriveKey(password, String(user['salt']))) throw refusal;
    return this.#contextOf(name);
  }

  #contextOf(name: string): UserContext {
    const roles = (this.#find(name)?.['roles'] ?? []) as readonly string[];
    const isAdmin =
      Object.hasOwn(this.#admins, name) || (!this.hasAdmins && this.#find(name) === undefined);
    return { name, roles: isAdmin ? ['_admin', ...roles] : roles };
  }

  #find(name: string): Readonly<Record<string, unknown>> | undefined {
    return this.#users()?.find(`${USER}${name}`)?.content?.fields;
  }
}

function decode(basic: string): string {
  try {
    return new TextDecoder().decode(Uint8Array.from(atob(basic), (one) => one.charCodeAt(0)));
  } catch {
    throw badRequest('Authorization header has invalid base64 value');
  }
}

function deriveKey(password: string, salt: string): string {
  return hex(md5(new TextEncoder().encode(`${salt} ${password}`)));
}

/** Replaces the password of a user's document by its hash, as CouchDB does. */
export function protectPassword(
  fields: Readonly<Record<string, unknown>>,
): Readonly<Record<string, unknown>> {
  const { password, ...others } = fields;
  if (typeof password !== 'string') return fields;
  const salt = hex(md5(new TextEncoder().encode(`salt of ${String(others['name'])}`)));
  return {
    ...others,
    password_scheme: 'pbkdf2',
    pbkdf2_prf: 'sha256',
    salt,
    iterations: 50_000,
    derived_key: deriveKey(password, salt),
  };
}

/** Returns whether a user may read or administer a database. */
export function hasAccess(
  security: unknown,
  user: UserContext,
  level: 'members' | 'admins',
): boolean {
  if (user.roles.includes('_admin')) return true;
  const { members, admins } = (isRecord(security) ? security : {}) as Security;
  if (isListed(admins, user)) return true;
  if (level === 'admins') return false;
  const isPublic = (members?.names ?? []).length === 0 && (members?.roles ?? []).length === 0;
  return isPublic || isListed(members, user);
}

interface Security {
  readonly members?: Entries;
  readonly admins?: Entries;
}

interface Entries {
  readonly names?: readonly string[];
  readonly roles?: readonly string[];
}

function isListed(entries: Entries | undefined, { name, roles }: UserContext): boolean {
  const isNamed = name !== null && entries?.names?.includes(name) === true;
  return isNamed || roles.some((role) => entries?.roles?.includes(role) === true);
}

/** Throws unless a user may do something with a database. */
export function requireAccess(
  security: unknown,
  user: UserContext,
  level: 'members' | 'admins',
): void {
  if (hasAccess(security, user, level)) return;
  const isAnonymous = user.name === null;
  const reason =
    level === 'admins'
      ? 'You are not a db or server admin.'
      : `You are not ${isAnonymous ? 'authorized' : 'allowed'} to access this db.`;
  throw isAnonymous
    ? new Refusal(401, 'unauthorized', reason)
    : new Refusal(403, 'forbidden', reason);
}

/** Throws unless a user administers the server. */
export function requireServerAdmin(user: UserContext): void {
  if (!user.roles.includes('_admin'))
    throw new Refusal(401, 'unauthorized', 'You are not a server admin.');
}

/** Throws for a value that is no security object. */
export function requireSecurity(value: unknown): void {
  // The shards of CouchDB refuse it, and no reason arrives.
  const refusal = new Refusal(500, 'error', 'no_majority');
  if (!isRecord(value)) throw refusal;
  for (const level of ['admins', 'members'] as const) {
    const entries = value[level];
    if (entries === undefined) continue;
    if (!isRecord(entries)) throw refusal;
    for (const list of ['names', 'roles'] as const) {
      const items = entries[list];
      if (items !== undefined && !Array.isArray(items)) throw refusal;
    }
  }
}
