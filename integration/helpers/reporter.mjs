// Prints after Jest's summary: the skipped tests with their reasons, the server, and the counts.

export default class SkipReporter {
  onRunComplete(_contexts, { testResults, numPassedTests, numFailedTests, ...counts }) {
    const { numPendingTests, numTodoTests, numRuntimeErrorTestSuites } = counts;
    const tests = testResults.flatMap((file) => file.testResults);
    // With a name pattern all other tests are pending too, so list only those with a reason.
    const skipped = tests.filter(
      ({ status, title }) => status === 'pending' && /\(skipped: /.test(title),
    );
    const lines = skipped.map(({ fullName }) => `  skipped ${fullName}`);
    if (lines.length > 0) lines.unshift('', `Skipped, with the reason:`);
    const server = process.env.CORDUROY_TEST_SERVER_LINE;
    if (server) lines.push('', server);
    // A file that fails to load has no tests to count, so count the file as failed.
    const failed = numFailedTests + numRuntimeErrorTestSuites;
    const skips = numPendingTests + numTodoTests;
    lines.push(`${numPassedTests} passed, ${failed} failed, ${skips} skipped`);
    // Jest prints its summary after its reporters, so print on exit to be last.
    process.once('exit', () => process.stdout.write(`${lines.join('\n')}\n`));
    setTimeout(endRun, 30_000).unref();
  }
}

/** Names what keeps the process alive after the last test, and ends it with Jest's exit code. */
function endRun() {
  const open = process.getActiveResourcesInfo().join(', ');
  process.stdout.write(`The tests have left open, 30 seconds after the last one: ${open}\n`);
  for (const handle of process._getActiveHandles()) {
    const { spawnfile, spawnargs, remoteAddress, remotePort, localPort } = handle;
    const what = spawnfile ? spawnargs.join(' ') : `${remoteAddress}:${remotePort} ${localPort}`;
    process.stdout.write(`  ${handle.constructor.name} ${what}\n`);
  }
  process.exit();
}
