import { parseArgs } from 'node:util';

export const HELP = `Usage: npm run demo:angular [-- options]

Serves an application in Angular on live orders: with the embedded server, and two users to log in as.

  --url URL    use this CouchDB, as in http://user:password@127.0.0.1:5984, instead of the embedded
               server; a database and two users of names of their own are made there, and deleted at
               the end
  --port N     serve the page on this port (default: a free one)
  --build      install and build what is missing, and end
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
        build: { type: 'boolean', default: false },
        help: { type: 'boolean', short: 'h', default: false },
      },
    });
  } catch (error) {
    return { error: error.message.split(/\. |\n/)[0].replace(/\.$/, '') };
  }
  const { url, port = '0', build, help } = parsed.values;
  // It is not repeated: it may well be a URL with a password.
  if (parsed.positionals.length > 0) return { error: 'An argument stands without its option' };
  if (!/^\d{1,5}$/.test(port) || Number(port) > 65_535) {
    return { error: '--port takes a number from 0 to 65535' };
  }
  if (url !== undefined && !/^https?:\/\//.test(url)) {
    return { error: '--url takes the URL of a server, as in http://user:password@127.0.0.1:5984' };
  }
  return { url, port: Number(port), build, help };
}
