/** nano, the CouchDB project's library for Node. */
export async function nano(url) {
  const { default: Nano } = await import('nano');
  const { pathname } = new URL(url);
  const server = new URL(url);
  server.pathname = '';
  const db = Nano(server.href.replace(/\/$/, '')).use(pathname.slice(1));
  return {
    get: (id) => db.get(id),
    save: (doc) => db.insert(doc),
    getMany: (ids) => db.fetch({ keys: ids }),
    saveMany: (docs) => db.bulk({ docs }),
    viewWhole: (name, onRow) =>
      db.view(...name.split('/')).then(({ rows }) => rows.forEach((row) => onRow(row))),
    feed({ includeDocs }, onChange) {
      const { changesReader } = db;
      changesReader
        .start({ since: '0', includeDocs, batchSize: 10_000, timeout: 10_000, wait: false })
        .on('change', onChange)
        .on('error', () => {});
      return () => changesReader.stop();
    },
  };
}

/** nano offers its feed as a stream of bytes, so this code splits and parses the lines. */
export async function nanoStream(url) {
  const { default: Nano } = await import('nano');
  const { pathname } = new URL(url);
  const server = new URL(url);
  server.pathname = '';
  const db = Nano(server.href.replace(/\/$/, '')).use(pathname.slice(1));
  return {
    feed({ includeDocs }, onChange) {
      const options = {
        feed: 'continuous',
        since: 0,
        heartbeat: 10_000,
        include_docs: includeDocs,
      };
      const stream = db.changesAsStream(options);
      let rest = '';
      stream.setEncoding('utf8');
      stream.on('data', (text) => {
        const lines = (rest + text).split('\n');
        rest = lines.pop();
        for (const line of lines) if (line !== '') onChange(JSON.parse(line));
      });
      stream.on('error', () => {});
      return () => stream.destroy();
    },
  };
}
