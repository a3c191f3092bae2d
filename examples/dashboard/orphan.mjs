import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';

/**
 * Calls back when the npm that started this process ends without a signal, for example when npm is
 * killed. Never calls back if npm did not start this process. A shell may run between the two.
 */
export function onOrphaned(callback) {
  if (!process.env.npm_lifecycle_event) return;
  const parent = process.ppid;
  const above = upToNpm(parent);
  const timer = setInterval(() => {
    if (process.ppid === parent && above.every(isAlive)) return;
    clearInterval(timer);
    callback();
  }, 200);
  timer.unref();
}

function upToNpm(parent) {
  const pids = [];
  let pid = parent;
  for (let level = 0; level < 3 && pid > 1; level += 1) {
    const found = readProcess(pid);
    if (found === null) break;
    pids.push(pid);
    if (/\bnpm\b/.test(found.command)) return pids;
    pid = found.parent;
  }
  return [parent];
}

/** Returns the parent and the command of a process, or null if the system does not tell. */
function readProcess(pid) {
  try {
    if (existsSync('/proc/self/stat')) {
      // The process name is in parentheses, and may itself contain `) `.
      const [, parent] = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ').at(-1).split(' ');
      const command = readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ');
      return { parent: Number(parent), command };
    }
    const options = { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] };
    const line = execFileSync('ps', ['-o', 'ppid=,args=', '-p', String(pid)], options);
    const [, parent, command] = /^\s*(\d+)\s+(.*)/.exec(line);
    return { parent: Number(parent), command };
  } catch {
    return null;
  }
}

function isAlive(pid) {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error.code !== 'ESRCH';
  }
}
