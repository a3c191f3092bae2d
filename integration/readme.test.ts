import { beforeAll, describe, expect, it } from '@jest/globals';
import { build } from 'esbuild';
import { spawn } from 'node:child_process';
import { mkdir, readFile, rm } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { rawFetch, server } from './helpers/server.ts';

// Every program in the README is run as a reader would run it, in a process of its own, and prints
// what the README says that it prints.

const root = new URL('../', import.meta.url);
const path = (name: string): string => fileURLToPath(new URL(name, root));
const readme = await readFile(path('README.md'), 'utf8');
const blocks = [...readme.matchAll(/```(\w+)\n([^]*?)```/g)].map(([, language, code]) => ({
  language,
  code: code as string,
}));
const programs = blocks.flatMap((block, i) => {
  if (block.language !== 'ts') return [];
  const next = blocks[i + 1];
  return [{ code: block.code, output: next?.language === 'text' ? next.code : undefined }];
});

async function run(name: string, code: string): Promise<{ exit: number | null; output: string }> {
  const file = path(`node_modules/.cache/corduroy-readme/${name}.mjs`);
  await build({
    stdin: {
      // The reader's server has another address.
      contents: code
        .replaceAll('http://admin:password@127.0.0.1:5984', server.authenticatedUrl)
        .replaceAll('http://127.0.0.1:5984', server.url)
        .replaceAll("['admin', 'password']", JSON.stringify([server.username, server.password])),
      loader: 'ts',
      resolveDir: path('.'),
    },
    bundle: true,
    format: 'esm',
    platform: 'node',
    packages: 'external',
    alias: { corduroy: path('src/index.ts') },
    outfile: file,
  });
  const child = spawn(process.execPath, [file]);
  let output = '';
  child.stdout.on('data', (chunk) => (output += String(chunk)));
  child.stderr.on('data', (chunk) => (output += String(chunk)));
  const exit = await new Promise<number | null>((resolve) => child.on('exit', resolve));
  return { exit, output };
}

describe('the programs of the README', () => {
  beforeAll(() => mkdir(path('node_modules/.cache/corduroy-readme'), { recursive: true }));

  it('are there', () => expect(programs.length).toBeGreaterThanOrEqual(5));

  it.each(programs.map((program, i) => [i + 1, program] as const))(
    'number %d runs, ends by itself, and prints what is said',
    async (number, { code, output }) => {
      await rawFetch('/pets', { method: 'DELETE' });
      const ran = await run(`program-${number}`, code);
      if (output === undefined) expect(ran.output).toMatch(/^changed: \{[^]*name: 'Ada'/);
      else expect(ran.output).toBe(output);
      expect(ran.exit).toBe(0);
      await rawFetch('/pets', { method: 'DELETE' });
      await rm(path(`node_modules/.cache/corduroy-readme/program-${number}.mjs`));
    },
    20_000,
  );
});
