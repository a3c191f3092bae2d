/**
 * Puts runs of one machine together: their tables, and a picture of them.
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
if (first === undefined) throw new Error('The file of a run is needed');
for (const other of others) requireSameMachine(first.machine, other.machine);
const run = {
  ...first,
  rounds: Math.min(...[first, ...others].map(({ rounds }) => rounds)),
  results: [first, ...others].flatMap(({ results }) => results),
};
console.log(tables(run));
if (options.chart) writeFileSync(options.chart, chart(run));
