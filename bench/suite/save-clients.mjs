/** Ways to write many documents: 500 in a request, two requests at a time. */
import { Readable } from 'node:stream';

const SIZE = 500;
const REQUESTS = 2;
const pad =
  'Lorem ipsum dolor sit amet, consectetur adipiscing elit, sed do eiusmod tempor '.repeat(2);

/** Documents of about 250 bytes, made as they are needed. */
function* documents(count) {
  for (let n = 1; n <= count; n += 1)
    yield { _id: `doc-${String(n).padStart(8, '0')}`, type: 'order', customer: 'ada', n, pad };
}

function* batches(count) {
  let batch = [];
  for (const doc of documents(count)) {
    batch.push(doc);
    if (batch.length === SIZE) {
      yield batch;
      batch = [];
    }
  }
  if (batch.length > 0) yield batch;
}

/** Writes the batches, two at a time. */
async function inLanes(count, write) {
  const all = batches(count);
  await Promise.all(
    Array.from({ length: REQUESTS }, async () => {
      for (const batch of { [Symbol.iterator]: () => ({ next: () => all.next() }) }) {
        const results = await write(batch);
        const refused = results.find(({ error }) => error !== undefined);
        if (refused !== undefined) throw new Error(JSON.stringify(refused));
      }
    }),
  );
}

export const imports = {
  async raw({ origin, pathname, username, password }, count) {
    const { Agent, request } = await import('node:http');
    const agent = new Agent({ keepAlive: true });
    const auth = [username, password].map(decodeURIComponent).join(':');
    const headers = { 'content-type': 'application/json' };
    await inLanes(
      count,
      (docs) =>
        new Promise((resolve, reject) => {
          const options = { method: 'POST', agent, auth, headers };
          const sent = request(`${origin}${pathname}/_bulk_docs`, options, (response) => {
            const chunks = [];
            response.on('data', (chunk) => chunks.push(chunk));
            response.on('end', () => resolve(JSON.parse(Buffer.concat(chunks).toString())));
            response.on('error', reject);
          });
          sent.on('error', reject);
          sent.end(JSON.stringify({ docs }));
        }),
    );
  },

  async nano(url, count) {
    const { default: nano } = await import('nano');
    const db = nano(url.href.slice(0, -url.pathname.length)).use(url.pathname.slice(1));
    await inLanes(count, (docs) => db.bulk({ docs }));
  },

  async couchbackup(url, count) {
    const { default: couchbackup } = await import('@cloudant/couchbackup');
    // A backup has a line for each request. Documents of a backup have revisions.
    function* lines() {
      for (const docs of batches(count)) {
        const stored = docs.map((doc) => ({
          ...doc,
          _rev: '1-967a00dff5e02add41819138abb3284d',
          _revisions: { start: 1, ids: ['967a00dff5e02add41819138abb3284d'] },
        }));
        yield `${JSON.stringify(stored)}\n`;
      }
    }
    await new Promise((resolve, reject) => {
      const options = { bufferSize: SIZE, parallelism: REQUESTS };
      couchbackup.restore(Readable.from(lines()), url.href, options, (error) =>
        error ? reject(error) : resolve(),
      );
    });
  },

  async corduroy({ origin, pathname, username, password }, count) {
    const [{ Couch }, { lastValueFrom }] = await Promise.all([
      import('../../dist/index.js'),
      import('rxjs'),
    ]);
    const auth = [username, password].map(decodeURIComponent);
    const db = new Couch(origin, { auth }).use(pathname.slice(1));
    const options = { batchSize: SIZE, concurrency: REQUESTS };
    const { refused } = await lastValueFrom(db.saveAll(documents(count), options));
    if (refused > 0) throw new Error(`${refused} documents were refused`);
  },
};
