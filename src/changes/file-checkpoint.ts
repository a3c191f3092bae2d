import { mkdir, open, readFile, rename } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import type { CheckpointStore } from './checkpoint.ts';

/** The last write of each file. A write waits for the one before, which uses the same temporary file. */
const writes = new Map<string, Promise<void>>();

/**
 * Returns a checkpoint in a file. Each write replaces the whole file after the new one is on the disk,
 * so a crash leaves either the old sequence or the new one. Creates the folder if it is missing. A file
 * without a sequence is an `InvalidCheckpoint`. Writes of one process follow each other, also of several
 * subscriptions. Node only.
 *
 * @param path - The path of the file. `<path>.next` is used during a write.
 */
export function fileCheckpoint(path: string): CheckpointStore {
  return {
    read: async () => {
      try {
        return (await readFile(path, 'utf8')).trim();
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
        throw error;
      }
    },
    write: (seq) => {
      const file = resolve(path);
      const before = writes.get(file) ?? Promise.resolve();
      // A write that failed has told its own caller.
      const written = before.catch(() => {}).then(() => replaceFile(file, `${seq}\n`));
      writes.set(file, written);
      const forget = (): void => {
        if (writes.get(file) === written) writes.delete(file);
      };
      written.then(forget, forget);
      return written;
    },
  };
}

async function replaceFile(path: string, text: string): Promise<void> {
  const next = `${path}.next`;
  await mkdir(dirname(path), { recursive: true });
  const file = await open(next, 'w');
  try {
    await file.writeFile(text);
    await file.sync();
  } finally {
    await file.close();
  }
  await rename(next, path);
}
