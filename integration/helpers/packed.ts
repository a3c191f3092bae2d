import { execFile } from 'node:child_process';
import { cp, mkdir, mkdtemp, readFile, realpath, rm, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const root = fileURLToPath(new URL('../../', import.meta.url));
const run = promisify(execFile);

/** The package as npm packs it. */
export interface Packed {
  /** A temporary folder for projects that install the package. */
  readonly folder: string;
  /** The folder with the unpacked package. */
  readonly unpacked: string;
  /** The paths of its files. */
  readonly files: readonly string[];
  /** Deletes the folder. */
  remove(): Promise<void>;
}

/** Packs the package in a temporary folder. */
export async function pack(): Promise<Packed> {
  const folder = await realpath(await mkdtemp(join(tmpdir(), 'corduroy-package-')));
  const remove = (): Promise<void> => rm(folder, { recursive: true, force: true });
  try {
    return { folder, ...(await packInto(folder)), remove };
  } catch (error) {
    await remove();
    throw error;
  }
}

/** Packs in a copy of the project, because other tests use the build in the project's folder. */
async function packInto(folder: string): Promise<Pick<Packed, 'unpacked' | 'files'>> {
  const copy = join(folder, 'copy');
  const ignored = new Set(['node_modules', 'dist', '.git', '.angular', 'coverage']);
  await cp(root, copy, { recursive: true, filter: (path) => !ignored.has(basename(path)) });
  await symlink(join(root, 'node_modules'), join(copy, 'node_modules'), 'junction');
  const { stdout } = await npm(copy, 'pack', '--json', '--silent');
  const [packed] = JSON.parse(stdout) as [{ filename: string; files: { path: string }[] }];
  await run('tar', ['-xzf', packed.filename], { cwd: copy });
  return { unpacked: join(copy, 'package'), files: packed.files.map(({ path }) => path) };
}

/** Runs npm in a folder. Rejects if it fails, or after a minute: the error has the output. */
export function npm(cwd: string, ...args: string[]): Promise<{ stdout: string; stderr: string }> {
  const path = process.env['npm_execpath'];
  const [command, first] = path === undefined ? ['npm', []] : [process.execPath, [path]];
  const shell = process.platform === 'win32' && path === undefined;
  return run(command, [...first, ...args], { cwd, shell, timeout: 60_000 });
}

/**
 * Installs the package and other modules in a project, with the commands of the modules. The other
 * modules are links to those of this project.
 */
export async function install(
  project: string,
  unpacked: string,
  modules: readonly string[],
): Promise<void> {
  const target = join(project, 'node_modules');
  await mkdir(join(target, '.bin'), { recursive: true });
  await cp(unpacked, join(target, 'corduroy'), { recursive: true });
  for (const module of modules) {
    const source = join(root, 'node_modules', module);
    await mkdir(dirname(join(target, module)), { recursive: true });
    await symlink(source, join(target, module), 'junction');
    for (const [name, path] of Object.entries(await commandsOf(source)))
      await symlink(join(source, path), join(target, '.bin', name));
  }
}

/** Returns the commands of a module, with their files. */
async function commandsOf(module: string): Promise<Readonly<Record<string, string>>> {
  const text = await readFile(join(module, 'package.json'), 'utf8').catch(() => '{}');
  const { name = '', bin = {} } = JSON.parse(text) as {
    name?: string;
    bin?: string | Record<string, string>;
  };
  return typeof bin === 'string' ? { [basename(name)]: bin } : bin;
}
