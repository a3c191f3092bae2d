// The relay of the demo, in a separate process. It ends with the demo.
import { once } from 'node:events';
import { createServer } from 'node:http';
import { Couch } from 'corduroy';
import { relay } from 'corduroy/relay';

// Ctrl-C reaches this process too: the demo ends it.
process.on('SIGINT', () => {});
process.on('disconnect', () => process.exit(0));
const [{ url, auth, name }] = await once(process, 'message');
const server = createServer(relay(new Couch(url, { auth }), { databases: [name] }));
server.listen(0, '127.0.0.1', 4096);
await once(server, 'listening');
process.send({ url: `http://127.0.0.1:${server.address().port}` });
