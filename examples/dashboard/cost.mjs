import { fork } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, readdirSync, readlinkSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { count, figure } from './terminal-text.mjs';

/** How often the figures are taken, in milliseconds. */
const INTERVAL = 2_000;

/** How many ticks of the processor's clock Linux counts in a second. */
const TICKS = 100;

/**
 * Starts a program of the demo in a separate process, which ends with the demo, and sends it a message.
 * `failed` is called if it ends too soon.
 */
function startChild(file, message, failed) {
  const program = fileURLToPath(new URL(file, import.meta.url));
  const child = fork(program, [], { execArgv: [], stdio: ['ignore', 'ignore', 'inherit', 'ipc'] });
  const exit = once(child, 'exit');
  let stopping = false;
  exit.then(() => {
    if (!stopping) failed(new Error(`The process of ${file} has ended unexpectedly`));
  });
  const stop = async () => {
    stopping = true;
    child.kill('SIGKILL');
    await exit;
  };
  child.send(message);
  return { child, stop };
}

/** Ends the demo because one of its processes has ended. */
const quitWith = (quit) => (error) => {
  if (!quit.signal.aborted) console.error(`${error.message}.`);
  quit.abort(1);
};

/** Starts a relay in front of a CouchDB. Resolves when it listens. */
export async function startRelay({ url, auth, name }, quit) {
  const { child, stop } = startChild('./relay.mjs', { url, auth, name }, quitWith(quit));
  try {
    const [message] = await once(child, 'message', { signal: quit.signal });
    return { url: message.url, pid: child.pid, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** Measures what listeners cost: processor time of CouchDB and of the relay, and the lag of changes. */
export class Cost {
  #wanted;
  #relay;
  #couchPid;
  #child = null;
  #stop = async () => {};
  #heard = { open: 0, ended: 0, lag: null, slowLag: null };
  #before;
  #cpu = { couch: null, relay: null };
  #timer;

  /** `relay` is that of `startRelay`, or null. `wanted` is how many listeners to open. */
  constructor(couch, relay, wanted) {
    this.#relay = relay;
    this.#wanted = wanted;
    this.#couchPid = couch.pid ?? pidOf(couch.url);
    this.reset();
  }

  /** Opens the listeners. Resolves when all are open or have ended. */
  async open({ url, auth, name }, quit) {
    if (this.#wanted === 0) return;
    const target = this.#relay?.url ?? url;
    const message = { url: target, auth, name, count: this.#wanted };
    const { child, stop } = startChild('./listeners.mjs', message, quitWith(quit));
    [this.#child, this.#stop] = [child, stop];
    child.on('message', (heard) => (this.#heard = heard));
    while (this.#heard.open + this.#heard.ended < this.#wanted)
      await sleep(100, undefined, { signal: quit.signal });
  }

  /** Tells the listeners when CouchDB has acknowledged a revision. */
  acknowledge(rev, at) {
    if (rev !== undefined && this.#child?.connected) this.#child.send({ rev, at });
  }

  /** Begins to measure, without what has been measured before. */
  reset() {
    this.#before = this.#readCpu();
    if (this.#child?.connected) this.#child.send({ reset: true });
  }

  /** Takes the figures at intervals, and passes them to a function. */
  watch(tell) {
    this.#timer = setInterval(() => {
      this.measure();
      tell(this.text);
    }, INTERVAL);
  }

  /** Computes the share of a core that each process has used since the period began, and begins another. */
  measure() {
    const after = this.#readCpu();
    const seconds = (after.at - this.#before.at) / 1000;
    const share = (name) => {
      const [from, to] = [this.#before[name], after[name]];
      return from === null || to === null ? null : ((to - from) / seconds) * 100;
    };
    this.#cpu = { couch: share('couch'), relay: share('relay') };
    this.#before = after;
  }

  /** The figures for the page. CPU in per cent of a core, lags in milliseconds; null if unknown. */
  get figures() {
    return {
      ...this.#heard,
      wanted: this.#wanted,
      hasRelay: this.#relay !== null,
      couchCpu: this.#cpu.couch,
      relayCpu: this.#cpu.relay,
    };
  }

  get text() {
    const { open, ended, lag, slowLag } = this.#heard;
    const percent = (value) => (value === null ? 'unknown' : `${Math.round(value)} % of a core`);
    const relay = this.#relay === null ? [] : [`relay ${percent(this.#cpu.relay)}`];
    const lost = ended === 0 ? '' : `, ${figure(ended)} refused or ended`;
    const delivered =
      lag === null
        ? 'no measured change has arrived yet'
        : `${Math.round(lag)} ms at the median, ${Math.round(slowLag)} ms at 95 %`;
    return [
      `${count(open, 'listener')} ${this.#relay === null ? 'at CouchDB' : 'at the relay'}${lost}`,
      `CPU: CouchDB ${[percent(this.#cpu.couch), ...relay].join(', ')}`,
      ...(this.#wanted === 0 ? [] : [`lag: ${delivered}`]),
    ].join('; ');
  }

  async endListeners() {
    await this.#stop();
  }

  async close() {
    clearInterval(this.#timer);
    await this.endListeners();
    await this.#relay?.stop();
  }

  #readCpu() {
    return {
      at: performance.now(),
      couch: cpuOf(this.#couchPid),
      relay: cpuOf(this.#relay?.pid),
    };
  }
}

/** Returns the processor time of a process in seconds; null if the system does not tell. */
function cpuOf(pid) {
  if (pid === undefined || pid === null) return null;
  try {
    // The name of the process is in parentheses, and may itself contain `) `.
    const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ').at(-1).split(' ');
    return (Number(fields[11]) + Number(fields[12])) / TICKS;
  } catch {
    return null;
  }
}

/** Returns the process of this machine that listens on the port of a URL; null if it cannot be found. */
function pidOf(url) {
  const { protocol, hostname, port } = new URL(url);
  if (!/^(localhost|127\.\d+\.\d+\.\d+|\[::1\])$/.test(hostname)) return null;
  const hex = Number(port || (protocol === 'https:' ? 443 : 80))
    .toString(16)
    .toUpperCase()
    .padStart(4, '0');
  try {
    const sockets = ['tcp', 'tcp6'].flatMap((table) => {
      const lines = readFileSync(`/proc/net/${table}`, 'utf8').split('\n');
      const fields = lines.map((line) => line.trim().split(/\s+/));
      // 0A is the state of a socket that listens.
      const listening = fields.filter(
        ([, local, , state]) => state === '0A' && local.endsWith(`:${hex}`),
      );
      return listening.map((found) => `socket:[${found[9]}]`);
    });
    const pids = readdirSync('/proc').filter((name) => /^\d+$/.test(name));
    const found = pids.find((pid) => filesOf(pid).some((file) => sockets.includes(file)));
    return found === undefined ? null : Number(found);
  } catch {
    return null;
  }
}

/** The open files of a process. Those of other users are unknown. */
function filesOf(pid) {
  const folder = `/proc/${pid}/fd`;
  try {
    return readdirSync(folder).map((file) => {
      try {
        return readlinkSync(`${folder}/${file}`);
      } catch {
        return '';
      }
    });
  } catch {
    return [];
  }
}
