import { spawn } from 'node:child_process';
import { existsSync, readdirSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../../', import.meta.url));

/** Installs the dependencies and builds Corduroy, if they are missing or out of date. */
export async function prepare(signal) {
  // npm writes this file last. Without it, the installation is incomplete.
  if (!existsSync(join(root, 'node_modules', '.package-lock.json'))) {
    console.log('The dependencies are not installed yet: running npm ci.');
    await npm(['ci', '--no-audit', '--no-fund'], signal);
  }
  const entry = join(root, 'dist', 'index.js');
  const built = timeOf(entry);
  const written = Math.max(newest(join(root, 'src')), timeOf(join(root, 'tsconfig.build.json')));
  if (built < written) {
    const why = built === 0 ? 'is not built yet' : 'has changed since it was built';
    console.log(`Corduroy ${why}: running npm run build.`);
    await npm(['run', '--silent', 'build'], signal).catch((error) => {
      // The compiler writes files even after errors. The next run must not mistake them for a build.
      rmSync(entry, { force: true });
      throw error;
    });
  }
}

function timeOf(path) {
  return statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0;
}

function newest(folder) {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .reduce((latest, file) => Math.max(latest, timeOf(join(file.parentPath, file.name))), 0);
}

/** Runs npm in the project's folder, and prints a line every five seconds. */
async function npm(args, signal) {
  const started = Date.now();
  const ticker = setInterval(() => {
    const seconds = Math.round((Date.now() - started) / 1000);
    console.log(`  npm ${args[0]} still runs after ${seconds} s`);
  }, 5_000);
  try {
    await ended(start(args, signal));
  } catch (error) {
    if (signal.aborted) throw error;
    throw expected(`npm ${args.join(' ')} failed (${error.message}).`);
  } finally {
    clearInterval(ticker);
  }
}

function start(args, signal) {
  const options = { cwd: root, stdio: 'inherit', signal };
  // Prefer the npm that runs this script: on Windows, `npm` is a batch file and needs a shell.
  const own = process.env.npm_execpath;
  if (own?.endsWith('.js')) return spawn(process.execPath, [own, ...args], options);
  return spawn('npm', args, { ...options, shell: process.platform === 'win32' });
}

function ended(child) {
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('exit', (code, signal) => {
      if (code === 0) resolve();
      else reject(new Error(signal ?? `exit code ${code}`));
    });
  });
}

/** Creates an error whose message is enough for the user, without a stack. */
function expected(message) {
  return Object.assign(new Error(message), { expected: true });
}
