// A document's life: created, read, changed, read again, deleted.
import { Couch, isNotFound } from 'corduroy';
import type { Draft } from 'corduroy';
import { concatMap, firstValueFrom, tap } from 'rxjs';

interface Bird {
  name: string;
  seen: number;
}

const couch = new Couch('http://admin:password@127.0.0.1:5984');
const birds = await firstValueFrom(couch.db<Bird>('guide-birds', { createIfMissing: true }));

// A successful save notes the revision in the object, so that it can be changed and saved again.
const wren: Draft<Bird> = { _id: 'wren', name: 'Wren', seen: 1 };

birds
  .save(wren)
  .pipe(
    tap(() => console.log('created, revision', wren._rev?.split('-')[0])),
    concatMap(() => birds.get('wren')),
    tap(({ name, seen }) => console.log(`${name}, seen ${seen} time`)),
    concatMap((bird) => birds.save({ ...bird, seen: bird.seen + 1 })),
    concatMap(() => birds.get(['wren', 'dodo'])),
    tap(([bird, dodo]) => console.log('read a list:', bird?.seen, dodo)),
    concatMap(() => birds.get('wren')),
    concatMap((bird) => birds.delete(bird)),
    tap(({ id, rev }) => console.log(`deleted ${id}, revision ${rev.split('-')[0]}`)),
    concatMap(() => birds.get('wren')),
  )
  .subscribe({
    error: (error: unknown) => {
      if (isNotFound(error)) console.log('not found, deleted:', error.deleted);
    },
  });

// Prints:
// created, revision 1
// Wren, seen 1 time
// read a list: 2 null
// deleted wren, revision 3
// not found, deleted: true
