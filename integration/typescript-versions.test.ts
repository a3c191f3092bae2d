import { afterAll, beforeAll, describe, expect, it, jest } from '@jest/globals';
import { execFile } from 'node:child_process';
import { cp, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { install, npm, pack } from './helpers/packed.ts';
import type { Packed } from './helpers/packed.ts';

// The declarations of the packed package, for every version of TypeScript that users have.

jest.setTimeout(120_000);

const root = fileURLToPath(new URL('../', import.meta.url));
const run = promisify(execFile);

/** The oldest version that works, those that changed much, and that of this project. */
const OTHERS = ['5.0', '5.4', '5.6', '5.8', '6.0'].map((version) => `typescript-${version}`);
const OWN = 'typescript';

const OPTIONS = {
  module: 'nodenext',
  moduleResolution: 'nodenext',
  target: 'es2022',
  strict: true,
  skipLibCheck: false,
  exactOptionalPropertyTypes: true,
  noUncheckedIndexedAccess: true,
  noEmit: true,
};

let packed: Packed;
let project: string;
let compilers: string;
beforeAll(async () => {
  packed = await pack();
  // They have a folder of their own, because the commands of all of them have the same name.
  compilers = join(packed.folder, 'compilers');
  await cp(join(root, 'integration/typescript-versions'), compilers, { recursive: true });
  await npm(compilers, 'ci', '--ignore-scripts', '--silent');
  project = join(packed.folder, 'project');
  const modules = [
    '@standard-schema/spec',
    'rxjs',
    'rxjs-for-await',
    'tslib',
    'got',
    'undici',
    'undici-types',
    '@types/node',
  ];
  await install(project, packed.unpacked, [...modules, 'expect-type']);
  await cp(join(root, 'integration/types/flow.ts'), join(project, 'flow.ts'));
  await writeFile(join(project, 'package.json'), JSON.stringify({ type: 'module' }));
  const doors = ['core', 'cross-tab', 'exact-integers', 'nats', 'testing', 'undici'];
  const imports = doors.map((door) => `import 'corduroy/${door}';\n`).join('');
  await writeFile(join(project, 'doors.ts'), `${imports}export {};\n`);
});
afterAll(() => packed?.remove());

/** Compiles the project. Returns what the compiler prints. */
async function compile(compiler: string, options: object, files: string[]): Promise<string> {
  const file = join(project, `tsconfig-${compiler}.json`);
  const config = { compilerOptions: { ...OPTIONS, ...options, types: ['node'] }, files };
  await writeFile(file, JSON.stringify(config));
  const owner = compiler === OWN ? root : compilers;
  const bin = join(owner, 'node_modules', compiler, 'bin/tsc');
  return run(process.execPath, [bin, '-p', file], { cwd: project }).then(
    ({ stdout }) => stdout,
    (error: { readonly stdout: string }) => error.stdout,
  );
}

describe.each([...OTHERS, OWN])('%s', (compiler) => {
  it('checks the declarations of every entry point, with and without the DOM', async () => {
    for (const lib of [['es2022'], ['es2022', 'dom']])
      expect(await compile(compiler, { lib }, ['doors.ts'])).toBe('');
  });

  it('reads the types that arrive, and refuses what is wrong', async () => {
    const options = { lib: ['es2022'], noUnusedLocals: false };
    expect(await compile(compiler, options, ['flow.ts'])).toBe('');
  });
});

it('includes the version that the guide names as the oldest', async () => {
  const guide = await readFile(join(root, 'docs/guide/01-first-steps.md'), 'utf8');
  const [, oldest] = /TypeScript (\d+\.\d+) or later/.exec(guide) ?? [];
  expect(OTHERS[0]).toBe(`typescript-${oldest}`);
});
