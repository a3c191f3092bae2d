import { createRequire } from 'node:module';

/** PouchDB's http adapter. */
export async function pouchdb(url) {
  const require = createRequire(import.meta.url);
  const PouchDB = require('pouchdb-core')
    .plugin(require('pouchdb-adapter-http'))
    .plugin(require('pouchdb-mapreduce'));
  const db = new PouchDB(url, { skip_setup: true });
  return {
    get: (id) => db.get(id),
    save: (doc) => db.put(doc),
    getMany: (keys) => db.allDocs({ keys, include_docs: true }),
    saveMany: (docs) => db.bulkDocs(docs),
    viewWhole: (name, onRow) =>
      db.query(name).then(({ rows }) => rows.forEach((row) => onRow(row))),
    feed({ includeDocs }, onChange) {
      const changes = db
        .changes({ since: 0, live: true, include_docs: includeDocs, batch_size: 10_000 })
        .on('change', onChange)
        .on('error', () => {});
      return () => changes.cancel();
    },
  };
}
