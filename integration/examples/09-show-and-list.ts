// Functions of a design document make pages: of one document, and of the rows of a view.
import { Couch } from 'corduroy';
import { concat, firstValueFrom } from 'rxjs';

const couch = new Couch('http://admin:password@127.0.0.1:5984');
const plants = await firstValueFrom(couch.db('guide-plants', { createIfMissing: true }));
await firstValueFrom(
  plants.save([
    { _id: 'fern', height: 40 },
    { _id: 'moss', height: 2 },
    {
      _id: '_design/plants',
      views: { byHeight: { map: 'function (doc) { emit(doc.height, null); }' } },
      shows: { label: 'function (doc, req) { return doc._id + req.query.end; }' },
      lists: {
        page: `function () {
          start({ headers: { 'Content-Type': 'text/html' } });
          var row; while ((row = getRow())) send('<li>' + row.id + ' ' + row.key);
        }`,
      },
      updates: { grow: "function (doc) { doc.height += 1; return [doc, 'grown']; }" },
    },
  ]),
);

concat(
  plants.show('plants/label', 'fern', { end: '!' }),
  plants.list('plants/page', 'byHeight', { descending: true }),
  plants.update('plants/grow', 'moss'),
  plants.list('plants/page', 'byHeight', { endKey: 10 }),
).subscribe(({ body }) => console.log(body));

// Prints:
// fern!
// <li>fern 40<li>moss 2
// grown
// <li>moss 3
