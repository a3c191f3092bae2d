import { describe, expect, it } from '@jest/globals';
import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { runProgram } from './helpers/run-program.ts';
import { deleteAtEnd, uniqueName } from './helpers/server.ts';

// Every program in the README is run as a reader would run it, in a process of its own, and prints
// what the README says that it prints.

const readme = await readFile(fileURLToPath(new URL('../README.md', import.meta.url)), 'utf8');
const blocks = [...readme.matchAll(/```(\w+)\n([^]*?)```/g)].map(([, language, code]) => ({
  language,
  code: code as string,
}));
const programs = blocks.flatMap((block, i) => {
  if (block.language !== 'ts') return [];
  const next = blocks[i + 1];
  return [{ code: block.code, output: next?.language === 'text' ? next.code : undefined }];
});

describe('the programs of the README', () => {
  it('are there', () => expect(programs.length).toBeGreaterThanOrEqual(5));

  it.each(programs.map((program, i) => [i + 1, program] as const))(
    'number %d runs, ends by itself, and prints what is said',
    async (number, { code, output }) => {
      // A database of its own: a given server may have one that is called as the reader's.
      const name = deleteAtEnd(uniqueName('pets'));
      const ran = await runProgram(`readme-${number}`, code.replaceAll("'pets'", `'${name}'`));
      if (output === undefined) expect(ran.output).toMatch(/^changed: \{[^]*name: 'Ada'/);
      else expect(ran.output).toBe(output);
      expect(ran.exit).toBe(0);
    },
    50_000,
  );
});
