import { parseArgs } from 'node:util';

export const HELP = `Usage: npm run demo [-- options]

Loads the airports of the United States into CouchDB, replays real flights between them, and shows
the changes feed in this terminal and as a live map on a page.

  --url URL    use this CouchDB, for example http://user:password@127.0.0.1:5984, instead of the
               embedded server; the demo creates a database there, and deletes it at the end
  --port N     serve the page on this port (default: any free port)
  --once       load, follow the feed for 5 seconds with one cut of the connection, print a summary,
               and end with exit code 0 if no change was lost, and 1 otherwise
  --help       print this text`;

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
        once: { type: 'boolean', default: false },
        help: { type: 'boolean', short: 'h', default: false },
      },
    });
  } catch (error) {
    return { error: error.message.split(/\. |\n/)[0].replace(/\.$/, '') };
  }
  const { url, port = '0', once, help } = parsed.values;
  // The message does not repeat the argument: it may be a URL with a password.
  if (parsed.positionals.length > 0) return { error: 'An argument has no option before it' };
  if (!/^\d{1,5}$/.test(port) || Number(port) > 65_535) {
    return { error: '--port must be a number from 0 to 65535' };
  }
  if (url !== undefined && !isServer(url)) {
    return { error: '--url must be a server URL, for example http://user:password@127.0.0.1:5984' };
  }
  return { url, port: Number(port), once, help };
}

function isServer(text) {
  if (!URL.canParse(text)) return false;
  const { protocol, search, hash } = new URL(text);
  return /^https?:$/.test(protocol) && search === '' && hash === '';
}
