/** Figures of a process: quantiles, CPU time, blocks of the event loop, memory. */
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';

/** The resolution of the timer that measures blocks, in milliseconds. */
const RESOLUTION = 1;

/** Returns a quantile of some numbers; 0.5 is the median. */
export function quantile(values, q) {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))];
}

export const median = (values) => quantile(values, 0.5);

/** Measures the CPU time of this process and its longest block, in milliseconds, while `work` runs. */
export async function costOf(work) {
  // Garbage and compilation of the preparation do not count.
  globalThis.gc?.();
  await sleep(50);
  const delay = monitorEventLoopDelay({ resolution: RESOLUTION });
  delay.enable();
  await sleep(20);
  delay.reset();
  const before = process.cpuUsage();
  await work();
  const { user, system } = process.cpuUsage(before);
  // The timer that notices the last block fires after it.
  await sleep(5);
  delay.disable();
  return { cpu: (user + system) / 1000, block: Math.max(0, delay.max / 1e6 - RESOLUTION) };
}

/** The bytes on the heap after garbage collection. Requires `--expose-gc`. */
export async function heap() {
  for (let i = 0; i < 3; i++) {
    globalThis.gc();
    await sleep(20);
  }
  return process.memoryUsage().heapUsed;
}
