import { Random } from './random.ts';
import { makeSecrets } from './secrets.ts';
import type { Hidden, Secrets } from './secrets.ts';

// Plans the cases. The client and the server are two processes: both compute the plan of a case from
// the seed and the number of the case.

export const AUTHS = [
  'none',
  'url',
  'pair',
  'object',
  'session',
  'bearer',
  'proxy',
  'function',
  'promise',
  'observable',
] as const;
export type AuthKind = (typeof AUTHS)[number] | 'rejecting';

export const CALLS = [
  'get',
  'get many',
  'save',
  'save list',
  'view',
  'viewRows',
  'changes',
  'changeRows',
  'changes$',
  'find',
  'getAttachment',
  'putAttachment',
  'login',
  'session',
  'users.create',
  'config',
  'set config',
  'replicate',
  'push',
  'request',
  'upload',
] as const;
export type CallKind = (typeof CALLS)[number] | 'odd ids' | 'nothing';

const READS: readonly CallKind[] = ['get', 'view', 'find', 'config', 'session', 'request'];
const ROWS: readonly CallKind[] = ['viewRows', 'changeRows', 'changes$', 'changes', 'view'];
const BYTES: readonly CallKind[] = ['getAttachment', 'request'];
const WRITES: readonly CallKind[] = ['save', 'save list', 'login', 'users.create', 'putAttachment'];
const SECRETS: readonly CallKind[] = [
  'login',
  'users.create',
  'set config',
  'replicate',
  'push',
  'request',
  'changes$',
  'changeRows',
  'save list',
];

/** The kinds of answers, each with the calls that it concerns most. */
export const KINDS: Readonly<Record<string, readonly CallKind[]>> = {
  'the expected shape': ROWS,
  'a wrong shape': ROWS,
  'any status': READS,
  'JSON that echoes': SECRETS,
  'HTML that echoes': SECRETS,
  'an echo under 2xx': SECRETS,
  'headers that echo': READS,
  'deep nesting': ROWS,
  'a huge string': ROWS,
  blanks: READS,
  'open brackets': READS,
  'almost an address': READS,
  'a wrong encoding': READS,
  compressed: READS,
  'cut anywhere': BYTES,
  'cut inside compression': BYTES,
  'a wrong length': BYTES,
  'no length, then a reset': BYTES,
  'a redirect to this origin': WRITES,
  'a redirect to another origin': WRITES,
  'a bad redirect': READS,
  'many cookies': ['login', 'get'],
  'a cookie that only resembles': ['login', 'get'],
  'huge headers': READS,
  'no HTTP': READS,
  'a strange retry-after': ROWS,
  'an informational status': READS,
  silence: READS,
  'no end': ROWS,
  'a telling word': ['get'],
  'many calls before': READS,
  'credentials that fail': ['nothing', 'get'],
  'odd ids': ['odd ids'],
};

/** The kinds whose bodies are larger than `maxBodySize`. */
export const LARGE: Readonly<Record<string, readonly CallKind[]>> = {
  'an endless body': [...READS, ...BYTES],
  'an endless error page': READS,
  'a compressed bomb': [...READS, ...BYTES],
  'a compressed bomb in an error': READS,
  'an endless line': ['viewRows', 'changeRows', 'changes$'],
};

/** The path that gets a good answer in each case. */
export const BEFORE = '/before';

/** What both sides know of a case. */
export interface Plan {
  readonly index: number;
  readonly kind: string;
  readonly call: CallKind;
  readonly auth: AuthKind;
  readonly secrets: Secrets;
  /** What Corduroy knows to be secret, and must hide. */
  readonly hidden: readonly Hidden[];
  /** Whether a `POST /_session` gets the cookie that it asks for. */
  readonly honestLogin: boolean;
  readonly ownHeader: boolean;
  /** Whether the call reads the answer with its status. */
  readonly status: boolean;
}

export function makePlan(seed: number, index: number, large: boolean): Plan {
  const kinds = large ? LARGE : KINDS;
  const names = Object.keys(kinds);
  // Each kind gets the same number of cases.
  const kind = names[index % names.length] as string;
  const random = new Random(seed, `plan ${index} ${kind}`);
  const preferred = kinds[kind] as readonly CallKind[];
  const only = large || preferred.length === 1;
  const call = only || random.chance(0.6) ? random.pick(preferred) : random.pick(CALLS);
  let secrets = makeSecrets(seed, index);
  let auth: AuthKind = random.pick(AUTHS);
  if (kind === 'credentials that fail') auth = 'rejecting';
  if (kind.includes('cookie') || kind.includes('another origin')) {
    auth = random.chance(0.7) ? 'session' : auth;
  }
  if (kind === 'a telling word') {
    auth = 'pair';
    secrets = { ...secrets, password: random.pick(['deleted', 'nodedown', 'not_found']) };
  }
  // A login that fails before the header is sent cannot reveal it.
  const honestLogin =
    random.chance(kind.includes('another origin') ? 0.4 : 0.8) || kind === 'many calls before';
  const ownHeader = random.chance(0.4) && kind !== 'a telling word';
  const plan = { index, kind, call, auth, secrets, honestLogin, ownHeader };
  return { ...plan, hidden: hiddenOf(plan), status: random.chance(0.5) };
}

function hiddenOf(plan: Omit<Plan, 'hidden' | 'status'>): Hidden[] {
  const { auth, call, secrets, honestLogin, ownHeader, kind } = plan;
  // Words of CouchDB's own stand in every error.
  if (kind === 'a telling word') return [];
  const { username, password, cookie, token, header, single, stranger } = secrets;
  const hidden: Hidden[] = [{ name: 'the password of a reported URL', value: stranger }];
  const basic = ['url', 'pair', 'object', 'session', 'function', 'promise', 'observable'];
  // `login` replaces the credentials: nothing asks for those, and no session begins with them.
  const isAsked = call !== 'login' || !['function', 'promise', 'observable'].includes(auth);
  if (basic.includes(auth) && isAsked)
    hidden.push({ name: 'the password', value: password, username });
  if (auth === 'session' && honestLogin && call !== 'login')
    hidden.push({ name: 'the session cookie', value: cookie });
  if (auth === 'bearer') hidden.push({ name: 'the JWT', value: token });
  if (auth === 'proxy') hidden.push({ name: 'the proxy token', value: token });
  if (ownHeader) hidden.push({ name: "the Couch's header", value: header });
  const names: Partial<Record<CallKind, string>> = {
    login: 'the password of login',
    'users.create': "the new user's password",
    'set config': "the administrator's password",
    replicate: 'the password of replicate',
    push: 'the password of push',
    request: "the request's header",
    upload: "the request's header",
  };
  const name = names[call];
  if (name !== undefined) {
    hidden.push({ name, value: single, ...(call === 'login' && { username }) });
  }
  return hidden;
}

/** What a `NotFound` or a 412 must say in spite of the password. */
export const TELLING = {
  deleted: { status: 404, body: { error: 'not_found', reason: 'deleted' } },
  nodedown: { status: 412, body: { error: 'nodedown', reason: 'progress not possible' } },
  not_found: { status: 404, body: { error: 'not_found', reason: 'missing' } },
} as const;
