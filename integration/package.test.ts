// The compiler must be imported first, because Angular's packages are compiled as they load.
import '@angular/compiler';
import { afterAll, beforeAll, describe, expect, it, jest } from '@jest/globals';
import { build } from 'esbuild';
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { readFile, readdir } from 'node:fs/promises';
import { createServer } from 'node:http';
import { SourceMap } from 'node:module';
import type { AddressInfo } from 'node:net';
import type { SourceMapPayload } from 'node:module';
import { dirname, join, resolve } from 'node:path';
import { promisify } from 'node:util';
import * as angular from '../src/angular/index.ts';
import * as tabs from '../src/changes/cross-tab.ts';
import * as core from '../src/core.ts';
import * as integers from '../src/exact-integers.ts';
import * as browser from '../src/index.browser.ts';
import * as node from '../src/index.ts';
import * as nats from '../src/nats/index.ts';
import * as relay from '../src/relay/index.ts';
import * as telemetry from '../src/opentelemetry/index.ts';
import * as testing from '../src/testing/index.ts';
import * as undici from '../src/undici.ts';
import { startLanguageServer } from './helpers/language-server.ts';
import type { LanguageServer } from './helpers/language-server.ts';
import { install, pack } from './helpers/packed.ts';
import type { Packed } from './helpers/packed.ts';

// The package as npm packs it, in a project that has installed it.

jest.setTimeout(120_000);

const run = promisify(execFile);

let packed: Packed;
/** A project with all dependencies of the package. */
let project: string;
let installed: string;

beforeAll(async () => {
  packed = await pack();
  const modules = [
    '@standard-schema/spec',
    'rxjs',
    'rxjs-for-await',
    'tslib',
    'got',
    'mime',
    'undici',
    '@angular',
    '@nats-io',
    '@opentelemetry',
  ];
  project = join(packed.folder, 'project');
  await install(project, packed.unpacked, modules);
  installed = join(project, 'node_modules', 'corduroy');
});
afterAll(() => packed?.remove());

/** Runs a module in a new process, and returns what it prints, decoded from JSON. */
async function runIn(cwd: string, code: string, ...options: string[]): Promise<unknown> {
  const args = [...options, '--input-type=module', '-e', code];
  const { stdout } = await run(process.execPath, args, { cwd });
  return JSON.parse(stdout);
}

const entryPoints: Readonly<Record<string, object>> = {
  corduroy: node,
  'corduroy/core': core,
  'corduroy/cross-tab': tabs,
  'corduroy/exact-integers': integers,
  'corduroy/nats': nats,
  'corduroy/opentelemetry': telemetry,
  'corduroy/relay': relay,
  'corduroy/testing': testing,
  'corduroy/undici': undici,
};

describe('the command', () => {
  it('starts a relay, which ends its feeds at SIGTERM', async () => {
    const command = join(installed, 'dist', 'cli.js');
    const upstream = createServer((_request, response) => {
      response.writeHead(200, { 'content-type': 'application/json' });
      response.end('{"ok":true,"userCtx":{"name":null,"roles":[]},"last_seq":"0","results":[]}');
    });
    upstream.listen(0, '127.0.0.1');
    await once(upstream, 'listening');
    const { port } = upstream.address() as AddressInfo;
    const child = spawn(process.execPath, [
      command,
      'relay',
      `http://127.0.0.1:${port}`,
      '--port',
      '0',
    ]);
    let text = '';
    child.stderr.on('data', (part) => (text += String(part)));
    const ended = once(child, 'exit');
    while (!text.includes(' at http://')) await once(child.stderr, 'data');
    const url = / at (http:\S+)/.exec(text)?.[1] ?? '';
    expect(await (await fetch(`${url}/_relay/up`)).json()).toEqual({ status: 'ok' });
    child.kill('SIGTERM');
    expect(await ended).toEqual([0, null]);
    const taken = [command, 'relay', `http://127.0.0.1:${port}`, '--port', String(port)];
    const failed = await run(process.execPath, taken).catch((error: unknown) => error);
    expect(failed).toMatchObject({
      code: 1,
      stderr: expect.stringContaining(`port ${port} of 127.0.0.1 is in use`),
    });
    upstream.closeAllConnections();
    upstream.close();
  });

  it('prints its help, and what is wrong with its arguments', async () => {
    const command = join(installed, 'dist', 'cli.js');
    const { stdout } = await run(process.execPath, [command, '--help']);
    expect(stdout).toMatch(/^Usage: npx corduroy relay URL/);
    const failed = await run(process.execPath, [command, 'relay']).catch((error: unknown) => error);
    expect(failed).toMatchObject({
      code: 2,
      stderr: expect.stringMatching(/^corduroy: the URL of CouchDB is missing/),
    });
  });
});

describe('the package', () => {
  it('has at most 180 files, all below dist and docs apart from five', () => {
    expect(packed.files.length).toBeLessThanOrEqual(180);
    const others = packed.files.filter((path) => !/^(?:dist|docs)\//.test(path));
    expect(others.sort()).toEqual([
      'CHANGELOG.md',
      'CONTRIBUTING.md',
      'LICENSE',
      'README.md',
      'package.json',
    ]);
  });

  it.each(Object.keys(entryPoints))('%s has the names of its source', async (name) => {
    const code = `console.log(JSON.stringify(Object.keys(await import('${name}'))))`;
    const names = (await runIn(project, code)) as string[];
    expect(names.sort()).toEqual(Object.keys(Object(entryPoints[name])).sort());
  });

  it('has the names of the sources for browsers and for Angular', async () => {
    const code = `
      import '@angular/compiler';
      const browser = Object.keys(await import('corduroy'));
      const angular = Object.keys(await import('corduroy/angular'));
      console.log(JSON.stringify({ browser, angular }));`;
    const names = (await runIn(project, code, '--conditions=browser')) as Record<string, string[]>;
    expect(names['browser']?.sort()).toEqual(Object.keys(browser).sort());
    expect(names['angular']?.sort()).toEqual(Object.keys(angular).sort());
  });

  it('has each class once, whatever entry points a program imports', async () => {
    const code = `
      import '@angular/compiler';
      import * as node from 'corduroy';
      import * as core from 'corduroy/core';
      import { memoryServer } from 'corduroy/testing';
      import { provideCorduroy } from 'corduroy/angular';
      import { firstValueFrom } from 'rxjs';
      const server = memoryServer();
      const couch = new core.Couch('http://localhost', { transport: server.transport });
      const error = await firstValueFrom(couch.use('none').get('a')).catch((thrown) => thrown);
      const providers = provideCorduroy({ url: 'http://localhost' }).ɵproviders;
      console.log(JSON.stringify({
        different: Object.keys(core).filter((name) => node[name] !== core[name]),
        isNotFound: error instanceof node.NotFound && error instanceof node.CorduroyError,
        name: error.name,
        isCouch: server.couch() instanceof node.Couch,
        isProvided: providers.some(({ provide }) => provide === node.Couch),
      }));`;
    expect(await runIn(project, code)).toEqual({
      different: ['Couch', 'Database'],
      isNotFound: true,
      name: 'NotFound',
      isCouch: true,
      isProvided: true,
    });
  });

  it('loads got, http, mime and undici only when they are used', async () => {
    const imported = (name: string): Promise<readonly string[]> => importedAtStart(name);
    const light = ['rxjs', 'rxjs-for-await'];
    const forNode = [...light, 'node:fs/promises', 'node:path', 'node:stream'];
    expect(await imported('index.js')).toEqual(forNode.sort());
    expect(await imported('index.browser.js')).toEqual(light);
    expect(await imported('core.js')).toEqual(light);
  });

  it('sends requests over got if a bundler includes it', async () => {
    const bundle = await bundleProgram(`
      import { Couch } from 'corduroy';
      console.log(new Couch().url);`);
    expect(bundle).toContain('setDefaultTransport(gotTransport)');
    const page = await bundleProgram(`import { Couch } from 'corduroy/core'; new Couch();`);
    expect(page).not.toContain('gotTransport');
  });

  it.each([
    ['got', "new Couch('http://127.0.0.1:1').version()"],
    ['mime', "new Couch('http://127.0.0.1:1').use('a').putAttachment({ _id: 'a' }, 'x', 'a.x')"],
  ])('errors with a ConnectionError if %s is not installed', async (missing, request) => {
    const others = ['rxjs', 'rxjs-for-await', 'tslib', 'got', 'mime'].filter((x) => x !== missing);
    const cwd = join(packed.folder, `without-${missing}`);
    await install(cwd, installed, others);
    const code = `
      import { Couch, ConnectionError } from 'corduroy';
      import { firstValueFrom } from 'rxjs';
      const error = await firstValueFrom(${request}).catch((thrown) => thrown);
      const { code, message, transient } = error;
      console.log(JSON.stringify({ is: error instanceof ConnectionError, code, message, transient }));`;
    expect(await runIn(cwd, code)).toEqual({
      is: true,
      code: 'ERR_MODULE_NOT_FOUND',
      transient: false,
      message: expect.stringMatching(
        new RegExp(`^The package ${missing} must be installed .*Install the dependencies`, 's'),
      ),
    });
  });
});

/** Returns the modules outside of the package that an entry point imports statically. */
async function importedAtStart(entry: string): Promise<readonly string[]> {
  const { metafile } = await build({
    entryPoints: [join(installed, 'dist', entry)],
    bundle: true,
    splitting: true,
    format: 'esm',
    platform: 'node',
    packages: 'external',
    outdir: packed.folder,
    metafile: true,
    write: false,
  });
  const found = new Set<string>();
  const visit = (output: string | undefined): void => {
    for (const { path, kind, external } of metafile.outputs[output ?? '']?.imports ?? []) {
      if (kind !== 'import-statement') continue;
      if (external === true) found.add(path);
      else visit(path);
    }
  };
  const outputs = Object.entries(metafile.outputs);
  visit(outputs.find(([, { entryPoint }]) => entryPoint?.endsWith(entry))?.[0]);
  return [...found].sort();
}

async function bundleProgram(code: string): Promise<string> {
  const { outputFiles } = await build({
    stdin: { contents: code, resolveDir: project },
    bundle: true,
    format: 'esm',
    platform: 'node',
    external: ['got', 'mime', 'rxjs', 'rxjs-for-await'],
    write: false,
  });
  return outputFiles[0]?.text ?? '';
}

describe('the maps of the package', () => {
  const read = (path: string): Promise<string> => readFile(path, 'utf8');

  it('belong to each file with code or declarations, and have their sources', async () => {
    const dist = join(installed, 'dist');
    const paths = await readdir(dist, { recursive: true });
    const mapped = paths.filter((path) => path.endsWith('.map'));
    expect(mapped.length).toBeGreaterThan(20);
    for (const path of mapped) {
      const map = JSON.parse(await read(join(dist, path))) as SourceMapPayload;
      expect(map.sources.length).toBeGreaterThan(0);
      for (const [i, source] of map.sources.entries()) {
        const file = resolve(dist, dirname(path), source);
        const text = path.endsWith('.d.ts.map') ? await read(file) : map.sourcesContent[i];
        expect([path, source, typeof text === 'string' && text !== '']).toEqual([
          path,
          source,
          true,
        ]);
      }
    }
    for (const path of paths.filter((name) => /\.(?:js|d\.ts)$/.test(name))) {
      const url = /\/\/# sourceMappingURL=(.*)/.exec(await read(join(dist, path)))?.[1];
      if (url !== undefined) expect(existsSync(join(dist, dirname(path), url))).toBe(true);
    }
  });

  it('lead from a line of JavaScript to the line of its source', async () => {
    for (const [code, source, text] of [
      ['Couch = class extends CoreCouch ', 'src/couch.ts', 'export class Couch extends CoreCouch '],
      ['resolveConflicts(', 'src/conflicts/resolution.ts', 'export function resolveConflicts<'],
      ['relax(', 'src/relax.ts', 'export function relax'],
    ] as const) {
      const { path, line, column } = await findInChunks(code);
      const map = JSON.parse(await read(`${path}.map`)) as SourceMapPayload;
      const entry = new SourceMap(map).findEntry(line, column);
      if (!('originalSource' in entry)) throw new Error(`${code} must be mapped`);
      const index = map.sources.findIndex((one) => one.endsWith(source));
      expect(entry.originalSource).toMatch(new RegExp(`${source}$`));
      expect(map.sourcesContent[index]?.split('\n')[entry.originalLine]).toContain(text);
    }
  });

  async function findInChunks(
    text: string,
  ): Promise<{ path: string; line: number; column: number }> {
    const chunks = join(installed, 'dist', 'chunks');
    for (const name of (await readdir(chunks)).filter((one) => one.endsWith('.js'))) {
      const lines = (await read(join(chunks, name))).split('\n');
      const line = lines.findIndex((one) => one.includes(text) && !one.startsWith('\t'));
      if (line !== -1) {
        return { path: join(chunks, name), line, column: lines[line]?.indexOf(text) ?? 0 };
      }
    }
    throw new Error(`No chunk contains ${text}`);
  }
});

describe('go to definition in a project with the package', () => {
  let editor: LanguageServer;
  beforeAll(async () => {
    editor = await startLanguageServer(project);
  });
  afterAll(() => editor.close());

  it.each([
    ['Couch', "import { Cou|ch } from 'corduroy';", 'couch.ts', 'export class Couch '],
    ['new Couch', "import { Couch } from 'corduroy';\nnew Cou|ch();", 'couch.ts', ''],
    [
      'a method',
      "import { Database } from 'corduroy';\nnew Database('a').g|et('b');",
      'core-database.ts',
      '  get(id: string',
    ],
    [
      'an operator',
      "import { resolve|Conflicts } from 'corduroy';",
      'conflicts.ts',
      'export function resolveConflicts<',
    ],
    [
      'an option',
      "import type { GetOptions } from 'corduroy';\nconst options: GetOptions = { conf|licts: true };",
      'documents.ts',
      'conflicts?: boolean',
    ],
    [
      'a name of corduroy/core',
      "import { Data|base } from 'corduroy/core';",
      'core-database.ts',
      'export class CoreDatabase',
    ],
    [
      'a name of corduroy/testing',
      "import { marble|Tests } from 'corduroy/testing';",
      'testing.ts',
      'export function marbleTests',
    ],
    [
      'a name of corduroy/angular',
      "import { live|Signal } from 'corduroy/angular';",
      'angular.ts',
      'export function liveSignal',
    ],
    ['an error', "import { Not|Found } from 'corduroy';", 'errors.ts', 'export class NotFound '],
  ])('leads from %s to its source', async (_, program, file, text) => {
    const [place] = await editor.definitions(program);
    expect(place?.path).toBe(join(installed, 'dist', 'source', file));
    const lines = (await readFile(place?.path ?? '', 'utf8')).split('\n');
    expect(lines[place?.line ?? 0]).toContain(text);
  });
});
