/**
 * Compares two runs of the benchmark: prints the second as a multiple of the first. Rejects runs of
 * different machines.
 *
 *   node bench/compare.mjs before.json after.json
 */
import { readFileSync } from 'node:fs';
import { requireSameMachine } from './suite/machine.mjs';

const [before, after] = process.argv.slice(2).map((file) => JSON.parse(readFileSync(file, 'utf8')));
if (after === undefined) throw new Error('Usage: node bench/compare.mjs before.json after.json');
requireSameMachine(before.machine, after.machine);
for (const { server, case: name, client, figures } of after.results) {
  const old = before.results.find(
    (one) => one.server === server && one.case === name && one.client === client,
  );
  if (old === undefined) continue;
  const ratios = Object.entries(figures).map(
    ([column, value]) => `${column} × ${(value / old.figures[column]).toFixed(2)}`,
  );
  console.log(`${name} (${server}), ${client}: ${ratios.join(', ')}`);
}
