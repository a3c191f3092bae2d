import { parseArgs } from 'node:util';

export const HELP = `Usage: npm run demo [-- options]

Loads the airports of the United States into CouchDB, replays real flights as changes to them, and
shows the changes feed in this terminal and on a page.

  --url URL    use this CouchDB, as in http://user:password@127.0.0.1:5984, instead of the embedded
               server; a database of a name of its own is made there, and deleted at the end
  --port N     serve the page on this port (default: a free one)
  --once       load, watch for 5 seconds with one cut of the connection, print a summary, and end:
               exit code 0 when nothing was lost, 1 otherwise
  --help       this text`;

/** The command line as an object; `error` is what is wrong with it, in one line. */
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
  // It is not repeated: it may well be a URL with a password.
  if (parsed.positionals.length > 0) return { error: 'An argument stands without its option' };
  if (!/^\d{1,5}$/.test(port) || Number(port) > 65_535) {
    return { error: '--port takes a number from 0 to 65535' };
  }
  if (url !== undefined && !isServer(url)) {
    return { error: '--url takes the URL of a server, as in http://user:password@127.0.0.1:5984' };
  }
  return { url, port: Number(port), once, help };
}

function isServer(text) {
  if (!URL.canParse(text)) return false;
  const { protocol, search, hash } = new URL(text);
  return /^https?:$/.test(protocol) && search === '' && hash === '';
}
