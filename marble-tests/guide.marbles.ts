import { describe, expect, it } from '@jest/globals';
import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';

const read = (path: string): Promise<string> =>
  readFile(fileURLToPath(new URL(`../${path}`, import.meta.url)), 'utf8');

/** Removes the indentation of a text, which differs between a page and a file. */
const flush = (text: string): string => text.replace(/^[ \t]+/gm, '').trim();

const guide = await read('docs/testing.md');
const program = flush(await read('examples/testing/guide.marbles.ts'));
const snippets = [...guide.matchAll(/```ts\n([^]*?)```/g)].map(([, code]) => code as string);

describe('docs/testing.md', () => {
  it('has snippets', () => expect(snippets.length).toBeGreaterThan(12));

  it.each(snippets.map((snippet, i) => [i + 1, snippet] as const))(
    'snippet %d is part of a file that runs',
    (_, snippet) => {
      expect(program).toContain(flush(snippet));
    },
  );
});
