import { afterEach, beforeEach } from '@jest/globals';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../..', import.meta.url));

/** A run of the demo, with everything that it has printed so far. */
export class Demo {
  output = '';
  readonly child: ChildProcess;
  readonly #closed: Promise<unknown[]>;

  constructor(command: string, args: readonly string[]) {
    // A separate folder for temporary files shows which files the demo leaves behind.
    const env = { ...process.env, TMPDIR: temporary };
    this.child = spawn(command, args, { cwd: root, env, stdio: ['ignore', 'pipe', 'pipe'] });
    this.child.stdout?.on('data', (chunk) => (this.output += chunk));
    this.child.stderr?.on('data', (chunk) => (this.output += chunk));
    this.#closed = once(this.child, 'close');
    running.push(this);
  }

  /** Waits until the output matches a pattern, and returns the pattern's group. */
  async line(pattern: RegExp): Promise<string> {
    for (;;) {
      const found = pattern.exec(this.output)?.[1];
      if (found !== undefined) return found;
      if (this.child.exitCode !== null) throw new Error(`The demo ended early:\n${this.output}`);
      await sleep(20);
    }
  }

  page(): Promise<string> {
    return this.line(/^Page {2,}(http:\S+)$/m);
  }

  database(): Promise<string> {
    return this.line(/^Database {2,}(http:\S+) /m);
  }

  /** Returns the exit code, after the process has ended and its output is complete. */
  async ended(): Promise<number | null> {
    await this.#closed;
    return this.child.exitCode;
  }
}

/** The folder for temporary files. The demo must leave it empty. */
export let temporary: string;
let running: Demo[];

beforeEach(() => {
  temporary = mkdtempSync(join(tmpdir(), 'demo-test-'));
  running = [];
});

afterEach(async () => {
  for (const { child } of running) child.kill('SIGKILL');
  await Promise.all(running.map((demo) => demo.ended()));
  rmSync(temporary, { recursive: true, force: true });
});

/** Repeats a check until it is true, or until the time is over. Returns the last result. */
export async function waitFor(check: () => Promise<boolean>, timeout = 5_000): Promise<boolean> {
  const deadline = Date.now() + timeout;
  while (Date.now() < deadline) {
    if (await check()) return true;
    await sleep(50);
  }
  return check();
}
