import { describe, expect, it } from '@jest/globals';
import { readdir, readFile } from 'node:fs/promises';
import { rawFetch } from '../helpers/server.ts';
import { runProgram } from '../helpers/run-program.ts';

// Each example is run as a reader would run it, in a process of its own, ends by itself, and prints
// what is written at its end. Their databases are called `guide-…`.

const folder = new URL('./', import.meta.url);
const files = (await readdir(folder)).filter(
  (name) => name.endsWith('.ts') && !name.endsWith('.test.ts'),
);
const examples = await Promise.all(
  files.sort().map(async (name) => {
    const code = await readFile(new URL(name, folder), 'utf8');
    const [program = '', prints = ''] = code.split('\n// Prints:\n');
    return { name, code, program, expected: prints.replace(/^\/\/ ?/gm, '') };
  }),
);

async function removeDatabases(): Promise<void> {
  const response = await rawFetch('/_all_dbs');
  const names = ((await response.json()) as string[]).filter((name) => name.startsWith('guide-'));
  for (const name of names) {
    const removed = await rawFetch(`/${name}`, { method: 'DELETE' });
    await removed.arrayBuffer();
  }
}

describe('the examples', () => {
  it('are fifteen', () => expect(examples).toHaveLength(15));

  it.each(examples)(
    '$name runs, ends by itself, and prints what it says',
    async (example) => {
      await removeDatabases();
      const ran = await runProgram(example.name, example.code);
      await removeDatabases();
      expect(ran).toEqual({ exit: 0, output: example.expected });
    },
    50_000,
  );

  it.each(examples)('$name is of 15 to 40 lines, and says what it shows', ({ program }) => {
    const lines = program.split('\n').filter((line) => line.trim() !== '');
    expect(lines.length).toBeGreaterThanOrEqual(15);
    expect(lines.length).toBeLessThanOrEqual(40);
    expect(lines[0]).toMatch(/^\/\/ \S/);
    expect(program).not.toMatch(/\bany\b|await (?!firstValueFrom)/);
  });
});
