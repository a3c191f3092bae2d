// Fork it, do not import it: express-pouchdb has process-wide state and unhandled rejections. It
// sends { url } to its parent when it listens.
//
//   node server.mjs [--port N] [--admin user:password] [--cors]

import { createServer } from 'node:http';
import { parseArgs } from 'node:util';
import { Auth } from './auth.mjs';
import { Config, defaults } from './config.mjs';
import { Cors } from './cors.mjs';
import { Engine } from './engine.mjs';
import { Node } from './node.mjs';
import { Pipeline } from './pipeline.mjs';
import { Replication } from './replication.mjs';

const { values } = parseArgs({
  options: {
    port: { type: 'string', default: '0' },
    admin: { type: 'string' },
    cors: { type: 'boolean', default: false },
  },
});

for (const reason of ['disconnect', 'SIGTERM', 'SIGINT']) process.on(reason, () => process.exit(0));

const admins = new Map();
if (values.admin) {
  const colon = values.admin.indexOf(':');
  admins.set(values.admin.slice(0, colon), values.admin.slice(colon + 1));
}

const engine = new Engine();
const config = new Config(defaults);
const auth = new Auth(admins, engine, config);
const node = new Node(config);
const replication = new Replication();
const pipeline = new Pipeline({
  engine,
  auth,
  ...(values.cors && { cors: new Cors() }),
  handlers: [(request) => node.handle(request), (request) => replication.handle(request, engine)],
});

const server = createServer((incoming, response) => {
  void pipeline.serve(incoming, response);
});
// A feed may be silent for longer than Node's timeouts.
server.requestTimeout = 0;
// express-pouchdb leaves rejections unhandled, for example for a missing filter. Set the handler
// after it listens, so that a server that cannot start fails.
const survive = (error) => {
  if (process.env.EMBEDDED_DEBUG) process.stderr.write(`${error?.stack ?? error}\n`);
};

server.listen(Number(values.port), '127.0.0.1', () => {
  process.on('unhandledRejection', survive);
  process.on('uncaughtException', survive);
  const url = `http://127.0.0.1:${server.address().port}`;
  if (process.send) process.send({ url });
  else process.stdout.write(`${url}\n`);
});
