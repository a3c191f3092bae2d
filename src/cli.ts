#!/usr/bin/env node
/** The command `corduroy`. */
import { run } from './relay/command.ts';

await run(process.argv.slice(2));
