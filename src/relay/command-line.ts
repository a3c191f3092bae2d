import { parseArgs } from 'node:util';
import type { RelayOptions } from './relay-options.ts';

/** The text of `npx corduroy --help`. */
export const HELP = `Usage: npx corduroy relay URL [options]

Listens to the changes of CouchDB once, and passes them on to thousands of listeners. URL is that of
CouchDB, for example http://couch:5984. Listeners ask http://relay:5985/{db}/_changes.

The relay reads changes as one user, who may read all databases that it serves. Give the name and the
password in the variables COUCHDB_USER and COUCHDB_PASSWORD, or in the URL, which other users of the
machine can see. Listeners have their own credentials, which CouchDB checks.

  --port N             listen on this port (default: 5985)
  --host ADDRESS       listen on this address (default: 127.0.0.1; all addresses: 0.0.0.0)
  --databases NAMES    serve only these databases: names with commas between them, where * stands for
                       any text (default: all but system databases)
  --recheck MS         ask CouchDB this often whether a listener may still read (default: 60000)
  --max-clients N      take at most this number of listeners (default: 20000)
  --max-backlog N      keep this number of recent rows of each feed in memory (default: 10000)
  --forward            pass all other requests on to CouchDB, as they are
  --public-stats       let everybody read /_relay and /_relay/metrics, and not only administrators
  --proxy-headers      pass on the headers X-Auth-CouchDB-UserName, -Roles and -Token: only behind a proxy
                       of yours that removes those of clients
  --drain MS           at the end, spread the ends of the feeds over this time (default: 5000)
  --help               print this text

SIGTERM and SIGINT end the relay: it takes no more listeners, ends the present feeds after a complete row,
and exits with 0. Listeners continue after that row, on the next relay.`;

/** The content of a command line. */
export interface CommandLine {
  readonly url: string;
  readonly auth: readonly [name: string, password: string] | null;
  readonly port: number;
  readonly host: string;
  readonly drain: number;
  readonly relay: RelayOptions;
}

/** A mistake in the command line, or `--help`. */
export interface CommandText {
  readonly text: string;
  readonly isError: boolean;
}

const NUMBERS = {
  port: 5985,
  recheck: 60_000,
  'max-clients': 20_000,
  'max-backlog': 10_000,
  drain: 5000,
} as const;
const PROXY_HEADERS = ['x-auth-couchdb-username', 'x-auth-couchdb-roles', 'x-auth-couchdb-token'];

/** Reads the arguments after the name of the command. No message repeats an argument: it may hold a password. */
export function readCommandLine(
  args: readonly string[],
  env: Readonly<Record<string, string | undefined>>,
): CommandLine | CommandText {
  const parsed = parse(args);
  if (typeof parsed === 'string') return mistake(parsed);
  const { values, positionals } = parsed;
  if (values['help'] === true || args.length === 0)
    return { text: HELP, isError: values['help'] !== true };
  const [command, url, ...others] = positionals;
  if (command !== 'relay') return mistake("the only command is 'relay'");
  if (url === undefined)
    return mistake('the URL of CouchDB is missing, for example http://couch:5984');
  if (others.length > 0)
    return mistake('there is an argument after the URL that belongs to no option');
  if (!URL.canParse(url) || !/^https?:$/.test(new URL(url).protocol))
    return mistake('the URL of CouchDB must begin with http:// or https://');
  const numbers: Record<string, number> = {};
  for (const [name, standard] of Object.entries(NUMBERS)) {
    const text = values[name] ?? String(standard);
    if (typeof text !== 'string' || !/^\d{1,10}$/.test(text))
      return mistake(`--${name} must be a whole number`);
    numbers[name] = Number(text);
  }
  const { port = 0, recheck = 0, drain = 0 } = numbers;
  if (port > 65_535) return mistake('--port must be a number from 0 to 65535');
  if (recheck < 1000) return mistake('--recheck must be at least 1000 milliseconds');
  if (numbers['max-clients'] === 0 || numbers['max-backlog'] === 0)
    return mistake('--max-clients and --max-backlog must be at least 1');
  const databases = values['databases']
    ?.toString()
    .split(',')
    .map((name) => name.trim());
  if (databases?.includes('') === true)
    return mistake('--databases must be names with commas between them');
  const { COUCHDB_USER: user, COUCHDB_PASSWORD: password } = env;
  if ((user === undefined) !== (password === undefined))
    return mistake('COUCHDB_USER and COUCHDB_PASSWORD must be set together');
  return {
    url,
    auth: user === undefined || password === undefined ? null : [user, password],
    port,
    host: String(values['host'] ?? '127.0.0.1'),
    drain,
    relay: {
      databases,
      recheck,
      maxClients: numbers['max-clients'],
      maxBacklog: numbers['max-backlog'],
      forward: values['forward'] === true,
      publicStats: values['public-stats'] === true,
      ...(values['proxy-headers'] === true && {
        credentialHeaders: ['authorization', 'cookie', ...PROXY_HEADERS],
      }),
    },
  };
}

function mistake(text: string): CommandText {
  return { text: `corduroy: ${text}. See: npx corduroy --help`, isError: true };
}

type Parsed = {
  readonly values: Readonly<Record<string, string | boolean | undefined>>;
  readonly positionals: readonly string[];
};

/** Returns the options, or what is wrong with them. */
function parse(args: readonly string[]): Parsed | string {
  const text = { type: 'string' } as const;
  const flag = { type: 'boolean' } as const;
  try {
    return parseArgs({
      args: [...args],
      allowPositionals: true,
      options: {
        ...Object.fromEntries(Object.keys(NUMBERS).map((name) => [name, text])),
        host: text,
        databases: text,
        forward: flag,
        'public-stats': flag,
        'proxy-headers': flag,
        help: { ...flag, short: 'h' },
      },
    });
  } catch (error) {
    const [, name = ''] = /'(-[\w-]*)/.exec((error as Error).message) ?? [];
    const { code } = error as { code?: string };
    return code === 'ERR_PARSE_ARGS_UNKNOWN_OPTION'
      ? `there is no option ${name}`
      : `the option ${name} has a wrong value`;
  }
}
