#!/usr/bin/env node
// The demo: `npm run demo`. This file and the three it imports need only Node, so that it also works
// in a fresh clone. It installs and builds what is missing, and then loads `run.mjs`.

import { HELP, readOptions } from './options.mjs';
import { onOrphaned } from './orphan.mjs';
import { prepare } from './prepare.mjs';

const [major, minor] = process.versions.node.split('.').map(Number);
if (major < 20 || (major === 20 && minor < 19)) {
  console.error(`The demo needs Node 20.19 or later (found ${process.versions.node}).`);
  process.exit(1);
}

const options = readOptions(process.argv.slice(2));
if (options.error) {
  console.error(`${options.error} (--help lists the options)`);
  process.exit(2);
}
if (options.help) {
  console.log(HELP);
  process.exit(0);
}

/** Aborting this signal ends the demo. The abort reason is the exit code. */
const quit = new AbortController();
let ready = false;
const interrupt = () => {
  if (quit.signal.aborted) process.exit(130);
  // Ctrl-C is the normal way to end the demo. With `--once`, or during the start, it is a failure.
  quit.abort(ready && !options.once ? 0 : 130);
};
for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(name, interrupt);
// `npm run demo | head` closes the pipe, which emits an error here.
process.stdout.on('error', interrupt);

onOrphaned(() => {
  if (!quit.signal.aborted) quit.abort(130);
});

try {
  await prepare(quit.signal);
  const { run } = await import('./run.mjs');
  ready = true;
  process.exitCode = await run(options, quit);
} catch (error) {
  if (!quit.signal.aborted) console.error(error.expected ? error.message : error);
  process.exitCode = quit.signal.aborted ? quit.signal.reason : 1;
}
// Nothing should keep the process alive now. If something does, end it anyway.
setTimeout(() => process.exit(), 300).unref();
