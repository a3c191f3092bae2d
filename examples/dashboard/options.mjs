import { parseArgs } from 'node:util';

export const HELP = `Usage: npm run demo [-- options]

Loads the airports of the United States into CouchDB, replays real flights between them, and shows
the changes feed in this terminal and as a live map on a page.

  --url URL    use this CouchDB, for example http://user:password@127.0.0.1:5984, instead of the
               embedded server; the demo creates a database there, and deletes it at the end
  --port N     serve the page on this port (default: any free port)
  --once       load, follow the feed for 5 seconds with one cut of the connection, print a summary,
               and end with exit code 0 if no change was lost, and 1 otherwise
  --listeners N  let N listeners follow the changes from another process, and show what they cost:
               the CPU of CouchDB (if it runs on this machine, under Linux), and the lag of changes
               from the acknowledgement of a write to a listener
  --relay      put a relay between CouchDB and all that listen: compare --listeners 500 with
               --relay --listeners 500
  --help       print this text`;

/** The most listeners: each needs a port of this machine. */
const MOST = 20_000;

/** How many files a process opens beside the connections of listeners. */
const OTHER_FILES = 200;

/** Parses the command line. `error` describes a mistake in one line. */
export function readOptions(args) {
  let parsed;
  try {
    parsed = parseArgs({
      args,
      allowPositionals: true,
      options: {
        url: { type: 'string' },
        port: { type: 'string' },
        listeners: { type: 'string' },
        relay: { type: 'boolean', default: false },
        once: { type: 'boolean', default: false },
        help: { type: 'boolean', short: 'h', default: false },
      },
    });
  } catch (error) {
    return { error: error.message.split(/\. |\n/)[0].replace(/\.$/, '') };
  }
  const { url, port = '0', listeners = '', relay, once, help } = parsed.values;
  // The message does not repeat the argument: it may be a URL with a password.
  if (parsed.positionals.length > 0) return { error: 'An argument has no option before it' };
  if (!/^\d{1,5}$/.test(port) || Number(port) > 65_535) {
    return { error: '--port must be a number from 0 to 65535' };
  }
  if (url !== undefined && !isServer(url)) {
    return { error: '--url must be a server URL, for example http://user:password@127.0.0.1:5984' };
  }
  if (parsed.values.listeners !== undefined) {
    const range = `--listeners must be a whole number from 1 to ${MOST}`;
    if (!/^\d{1,5}$/.test(listeners)) return { error: range };
    if (Number(listeners) < 1 || Number(listeners) > MOST) return { error: range };
    const [needed, limit] = [Number(listeners) + OTHER_FILES, openFiles()];
    if (limit < needed) {
      const error = `--listeners ${listeners} needs ${needed} open files, and this system allows a process ${limit}`;
      return { error: `${error}: run 'ulimit -n ${needed}' before, or choose fewer listeners` };
    }
  }
  return { url, port: Number(port), listeners: Number(listeners), relay, once, help };
}

/** Returns how many files a process may open. */
function openFiles() {
  const { soft } = process.report.getReport().userLimits?.open_files ?? {};
  return typeof soft === 'number' ? soft : Infinity;
}

function isServer(text) {
  if (!URL.canParse(text)) return false;
  const { protocol, search, hash } = new URL(text);
  return /^https?:$/.test(protocol) && search === '' && hash === '';
}
