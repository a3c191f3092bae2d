// Opening a database asks whether it is there, and can create it.
import { Couch, isNotFound, isPreconditionFailed } from 'corduroy';
import { catchError, concat, map, of, throwError } from 'rxjs';

const couch = new Couch('http://admin:password@127.0.0.1:5984');

const opened = couch.db('guide-garden').pipe(
  map(() => 'it was there'),
  catchError((error: unknown) =>
    isNotFound(error) ? of('it is missing') : throwError(() => error),
  ),
);

const created = couch
  .db('guide-garden', { createIfMissing: true })
  .pipe(map(({ name }) => `${name} is open`));

// To create what is there already is an error, and not one to be surprised by.
const again = couch.create('guide-garden').pipe(
  map(() => 'created twice'),
  catchError((error: unknown) =>
    isPreconditionFailed(error) ? of(error.reason) : throwError(() => error),
  ),
);

// Operations are cold: each is sent when the one before has completed.
concat(opened, created, opened, created, again, couch.delete('guide-garden')).subscribe({
  next: (said) => console.log(said),
});

// Prints:
// it is missing
// guide-garden is open
// it was there
// guide-garden is open
// The database could not be created, the file already exists.
// true
