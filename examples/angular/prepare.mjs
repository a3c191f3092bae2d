import { spawn } from 'node:child_process';
import { cpSync, existsSync, readdirSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const here = fileURLToPath(new URL('.', import.meta.url));
const root = fileURLToPath(new URL('../../', import.meta.url));

/** Installs the packages of this example, Angular's CLI among them, and builds the application. */
export async function buildApplication(signal) {
  // npm writes this file last, so its absence shows an incomplete installation.
  if (!existsSync(join(here, 'node_modules', '.package-lock.json'))) {
    console.log('The packages of the example are not installed: running npm ci.');
    await run('npm', ['ci', '--no-audit', '--no-fund'], signal);
  }
  // npm copied the Corduroy of this checkout at installation. A later build replaces that copy.
  const copy = join(here, 'node_modules', 'corduroy');
  if (newest(join(copy, 'dist')) < newest(join(root, 'dist'))) {
    rmSync(join(copy, 'dist'), { recursive: true, force: true });
    for (const part of ['dist', 'package.json']) {
      cpSync(join(root, part), join(copy, part), { recursive: true });
    }
  }
  const sources = [join(here, 'src'), join(root, 'dist')].map(newest);
  const changed = Math.max(...sources, timeOf(join(here, 'angular.json')));
  if (timeOf(join(here, 'dist', 'index.html')) < changed) {
    console.log('The application is not built or not up to date: running ng build.');
    const ng = join(here, 'node_modules', '@angular', 'cli', 'bin', 'ng.js');
    await run(process.execPath, [ng, 'build', '--progress=false'], signal);
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

function run(command, args, signal) {
  const shell = process.platform === 'win32' && command === 'npm';
  const env = { ...process.env, NG_CLI_ANALYTICS: 'false' };
  const child = spawn(command, args, { cwd: here, stdio: 'inherit', signal, shell, env });
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('exit', (code, name) => {
      if (code === 0) return resolve();
      const message = `${command} ${args.join(' ')} failed (${name ?? `exit code ${code}`}).`;
      reject(Object.assign(new Error(message), { expected: true }));
    });
  });
}
