/**
 * Measures live queries on a stub, beside the targets and TanStack DB.
 *
 *   npm run bench:live -- [--rounds 3] [--case burst] [--out file.json]
 *
 * Every measurement runs in a separate process, with `--expose-gc`. A round runs each case once. The
 * results are medians of the rounds. Times of single rows start when the bytes of the change arrive in
 * the process, and end at the emission. CPU is `process.cpuUsage()` of the process under test. Blocks are
 * the maximum of `monitorEventLoopDelay`, less its resolution of 1 ms.
 */
import { fork } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { median } from './suite/live-figures.mjs';
import { measurements } from './suite/live-measurements.mjs';
import { rowsOf, tableOf } from './suite/live-table.mjs';
import { machine } from './suite/machine.mjs';

const path = (name) => fileURLToPath(new URL(name, import.meta.url));
const { values: options } = parseArgs({
  options: {
    rounds: { type: 'string', default: '3' },
    case: { type: 'string', multiple: true, default: [] },
    out: { type: 'string', default: path('results/live.json') },
  },
});
const rounds = Number(options.rounds);
const unknown = options.case.filter((name) => !Object.hasOwn(measurements, name));
if (!Number.isInteger(rounds) || rounds < 1 || unknown.length > 0) {
  console.error(
    `Rounds must be a positive integer, and cases: ${Object.keys(measurements).join(', ')}`,
  );
  process.exit(1);
}
const names = Object.keys(measurements).filter(
  (name) => options.case.length === 0 || options.case.includes(name),
);

const stub = fork(path('suite/live-stub.mjs'));
const origin = await new Promise((resolve) => stub.once('message', resolve));

function measure(name) {
  return new Promise((resolve, reject) => {
    const child = fork(path('suite/live-child.mjs'), { execArgv: ['--expose-gc'] });
    child.once('message', ({ figures, error }) => {
      if (error === undefined) resolve(figures);
      else reject(new Error(`${name}: ${error}`));
    });
    child.once('exit', (code) => reject(new Error(`${name}: the process ended with ${code}`)));
    child.send({ name, origin });
  });
}

/** The median of each number in figures of the same shape. */
function medians(all) {
  const [first] = all;
  if (typeof first === 'number') return median(all);
  return Object.fromEntries(
    Object.keys(first).map((key) => [key, medians(all.map((figures) => figures[key]))]),
  );
}

const measured = Object.fromEntries(names.map((name) => [name, []]));
try {
  for (let round = 1; round <= rounds; round++) {
    for (const name of names) {
      process.stderr.write(`round ${round} of ${rounds}: ${name}\n`);
      measured[name].push(await measure(name));
    }
  }
} finally {
  stub.disconnect();
}
const figures = Object.fromEntries(names.map((name) => [name, medians(measured[name])]));
const date = new Date().toISOString();
mkdirSync(dirname(options.out), { recursive: true });
writeFileSync(
  options.out,
  `${JSON.stringify({ date, machine: machine(), rounds, figures, measured }, null, 2)}\n`,
);
console.log(tableOf(rowsOf(figures)));
console.log(`\nNode ${process.version}; ${date}; medians of ${rounds} rounds; ${options.out}`);
