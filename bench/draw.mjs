/**
 * Prints the tables of runs of one machine, and optionally draws a chart.
 *
 *   node bench/draw.mjs stub.json couchdb.json [--chart docs/performance.svg]
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { chart } from './suite/chart.mjs';
import { requireSameMachine } from './suite/machine.mjs';
import { tables } from './suite/tables.mjs';

const { values: options, positionals: files } = parseArgs({
  options: { chart: { type: 'string' } },
  allowPositionals: true,
});
const [first, ...others] = files.map((file) => JSON.parse(readFileSync(file, 'utf8')));
if (first === undefined) throw new Error('Usage: node bench/draw.mjs run.json… [--chart file.svg]');
for (const other of others) requireSameMachine(first.machine, other.machine);
const run = {
  ...first,
  rounds: Math.min(...[first, ...others].map(({ rounds }) => rounds)),
  results: [first, ...others].flatMap(({ results }) => results),
};
console.log(tables(run));
if (options.chart) writeFileSync(options.chart, chart(run));
