/**
 * Measures how long `import 'corduroy'` takes, compared with `import 'rxjs'` alone, which it contains.
 *
 *   node bench/start.mjs [--rounds 9] [--node /path/to/another/node]
 *
 * Every import runs in a separate process. A round measures each import once, and the figures are
 * medians: the time of the process as a whole, the time of the import, and the processor time of the
 * process. On a busy machine only the processor time is comparable.
 */
import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';
import { bundle } from '../scripts/bundle.mjs';

const { values: options } = parseArgs({
  options: {
    rounds: { type: 'string', default: '9' },
    node: { type: 'string', default: process.execPath },
  },
});
const root = fileURLToPath(new URL('..', import.meta.url));
const built = `${root}node_modules/.cache/corduroy-start`;
await bundle(built, { types: false });
writeFileSync(`${built}/package.json`, '{ "type": "module" }');

const imports = {
  nothing: '',
  rxjs: 'rxjs',
  corduroy: pathToFileURL(`${built}/index.js`).href,
  'corduroy/core': pathToFileURL(`${built}/core.js`).href,
};

/** Runs an import in a new process. Returns its times in milliseconds. */
function measure(specifier) {
  const code = `
    const start = performance.now();
    ${specifier && `await import('${specifier}');`}
    const imported = performance.now() - start;
    const { user, system } = process.cpuUsage();
    process.stdout.write(JSON.stringify({ imported, processor: (user + system) / 1000 }));`;
  const start = performance.now();
  const { status, stdout, stderr } = spawnSync(options.node, ['--input-type=module', '-e', code], {
    cwd: root,
    encoding: 'utf8',
  });
  const total = performance.now() - start;
  if (status !== 0) throw new Error(stderr);
  return { total, ...JSON.parse(stdout) };
}

const results = Object.keys(imports).map((name) => ({ name, runs: [] }));
// The first round fills the caches of the file system.
for (let round = 0; round <= Number(options.rounds); round++) {
  for (const { name, runs } of results) {
    const times = measure(imports[name]);
    if (round > 0) runs.push(times);
  }
}

const median = (figures) => figures.sort((a, b) => a - b)[figures.length >> 1];
const medianOf = (name, key) =>
  median(results.find((result) => result.name === name).runs.map((run) => run[key]));

const { stdout } = spawnSync(options.node, ['--version'], { encoding: 'utf8' });
console.log(`Node ${stdout.trim()}, medians of ${options.rounds} in ms, and as multiples of rxjs`);
for (const { name } of results) {
  const figures = ['total', 'imported', 'processor'].map((key) => {
    const figure = medianOf(name, key);
    const ratio = figure / medianOf('rxjs', key);
    return `${key} ${figure.toFixed(0).padStart(4)} (${ratio.toFixed(2)})`;
  });
  console.log(`${name.padEnd(14)} ${figures.join('  ')}`);
}
