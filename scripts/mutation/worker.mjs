/**
 * Runs the bundled tests against one mutant after another. The parent sends a mutant, and the worker answers with
 * the test that noticed it, or null. The first message is the coverage: the tests that reach each mutant.
 * Arguments: the folder of the bundle, and the file of the coverage, if another worker has measured it.
 */
import { readFile, readdir } from 'node:fs/promises';
import { basename } from 'node:path';
import { pathToFileURL } from 'node:url';

/** A test that takes longer (ms) has been stopped by the mutant. */
const LONGEST_TEST = 5_000;

globalThis.__stryker__ = {};
const stryker = globalThis.__stryker__;

const out = process.argv[2];
const { tests, declareIn, runTest } = await import(pathToFileURL(`${out}/jest-globals.js`).href);
let stray = null;
process.on('uncaughtException', (error) => (stray ??= error));
process.on('disconnect', () => process.exit());
process.on('unhandledRejection', (error) => (stray ??= error));
console.log = console.warn = console.error = () => {};

const files = (await readdir(`${out}/marble-tests`)).filter((name) => name.endsWith('.marbles.js'));
for (const file of files.sort())
  await declareIn(
    basename(file, '.marbles.js'),
    () => import(pathToFileURL(`${out}/marble-tests/${file}`).href),
  );

/** Returns what the test threw, or null. */
async function failureOf(test) {
  stray = null;
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error('The test did not end.')), LONGEST_TEST);
  });
  try {
    await Promise.race([runTest(test), late]);
  } catch (error) {
    return error ?? new Error('nothing');
  } finally {
    clearTimeout(timer);
  }
  return null;
}

const coverage =
  process.argv[3] === undefined
    ? await measure()
    : JSON.parse(await readFile(process.argv[3], 'utf8'));
process.send({ coverage });

/** Runs each test without a mutant. Returns what fails, and the tests that reach each mutant, the fastest first. */
async function measure() {
  const broken = [];
  const times = [];
  for (const [index, test] of tests.entries()) {
    stryker.currentTestId = String(index);
    const started = performance.now();
    const failure = await failureOf(test);
    times.push(performance.now() - started);
    stryker.currentTestId = undefined;
    if (failure === null) continue;
    broken.push(`${test.name}: ${String(failure?.stack).slice(0, 600)}`);
    delete stryker.mutantCoverage?.perTest[index];
  }
  const { perTest = {}, static: loaded = {} } = stryker.mutantCoverage ?? {};
  const reaching = {};
  for (const [index, reached] of Object.entries(perTest))
    for (const [id, hits] of Object.entries(reached))
      (reaching[id] ??= []).push([Number(index), hits]);
  for (const list of Object.values(reaching))
    list.sort(([one], [other]) => times[one] - times[other]);
  return { tests: tests.length, broken, loaded: Object.keys(loaded), reaching };
}

process.on('message', async (id) => {
  for (const [index, hits] of coverage.reaching[id]) {
    const test = tests[index];
    stryker.activeMutant = id;
    stryker.hitCount = 0;
    stryker.hitLimit = hits * 100 + 1_000;
    const failure = await failureOf(test);
    stryker.activeMutant = undefined;
    stryker.hitCount = undefined;
    if (failure === null) continue;
    // A mutant may leave the process in a state in which the test fails without it.
    process.send({ id, killer: test.name, sound: (await failureOf(test)) === null });
    return;
  }
  process.send({ id, killer: null, sound: true });
});
