// A view is an index over the documents: all of it, a key, a range, a page, with documents.
import { Couch } from 'corduroy';
import type { ViewOptions } from 'corduroy';
import { concat, concatMap, firstValueFrom, from, map } from 'rxjs';

interface Book {
  title: string;
  year: number;
}

const couch = new Couch('http://admin:password@127.0.0.1:5984');
const books = await firstValueFrom(couch.db<Book>('guide-books', { createIfMissing: true }));
const byYear = 'function (doc) { emit(doc.year, doc.title); }';
const shelf = [
  { _id: 'emma', title: 'Emma', year: 1815 },
  { _id: 'persuasion', title: 'Persuasion', year: 1817 },
  { _id: 'ivanhoe', title: 'Ivanhoe', year: 1819 },
];
const design = { _id: '_design/books', views: { byYear: { map: byYear } } };
await firstValueFrom(couch.use(books.name).save([...shelf, design]));

const queries: ViewOptions[] = [
  {},
  { key: 1815 },
  { keys: [1819, 1815] },
  { startKey: 1816, endKey: 1819, inclusiveEnd: false },
  { descending: true, limit: 1 },
];
const titles = from(queries).pipe(
  concatMap((query) => books.view<number, string>('books/byYear', query)),
  map(({ rows, options }) => [options, rows.map(({ value }) => value)]),
);
// Rows have the types that the query gives them: these have documents.
const withDocs = books
  .view('books/byYear', { key: 1817, includeDocs: true })
  .pipe(map(({ rows }) => rows.map(({ id, doc }) => [id, doc?.title])));

concat(titles, withDocs).subscribe((found) => console.log(...found));

// Prints:
// {} [ 'Emma', 'Persuasion', 'Ivanhoe' ]
// { key: 1815 } [ 'Emma' ]
// { keys: [ 1819, 1815 ] } [ 'Ivanhoe', 'Emma' ]
// { startKey: 1816, endKey: 1819, inclusiveEnd: false } [ 'Persuasion' ]
// { descending: true, limit: 1 } [ 'Ivanhoe' ]
// [ 'persuasion', 'Persuasion' ]
