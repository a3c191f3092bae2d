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
/** The processor time (µs) of the tests of one mutant. The fastest tests come first. */
const LONGEST_TRIAL = 3_000_000;
/** An integration test that takes longer (ms) waits for a time-out, and tries no mutants. */
const LONGEST_WAIT = 300;

globalThis.__stryker__ = {};
const stryker = globalThis.__stryker__;

const out = process.argv[2];
const { tests, declareIn, runTest } = await import(pathToFileURL(`${out}/jest-globals.js`).href);
process.on('disconnect', () => process.exit());
console.log = console.warn = console.error = () => {};

for (const file of (await readdir(`${out}/tests`)).filter((name) => name.endsWith('.js')).sort())
  await declareIn(basename(file, '.js'), () => import(pathToFileURL(`${out}/tests/${file}`).href));

// Not while it loads the tests: a failure must end the process then.
process.on('uncaughtException', () => {});
process.on('unhandledRejection', () => {});

/** Ends the process, because its own code has failed. */
function fail(error) {
  process.stderr.write(`${error.stack}\n`);
  process.exit(1);
}

/** Returns what the test threw, or null. */
async function failureOf(test) {
  process.send({ test: test.name });
  // The message leaves, and what an earlier test has thrown asynchronously is gone.
  await new Promise((resolve) => setImmediate(resolve));
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
    ? await measure().catch(fail)
    : JSON.parse(await readFile(process.argv[3], 'utf8'));
process.send({ coverage });

function shown({ name }, { stack }) {
  return `${name}: ${String(stack).slice(0, 300)}`;
}

/**
 * Runs each test twice without a mutant. Returns what fails, and the tests that reach each mutant, the fastest
 * first. A test that fails when it runs again would seem to notice every mutant.
 */
async function measure() {
  const broken = [];
  const times = [];
  const usable = new Set();
  for (const [index, test] of tests.entries()) {
    stryker.currentTestId = String(index);
    const started = performance.now();
    const failure = await failureOf(test);
    times.push(performance.now() - started);
    stryker.currentTestId = undefined;
    const waits = test.name.startsWith('integration') && times[index] > LONGEST_WAIT;
    if (failure === null && !waits) usable.add(index);
    // Some tests of `serverless` need a CouchDB.
    else if (failure !== null && failure.message !== 'fetch failed')
      broken.push(shown(test, failure));
  }
  for (const index of usable) {
    stryker.currentTestId = String(index);
    const failure = await failureOf(tests[index]);
    stryker.currentTestId = undefined;
    if (failure === null) continue;
    usable.delete(index);
    broken.push(`(again) ${shown(tests[index], failure)}`);
  }
  const { perTest = {}, static: loaded = {} } = stryker.mutantCoverage ?? {};
  const reaching = {};
  for (const [index, reached] of Object.entries(perTest))
    if (usable.has(Number(index)))
      for (const [id, hits] of Object.entries(reached))
        (reaching[id] ??= []).push([Number(index), hits]);
  for (const list of Object.values(reaching))
    list.sort(([one], [other]) => times[one] - times[other]);
  const slowest = tests
    .map(({ name }, index) => [Math.round(times[index]), name])
    .sort(([one], [other]) => other - one)
    .slice(0, 5);
  return { tests: tests.length, broken, slowest, loaded: Object.keys(loaded), reaching };
}

/** Returns what a test throws with a mutant, or null. */
async function failureWith(id, test, hits) {
  stryker.activeMutant = id;
  stryker.hitCount = 0;
  stryker.hitLimit = hits * 100 + 1_000;
  try {
    return await failureOf(test);
  } finally {
    stryker.activeMutant = undefined;
    stryker.hitCount = undefined;
  }
}

let fresh = true;
process.on('message', (id) => void tryMutant(id).catch(fail));

async function tryMutant(id) {
  const started = process.cpuUsage();
  for (const [index, hits] of coverage.reaching[id]) {
    const { user, system } = process.cpuUsage(started);
    if (user + system > LONGEST_TRIAL) break;
    const test = tests[index];
    let failure = await failureWith(id, test, hits);
    // Sockets make a test depend on time, so that it must fail twice.
    if (failure !== null && test.name.startsWith('integration'))
      failure = await failureWith(id, test, hits);
    if (failure === null) continue;
    // A mutant may leave the process in a state in which the test fails without it.
    const state = await failureOf(test);
    const sound = state === null;
    process.send({
      id,
      killer: test.name,
      sound,
      fresh,
      state: String(state?.stack).slice(0, 600),
    });
    fresh = false;
    return;
  }
  process.send({ id, killer: null, sound: true });
}
