import { spawn } from 'node:child_process';
import { existsSync, readdirSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../../', import.meta.url));

/** Installs and builds what is missing or out of date; does nothing, quickly, where nothing is. */
export async function prepare(signal) {
  // npm writes this file last: without it an installation was broken off.
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
      // The compiler writes files in spite of errors: they are not to pass for a build next time.
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

/** Runs npm in the project's folder, and shows that it is still at it. */
async function npm(args, signal) {
  const started = Date.now();
  const ticker = setInterval(() => {
    const seconds = Math.round((Date.now() - started) / 1000);
    console.log(`  npm ${args[0]} goes on … ${seconds} s`);
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
  // The npm that runs this script, where there is one: on Windows `npm` alone is not a program.
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

/** An error whose message says all there is to say. */
function expected(message) {
  return Object.assign(new Error(message), { expected: true });
}
