import { afterEach, describe, expect, it } from '@jest/globals';
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

// `npm run words` finds wording that readers stumble over, in a project that is made for each test.

const script = fileURLToPath(new URL('../scripts/check-words.mjs', import.meta.url));
const projects: string[] = [];

/** Runs the check over a project of these files. */
function check(files: Readonly<Record<string, string>>): { exit: number | null; lines: string[] } {
  const project = mkdtempSync(join(tmpdir(), 'corduroy-words-'));
  projects.push(project);
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(dirname(join(project, name)), { recursive: true });
    writeFileSync(join(project, name), text);
  }
  const { status, stdout } = spawnSync(process.execPath, [script, project], { encoding: 'utf8' });
  return { exit: status, lines: stdout.split('\n').filter((line) => line !== '') };
}

afterEach(() => {
  for (const project of projects.splice(0)) rmSync(project, { recursive: true });
});

describe('the check of words', () => {
  it.each([
    ['indefinite person', 'There is nobody on the line.'],
    ['indefinite person', 'The user for whom it runs.'],
    ['archaism', 'A subscription begins anew.'],
    ['archaism', 'Each caller has a result of its own.'],
    ['passive', 'The server is asked again.'],
    ['passive', 'That `_rev` is seen to.'],
    ['causative', 'Reads a document, has it changed, and writes it.'],
    ['saying', 'Purging is for good. Think twice.'],
    ['free relative', 'It fails. What passes by itself is retried.'],
    ['free relative', 'Who unsubscribes loses no edits.'],
    ['free relative', '- Where that cannot be told, Corduroy reads.'],
  ])('reports %s in a guide: %s', (rule, sentence) => {
    const { exit, lines } = check({
      'docs/guide/01.md': `# Guide\n\nA clean line.\n${sentence}\n`,
    });
    expect(lines).toHaveLength(1);
    expect(lines[0]).toMatch(new RegExp(`^docs/guide/01\\.md:4 ${rule}: \\w`));
    expect(exit).toBe(1);
  });

  it('finds a phrase that a line break divides', () => {
    const { lines } = check({ 'README.md': 'The server is\nasked again.\n' });
    expect(lines).toEqual(['README.md:1 passive: is asked']);
  });

  it('reports sentences of more than 25 words, in the README and the guide alone', () => {
    const sentence = (words: number): string => `${'word '.repeat(words - 1)}word.\n`;
    const { lines } = check({
      'README.md': sentence(26),
      'docs/guide/01.md': `${sentence(25)}\n- ${sentence(26)}`,
      'docs/seed.md': sentence(26),
    });
    expect(lines).toEqual([
      expect.stringMatching(/^README\.md:1 26 words: word/),
      expect.stringMatching(/^docs\/guide\/01\.md:3 26 words: word/),
    ]);
  });

  it('reads the comments and the strings of a program, and not its code', () => {
    const { exit, lines } = check({
      'src/one.ts': [
        'const nobody = /whom/;',
        "const besides = `${nobody.test('whom')}`;",
        '/**',
        ' * Reads a document.',
        ' *',
        ' * @param id - Who asks.',
        ' * @example',
        ' * somebody.subscribe();',
        ' */',
        '// The server,',
        '// which is told.',
        "throw new Error('there is nobody here');",
        'throw new Error(`${nobody} begins anew`);',
      ].join('\n'),
    });
    expect(lines).toEqual([
      'src/one.ts:6 free relative: Who asks.',
      'src/one.ts:11 passive: is told',
      'src/one.ts:12 indefinite person: nobody',
      'src/one.ts:13 archaism: anew',
    ]);
    expect(exit).toBe(1);
  });

  it('reads the text of pages in examples', () => {
    const { lines } = check({
      'examples/page.html': '<style>.nobody {}</style>\n<p title="whom">\nNobody is here.</p>\n',
    });
    expect(lines).toEqual(['examples/page.html:3 indefinite person: Nobody']);
  });

  it('passes questions, code, quotations, and columns that cite', () => {
    const { exit, lines } = check({
      'README.md': [
        '# What does it do?',
        '',
        'CouchDB answers "You are told to wait", and `nobody` is an id.',
        'Corduroy asks the server, and [tells](https://example.org/whom "Somebody") it.',
        'The feed requests the changes for which it has a filter. What is next?',
        '',
        '```ts',
        '// What nobody is told.',
        '```',
        '',
        '| Not | But | Test |',
        '| --- | --- | --- |',
        '| Who asks | The user | is asked by nobody |',
      ].join('\n'),
    });
    expect(lines).toEqual([]);
    expect(exit).toBe(0);
  });
});
