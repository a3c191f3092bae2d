/**
 * Builds the package before `npm pack`, also in a fresh clone: installs the development dependencies
 * first if they are missing.
 */
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));

// `npm pack --dry-run` and `--json` set these for its scripts: they must not change the commands here.
const env = { ...process.env };
for (const name of Object.keys(env)) {
  if (/^npm_config_(dry_run|json|pack_destination|ignore_scripts)$/i.test(name)) delete env[name];
}

/** Runs npm with its output on stderr: `npm pack` prints the name of its file on stdout. */
function npm(...args) {
  const [command, first] = process.env.npm_execpath
    ? [process.execPath, [process.env.npm_execpath]]
    : ['npm', []];
  const { status } = spawnSync(command, [...first, ...args], {
    cwd: root,
    env,
    stdio: ['ignore', 2, 2],
  });
  if (status !== 0) process.exit(status ?? 1);
}

if (['typescript', 'rolldown'].some((name) => !existsSync(`${root}/node_modules/${name}`))) {
  npm('ci', '--ignore-scripts', '--no-audit', '--no-fund');
}
npm('run', '--silent', 'build');
