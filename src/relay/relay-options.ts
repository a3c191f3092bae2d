import { invalidArgument, requireOptions } from '../model/invalid-argument.ts';
import { duration } from '../operators/time.ts';

/** The options of a relay. */
export interface RelayOptions {
  /**
   * The databases that it serves: names with `*` for any text, a RegExp, or a predicate. System databases,
   * whose names begin with `_`, are never shared.
   * @defaultValue all
   */
  readonly databases?: readonly string[] | RegExp | ((name: string) => boolean) | undefined;
  /**
   * How long an answer of CouchDB about the rights of a listener counts, in milliseconds. A right that was
   * withdrawn ends the stream within this time.
   * @defaultValue 60000
   */
  readonly recheck?: number | undefined;
  /** How many may listen. Others are refused with 503. @defaultValue 20000 */
  readonly maxClients?: number | undefined;
  /**
   * How many recent rows of each feed are kept in memory, and so how far a slow listener may fall behind
   * before it is cut off.
   * @defaultValue 10000
   */
  readonly maxBacklog?: number | undefined;
  /** The memory of the recent rows of each feed, in bytes. @defaultValue 16777216 */
  readonly maxBacklogBytes?: number | undefined;
  /** How long a listener may take nothing before it is cut off, in milliseconds. @defaultValue 60000 */
  readonly maxStall?: number | undefined;
  /**
   * How long a feed may not hear of CouchDB before its listeners are cut off, in milliseconds.
   * @defaultValue 60000
   */
  readonly maxBlind?: number | undefined;
  /** How many requests read older changes at the same time. @defaultValue 8 */
  readonly maxCatchUps?: number | undefined;
  /**
   * How many listeners may have a separate feed: those with a filter that depends on the user, or with
   * a parameter that cannot be shared.
   * @defaultValue 100
   */
  readonly maxDirect?: number | undefined;
  /** How long a feed without listeners stays open, in milliseconds. @defaultValue 30000 */
  readonly linger?: number | undefined;
  /** How often CouchDB sends a sign of life to the relay, in milliseconds. @defaultValue 30000 */
  readonly heartbeat?: number | undefined;
  /**
   * How long caches may keep an answer to a poll of a database that everybody may read, in seconds; 0
   * forbids it. At most `recheck`.
   * @defaultValue 10
   */
  readonly maxAge?: number | undefined;
  /** Whether all other requests are passed on to CouchDB, as they are. @defaultValue false */
  readonly forward?: boolean | undefined;
  /**
   * The headers by which CouchDB knows a user. Add `x-auth-couchdb-username`, `x-auth-couchdb-roles` and
   * `x-auth-couchdb-token` only if a proxy of yours sets them, and removes those of clients.
   * @defaultValue `['authorization', 'cookie']`
   */
  readonly credentialHeaders?: readonly string[] | undefined;
  /** Whether everybody may read `/_relay` and its metrics, and not only administrators. @defaultValue false */
  readonly publicStats?: boolean | undefined;
}

/** The options with their defaults. */
export type RelaySettings = {
  readonly [Name in Exclude<keyof RelayOptions, 'databases'>]-?: Exclude<
    RelayOptions[Name],
    undefined
  >;
} & { readonly serves: (database: string) => boolean };

const COUNTS = { maxClients: 20_000, maxBacklog: 10_000, maxBacklogBytes: 16_777_216 } as const;
const LIMITS = { maxCatchUps: 8, maxDirect: 100 } as const;
const TIMES = { maxStall: 60_000, maxBlind: 60_000, linger: 30_000 } as const;
const OTHERS = [
  'databases',
  'recheck',
  'heartbeat',
  'maxAge',
  'forward',
  'credentialHeaders',
  'publicStats',
];

/**
 * Validates the options of a relay.
 *
 * @throws TypeError or RangeError for an unknown or invalid option.
 */
export function readRelayOptions(options: RelayOptions): RelaySettings {
  const counts = { ...COUNTS, ...LIMITS };
  const known = [...Object.keys({ ...counts, ...TIMES }), ...OTHERS];
  requireOptions(options, 'relay', known);
  const given = options as Readonly<Record<string, unknown>>;
  const flag = (name: string): boolean => {
    const value = given[name] ?? false;
    if (typeof value === 'boolean') return value;
    throw invalidArgument(`relay: ${name}`, 'a boolean', value);
  };
  const {
    credentialHeaders = ['authorization', 'cookie'],
    heartbeat = 30_000,
    maxAge = 10,
  } = options;
  const headers: readonly unknown[] = Array.isArray(credentialHeaders) ? credentialHeaders : [null];
  const wrong = headers.find(
    (name) => typeof name !== 'string' || !/^[!#$%&'*+.^`|~\w-]+$/.test(name),
  );
  if (wrong !== undefined)
    throw invalidArgument(
      'relay: credentialHeaders',
      'a list of names of headers',
      credentialHeaders,
    );
  const recheck = duration(options.recheck ?? 60_000, 'relay: recheck');
  if (recheck < 1000)
    throw invalidArgument('relay: recheck', 'milliseconds from 1000', recheck, RangeError);
  return {
    ...entriesOf(counts, (name, value) => whole(name, given[name] ?? value, 1)),
    ...entriesOf(TIMES, (name, value) => duration(given[name] ?? value, `relay: ${name}`)),
    serves: servedBy(options.databases),
    recheck,
    heartbeat: whole('heartbeat', heartbeat, 1, 60_000),
    maxAge: Math.min(whole('maxAge', maxAge, 0), Math.floor(recheck / 1000)),
    forward: flag('forward'),
    publicStats: flag('publicStats'),
    credentialHeaders: (headers as readonly string[]).map((name) => name.toLowerCase()),
  };
}

function whole(name: string, value: unknown, least: number, most = Infinity): number {
  if (Number.isSafeInteger(value) && Number(value) >= least && Number(value) <= most)
    return Number(value);
  const range = most === Infinity ? `from ${least}` : `from ${least} to ${most}`;
  const wanted = `a whole number ${range}`;
  const ErrorClass = typeof value === 'number' ? RangeError : TypeError;
  throw invalidArgument(`relay: ${name}`, wanted, value, ErrorClass);
}

function entriesOf<Name extends string>(
  defaults: Readonly<Record<Name, number>>,
  read: (name: Name, value: number) => number,
): Record<Name, number> {
  const entries = Object.entries(defaults) as [Name, number][];
  return Object.fromEntries(entries.map(([name, value]) => [name, read(name, value)])) as Record<
    Name,
    number
  >;
}

function servedBy(databases: RelayOptions['databases']): (name: string) => boolean {
  if (databases === undefined) return () => true;
  if (typeof databases === 'function') return (name) => databases(name);
  // A global expression would remember where its last match ended.
  if (databases instanceof RegExp) return (name) => new RegExp(databases).test(name);
  const wanted = 'a list of names, a RegExp or a function';
  if (
    !Array.isArray(databases) ||
    databases.some((name) => typeof name !== 'string' || name === '')
  )
    throw invalidArgument('relay: databases', wanted, databases);
  const patterns = (databases as readonly string[]).map(
    (name) =>
      new RegExp(
        `^${name
          .split('*')
          .map((part) => part.replace(/[\\^$.|?+()[\]{}]/g, String.raw`\$&`))
          .join('.*')}$`,
        's',
      ),
  );
  return (name) => patterns.some((pattern) => pattern.test(name));
}
