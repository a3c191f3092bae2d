import { CorduroyError, isCorduroyError, isHTTPError, isProtocolError } from 'corduroy';
import type { AnswerFacts } from './answers.ts';
import { NO_CREDENTIALS } from './calls.ts';
import type { Plan, TELLING } from './plan.ts';
import { reach } from './reach.ts';
import { leakFinder } from './secrets.ts';
import type { Seen } from './server.ts';
import type { Watched } from './watch.ts';

/** How a call ended. `left` means that the test unsubscribed. */
export type Outcome =
  | { readonly kind: 'value'; readonly value: unknown }
  | { readonly kind: 'error'; readonly error: unknown }
  | { readonly kind: 'thrown'; readonly error: unknown }
  | { readonly kind: 'left'; readonly value: unknown }
  | { readonly kind: 'hung' };

/** Everything that is known of a case when it has ended. */
export interface Evidence {
  readonly transport: string;
  readonly plan: Plan;
  readonly facts: AnswerFacts;
  readonly outcome: Outcome;
  /** Errors of feeds, of documents, and of a second call. */
  readonly recorded: readonly unknown[];
  readonly uncaught: readonly { readonly how: string; readonly error: unknown }[];
  readonly watched: Watched;
  readonly own: readonly Seen[];
  readonly foreign: readonly Seen[];
}

/** What is wrong, and the details of this case. Faults with one `what` are of one kind. */
export interface Fault {
  readonly what: string;
  readonly detail: string;
}

const LONGEST_BLOCK = 100;
const LARGEST_GROWTH = 64 * 2 ** 20;
/** The calls whose result is right as far as the body can tell, whatever its shape. */
const BYTES: readonly string[] = ['getAttachment', 'request'];

/** The requests for documents whose ids no URL can hold, and a login. */
const BULK = new Set([
  'POST /db',
  'POST /db/_bulk_docs',
  'POST /db/_bulk_get',
  'GET /db/_all_docs',
  'POST /db/_all_docs',
  'POST /_session',
]);

/** Finds what is wrong with a case. */
export function judge(evidence: Evidence, large: boolean): Fault[] {
  const faults: Fault[] = [];
  const add = (what: string, detail = ''): void => {
    if (!faults.some((fault) => fault.what === what)) faults.push({ what, detail });
  };
  const { outcome, recorded, uncaught, watched, plan } = evidence;
  for (const { how, error } of uncaught) add(`${how}: ${briefly(error)}`, placeOf(error));
  if (watched.block > LONGEST_BLOCK)
    add('the event loop is blocked', `${Math.round(watched.block)} ms`);
  if (large && watched.growth > LARGEST_GROWTH)
    add('memory grows without limit', `by ${Math.round(watched.growth / 2 ** 20)} MiB`);
  // A replication has no timeout, because its answer arrives at its end.
  const mayWait = plan.call === 'replicate' || plan.call === 'push';
  if (outcome.kind === 'hung' && uncaught.length === 0 && !mayWait) add('the call does not end');
  if (outcome.kind === 'thrown' && !isMisuse(outcome.error))
    add(`the call throws ${nameOf(outcome.error)}`, briefly(outcome.error));
  if (outcome.kind === 'error' && !isExpected(outcome.error, plan))
    add(`an error of a foreign class: ${nameOf(outcome.error)}`, briefly(outcome.error));
  const failure = outcome.kind === 'error' || outcome.kind === 'thrown' ? [outcome.error] : [];
  for (const error of [...failure, ...recorded, ...statusOf(outcome)]) judgeLeak(error, plan, add);
  judgeRequests(evidence, add);
  judgeMeaning(evidence, add);
  return faults;
}

type Add = (what: string, detail?: string) => void;

/** Looks for secrets in everything that an error shows. */
function judgeLeak(error: unknown, plan: Plan, add: Add): void {
  const find = leakFinder(plan.hidden);
  for (const { path, text } of reach(error)) {
    const leak = find(text);
    if (leak === null) continue;
    const whole = leak.part === 'all' ? '' : 'a part of ';
    add(
      `an error shows ${whole}${leak.name}`,
      `as ${leak.encoding}, in ${path.replace(/\.\d+\b/g, '.0')}: ${excerpt(text, leak.text)}`,
    );
    return;
  }
}

/** The surroundings of a part of a text. */
function excerpt(text: string, part: string): string {
  const start = Math.max(0, text.indexOf(part) - 60);
  return JSON.stringify(text.slice(start, start + part.length + 90));
}

/** The status, which has headers and an exception. */
function statusOf(outcome: Outcome): unknown[] {
  if (outcome.kind !== 'value') return [];
  const { value } = outcome;
  if (typeof value !== 'object' || value === null || !('exception' in value)) return [];
  return [value.exception, 'headers' in value ? value.headers : null];
}

/** The error of a call, also where `status()` emits it. */
function failureOf(outcome: Outcome): unknown {
  return outcome.kind === 'error' ? outcome.error : statusOf(outcome)[0];
}

function isExpected(error: unknown, plan: Plan): boolean {
  if (isCorduroyError(error) && error instanceof CorduroyError) return true;
  // The error of the application's own credentials passes through.
  if (plan.auth === 'rejecting' && error === NO_CREDENTIALS) return true;
  return plan.call === 'odd ids' && isMisuse(error);
}

function isMisuse(error: unknown): boolean {
  return error instanceof TypeError || error instanceof RangeError;
}

/** Judges the requests that arrived, here and at the other origin. */
function judgeRequests({ plan, own, foreign }: Evidence, add: Add): void {
  const { content, header, password, cookie, token, single, username } = plan.secrets;
  const find = leakFinder([
    { name: 'the content of a document', value: content },
    { name: "the Couch's header", value: header },
    { name: 'the password', value: password, username },
    { name: 'the session cookie', value: cookie },
    { name: 'the JWT or proxy token', value: token },
    { name: 'the secret of one request', value: single, username },
  ]);
  for (const { method, url, headers, body } of foreign) {
    const leak = find([method, url, ...headers, body].join('\n'));
    if (leak !== null) add(`another origin receives ${leak.name}`, `${method} ${url}`);
  }
  for (const { method, url, headers } of own) {
    if (headers.join('\n').includes('evil'))
      add('a cookie that is not the session cookie is sent', headers.join(' ').slice(0, 300));
    if (plan.call === 'odd ids' && !BULK.has(`${method} ${url.split('?')[0]}`))
      add('a name leaves its place in a path', `${method} ${url}`);
  }
}

/** Judges whether the outcome is what the answer means. */
function judgeMeaning(evidence: Evidence, add: Add): void {
  const { plan, facts, outcome } = evidence;
  const failure = failureOf(outcome);
  const transient = isCorduroyError(failure) ? failure.transient : null;
  const succeeded =
    outcome.kind === 'value' && (failure === null || failure === undefined) && facts.status < 300;
  const answered = plan.auth !== 'session' || plan.honestLogin;
  // Node's fetch hides that a compressed body, or a body without a length, was cut.
  const isHidden =
    evidence.transport === 'fetchTransport' && /, close,|content-encoding/.test(facts.summary);
  if (facts.truncated && succeeded && answered && !isHidden && BYTES.includes(plan.call))
    add('a truncated body is taken for a whole one');
  const permanent = plan.kind === 'a bad redirect' || plan.kind === 'a redirect to another origin';
  if (permanent && transient === true)
    add('a redirect that cannot be followed is called transient', briefly(failure));
  // Node's fetch shows nothing of a 101 that names no protocol.
  const isSeen = facts.upgrade || evidence.transport !== 'fetchTransport';
  if (facts.status === 101 && isSeen && nameOf(failure) === 'TimeoutError')
    add('a 101 is left to the timeout');
  const isUpper = /content-encoding (GZIP|Gzip)/.test(facts.summary) && facts.status === 200;
  if (isUpper && answered && plan.call === 'get' && isProtocolError(failure))
    add('an encoding in upper case is not understood', briefly(failure));
  const { message = '' } = (failure ?? {}) as { message?: string };
  if (plan.kind === 'a wrong encoding' && /is not a function|cannot read propert/i.test(message))
    add('the name of an encoding is taken for a property of every object', briefly(failure));
  if (plan.kind === 'a telling word' && plan.call === 'get' && isHTTPError(failure)) {
    const word = plan.secrets.password as keyof typeof TELLING;
    if (word === 'deleted' && Reflect.get(failure, 'deleted') !== true)
      add('a mask hides that a document was deleted');
    if (word === 'nodedown' && transient === false) add('a mask hides that a failure is transient');
  }
}

function nameOf(error: unknown): string {
  if (error instanceof Error) return error.name;
  return error === null || error === undefined ? String(error) : typeof error;
}

function briefly(error: unknown): string {
  const text = error instanceof Error ? `${error.name}: ${error.message}` : String(error);
  return text
    .replace(/127\.0\.0\.1:\d+/g, 'host')
    .replace(/\s+/g, ' ')
    .slice(0, 200);
}

/** Where an error was thrown: the first lines of its stack. */
function placeOf(error: unknown): string {
  const lines = error instanceof Error ? (error.stack ?? '').split('\n') : [];
  const frames = lines.filter((line) => /^\s+at /.test(line)).slice(0, 5);
  return frames.map((line) => line.trim().replace(/\(.*\/|file:.*\//, '(')).join(', ');
}
