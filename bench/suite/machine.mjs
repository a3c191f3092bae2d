import { cpus, release, totalmem } from 'node:os';

/** The properties of the machine on which figures depend. */
export function machine() {
  const all = cpus();
  return {
    cpu: all[0]?.model.trim() ?? 'unknown',
    cores: all.length,
    memory: `${Math.round(totalmem() / 2 ** 30)} GiB`,
    system: `${process.platform} ${process.arch} ${release()}`,
    node: process.version,
  };
}

/** Throws if two runs are of different machines. */
export function requireSameMachine(one, other) {
  const differ = Object.keys(one).filter((key) => one[key] !== other[key]);
  if (differ.length === 0) return;
  const differences = differ.map((key) => `${key}: ${one[key]} and ${other[key]}`).join('; ');
  throw new Error(`Runs of different machines cannot be compared (${differences})`);
}
