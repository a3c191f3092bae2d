import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { transform } from 'esbuild';
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { findNatsServer, startNatsServer } from './helpers/nats-server.ts';
import type { NatsServer } from './helpers/nats-server.ts';
import { runProgram } from './helpers/run-program.ts';
import type { ProgramRun } from './helpers/run-program.ts';
import { deleteAtEnd, needs, uniqueName } from './helpers/server.ts';

// Every program of the README and the guide runs as a reader would run it: in a process, twice in a
// row against the same database. Both runs must print the text that the page shows below the program.

const root = fileURLToPath(new URL('../', import.meta.url));
const pages = (await readdir(join(root, 'docs/guide'))).sort();
const texts = new Map<string, string>();
for (const path of ['README.md', 'docs/README.md', ...pages.map((name) => `docs/guide/${name}`)])
  texts.set(path, await readFile(join(root, path), 'utf8'));

interface Program {
  /** Page and line. */
  readonly name: string;
  readonly code: string;
  /** The text block that follows; undefined if the page shows none. */
  readonly output: string | undefined;
}

interface Block {
  readonly name: string;
  readonly language: string | undefined;
  readonly code: string;
}

const blocks = [...texts].flatMap(([path, text]) =>
  [...text.matchAll(/^```(\w+)\n([^]*?)^```/gm)].map(
    ({ 1: language, 2: code = '', index }): Block => {
      const line = text.slice(0, index).split('\n').length;
      return { name: `${path}:${line}`, language, code };
    },
  ),
);
const programs = blocks.flatMap(({ name, language, code }, i): Program[] => {
  if (language !== 'ts') return [];
  const next = blocks[i + 1];
  return [{ name, code, output: next?.language === 'text' ? next.code : undefined }];
});
const fragments = blocks.filter(({ language }) => language === 'js');

/** A database as a program opens it: `couch.db<Pet>('pets', …)`. */
const OPENED = /\b((?:db|use|Database)(?:<[^()]*>)?\(\s*)'([a-z][a-z0-9-]*)'/g;

/** Gives the databases that a program opens names that a given server does not have yet. */
function withFreshDatabases(code: string): string {
  const fresh = new Map<string, string>();
  return code.replace(OPENED, (_all, call: string, name: string) => {
    const known = fresh.get(name) ?? deleteAtEnd(uniqueName(name));
    fresh.set(name, known);
    return `${call}'${known}'`;
  });
}

/** The address of a NATS server in the programs of the documentation. */
const NATS_ADDRESS = '127.0.0.1:4222';
const usesNats = ({ code }: Program): boolean => code.includes(NATS_ADDRESS);
let nats: NatsServer | undefined;

async function runTwice(chosen: Program): Promise<readonly ProgramRun[]> {
  const { name, code } = chosen;
  const file = name.replace(/\W+/g, '-');
  if (usesNats(chosen)) nats ??= await startNatsServer();
  const address = nats?.address ?? NATS_ADDRESS;
  const program = withFreshDatabases(code).replaceAll(NATS_ADDRESS, address);
  return [await runProgram(file, program), await runProgram(file, program)];
}

const runs = new Map<number, Promise<readonly ProgramRun[]>>();

/** Starts a program, and the next one beside it. */
async function run(place: number): Promise<readonly ProgramRun[]> {
  for (const at of [place, place + 1]) {
    const program = programs[at];
    if (program === undefined || runs.has(at)) continue;
    if (usesNats(program) && findNatsServer() === undefined) continue;
    const ran = runTwice(program);
    // The test of that program reports it.
    ran.catch(() => {});
    runs.set(at, ran);
  }
  return runs.get(place) ?? [];
}

describe('the programs of the README and the guide', () => {
  it('are there', () => {
    expect(programs.length).toBeGreaterThanOrEqual(30);
    expect(programs.filter(({ name }) => name.startsWith('README')).length).toBeGreaterThan(0);
  });

  afterAll(() => nats?.stop());

  for (const [place, program] of programs.entries()) {
    const { name, output } = program;
    const specify = usesNats(program) ? needs('nats-server') : it;
    specify(
      `${name} runs twice, ends by itself, and prints what the page shows`,
      async () => {
        const [first, second] = await run(place);
        expect(first).toEqual({ exit: 0, output: output ?? expect.stringMatching(/\S/) });
        expect(second).toEqual(first);
      },
      100_000,
    );
  }
});

describe('the code of the README and the guide', () => {
  const folder = join(root, 'node_modules/.cache/corduroy-guide-types');

  beforeAll(async () => {
    await rm(folder, { recursive: true, force: true });
    await mkdir(folder, { recursive: true });
    for (const { name, code } of programs)
      await writeFile(join(folder, `${name.replace(/\W+/g, '-')}.ts`), code);
    const paths = {
      corduroy: ['../../../src/index.ts'],
      'corduroy/*': ['../../../src/*/index.ts', '../../../src/*.ts'],
      'corduroy/cross-tab': ['../../../src/changes/cross-tab.ts'],
    };
    // The settings of a reader who writes strict TypeScript.
    const compilerOptions = {
      target: 'es2022',
      module: 'nodenext',
      strict: true,
      // The sources that `paths` names need it.
      exactOptionalPropertyTypes: true,
      noUncheckedIndexedAccess: true,
      allowImportingTsExtensions: true,
      skipLibCheck: true,
      noEmit: true,
      types: ['node'],
      lib: ['es2022', 'dom', 'dom.iterable', 'dom.asynciterable', 'esnext.disposable'],
      paths,
    };
    const config = { compilerOptions, include: ['*.ts'] };
    await writeFile(join(folder, 'tsconfig.json'), JSON.stringify(config));
    await writeFile(join(folder, 'package.json'), '{ "type": "module" }');
  });

  it('compiles', () => {
    const tsc = join(root, 'node_modules/typescript/bin/tsc');
    const { stdout } = spawnSync(process.execPath, [tsc, '-p', folder], { encoding: 'utf8' });
    expect(stdout).toBe('');
  }, 60_000);

  it.each(fragments)('$name can be parsed', async ({ code }) => {
    const { warnings } = await transform(code, { loader: 'ts', format: 'esm' });
    expect(warnings).toEqual([]);
  });
});

describe('the pages', () => {
  it.each([...texts])('%s links only to files and headings that exist', async (path, text) => {
    const prose = text.replace(/^```[^]*?^```/gm, '');
    for (const [, link = ''] of prose.matchAll(/\]\(([^)\s]+)\)/g)) {
      if (/^https?:/.test(link)) continue;
      const [file = '', heading] = link.split('#');
      const target = file === '' ? join(root, path) : join(root, dirname(path), file);
      expect({ link, exists: existsSync(target) }).toEqual({ link, exists: true });
      if (heading === undefined) continue;
      const anchors = [...(await readFile(target, 'utf8')).matchAll(/^#+ (.*)$/gm)].map(
        ([, title = '']) => anchorOf(title),
      );
      expect(anchors).toContain(heading);
    }
  });

  it.each(pages.slice(0, -1).map((name, i) => [name, pages[i + 1] as string]))(
    '%s leads to %s',
    (name, next) => {
      const last = texts.get(`docs/guide/${name}`)?.trimEnd().split('\n').at(-1);
      expect(last).toMatch(new RegExp(`^Next: \\[[^\\]]+\\]\\(${next}\\)$`));
    },
  );

  it.each(pages)('%s is in the contents', (name) => {
    expect(texts.get('docs/README.md')).toContain(`(guide/${name})`);
  });
});

/** The anchor that GitHub makes of a heading. */
function anchorOf(title: string): string {
  return title
    .toLowerCase()
    .replace(/[^\p{L}\p{N}\s_-]/gu, '')
    .replace(/\s/g, '-');
}
