import { spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import type { Line, Task } from './client.ts';

export type FaultLine = Extract<Line, { type: 'fault' }>;

/** The result of a run over one transport. */
export interface HostileRun {
  readonly faults: readonly FaultLine[];
  /** How many calls ended in which way. */
  readonly outcomes: Readonly<Record<string, number>>;
}

const root = new URL('../../../', import.meta.url);
const path = (name: string): string => fileURLToPath(new URL(name, root));

/** Bundles the two programs; returns their folder, which the caller deletes. */
export async function buildPrograms(): Promise<string> {
  const folder = await mkdtemp(path('node_modules/.hostile-'));
  await build({
    entryPoints: ['client', 'server'].map((name) => path(`integration/helpers/hostile/${name}.ts`)),
    bundle: true,
    splitting: true,
    format: 'esm',
    platform: 'node',
    packages: 'external',
    alias: { 'corduroy/undici': path('src/undici.ts'), corduroy: path('src/index.ts') },
    outdir: folder,
    outExtension: { '.js': '.mjs' },
  });
  return folder;
}

export const deletePrograms = (folder: string): Promise<void> => rm(folder, { recursive: true });

/** How often a new process goes on after a case that ended the last one. */
const DEATHS = 5;

/** Runs cases over one transport, in a process of their own. */
export async function runHostile(
  folder: string,
  task: Omit<Task, 'server'>,
  patience: number,
): Promise<HostileRun> {
  const faults: FaultLine[] = [];
  const outcomes: Record<string, number> = {};
  const deadline = performance.now() + patience;
  const end = task.first + task.count;
  let { first } = task;
  for (let deaths = 0; first < end && deaths < DEATHS; deaths++) {
    const rest = { ...task, first, count: end - first, server: `${folder}/server.mjs` };
    const part = await runProcess(`${folder}/client.mjs`, rest, deadline - performance.now());
    faults.push(...part.faults);
    for (const [how, count] of Object.entries(part.outcomes))
      outcomes[how] = (outcomes[how] ?? 0) + count;
    first = part.next;
  }
  return { faults, outcomes };
}

async function runProcess(
  program: string,
  task: Task,
  patience: number,
): Promise<HostileRun & { readonly next: number }> {
  // Less memory than V8 takes by default makes a case that fills it fail soon.
  const flags = ['--expose-gc', '--max-old-space-size=768'];
  const child = spawn(process.execPath, [...flags, program, JSON.stringify(task)]);
  const timer = setTimeout(() => child.kill('SIGKILL'), Math.max(0, patience));
  const faults: FaultLine[] = [];
  let outcomes: Readonly<Record<string, number>> | null = null;
  let current: Extract<Line, { type: 'case' }> | null = null;
  let stderr = '';
  child.stderr.on('data', (part) => (stderr += String(part)));
  createInterface(child.stdout).on('line', (text) => {
    const line = JSON.parse(text) as Line;
    if (line.type === 'fault') faults.push(line);
    else if (line.type === 'case') current = line;
    else ({ outcomes } = line);
  });
  const [code, signal] = await new Promise<[number | null, string | null]>((resolve) =>
    child.on('close', (...how) => resolve(how)),
  );
  clearTimeout(timer);
  if (outcomes !== null) return { faults, outcomes, next: task.first + task.count };
  if (current === null) throw new Error(`The client did not start: ${stderr}`);
  const { index, call, auth } = current as Extract<Line, { type: 'case' }>;
  const reason = /FATAL ERROR: .*|^\w*Error: .*/m.exec(stderr)?.[0] ?? stderr.slice(-300);
  faults.push({
    type: 'fault',
    index,
    call,
    auth,
    answer: '',
    what: 'the process ends',
    detail: `exit code ${code}, signal ${signal}: ${reason}`,
  });
  return { faults, outcomes: {}, next: index + 1 };
}
