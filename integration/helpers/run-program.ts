import { build } from 'esbuild';
import { spawn } from 'node:child_process';
import { mkdir, rm } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { server } from './server.ts';

const root = new URL('../../', import.meta.url);
const path = (name: string): string => fileURLToPath(new URL(name, root));

/** The server URL in the programs of the documentation. */
const DOCUMENTED_URL = 'http://127.0.0.1:5984';

export interface ProgramRun {
  /** The exit code; null if the program was killed after the timeout. */
  readonly exit: number | null;
  /** The output of both streams, with the server URL of the documentation. */
  readonly output: string;
}

/** Runs a TypeScript program of the documentation against the server of this run. */
export async function runProgram(
  name: string,
  code: string,
  timeout = 40_000,
): Promise<ProgramRun> {
  const folder = path('node_modules/.cache/corduroy-programs');
  await mkdir(folder, { recursive: true });
  const file = `${folder}/${name}.mjs`;
  await build({
    stdin: { contents: forThisServer(code), loader: 'ts', resolveDir: path('.') },
    bundle: true,
    format: 'esm',
    platform: 'node',
    packages: 'external',
    alias: {
      corduroy: path('src/index.ts'),
      'corduroy/exact-integers': path('src/exact-integers.ts'),
      'corduroy/nats': path('src/nats/index.ts'),
      'corduroy/opentelemetry': path('src/opentelemetry/index.ts'),
      'corduroy/relay': path('src/relay/index.ts'),
      'corduroy/testing': path('src/testing/index.ts'),
    },
    outfile: file,
  });
  const child = spawn(process.execPath, [file]);
  const timer = setTimeout(() => child.kill(), timeout);
  let output = '';
  child.stdout.on('data', (chunk) => (output += String(chunk)));
  child.stderr.on('data', (chunk) => (output += String(chunk)));
  // 'close' comes after the streams have ended, so the output is complete.
  const exit = await new Promise<number | null>((resolve) => child.on('close', resolve));
  clearTimeout(timer);
  await rm(file);
  return { exit, output: output.replaceAll(server.url, DOCUMENTED_URL) };
}

function forThisServer(code: string): string {
  return code
    .replaceAll('http://admin:password@127.0.0.1:5984', server.authenticatedUrl)
    .replaceAll(DOCUMENTED_URL, server.url)
    .replaceAll(
      "'admin', 'password'",
      [server.username, server.password].map((part) => JSON.stringify(part)).join(),
    );
}
