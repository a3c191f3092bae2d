// A view that reduces: one total, one for each key, one for each beginning of a key.
import { Couch } from 'corduroy';
import { concat, firstValueFrom } from 'rxjs';

const couch = new Couch('http://admin:password@127.0.0.1:5984');
const rain = await firstValueFrom(couch.db('guide-rain', { createIfMissing: true }));
await firstValueFrom(
  rain.save([
    { town: 'Bergen', month: 1, mm: 190 },
    { town: 'Bergen', month: 2, mm: 152 },
    { town: 'Oslo', month: 1, mm: 49 },
    {
      _id: '_design/rain',
      views: {
        fallen: {
          map: 'function (doc) { if (doc.mm) emit([doc.town, doc.month], doc.mm); }',
          reduce: '_sum',
        },
      },
    },
  ]),
);

type Key = [town: string, month?: number];
concat(
  rain.view<null, number>('rain/fallen'),
  rain.view<Key, number>('rain/fallen', { groupLevel: 1 }),
  rain.view<Key, number>('rain/fallen', { group: true, startKey: ['Bergen', 2] }),
  rain.view<Key, number>('rain/fallen', { reduce: false, limit: 1 }),
).subscribe((view) => {
  console.log(String(view));
  for (const { key, value } of view) console.log('  ', key, value);
});

// Prints:
// <View: 1 row>
//    null 391
// <View: 2 rows>
//    [ 'Bergen' ] 342
//    [ 'Oslo' ] 49
// <View: 2 rows>
//    [ 'Bergen', 2 ] 152
//    [ 'Oslo', 1 ] 49
// <View: 1 row of 3>
//    [ 'Bergen', 1 ] 190
