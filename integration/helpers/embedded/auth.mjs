import { createHash, pbkdf2Sync, randomBytes, timingSafeEqual } from 'node:crypto';
import { badRequest, json, notAllowed, Refusal } from './answers.mjs';
import { securityOf } from './upkeep.mjs';

// Authentication in front of express-pouchdb, whose own authentication blocks every database after
// one refusal. Behind this layer every request has administrator rights.

const OPEN_TO_ALL = new Set([undefined, '_up', '_session']);

const unauthorized = (reason) => new Refusal(401, 'unauthorized', reason);
const isIn = ({ names = [], roles = [] }, user) =>
  names.includes(user.name) || roles.some((role) => user.roles.includes(role));

/** As CouchDB does, it also deletes the invalid cookie. */
const wrong = (headers = {}) =>
  new Refusal(401, 'unauthorized', 'Name or password is incorrect.', headers);
const digest = (value) => createHash('sha256').update(value).digest();

export class Auth {
  #admins;
  #engine;
  #config;
  #sessions = new Map();

  /** `admins` maps names to passwords. If it is empty, every request has administrator rights. */
  constructor(admins, engine, config) {
    this.#admins = admins;
    this.#engine = engine;
    this.#config = config;
  }

  /** Authenticates and authorizes a request, and answers /_session. */
  async handle(request) {
    const found = await this.#userOf(request);
    request.user = found?.user ?? this.#anonymous;
    request.cookie = found?.renewed;
    const [first] = request.segments;
    if (first === '_session') return this.#session(request, found);
    if (!OPEN_TO_ALL.has(first) && this.#admins.size > 0) await this.#admit(request, first);
    return undefined;
  }

  /** Admins may do everything; other users only what the _security of a database grants. */
  async #admit({ user, method, segments }, name) {
    if (user.roles.includes('_admin')) return;
    // A user may read their own document, if CouchDB is configured so.
    const isOwn = name === '_users' && segments[1] === `org.couchdb.user:${user.name}`;
    if (isOwn && this.#config.get('couchdb', 'users_db_security_editable') === 'true') return;
    const whole = segments.length === 1 && (method === 'PUT' || method === 'DELETE');
    if (user.name !== null && (whole || (name.startsWith('_') && name !== '_users'))) {
      throw unauthorized('You are not a server admin.');
    }
    if (!name.startsWith('_') && (await this.#engine.has(name)) && !whole) {
      const { admins = {}, members = {} } = securityOf(this.#engine, name);
      const isPublic = !members.names?.length && !members.roles?.length;
      if (isPublic || isIn(members, user) || isIn(admins, user)) return;
    }
    if (user.name === null) throw unauthorized('You are not authorized to access this db.');
    throw new Refusal(403, 'forbidden', 'You are not allowed to access this db.');
  }

  get #anonymous() {
    return { name: null, roles: this.#admins.size > 0 ? [] : ['_admin'] };
  }

  get #seconds() {
    return Number(this.#config.get('chttpd_auth', 'timeout') ?? 600);
  }

  /** A new secret invalidates all cookies. */
  get #secret() {
    return this.#config.get('chttpd_auth', 'secret');
  }

  #open(user) {
    const token = randomBytes(24).toString('base64url');
    const expires = Date.now() + this.#seconds * 1000;
    this.#sessions.set(token, { user, expires, secret: this.#secret });
    return cookie(token, this.#seconds);
  }

  async #userOf({ headers }) {
    const [scheme, encoded] = (headers.authorization ?? '').split(' ');
    if (scheme.toLowerCase() === 'basic') {
      const pair = Buffer.from(encoded ?? '', 'base64').toString('utf8');
      const colon = pair.indexOf(':');
      const user = await this.#check(pair.slice(0, colon), pair.slice(colon + 1));
      if (user) return { user, by: 'default' };
      // Without admins, no credentials are needed.
      if (this.#admins.size === 0) return undefined;
      throw wrong();
    }
    const token = /(?:^|;\s*)AuthSession=([^;]+)/.exec(headers.cookie ?? '')?.[1];
    const session = token && this.#sessions.get(token);
    // An unknown or expired cookie is ignored.
    if (!session || session.expires < Date.now() || session.secret !== this.#secret) {
      this.#sessions.delete(token);
      return undefined;
    }
    // A used cookie is renewed after a tenth of its lifetime.
    const isOld = session.expires - Date.now() < 0.9 * this.#seconds * 1000;
    return {
      user: session.user,
      by: 'cookie',
      ...(isOld && { renewed: this.#open(session.user) }),
    };
  }

  async #check(name, password) {
    const known = this.#admins.get(name);
    if (known !== undefined) {
      const same = timingSafeEqual(digest(known), digest(password));
      return same ? { name, roles: ['_admin'] } : undefined;
    }
    if (!(await this.#engine.has('_users'))) return undefined;
    const users = await this.#engine.open('_users');
    const doc = await users.get(`org.couchdb.user:${name}`).catch(() => null);
    if (!doc?.derived_key) return undefined;
    const key = pbkdf2Sync(password, doc.salt, doc.iterations, doc.derived_key.length / 2, 'sha1');
    return key.toString('hex') === doc.derived_key ? { name, roles: doc.roles ?? [] } : undefined;
  }

  async #session(request, found) {
    if (request.method === 'POST') return this.#logIn(request);
    if (request.method === 'DELETE') {
      const token = /AuthSession=([^;]+)/.exec(request.headers.cookie ?? '')?.[1];
      this.#sessions.delete(token);
      return json(200, { ok: true }, { 'set-cookie': cookie('', this.#seconds) });
    }
    if (request.method !== 'GET') throw notAllowed('GET,HEAD,POST,DELETE');
    return json(200, {
      ok: true,
      userCtx: request.user,
      info: {
        authentication_handlers: ['cookie', 'default'],
        ...(found && { authenticated: found.by }),
      },
    });
  }

  async #logIn(request) {
    const isJson = (request.headers['content-type'] ?? '').startsWith('application/json');
    const { name, username, password } = isJson
      ? request.jsonObject()
      : Object.fromEntries(new URLSearchParams(request.body.toString('utf8')));
    const given = name ?? username;
    if (given === undefined) throw badRequest('request body must contain a username');
    const user = await this.#check(given, String(password ?? ''));
    if (!user) throw wrong({ 'set-cookie': cookie('', this.#seconds) });
    const headers = { 'set-cookie': this.#open(user) };
    return json(200, { ok: true, name: user.name, roles: user.roles }, headers);
  }
}

function cookie(token, seconds) {
  const expires = new Date(Date.now() + seconds * 1000).toUTCString();
  return `AuthSession=${token}; Version=1; Expires=${expires}; Max-Age=${seconds}; Path=/; HttpOnly`;
}
