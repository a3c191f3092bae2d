import { mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { CheckpointStore } from './checkpoint.ts';

/**
 * Returns a checkpoint in a file. Each write replaces the whole file, so a crash leaves either the
 * old sequence or the new one. Creates the folder if it is missing. Node only.
 *
 * @param path - The path of the file. `<path>.next` is used during a write.
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
