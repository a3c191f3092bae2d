/**
 * Runs one measurement in a child process: receives `{ client, name, url, … }`, and sends figures.
 */
import { cases } from './cases.mjs';
import { clients } from './clients/index.mjs';

process.once('message', async ({ client: who, name, url, ...context }) => {
  const { needs, run } = cases[name];
  try {
    const client = await clients[who](url);
    const figures = client[needs] === undefined ? undefined : await run(client, context);
    process.send({ figures });
  } catch (error) {
    process.send({ error: String(error?.stack ?? error) });
  }
  process.disconnect();
  setTimeout(() => process.exit(), 200);
});
