import { describe, expect, it } from '@jest/globals';
import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';

const read = (path: string): Promise<string> =>
  readFile(fileURLToPath(new URL(`../${path}`, import.meta.url)), 'utf8');

/** Removes the indentation, which differs between the page and the file. */
const flush = (text: string): string => text.replace(/^[ \t]+/gm, '').trim();

const all = async (paths: readonly string[]): Promise<string> =>
  (await Promise.all(paths.map(read))).join('\n');

const guide = await all([
  'docs/guide/14-testing.md',
  'docs/guide/21-test-a-service.md',
  'docs/testing-failures.md',
]);
const program = flush(
  await all([
    'examples/service/orders.ts',
    'examples/service/orders.tests.ts',
    'examples/testing/angular/orders.test.ts',
    'examples/testing/guide.marbles.ts',
    'examples/testing/service.marbles.ts',
  ]),
);
const snippets = [...guide.matchAll(/```typescript\n([^]*?)```/g)].map(
  ([, code]) => code as string,
);

describe('the guide on testing', () => {
  it('has snippets', () => expect(snippets.length).toBeGreaterThan(24));

  it.each(snippets.map((snippet, i) => [i + 1, snippet] as const))(
    'snippet %d is part of a file that runs',
    (_, snippet) => {
      expect(program).toContain(flush(snippet));
    },
  );
});
