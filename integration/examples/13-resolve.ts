// Of many documents saved at once some were changed meanwhile. They wait in `pending`; `resolve` asks
// a function about each, and what it will not merge stays there.
import { Couch } from 'corduroy';
import { firstValueFrom, map, mergeMap, of, tap } from 'rxjs';

interface Page {
  title: string;
  locked?: boolean;
}

const couch = new Couch('http://admin:password@127.0.0.1:5984');
const pages = await firstValueFrom(couch.db<Page>('guide-pages', { createIfMissing: true }));
const wiki = ['about', 'help', 'home'].map((_id) => ({ _id, title: _id }));
await firstValueFrom(pages.save(wiki));
const mine = structuredClone(wiki);

// Somebody else is faster with two of the three.
await firstValueFrom(
  pages.save([
    { ...wiki[0], title: 'About us' },
    { ...wiki[1], title: 'Help!', locked: true },
  ]),
);
for (const page of mine) page.title = page.title.toUpperCase();

pages
  .save(mine)
  .pipe(
    tap((saved) => console.log(String(saved), [...saved.resolved.keys()])),
    // Not over what is locked: null leaves it pending. A Promise or an Observable will do as well.
    mergeMap((saved) =>
      saved.resolve((local, server) => of(server?.locked === true ? null : local)),
    ),
    tap((merged) => console.log(String(merged), [...merged.resolved.keys()])),
    map(({ pending }) => pending.get('help')?.error),
  )
  .subscribe((error) => console.log(error));

// Prints:
// <Conflict: about, help> [ 'home' ]
// <Conflict: help> [ 'about', 'home' ]
// conflict
