import { startServer } from './servers.ts';

/** One server for the whole run: its coordinates travel to the specs through the environment. */
export default async function globalSetup(): Promise<void> {
  const started = await startServer();
  const { kind, url, username, password, version } = started;
  const line = `Integration server: ${titleOf(kind, version)} (${kind}) at ${url}`;
  process.env['CORDUROY_TEST_SERVER'] = JSON.stringify({ kind, url, username, password, version });
  process.env['CORDUROY_TEST_SERVER_LINE'] = line;
  // Jest runs the teardown in this same process, but not in this same module.
  (globalThis as { corduroyTestServer?: unknown }).corduroyTestServer = started;
  process.stdout.write(`${line}\n`);
}

function titleOf(kind: string, version: string): string {
  return kind === 'embedded' ? version.replace(' (embedded)', '') : `Apache CouchDB ${version}`;
}
