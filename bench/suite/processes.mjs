/** A common clock, the processor time of another process, and the process behind a port (Linux). */
import { readFileSync, readdirSync, readlinkSync } from 'node:fs';

/** The time in milliseconds, from the clock that all processes of a machine share. */
export const clock = () => Number(process.hrtime.bigint()) / 1e6;

/** The clock ticks of a second: on Linux always the same for programs. */
const TICKS = 100;

/** Returns the processor time that a process has used, in milliseconds. */
export function processorTime(pid) {
  const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
  // The name, in parentheses, may contain spaces.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return ((Number(fields[11]) + Number(fields[12])) * 1000) / TICKS;
}

/** Returns the id of the process that listens at a port of this machine; undefined if it cannot be seen. */
export function processAt(port) {
  const wanted = Number(port).toString(16).toUpperCase().padStart(4, '0');
  const inodes = new Set();
  for (const table of ['tcp', 'tcp6']) {
    for (const line of readFileSync(`/proc/net/${table}`, 'latin1').split('\n').slice(1)) {
      const [, local, , state, , , , , , inode] = line.trim().split(/\s+/);
      if (state === '0A' && local.endsWith(`:${wanted}`)) inodes.add(`socket:[${inode}]`);
    }
  }
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .find((pid) => hasOpen(pid, inodes));
}

function hasOpen(pid, targets) {
  try {
    return readdirSync(`/proc/${pid}/fd`).some((fd) => {
      try {
        return targets.has(readlinkSync(`/proc/${pid}/fd/${fd}`));
      } catch {
        return false;
      }
    });
  } catch {
    return false;
  }
}
