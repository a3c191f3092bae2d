// The server copies databases: from here to there, from there to here, whole or in part.
import { Couch } from 'corduroy';
import { concatMap, firstValueFrom, map, tap } from 'rxjs';

const couch = new Couch('http://admin:password@127.0.0.1:5984');
const office = await firstValueFrom(couch.db('guide-office', { createIfMissing: true }));
const home = couch.use('guide-home');

const ids = home.view('_all_docs').pipe(map(({ rows }) => rows.map(({ id }) => id)));

office
  .save([{ _id: 'letter' }, { _id: 'memo' }, { _id: 'note' }])
  .pipe(
    // Push to a database that is created by it, and only some documents.
    concatMap(() => office.push(home, { createTarget: true, docIds: ['memo'] })),
    tap(({ ok }) => console.log('pushed:', ok)),
    concatMap(() => ids),
    tap((found) => console.log(found)),
    // Pull all the others.
    concatMap(() => home.pull(office)),
    tap(({ history }) => console.log('pulled:', history[0]?.['docs_written'])),
    concatMap(() => ids),
    tap((found) => console.log(found)),
    // What is there is not copied again.
    concatMap(() => home.pull(office)),
  )
  .subscribe(({ noChanges }) => console.log('nothing to do:', noChanges));

// Prints:
// pushed: true
// [ 'memo' ]
// pulled: 2
// [ 'letter', 'memo', 'note' ]
// nothing to do: true
