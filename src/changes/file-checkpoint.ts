import { mkdir, open, readFile, rename } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { CheckpointStore } from './checkpoint.ts';

/**
 * Returns a checkpoint in a file. Each write replaces the whole file after the new one is on the disk,
 * so a crash leaves either the old sequence or the new one. Creates the folder if it is missing. A file
 * without a sequence is an `InvalidCheckpoint`. Node only.
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
    write: async (seq) => {
      const next = `${path}.next`;
      await mkdir(dirname(path), { recursive: true });
      const file = await open(next, 'w');
      try {
        await file.writeFile(`${seq}\n`);
        await file.sync();
      } finally {
        await file.close();
      }
      await rename(next, path);
    },
  };
}
