import { cpus, release, totalmem } from 'node:os';

/** What a figure depends on beside the program. */
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

/** Refuses to set figures of one machine beside those of another. */
export function requireSameMachine(one, other) {
  const differ = Object.keys(one).filter((key) => one[key] !== other[key]);
  if (differ.length === 0) return;
  const what = differ.map((key) => `${key}: ${one[key]} and ${other[key]}`).join('; ');
  throw new Error(
    `These runs are of different machines (${what}): their figures say nothing of each other`,
  );
}
