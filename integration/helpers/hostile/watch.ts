/** What a client did to its process during a case. */
export interface Watched {
  /** The longest time in which nothing else could run, in milliseconds. */
  readonly block: number;
  /** By how much memory grew, in bytes. */
  readonly growth: number;
}

const INTERVAL = 5;

/**
 * Watches the event loop and the memory until the function that it returns is called.
 *
 * A block is time in which the loop did not turn and this process used the processor: other programs
 * on the machine must not make a case fail.
 */
export function watchProcess(): () => Watched {
  let block = 0;
  let wall = performance.now();
  let cpu = processorTime();
  const before = process.memoryUsage();
  const heapBefore = before.heapUsed + before.external;
  let growth = 0;
  const look = (): void => {
    const now = performance.now();
    const used = processorTime();
    block = Math.max(block, Math.min(now - wall, used - cpu));
    wall = now;
    cpu = used;
    const { rss, heapUsed, external } = process.memoryUsage();
    growth = Math.max(growth, rss - before.rss, heapUsed + external - heapBefore);
  };
  const timer = setInterval(look, INTERVAL);
  return () => {
    look();
    clearInterval(timer);
    return { block, growth };
  };
}

function processorTime(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
}
