import { build } from 'esbuild';
import { spawn } from 'node:child_process';
import { mkdir, rm } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { server } from './server.ts';

const root = new URL('../../', import.meta.url);
const path = (name: string): string => fileURLToPath(new URL(name, root));

/** The server that programs for readers are written for. */
const READERS = 'http://127.0.0.1:5984';

export interface Ran {
  /** Null where the program had to be killed. */
  readonly exit: number | null;
  /** What it printed, to both streams, with the server's address as the program has it. */
  readonly output: string;
}

/** Runs a program in TypeScript that a reader would run, against the server of this run. */
export async function runProgram(name: string, code: string, patience = 40_000): Promise<Ran> {
  const folder = path('node_modules/.cache/corduroy-programs');
  await mkdir(folder, { recursive: true });
  const file = `${folder}/${name}.mjs`;
  await build({
    stdin: { contents: forThisServer(code), loader: 'ts', resolveDir: path('.') },
    bundle: true,
    format: 'esm',
    platform: 'node',
    packages: 'external',
    alias: { corduroy: path('src/index.ts') },
    outfile: file,
  });
  const child = spawn(process.execPath, [file]);
  const timer = setTimeout(() => child.kill(), patience);
  let output = '';
  child.stdout.on('data', (chunk) => (output += String(chunk)));
  child.stderr.on('data', (chunk) => (output += String(chunk)));
  // When the streams are closed too, and all has been read.
  const exit = await new Promise<number | null>((resolve) => child.on('close', resolve));
  clearTimeout(timer);
  await rm(file);
  return { exit, output: output.replaceAll(server.url, READERS) };
}

function forThisServer(code: string): string {
  return code
    .replaceAll('http://admin:password@127.0.0.1:5984', server.authenticatedUrl)
    .replaceAll(READERS, server.url)
    .replaceAll(
      "'admin', 'password'",
      [server.username, server.password].map((part) => JSON.stringify(part)).join(),
    );
}
