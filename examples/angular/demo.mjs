#!/usr/bin/env node
// The example in Angular: `npm run demo:angular`. Like the dashboard's, this file and what it imports
// need nothing but Node, so that it also works where nothing has been installed or built.

import { HELP, readOptions } from './options.mjs';
import { install } from './prepare.mjs';
import { onOrphaned } from '../dashboard/orphan.mjs';
import { prepare } from '../dashboard/prepare.mjs';

const options = readOptions(process.argv.slice(2));
if (options.error) {
  console.error(`${options.error} (--help lists the options)`);
  process.exit(2);
}
if (options.help) {
  console.log(HELP);
  process.exit(0);
}

/** Everything that is to end the demo ends here, with the exit code as the reason. */
const quit = new AbortController();
let ready = false;
const interrupt = () => {
  if (quit.signal.aborted) process.exit(130);
  // Ctrl-C is how one leaves the demo. Whatever was to come to an end by itself did not.
  quit.abort(ready && !options.build ? 0 : 130);
};
for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(name, interrupt);
process.stdout.on('error', interrupt);
onOrphaned(() => {
  if (!quit.signal.aborted) quit.abort(130);
});

try {
  await prepare(quit.signal);
  await install(quit.signal);
  if (!options.build) {
    const { run } = await import('./run.mjs');
    ready = true;
    process.exitCode = await run(options, quit);
  }
} catch (error) {
  if (!quit.signal.aborted) console.error(error.expected ? error.message : error);
  process.exitCode = quit.signal.aborted ? quit.signal.reason : 1;
}
// Nothing should be left that keeps the process alive. Should something be, it does not matter.
setTimeout(() => process.exit(), 300).unref();
