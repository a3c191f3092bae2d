import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync, readdirSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const bench = fileURLToPath(new URL('..', import.meta.url));
const root = dirname(bench.replace(/\/$/, ''));

/** The imports to measure, and their installed packages. */
export const imports = {
  corduroy: { from: join(root, 'dist/index.js'), package: root },
  'corduroy, undici': { from: join(root, 'dist/undici.js'), package: root, also: ['undici'] },
  nano: { from: 'nano', also: ['nano'] },
  cloudant: { from: '@ibm-cloud/cloudant', also: ['@ibm-cloud/cloudant'] },
  pouchdb: {
    from: 'pouchdb-core',
    also: ['pouchdb-core', 'pouchdb-adapter-http', 'pouchdb-mapreduce'],
  },
  got: { from: 'got', also: ['got'] },
  undici: { from: 'undici', also: ['undici'] },
};

/** Imports a module in a new process. Returns the time in milliseconds. */
export function importTime(name) {
  const { from } = imports[name];
  const code = `const t = performance.now(); await import(${JSON.stringify(from)}); process.stdout.write(String(performance.now() - t));`;
  const out = execFileSync(process.execPath, ['--input-type=module', '-e', code], { cwd: bench });
  return Number(out);
}

/** Returns the installed bytes and the number of packages, including dependencies and peers. */
export function installed(name) {
  const { package: own, also = [] } = imports[name];
  const found = new Map();
  if (own !== undefined) {
    const { files, dependencies, peerDependencies, peerDependenciesMeta = {} } = manifest(own);
    found.set(
      own,
      files.reduce((sum, file) => sum + size(join(own, file)), 0),
    );
    const peers = Object.keys(peerDependencies).filter(
      (peer) => !peerDependenciesMeta[peer]?.optional,
    );
    for (const one of [...Object.keys(dependencies), ...peers]) gather(one, own, found);
  }
  for (const one of also) gather(one, bench, found);
  const bytes = [...found.values()].reduce((sum, value) => sum + value, 0);
  return { bytes, packages: found.size };
}

function gather(name, from, found) {
  const folder = resolve(name, from);
  if (folder === undefined || found.has(folder)) return;
  found.set(folder, size(folder));
  for (const next of Object.keys(manifest(folder).dependencies ?? {})) gather(next, folder, found);
}

function resolve(name, from) {
  for (let folder = from; ; folder = dirname(folder)) {
    const place = join(folder, 'node_modules', name);
    if (existsSync(join(place, 'package.json'))) return place;
    if (dirname(folder) === folder) return undefined;
  }
}

function manifest(folder) {
  return JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'));
}

/** Excludes nested packages, which are counted separately. */
function size(path) {
  if (!existsSync(path)) return 0;
  const stat = statSync(path);
  if (stat.isFile()) return stat.size;
  return readdirSync(path)
    .filter((name) => name !== 'node_modules')
    .reduce((sum, name) => sum + size(join(path, name)), 0);
}
