/**
 * Mutation tests: changes the pure parts of the sources in small ways, one at a time, and counts how many of the
 * changes a test without a CouchDB notices. All mutants are in one bundle, behind switches, so that a process tries
 * many of them without loading anything again. Prints the score of each layer, and the survivors.
 *
 *     npm run test:mutation                 # all layers
 *     npm run test:mutation -- live model   # some of them
 *
 * node_modules/.cache/mutation/survivors.txt lists the survivors.
 */
import { fork } from 'node:child_process';
import { cp, mkdir, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { fileURLToPath } from 'node:url';
import { createInstrumenter } from '@stryker-mutator/instrumenter';
import { build } from 'esbuild';
import { environment, equivalent, layers, serverless, unusable } from './mutation/layers.mjs';

const root = fileURLToPath(new URL('..', import.meta.url));
const cache = `${root}node_modules/.cache/mutation`;
const sandbox = `${cache}/sandbox`;
const out = `${sandbox}/out`;
/** A worker that is silent for so long (ms) runs a loop without an end. It reports each test. */
const SILENCE = 20_000;
/** The time (ms) in which a worker loads the tests. */
const LOADING = 120_000;

const chosen = process.argv.slice(2);
for (const name of chosen)
  if (!(name in layers))
    throw new RangeError(`layer must be one of ${Object.keys(layers)} (received ${name})`);

/** Copies the sources, with a switch for each mutant. Returns the mutants. */
async function instrument() {
  await rm(sandbox, { recursive: true, force: true });
  await mkdir(out, { recursive: true });
  for (const folder of ['src', 'marble-tests', 'integration', 'docs', 'package.json'])
    await cp(`${root}${folder}`, `${sandbox}/${folder}`, { recursive: true });
  for (const folder of ['docs', 'src', 'package.json'])
    await cp(`${root}${folder}`, `${out}/${folder}`, { recursive: true });
  const files = [];
  for (const [name, paths] of Object.entries(layers)) {
    if (chosen.length > 0 && !chosen.includes(name)) continue;
    for (const path of paths)
      files.push({ name: path, mutate: true, content: await readFile(`${root}${path}`, 'utf8') });
  }
  const logger = { debug() {}, info() {}, isDebugEnabled: () => false, warn: console.warn };
  const injector = {
    values: {},
    provideValue(key, value) {
      this.values[key] = value;
      return this;
    },
    injectClass(Class) {
      const given = { ...this.values, logger };
      return new Class(...Class.inject.map((key) => given[key]));
    },
  };
  const options = { plugins: null, ignorers: [], excludedMutations: ['StringLiteral'] };
  const result = await createInstrumenter(injector).instrument(files, options);
  for (const { name, content } of result.files) await writeFile(`${sandbox}/${name}`, content);
  return result.mutants.filter(({ status }) => status !== 'Ignored');
}

/** Bundles the marble tests, and the integration tests without a CouchDB, with the instrumented sources. */
async function bundle() {
  const marbles = (await readdir(`${sandbox}/marble-tests`))
    .filter((name) => name.endsWith('.marbles.ts') && !unusable.includes(name))
    .map((name) => `marble-tests/${name}`);
  const entries = [...marbles, ...serverless.map((name) => `integration/${name}.test.ts`)].map(
    (path) => ({ in: `${sandbox}/${path}`, out: `tests/${path.replace('/', '-').slice(0, -3)}` }),
  );
  const own = {
    'fast-check': `${root}scripts/mutation/fast-check.mjs`,
    '@jest/globals': `${root}scripts/mutation/jest-globals.mjs`,
    corduroy: `${sandbox}/src/index.ts`,
    'corduroy/core': `${sandbox}/src/core.ts`,
    'corduroy/testing': `${sandbox}/src/testing/index.ts`,
    'corduroy/cross-tab': `${sandbox}/src/changes/cross-tab.ts`,
    'corduroy/exact-integers': `${sandbox}/src/exact-integers.ts`,
    'corduroy/nats': `${sandbox}/src/nats/index.ts`,
    'corduroy/relay': `${sandbox}/src/relay/index.ts`,
    'corduroy/undici': `${sandbox}/src/undici.ts`,
  };
  await build({
    entryPoints: [...entries, { in: own['@jest/globals'], out: 'jest-globals' }],
    outdir: out,
    bundle: true,
    splitting: true,
    format: 'esm',
    platform: 'node',
    target: 'es2022',
    sourcemap: 'inline',
    logLevel: 'error',
    plugins: [
      {
        name: 'own-names',
        setup({ onResolve }) {
          onResolve({ filter: /^[^./]/ }, ({ path, kind, importer }) => {
            if (kind === 'entry-point') return undefined;
            if (importer === own[path]) return { path, external: true };
            return own[path] === undefined ? { path, external: true } : { path: own[path] };
          });
        },
      },
    ],
  });
}

/** Starts a worker, which sends the coverage first. `abandoned` is called if it ends or falls silent. */
function worker(coverage, onMessage, abandoned) {
  const child = fork(`${root}scripts/mutation/worker.mjs`, [out, ...coverage], {
    cwd: sandbox,
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
    env: { ...process.env, ...environment },
  });
  let timer;
  let last = '';
  const end = () => {
    clearTimeout(timer);
    child
      .removeAllListeners()
      .on('error', () => {})
      .kill('SIGKILL');
  };
  const arm = (time) => {
    clearTimeout(timer);
    timer = setTimeout(() => {
      end();
      abandoned(`a loop without an end in ${last}`);
    }, time);
  };
  arm(LOADING);
  child.on('exit', (code, signal) => {
    end();
    abandoned(`the process ended with ${code ?? signal}`);
  });
  child.on('message', (message) => {
    arm(SILENCE);
    if (message.test === undefined) onMessage(message);
    else last = message.test;
  });
  return { end, send: (id) => child.send(id) };
}

/** Runs the tests without a mutant, and returns the coverage. */
const measure = () =>
  new Promise((resolve, reject) => {
    const { end } = worker(
      [],
      ({ coverage }) => {
        end();
        resolve(coverage);
      },
      (reason) => reject(new Error(`The tests without a mutant: ${reason}`)),
    );
  });

/** Tries the mutants on all processors. Returns the name of the test that noticed each, null if none did. */
async function tryAll(queue, file) {
  const killers = new Map();
  const doubtful = new Set();
  const counts = { restarts: 0, loops: 0, unsound: [] };
  const work = () =>
    new Promise((resolve) => {
      let current;
      const restart = () => {
        counts.restarts += 1;
        one.end();
        resolve(work());
      };
      const answered = (answer) => {
        if (answer.id !== undefined) {
          if (!answer.sound) {
            counts.unsound.push(answer);
            if (process.env.MUTATION_LOG !== undefined) console.log(answer);
            // An earlier mutant may have left a state that fails this test: a new process decides.
            if (!answer.fresh && !doubtful.has(answer.id)) {
              doubtful.add(answer.id);
              queue.unshift(answer.id);
              return restart();
            }
          }
          killers.set(answer.id, answer.killer);
          if (killers.size % 500 === 0) process.stdout.write(`${killers.size} tried\n`);
          if (!answer.sound) return restart();
        }
        current = queue.shift();
        if (current !== undefined) return one.send(current);
        one.end();
        return resolve();
      };
      const one = worker([file], answered, (reason) => {
        counts.loops += 1;
        if (current !== undefined) killers.set(current, `(${reason})`);
        restart();
      });
    });
  await Promise.all(Array.from({ length: availableParallelism() }, work));
  process.stdout.write(
    `${counts.restarts} restarts: ${counts.loops} loops, ${counts.unsound.length} states left behind\n`,
  );
  if (process.env.MUTATION_LOG !== undefined)
    await writeFile(
      process.env.MUTATION_LOG,
      JSON.stringify({ unsound: counts.unsound, killers: [...killers] }, null, 1),
    );
  return killers;
}

const started = Date.now();
const mutants = await instrument();
await bundle();
const coverage = await measure();
for (const name of coverage.broken) process.stderr.write(`fails without a mutant: ${name}\n`);
for (const [time, name] of coverage.slowest) process.stdout.write(`${time} ms: ${name}\n`);
const reached = Object.keys(coverage.reaching);
process.stdout.write(
  `${coverage.tests} tests reach ${reached.length} of ${mutants.length} mutants\n`,
);
await writeFile(`${sandbox}/coverage.json`, JSON.stringify(coverage));
const killers = await tryAll(reached, `${sandbox}/coverage.json`);
const loaded = new Set(coverage.loaded);

const survivors = [];
for (const [name, paths] of Object.entries(layers)) {
  const count = { killed: 0, survived: 0, unreached: 0, equivalent: 0, static: 0 };
  for (const { id, fileName, location, mutatorName, replacement } of mutants) {
    if (!paths.includes(fileName)) continue;
    const lines = (await readFile(`${root}${fileName}`, 'utf8')).split('\n');
    const line = lines[location.start.line];
    const known = equivalent.some(
      (one) =>
        one.file === fileName &&
        line.includes(one.line) &&
        (one.to === undefined || one.to === replacement),
    );
    const killer = killers.get(id);
    if (typeof killer === 'string') count.killed += 1;
    else if (known) count.equivalent += 1;
    else if (killer === undefined && loaded.has(id)) count.static += 1;
    else {
      count[killer === undefined ? 'unreached' : 'survived'] += 1;
      const at = `${fileName}:${location.start.line + 1}:${location.start.column + 1}`;
      survivors.push(
        `${at} ${killer === undefined ? 'unreached ' : ''}${mutatorName} -> ${replacement}\n    ${line.trim()}`,
      );
    }
  }
  const all = count.killed + count.survived + count.unreached;
  if (all === 0) continue;
  const score = ((100 * count.killed) / all).toFixed(1);
  const rest = Object.entries(count).map(([kind, number]) => `${number} ${kind}`);
  process.stdout.write(`${name.padEnd(10)} ${score.padStart(5)} %  ${rest.join(', ')}\n`);
}
await writeFile(`${cache}/survivors.txt`, `${survivors.join('\n')}\n`);
await rm(sandbox, { recursive: true, force: true });
process.stdout.write(
  `${Math.round((Date.now() - started) / 1000)} s; survivors: ${cache}/survivors.txt\n`,
);
