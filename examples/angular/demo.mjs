#!/usr/bin/env node
// Starts the Angular example: `npm run demo:angular`. This file and its static imports need only Node,
// so the command works before the dependencies are installed.

import { HELP, readOptions } from './options.mjs';
import { buildApplication } from './prepare.mjs';
import { onOrphaned } from '../dashboard/orphan.mjs';
import { prepare as buildCorduroy } from '../dashboard/prepare.mjs';

const options = readOptions(process.argv.slice(2));
if (options.error) {
  console.error(`${options.error} (--help lists the options)`);
  process.exit(2);
}
if (options.help) {
  console.log(HELP);
  process.exit(0);
}

/** Aborting ends the demo; the reason is the exit code. */
const quit = new AbortController();
let ready = false;
const interrupt = () => {
  if (quit.signal.aborted) process.exit(130);
  // Ctrl-C is the normal end of the running demo, but interrupts an installation or a build.
  quit.abort(ready && !options.build ? 0 : 130);
};
for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(name, interrupt);
process.stdout.on('error', interrupt);
onOrphaned(() => {
  if (!quit.signal.aborted) quit.abort(130);
});

try {
  await buildCorduroy(quit.signal);
  await buildApplication(quit.signal);
  if (!options.build) {
    const { run } = await import('./run.mjs');
    ready = true;
    process.exitCode = await run(options, quit);
  }
} catch (error) {
  if (!quit.signal.aborted) console.error(error.expected ? error.message : error);
  process.exitCode = quit.signal.aborted ? quit.signal.reason : 1;
}
// A handle that is still open must not keep the process alive.
setTimeout(() => process.exit(), 300).unref();
