import { startServer } from './servers.ts';

/** Starts one server for the whole run. The environment passes its address to the tests. */
export default async function globalSetup(): Promise<void> {
  const started = await startServer();
  const { kind, url, username, password, version } = started;
  const line = `Integration server: ${titleOf(kind, version)} (${kind}) at ${url}`;
  process.env['CORDUROY_TEST_SERVER'] = JSON.stringify({ kind, url, username, password, version });
  process.env['CORDUROY_TEST_SERVER_LINE'] = line;
  // Jest runs the teardown in the same process, but in another module.
  (globalThis as { corduroyTestServer?: unknown }).corduroyTestServer = started;
  process.stdout.write(`${line}\n`);
}

function titleOf(kind: string, version: string): string {
  return kind === 'embedded' ? version.replace(' (embedded)', '') : `Apache CouchDB ${version}`;
}
