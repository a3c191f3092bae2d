// The compiler must be imported first, because Angular's packages are compiled as they load.
import '@angular/compiler';
import { describe, expect, it } from '@jest/globals';
import { build } from 'esbuild';
import type { BuildResult } from 'esbuild';
import { builtinModules } from 'node:module';
import { fileURLToPath } from 'node:url';
import * as tabs from '../src/changes/cross-tab.ts';
import * as integers from '../src/exact-integers.ts';
import * as core from '../src/core.ts';
import * as angular from '../src/angular/index.ts';
import * as browser from '../src/index.browser.ts';
import * as node from '../src/index.ts';
import * as nats from '../src/nats/index.ts';
import * as relay from '../src/relay/index.ts';
import * as telemetry from '../src/opentelemetry/index.ts';
import * as testing from '../src/testing/index.ts';

const source = (path: string): string => fileURLToPath(new URL(`../${path}`, import.meta.url));

/** Bundles for browsers. A Node built-in fails the build. */
function bundle(code: string): Promise<BuildResult<{ metafile: true; write: false }>> {
  return build({
    stdin: { contents: code, resolveDir: source('.'), loader: 'ts' },
    bundle: true,
    format: 'esm',
    platform: 'browser',
    minify: true,
    metafile: true,
    write: false,
    logLevel: 'silent',
    external: [
      '@angular/*',
      '@nats-io/*',
      '@opentelemetry/*',
      'rxjs',
      'rxjs/testing',
      'rxjs-for-await',
    ],
    absWorkingDir: source('.'),
  });
}

describe('the entry points', () => {
  it('export the same names, except for those that need Node', () => {
    const only = Object.keys(node)
      .filter((name) => !(name in browser))
      .sort();
    expect(only).toEqual(['fileCheckpoint', 'gotTransport']);
    expect(Object.keys(browser).filter((name) => !(name in node))).toEqual([]);
  });

  it('export these names', () => {
    expect(Object.keys(node).sort()).toMatchSnapshot();
  });

  it('export these names for tests', () => {
    expect(Object.keys(testing).sort()).toMatchSnapshot();
  });

  it('export the same names from corduroy/core, with a smaller Couch and Database', () => {
    expect(Object.keys(core).sort()).toEqual(Object.keys(browser).sort());
    const others = Object.entries(core).filter(([name, value]) => Object(browser)[name] !== value);
    expect(others.map(([name]) => name).sort()).toEqual(['Couch', 'Database']);
    const methods = ({ prototype }: { readonly prototype: object }): string[] =>
      Object.getOwnPropertyNames(prototype);
    const missing = methods(core.Database).filter((name) => !(name in browser.Database.prototype));
    expect(missing).toEqual([]);
    expect('doc$' in core.Database.prototype).toBe(false);
    expect(new core.Couch().use('pets')).toBeInstanceOf(core.Database);
    expect(new browser.Couch().use('pets')).toBeInstanceOf(browser.Database);
    expect(Object.keys(tabs)).toEqual(['crossTab']);
    expect(Object.keys(integers)).toEqual(['exactIntegers']);
    expect(Object.keys(telemetry)).toEqual(['openTelemetry']);
    expect(Object.keys(relay)).toEqual(['relay']);
    expect(Object.keys(nats).sort()).toEqual([
      'PublishError',
      'Publisher',
      'isPublishError',
      'publishChanges',
      'subjectToken',
    ]);
  });

  it('export these names for Angular', () => {
    expect(Object.keys(angular).sort()).toMatchSnapshot();
  });

  it('law 8: only corduroy/angular imports Angular, and it depends on no platform', async () => {
    const { metafile, outputFiles } = await bundle(`export * from './src/angular/index.ts'`);
    const imported = Object.values(metafile.outputs).flatMap(({ imports }) =>
      imports.map(({ path }) => path),
    );
    expect(new Set(imported)).toEqual(
      new Set([
        '@angular/common',
        '@angular/common/http',
        '@angular/core',
        '@angular/core/rxjs-interop',
        'rxjs',
        'rxjs-for-await',
      ]),
    );
    expect(outputFiles[0]?.text).not.toMatch(/\bBuffer\b|\bprocess\.|\brequire\(/);
  });

  it('law 8: only corduroy/opentelemetry imports OpenTelemetry, and of it only the API', async () => {
    const { metafile, outputFiles } = await bundle(`export * from './src/opentelemetry/index.ts'`);
    const imported = Object.values(metafile.outputs).flatMap(({ imports }) =>
      imports.map(({ path }) => path),
    );
    expect(new Set(imported)).toEqual(new Set(['@opentelemetry/api', 'rxjs', 'rxjs-for-await']));
    expect(outputFiles[0]?.text).not.toMatch(/\bBuffer\b|\bprocess\.|\brequire\(/);
  });

  it('law 8: only corduroy/nats imports the client of NATS, and of it only the core', async () => {
    const { metafile, outputFiles } = await bundle(`export * from './src/nats/index.ts'`);
    const imported = Object.values(metafile.outputs).flatMap(({ imports }) =>
      imports.map(({ path }) => path),
    );
    expect(new Set(imported)).toEqual(new Set(['@nats-io/nats-core', 'rxjs', 'rxjs-for-await']));
    expect(outputFiles[0]?.text).not.toMatch(/\bBuffer\b|\bprocess\.|\brequire\(/);
  });

  it('law 8: corduroy/testing depends on no platform and on no test runner', async () => {
    const { metafile, outputFiles } = await bundle(`export * from './src/testing/index.ts'`);
    const imported = Object.values(metafile.outputs).flatMap(({ imports }) =>
      imports.map(({ path }) => path),
    );
    expect(new Set(imported)).toEqual(new Set(['rxjs', 'rxjs/testing', 'rxjs-for-await']));
    expect(outputFiles[0]?.text).not.toMatch(/\bBuffer\b|\bprocess\.|\brequire\(|\bjest\b/);
  });

  it.each(['./src/index.browser.ts', './src/core.ts'])(
    'law 8: %s pulls in no Node built-in, no got and no Buffer',
    async (door) => {
      const { metafile, outputFiles } = await bundle(`export * from '${door}'`);
      const inputs = Object.keys(metafile.inputs);
      expect(inputs.length).toBeGreaterThan(20);
      expect(inputs.filter((path) => /got|node_modules/.test(path))).toEqual([]);
      const imported = Object.values(metafile.outputs).flatMap(({ imports }) =>
        imports.map(({ path }) => path),
      );
      expect(
        imported.filter((path) => path.startsWith('node:') || builtinModules.includes(path)),
      ).toEqual([]);
      expect(new Set(imported)).toEqual(new Set(['rxjs', 'rxjs-for-await']));
      const code = outputFiles[0]?.text ?? '';
      expect(code).not.toMatch(/\bBuffer\b|\bprocess\.|\brequire\(/);
    },
  );
});
