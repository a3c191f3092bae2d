import { afterAll, beforeAll, describe, expect, it, jest } from '@jest/globals';
import { execFile } from 'node:child_process';
import { cp, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify, stripVTControlCharacters } from 'node:util';
import { install, npm, pack } from './helpers/packed.ts';
import type { Packed } from './helpers/packed.ts';

// The testing kit as a user installs it: the packed package, in a project of each test runner.

jest.setTimeout(120_000);

const root = fileURLToPath(new URL('../', import.meta.url));
const examples = join(root, 'examples/testing');

interface Runner {
  readonly name: string;
  /** The number of tests. */
  readonly tests: number;
  /** How its last lines report the number of tests that passed. */
  readonly passed: RegExp;
}

const RUNNERS: readonly Runner[] = [
  { name: 'jest', tests: 4, passed: /^Tests:.* (\d+) passed/m },
  { name: 'vitest', tests: 4, passed: /^ *Tests .*?(\d+) passed/m },
  { name: 'node-test', tests: 4, passed: /^\S+ pass (\d+)$/m },
  { name: 'jasmine', tests: 4, passed: /^(\d+) specs, 0 failures/m },
  { name: 'angular', tests: 5, passed: /^ *Tests .*?(\d+) passed/m },
];

interface Manifest {
  readonly scripts: { readonly test: string };
  readonly dependencies: Readonly<Record<string, string>>;
  readonly devDependencies: Readonly<Record<string, string>>;
}

const readText = (...path: string[]): Promise<string> => readFile(join(...path), 'utf8');
const readManifest = async (...path: string[]): Promise<Manifest> =>
  JSON.parse(await readText(...path, 'package.json')) as Manifest;

let packed: Packed;
beforeAll(async () => {
  packed = await pack();
});
afterAll(() => packed?.remove());

/** Copies a project, and installs what its manifest lists, with the packed package. */
async function installProject(name: string, folder = name): Promise<string> {
  const project = join(packed.folder, folder);
  await cp(join(examples, name), project, { recursive: true });
  const { dependencies, devDependencies } = await readManifest(project);
  const others = await readManifest(packed.unpacked);
  const modules = new Set(
    [dependencies, devDependencies, others.dependencies].flatMap((list) => Object.keys(list)),
  );
  modules.delete('corduroy');
  await install(project, packed.unpacked, [...modules]);
  return project;
}

/** Runs the tests of a project. Returns the output, and whether they succeeded. */
async function runTests(project: string): Promise<{ ok: boolean; output: string }> {
  type Output = Awaited<ReturnType<typeof npm>>;
  const text = ({ stdout, stderr }: Output): string => stripVTControlCharacters(stdout + stderr);
  return npm(project, 'test').then(
    (output) => ({ ok: true, output: text(output) }),
    (error: Output) => ({ ok: false, output: text(error) }),
  );
}

describe.each(RUNNERS)('the project for $name', ({ name, tests, passed }) => {
  it('compiles, and all its tests pass', async () => {
    const project = await installProject(name);
    const compiler = join(project, 'node_modules/typescript/bin/tsc');
    await promisify(execFile)(process.execPath, [compiler, '--noEmit', '-p', project]);
    const { ok, output } = await runTests(project);
    expect({ ok, passed: passed.exec(output)?.[1], output }).toEqual({
      ok: true,
      passed: String(tests),
      output,
    });
  });

  it('reports tests that fail', async () => {
    const project = await installProject(name, `${name}-broken`);
    const service = join(project, 'orders.ts');
    const text = await readText(service);
    await writeFile(service, text.replace('paid: true', 'paid: false'));
    const { ok, output } = await runTests(project);
    expect({ ok, output }).toEqual({ ok: false, output: expect.stringContaining('Ann, Bob') });
  });

  it('has the versions of this repository', async () => {
    const { dependencies, devDependencies } = await readManifest(root);
    const known = { ...dependencies, ...devDependencies, corduroy: 'file:../../..' };
    const listed = await readManifest(examples, name);
    expect(known).toMatchObject({ ...listed.dependencies, ...listed.devDependencies });
  });

  it('has the same tests as the others', async () => {
    const testsOf = async (one: string): Promise<string | undefined> =>
      (await readText(examples, one, 'orders.test.ts')).split('the same for each test runner.')[1];
    expect(await testsOf(name)).toMatch(/leave the list when they are paid/);
    expect(await testsOf(name)).toBe(await testsOf('jest'));
  });
});

describe('the guide', () => {
  it('has the configuration of Jest, and the commands of each runner', async () => {
    const guide = await readText(root, 'docs/guide/14-testing.md');
    const [, configuration = ''] = /```json\n([^]*?)```/.exec(guide) ?? [];
    expect(await readManifest(examples, 'jest')).toMatchObject(JSON.parse(configuration) as object);
    for (const { name } of RUNNERS) {
      const { scripts } = await readManifest(examples, name);
      expect(guide).toContain(`\`${scripts.test}\``);
    }
  });
});
