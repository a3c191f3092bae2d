// Import this before the tests of another file: their server is then a relay in front of the server of this run.
import { afterAll } from '@jest/globals';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Couch } from 'corduroy';
import { relay } from 'corduroy/relay';

const variable = 'CORDUROY_TEST_SERVER';
const facts = JSON.parse(process.env[variable] ?? '{}') as Record<string, string>;
const { url = '', username = '', password = '' } = facts;
const handler = relay(new Couch(url, { auth: [username, password] }), { forward: true });
const http = createServer(handler);
await new Promise<void>((resolve) => http.listen(0, '127.0.0.1', resolve));
const { port } = http.address() as AddressInfo;
process.env[variable] = JSON.stringify({ ...facts, url: `http://127.0.0.1:${port}` });

afterAll(async () => {
  process.env[variable] = JSON.stringify(facts);
  await handler.close();
  http.closeAllConnections();
  http.close();
});
