/**
 * Prints the tables of runs of one machine, and optionally draws a chart.
 *
 *   node bench/draw.mjs stub.json couchdb.json [--chart docs/performance.svg]
 *   node bench/draw.mjs relay.json [--chart docs/relay.svg]
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { chart } from './suite/chart.mjs';
import { tableOf } from './suite/live-table.mjs';
import { requireSameMachine } from './suite/machine.mjs';
import { relayChart } from './suite/relay-chart.mjs';
import { targetsOf, wideTable } from './suite/relay-table.mjs';
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
const isRelay = first.kind === 'relay';
console.log(
  isRelay ? `${wideTable(run.results)}\n\n${tableOf(targetsOf(run.results))}` : tables(run),
);
if (options.chart) writeFileSync(options.chart, isRelay ? relayChart(run) : chart(run));
