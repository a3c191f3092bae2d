// Many documents are saved in one request, and each is told apart afterwards.
import { Couch } from 'corduroy';
import type { Draft } from 'corduroy';
import { concatMap, firstValueFrom, map, tap } from 'rxjs';

interface Star {
  magnitude: number;
}

const couch = new Couch('http://admin:password@127.0.0.1:5984');
const stars = await firstValueFrom(couch.db<Star>('guide-stars', { createIfMissing: true }));

const vega: Draft<Star> = { _id: 'vega', magnitude: 0.03 };
const sirius: Draft<Star> = { _id: 'sirius', magnitude: -1.46 };
const deneb: Draft<Star> = { _id: 'deneb', magnitude: 1.25 };

stars
  .save([vega, sirius, deneb])
  .pipe(
    tap((result) => console.log(String(result))),
    // Somebody else writes to one of them meanwhile.
    concatMap(() => stars.save({ ...deneb, magnitude: 1.3 })),
    tap(() => Object.assign(vega, { magnitude: 0.02 })),
    concatMap(() => stars.save([vega, sirius, deneb])),
    tap(({ resolved }) => console.log('written:', [...resolved.keys()])),
    tap(({ pending }) => console.log('not written:', pending.get('deneb')?.error)),
    concatMap(() => stars.get(['deneb', 'sirius', 'vega'])),
    map((found) => found.map((star) => star?.magnitude)),
  )
  .subscribe((magnitudes) => console.log(magnitudes));

// Prints:
// <Success: 3 docs updated>
// written: [ 'vega', 'sirius' ]
// not written: conflict
// [ 1.3, -1.46, 0.02 ]
