// What has changed so far, once; and what changes from now on, as it happens.
import { Couch } from 'corduroy';
import { concatMap, filter, firstValueFrom, from, mergeMap, take } from 'rxjs';

interface Move {
  to: string;
}

const couch = new Couch('http://admin:password@127.0.0.1:5984');
const game = await firstValueFrom(couch.db<Move>('guide-chess', { createIfMissing: true, q: 1 }));
await firstValueFrom(game.save({ _id: 'white-1', to: 'e4' }));

const { results } = await firstValueFrom(game.changes({ since: 0 }));
console.log(
  'so far:',
  results.map(({ id }) => id),
);

const feed = game.changes$({ includeDocs: true, latency: 50 });

// A listener. With its last subscriber the feed closes its connection, and the program can end.
feed
  .pipe(
    mergeMap(({ changes }) => changes),
    take(3),
  )
  .subscribe({
    next: ({ id, doc }) => console.log(id, doc && 'to' in doc ? doc.to : 'taken back'),
    complete: () => console.log('enough'),
  });

// Moves are made once the feed is there to see them.
const moves = [
  { _id: 'black-1', to: 'e5' },
  { _id: 'white-2', to: 'Nf3' },
  { _id: 'black-2', to: 'Nc6' },
];
feed.state$
  .pipe(
    filter(({ status }) => status === 'live'),
    take(1),
    concatMap(() => from(moves)),
    concatMap((move) => game.save(move)),
  )
  .subscribe();

// Prints:
// so far: [ 'white-1' ]
// black-1 e5
// white-2 Nf3
// black-2 Nc6
// enough
