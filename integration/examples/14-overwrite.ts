// Force, where nothing on the server is worth keeping: `overwrite` after the fact, `force` at once.
import { Couch } from 'corduroy';
import { concat, firstValueFrom, map, mergeMap } from 'rxjs';

interface Reading {
  celsius: number;
}

const couch = new Couch('http://admin:password@127.0.0.1:5984');
const sensors = await firstValueFrom(couch.db<Reading>('guide-sensors', { createIfMissing: true }));
await firstValueFrom(sensors.save({ _id: 'roof', celsius: 11 }));

// Without a revision, for this sensor knows nothing of what was there before.
const measured = [
  { _id: 'roof', celsius: 14 },
  { _id: 'cellar', celsius: 9 },
];

const overwritten = sensors.save(measured).pipe(
  mergeMap((saved) => saved.overwrite()),
  map(String),
);
const forced = sensors.save({ _id: 'roof', celsius: 15 }, { force: true }).pipe(map(String));
const read = sensors.get('roof').pipe(map(({ celsius, _rev }) => `${celsius} in ${_rev[0]}`));

concat(overwritten, forced, read).subscribe((said) => console.log(said));

// Prints:
// <Success: 2 docs updated>
// <Success: 1 doc updated>
// 15 in 3
