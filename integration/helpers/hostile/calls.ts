import { Couch } from 'corduroy';
import type { Auth, ConflictResolution, Operation, Transport, TransportRequest } from 'corduroy';
import { BehaviorSubject, NEVER, Observable, concat, defer, ignoreElements, tap } from 'rxjs';
import { BEFORE } from './plan.ts';
import type { CallKind, Plan } from './plan.ts';
import { Random } from './random.ts';

/** How long a server may be silent, in milliseconds. */
export const SILENCE = 250;
/** How long the read that looks for a write without an answer may be silent, whatever `timeout` is. */
export const CHECK_SILENCE = 10_000;
export const MAX_BODY_SIZE = 2 ** 20;

const CHECKED: ReadonlySet<string> = new Set<CallKind>([
  'save',
  'save list',
  'putAttachment',
  'users.create',
]);

/** Tells whether a request of a call is the read that looks for its write. */
export function isCheck({ call }: Plan, { method, url }: TransportRequest): boolean {
  return CHECKED.has(call) && method === 'POST' && url.includes('/_bulk_get?revs=true');
}

/** What a case is about to do. */
export interface Prepared {
  readonly couch: Couch;
  /** Throws or emits; the errors that it emits as values go to `record`. */
  readonly call: () => Observable<unknown>;
  /** Requests that must succeed before the call. */
  readonly before: Observable<unknown> | null;
}

/** What auth Promises of a test reject with. */
export const NO_CREDENTIALS = new Error('There are no credentials');

/** @param record - Takes errors that are no failure of the call: those of a feed or of a document. */
export function prepare(
  seed: number,
  plan: Plan,
  url: string,
  transport: Transport,
  record: (error: unknown) => void,
): Prepared {
  const random = new Random(seed, `call ${plan.index}`);
  const { header, username, password } = plan.secrets;
  const options = {
    transport,
    timeout: SILENCE,
    maxBodySize: MAX_BODY_SIZE,
    // A fault is one failure.
    retry: false as const,
    // A pause that the server requests would be longer than a case.
    concurrency: Infinity,
    ...(plan.ownHeader && { headers: { 'x-api-key': header } }),
  };
  const auth = authOf(plan);
  const address = new URL(url);
  if (plan.auth === 'url') {
    address.username = username;
    address.password = encodeURIComponent(password);
  }
  const couch = new Couch(address.href, {
    ...options,
    ...(auth !== undefined && { auth }),
  });
  return {
    couch,
    call: () => callOf(plan, couch, random, record),
    before: plan.kind === 'many calls before' ? manyCalls(couch) : null,
  };
}

function authOf({ auth, secrets: { username, password, token } }: Plan): Auth | undefined {
  const pair = [username, password] as const;
  switch (auth) {
    case 'pair':
      return pair;
    case 'object':
      return { username, password };
    case 'session':
      return { session: pair };
    case 'bearer':
      return { bearer: token };
    case 'proxy':
      return { proxy: { username, token } };
    case 'function':
      return () => pair;
    case 'promise':
      return Promise.resolve(pair);
    case 'observable':
      return new BehaviorSubject(pair);
    case 'rejecting':
      return Promise.reject(NO_CREDENTIALS);
    default:
      return undefined;
  }
}

/** More requests with a secret each than a list of a hundred secrets can remember. */
function manyCalls(couch: Couch): Observable<unknown> {
  const one = (_: unknown, i: number): Observable<unknown> =>
    couch.request({ path: BEFORE, headers: { 'x-key': `header number ${i}` } });
  return concat(...Array.from({ length: 101 }, one)).pipe(ignoreElements());
}

function callOf(
  plan: Plan,
  couch: Couch,
  random: Random,
  record: (error: unknown) => void,
): Observable<unknown> {
  const db = couch.use('db');
  const { username, single, content } = plan.secrets;
  const of = <T>(operation: Operation<T>): Observable<unknown> =>
    plan.status ? operation.status() : operation;
  const document = (_id: string): { _id: string; content: string } => ({ _id, content });
  const url = new URL('http://127.0.0.1:5984/other');
  url.username = username;
  url.password = encodeURIComponent(single);
  const basic = { username, password: single };
  const side = random.pick([
    url.href,
    { url: 'http://127.0.0.1:5984/other', auth: { basic } },
    { url: 'http://127.0.0.1:5984/other', headers: { 'x-secret': single } },
  ]) as string;
  switch (plan.call) {
    case 'get':
      return of(db.get('a'));
    case 'get many':
      return of(db.get(['a', 'b']));
    case 'save':
      return of(db.save(document('a')));
    case 'save list':
      return (
        db.save([document('a'), document('b')]) as Observable<ConflictResolution<object>>
      ).pipe(tap(({ pending }) => record(Array.from(pending.values()))));
    case 'view':
      return of(db.view('d/v', { includeDocs: random.chance(0.5) }));
    case 'viewRows':
      return db.viewRows('d/v');
    case 'changes':
      return of(db.changes());
    case 'changeRows':
      return db.changeRows();
    case 'changes$': {
      const backoff = { initialDelay: 20, maxDelay: 50 };
      const feed = db.changes$({
        since: random.pick(['now', 0] as const),
        latency: 0,
        backoff,
        feed: random.pick(['auto', 'continuous', 'longpoll', 'normal', 'eventsource'] as const),
      });
      return new Observable((subscriber) => {
        subscriber.add(feed.state$.subscribe((state) => 'error' in state && record(state.error)));
        subscriber.add(feed.subscribe(subscriber));
      });
    }
    case 'find':
      return of(db.find({ selector: { content } }));
    case 'getAttachment':
      return of(db.getAttachment('a', 'file.txt'));
    case 'putAttachment': {
      const streamed = random.chance(0.3);
      const whole = { _id: 'a', _rev: '1-a' };
      return of(db.putAttachment(whole, streamed ? inPieces(content) : content, 'file.txt'));
    }
    case 'login':
      return of(couch.login(username, single));
    case 'session':
      return of(couch.session());
    case 'users.create':
      return of(couch.users.create('grace', single, { fields: { content } }));
    case 'config':
      return of(couch.config('log/level'));
    case 'set config':
      return of(couch.config('admins/grace', single));
    case 'replicate':
      return of(couch.replicate(side, db));
    case 'push':
      return of(random.chance(0.5) ? db.push(side) : db.pull(side));
    case 'request':
      return of(couch.request({ path: '/db/_any', headers: { 'x-key': single } }));
    case 'upload': {
      const headers = { 'x-key': single };
      return of(couch.request({ method: 'POST', path: '/db/_any', json: { content }, headers }));
    }
    case 'odd ids':
      return oddCall(couch, random);
    default:
      return NEVER;
  }
}

async function* inPieces(text: string): AsyncGenerator<Uint8Array> {
  yield Buffer.from(text.slice(0, 5));
  yield Buffer.from(text.slice(5));
}

/** Calls with a name that would leave the path of the database, or that no URL can hold. */
function oddCall(couch: Couch, random: Random): Observable<unknown> {
  const db = couch.use('db');
  const id = random.pick([
    '_local/..',
    '_local/.',
    '_design/..',
    '_design/.',
    '..',
    '.',
    '\ud800x',
  ]);
  const name = random.pick(['..', '.', '\udfff']);
  const rev = { _id: id, _rev: '1-a' };
  return random.pick<() => Observable<unknown>>([
    () => db.get(id),
    () => db.save({ _id: id }),
    () => db.delete(rev),
    () => db.copy(id, 'b'),
    () => db.getAttachment(id, 'victim'),
    () => db.getAttachment('a', name),
    () => db.putAttachment({ _id: id }, '{}', '_security'),
    () => db.deleteAttachment(rev, 'victim'),
    () => db.update(`${name}/${name}`, 'forged', '{}'),
    () => db.show(`d/${name}`),
    () => db.view(`${name}/${name}`),
    () => db.local.get(name),
    () => defer(() => couch.config(`${name}/x`)),
  ])();
}
