// Looking around: a view that is given as text, and is there for this query only.
import { Couch } from 'corduroy';
import { concatMap, firstValueFrom, map, tap } from 'rxjs';

interface Coin {
  metal: string;
  worth: number;
}

const couch = new Couch('http://admin:password@127.0.0.1:5984');
const coins = await firstValueFrom(couch.db<Coin>('guide-coins', { createIfMissing: true }));

const byMetal = 'function (doc) { emit(doc.metal, doc.worth); }';

coins
  .save([
    { _id: 'crown', metal: 'silver', worth: 60 },
    { _id: 'guinea', metal: 'gold', worth: 252 },
    { _id: 'shilling', metal: 'silver', worth: 12 },
  ])
  .pipe(
    concatMap(() => coins.query<string, number>(byMetal, undefined, { key: 'silver' })),
    tap(({ rows }) => console.log(rows.map(({ id, value }) => `${id} ${value}`))),
    concatMap(() => coins.query<string, number>(byMetal, '_sum', { group: true })),
    tap(({ rows }) => console.log(rows.map(({ key, value }) => `${key} ${value}`))),
    // The design document that it needed is gone again.
    concatMap(() => coins.view('_all_docs')),
    map(({ rows }) => rows.map(({ id }) => id)),
  )
  .subscribe((ids) => console.log(ids));

// Prints:
// [ 'crown 60', 'shilling 12' ]
// [ 'gold 252', 'silver 72' ]
// [ 'crown', 'guinea', 'shilling' ]
