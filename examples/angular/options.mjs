import { parseArgs } from 'node:util';

export const HELP = `Usage: npm run demo:angular [-- options]

Serves an Angular application that shows live orders. It starts an embedded server with two users.

  --url URL    use this CouchDB instead of the embedded server, for example
               http://user:password@127.0.0.1:5984; the example creates a database and two users with
               unique names there, and deletes them at the end
  --orders N   start with N orders, up to 200000 (default: 12)
  --writes N   change N orders a second, up to 1000 (default: 0)
  --port N     serve the page on this port (default: a free one)
  --build      install and build the application, and exit
  --help       show this text`;

/** Parses the command line. If it is wrong, `error` is the reason in one line. */
export function readOptions(args) {
  let parsed;
  try {
    parsed = parseArgs({
      args,
      allowPositionals: true,
      options: {
        url: { type: 'string' },
        port: { type: 'string' },
        orders: { type: 'string' },
        writes: { type: 'string' },
        build: { type: 'boolean', default: false },
        help: { type: 'boolean', short: 'h', default: false },
      },
    });
  } catch (error) {
    return { error: error.message.split(/\. |\n/)[0].replace(/\.$/, '') };
  }
  const { url, port = '0', orders = '12', writes = '0', build, help } = parsed.values;
  // The message does not repeat the argument, because it can be a URL with a password.
  if (parsed.positionals.length > 0) return { error: 'An argument has no option before it' };
  if (!/^\d{1,5}$/.test(port) || Number(port) > 65_535) {
    return { error: `--port must be a number from 0 to 65535 (received ${JSON.stringify(port)})` };
  }
  if (!/^\d+$/.test(orders) || Number(orders) < 1 || Number(orders) > 200_000) {
    return { error: `--orders must be from 1 to 200000 (received ${JSON.stringify(orders)})` };
  }
  if (!/^\d+$/.test(writes) || Number(writes) > 1_000) {
    return { error: `--writes must be from 0 to 1000 (received ${JSON.stringify(writes)})` };
  }
  if (url !== undefined && !/^https?:\/\//.test(url)) {
    return {
      error: '--url must be the URL of a server, for example http://user:password@127.0.0.1:5984',
    };
  }
  return {
    url,
    port: Number(port),
    orders: Number(orders),
    writes: Number(writes),
    build,
    help,
  };
}
