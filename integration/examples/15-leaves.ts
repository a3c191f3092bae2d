// Two databases were edited apart and replicated: one document has two leaves. `conflicts$` lists it,
// and the edits of both sides become one document again.
import { Couch, fields, resolveAllLeaves } from 'corduroy';
import { firstValueFrom, take } from 'rxjs';

interface Contact {
  name: string;
  phone?: string;
  mail?: string;
}

const couch = new Couch('http://admin:password@127.0.0.1:5984');
const office = await firstValueFrom(couch.db<Contact>('guide-office', { createIfMissing: true }));
const laptop = await firstValueFrom(couch.db<Contact>('guide-laptop', { createIfMissing: true }));

await firstValueFrom(office.save({ _id: 'ada', name: 'Ada' }));
await firstValueFrom(office.push(laptop));
await firstValueFrom(office.upsert('ada', (ada) => ({ ...ada, name: 'Ada', phone: '12' })));
await firstValueFrom(laptop.upsert('ada', (ada) => ({ ...ada, name: 'Ada', mail: 'a@b.c' })));
await firstValueFrom(laptop.push(office));

office
  .conflicts$()
  .pipe(resolveAllLeaves(office, fields()), take(1))
  .subscribe((outcome) => {
    if (!outcome.ok) throw outcome.error;
    const { name, phone, mail } = outcome.doc;
    console.log(name, phone, mail);
  });

// Prints:
// Ada 12 a@b.c
