// A server and a database are told by their URL, by credentials beside it, or by default.
import { Couch, Database } from 'corduroy';
import { concatMap, from } from 'rxjs';

// Making one sends nothing, and credentials are taken out of the URL.
const byUrl = new Couch('http://admin:password@127.0.0.1:5984');
const byAuth = new Couch('http://127.0.0.1:5984', { auth: ['admin', 'password'] });
const byDefault = new Couch();
console.log(String(byUrl));
console.log(String(byDefault));

// A database by name, on the server that it is asked of; or by its own URL; or on the default server.
const same = [
  byUrl.use('guide-atlas'),
  byAuth.use('guide-atlas'),
  new Database('http://admin:password@127.0.0.1:5984/guide-atlas'),
  new Database('http://127.0.0.1:5984/guide-atlas', { auth: ['admin', 'password'] }),
];
console.log(new Database('guide-atlas').url);

byUrl
  .create('guide-atlas')
  .pipe(
    concatMap(() => from(same)),
    concatMap((database) => database.exists()),
  )
  .subscribe({
    next: (exists) => console.log('it is there:', exists),
    complete: () => byAuth.delete('guide-atlas').subscribe((gone) => console.log('gone:', gone)),
  });

// Prints:
// <Couch: http://127.0.0.1:5984>
// <Couch: http://127.0.0.1:5984>
// http://127.0.0.1:5984/guide-atlas
// it is there: true
// it is there: true
// it is there: true
// it is there: true
// gone: true
