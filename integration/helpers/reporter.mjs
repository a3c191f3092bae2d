// After Jest's own summary: what was skipped and why, against which server, and the count.

export default class SkipReporter {
  onRunComplete(_contexts, { testResults, numPassedTests, numFailedTests, ...counts }) {
    const { numPendingTests, numTodoTests, numRuntimeErrorTestSuites } = counts;
    const tests = testResults.flatMap((file) => file.testResults);
    // Under a name pattern everything else is pending too, and nobody wants a list of it.
    const skipped = tests.filter(
      ({ status, title }) => status === 'pending' && /\(skipped: /.test(title),
    );
    const lines = skipped.map(({ fullName }) => `  skipped ${fullName}`);
    if (lines.length > 0) lines.unshift('', `Skipped, with the reason:`);
    const server = process.env.CORDUROY_TEST_SERVER_LINE;
    if (server) lines.push('', server);
    // A file that could not even be loaded has no tests to count, and must not look like none.
    const failed = numFailedTests + numRuntimeErrorTestSuites;
    const skips = numPendingTests + numTodoTests;
    lines.push(`${numPassedTests} passed, ${failed} failed, ${skips} skipped`);
    // Jest prints its own summary after its reporters have run; the count is to be the last line.
    process.once('exit', () => process.stdout.write(`${lines.join('\n')}\n`));
  }
}
