/**
 * Runs one measurement of live queries in a child process: receives `{ name, origin }`, sends figures.
 */
import { measurements } from './live-measurements.mjs';

process.once('message', async ({ name, origin }) => {
  try {
    process.send({ figures: await measurements[name](origin) });
  } catch (error) {
    process.send({ error: String(error?.stack ?? error) });
  }
  process.disconnect();
});
process.on('disconnect', () => setTimeout(() => process.exit(), 100));
