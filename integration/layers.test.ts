import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { Couch, Database } from 'corduroy';
import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

// The linter enforces the layers: each folder of `src` imports only lower layers, also for types.

const root = fileURLToPath(new URL('../', import.meta.url));

const http = ['model', 'errors', 'operators', 'http'];
const siblings = ['server', 'documents', 'queries', 'changes'];
const LAYERS: Readonly<Record<string, readonly string[]>> = {
  model: [],
  errors: ['model'],
  operators: ['model', 'errors'],
  http: ['model', 'errors', 'operators'],
  ...Object.fromEntries(siblings.map((layer) => [layer, http])),
  conflicts: [...http, ...siblings],
  live: [...http, 'documents', 'queries', 'changes', 'conflicts'],
  groups: [...http, ...siblings, 'conflicts'],
};
const FOLDERS = [...Object.keys(LAYERS), 'testing', 'angular', 'opentelemetry', 'nats', 'relay'];

interface Diagnostic {
  readonly code: string;
  readonly filename: string;
}

/** Lints files in a temporary folder with the project's configuration. */
async function lint(files: Readonly<Record<string, string>>): Promise<readonly Diagnostic[]> {
  const folder = await mkdtemp(join(tmpdir(), 'corduroy-layers-'));
  folders.push(folder);
  const config = JSON.parse(await readFile(join(root, '.oxlintrc.json'), 'utf8')) as object;
  Reflect.deleteProperty(config, '$schema');
  await writeFile(join(folder, '.oxlintrc.json'), JSON.stringify(config));
  for (const [name, code] of Object.entries(files)) {
    await mkdir(join(folder, dirname(name)), { recursive: true });
    await writeFile(join(folder, name), code);
  }
  const output = await new Promise<string>((resolve) => {
    const command = join(root, 'node_modules/oxlint/bin/oxlint');
    const options = ['-c', '.oxlintrc.json', '--format', 'json', 'src'];
    // Findings make the exit code 1, so the code is ignored.
    execFile(process.execPath, [command, ...options], { cwd: folder }, (_, text) => resolve(text));
  });
  return (JSON.parse(output) as { readonly diagnostics: readonly Diagnostic[] }).diagnostics;
}

const folders: string[] = [];
afterAll(async () => {
  for (const folder of folders) await rm(folder, { recursive: true });
});

describe('the layers', () => {
  let refused: ReadonlySet<string>;

  beforeAll(async () => {
    const files = Object.keys(LAYERS).flatMap((from) =>
      FOLDERS.filter((to) => to !== from).flatMap((to) => [
        [`src/${from}/value-${to}.ts`, `import { a } from '../${to}/a.ts';\nexport const b = a;\n`],
        [
          `src/${from}/type-${to}.ts`,
          `import type { A } from '../${to}/a.ts';\nexport type B = A;\n`,
        ],
      ]),
    );
    const facades = Object.keys(LAYERS).map((from) => [
      `src/${from}/value-facade.ts`,
      `import { Couch } from '../couch.ts';\nexport const b = Couch;\n`,
    ]);
    const found = await lint(Object.fromEntries([...files, ...facades]) as Record<string, string>);
    refused = new Set(
      found
        .filter(({ code }) => code.includes('no-restricted-imports'))
        .map(({ filename }) => filename),
    );
  });

  it.each(Object.entries(LAYERS))('%s imports only %j', (from, allowed) => {
    for (const to of FOLDERS.filter((folder) => folder !== from)) {
      for (const kind of ['value', 'type']) {
        const file = `src/${from}/${kind}-${to}.ts`;
        expect([file, refused.has(file)]).toEqual([file, !allowed.includes(to)]);
      }
    }
    expect(refused.has(`src/${from}/value-facade.ts`)).toBe(true);
  });

  it('have no import cycle, not even of types', async () => {
    const found = await lint({
      'src/model/one.ts': `import type { Two } from './two.ts';\nexport type One = Two[];\n`,
      'src/model/two.ts': `import type { One } from './one.ts';\nexport type Two = One[];\n`,
    });
    expect(found.map(({ code }) => code)).toContainEqual(expect.stringContaining('no-cycle'));
  });

  it('are of at most 230 files without the CouchDB of tests, a quarter of them under 60 lines', async () => {
    const names = await readdir(join(root, 'src'), { recursive: true });
    const files = names.filter((name) => name.endsWith('.ts'));
    const texts = await Promise.all(files.map((name) => readFile(join(root, 'src', name), 'utf8')));
    const small = texts.filter((text) => text.split('\n').length <= 60);
    const published = files.filter((name) => !name.startsWith('testing/memory/'));
    expect(published.length).toBeLessThanOrEqual(230);
    expect(small.length / files.length).toBeLessThanOrEqual(0.25);
  });
});

describe('docs/architecture.md', () => {
  it('names every folder, and only files that are there', async () => {
    const text = await readFile(join(root, 'docs/architecture.md'), 'utf8');
    const names = await readdir(join(root, 'src'), { recursive: true });
    for (const folder of FOLDERS) expect(text).toContain(`\`${folder}/\``);
    const files = new Set(names.map((name) => name.split('/').at(-1)));
    const named = [...text.matchAll(/`(src\/)?((?!integration\/|marble-tests\/)[\w/.-]+\.ts)`/g)];
    expect(named.length).toBeGreaterThan(40);
    for (const [, path, name = ''] of named) {
      expect([name, path === undefined ? files.has(name) : names.includes(name)]).toEqual([
        name,
        true,
      ]);
    }
  });
});

describe('the facades', () => {
  /** The methods and getters of an object, including inherited ones. */
  function members(object: object): readonly string[] {
    const names = new Set<string>();
    for (
      let prototype = Object.getPrototypeOf(object) as object;
      prototype !== Object.prototype;
      prototype = Object.getPrototypeOf(prototype) as object
    ) {
      for (const name of Object.getOwnPropertyNames(prototype)) names.add(name);
    }
    for (const name of ['constructor', 'name', 'url', 'toString']) names.delete(name);
    return [...names].sort();
  }

  it('Database has these members, at most 49', () => {
    const names = members(new Database('pets'));
    expect(names).toMatchSnapshot();
    expect(names.length).toBeLessThanOrEqual(49);
  });

  it('Couch has these members, at most 34', () => {
    const names = members(new Couch());
    expect(names).toMatchSnapshot();
    expect(names.length).toBeLessThanOrEqual(34);
  });

  it('return the same group object each time', () => {
    const [couch, db] = [new Couch(), new Database('pets')];
    for (const name of ['local', 'designs', 'indexes', 'revs', 'search', 'upkeep'] as const) {
      expect(db[name]).toBe(db[name]);
    }
    for (const name of ['users', 'replicator', 'cluster', 'scheduler'] as const) {
      expect(couch[name]).toBe(couch[name]);
    }
  });
});
