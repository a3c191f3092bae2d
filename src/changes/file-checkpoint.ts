import { mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { CheckpointStore } from './checkpoint.ts';

/**
 * Returns a checkpoint in a file, which is replaced as a whole: a crash leaves the old one or the
 * new one. Its folder is made where it is missing. Node only.
 */
export function fileCheckpoint(path: string): CheckpointStore {
  return {
    read: async () => {
      try {
        return (await readFile(path, 'utf8')).trim() || null;
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
        throw error;
      }
    },
    write: async (seq) => {
      const next = `${path}.next`;
      await mkdir(dirname(path), { recursive: true });
      await writeFile(next, `${seq}\n`);
      await rename(next, path);
    },
  };
}
