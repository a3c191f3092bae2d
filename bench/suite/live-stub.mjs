/**
 * A stub of CouchDB for the benchmark of live queries, in a separate process. It keeps `orders` in
 * memory and serves them under any database name. `POST /_change` writes to the open feeds.
 */
import { createServer } from 'node:http';

const HASH = '9'.repeat(32);
const HEADERS = { 'content-type': 'application/json', server: 'CouchDB/3.5.0 (Erlang OTP/26)' };
const INDEX = { ddoc: '_design/n', name: 'n', type: 'json', def: { fields: [{ n: 'asc' }] } };

/** The orders by id. The database has as many as the last `POST /_reset` requested. */
let orders = new Map();
let sequence = 0;
/** The lines of all changes since the last reset, for a feed that opens after them. */
let log = [];
/** How many requests arrived since the last reset, by route. */
let counts = {};
const feeds = new Set();

const seqOf = () => `${sequence}-${'g'.repeat(80)}`;

function reset({ documents, pad }) {
  sequence = documents;
  log = [];
  counts = {};
  orders = new Map();
  for (let i = 0; i < documents; i++) {
    const _id = `order-${String(i).padStart(7, '0')}`;
    orders.set(_id, { _id, _rev: `1-${HASH}`, type: 'order', g: i % 500, n: i, v: 0, pad });
  }
}

/** Changes orders, and writes all changes to the open feeds at once, as a burst arrives. */
function change({ changes }) {
  let text = '';
  for (const [id, fields] of changes) {
    const before = orders.get(id);
    const generation = Number.parseInt(before._rev, 10) + 1;
    const doc = { ...before, ...fields, _rev: `${generation}-${HASH}` };
    orders.set(id, doc);
    sequence += 1;
    const line = `${JSON.stringify({ seq: seqOf(), id, changes: [{ rev: doc._rev }], doc })}\n`;
    log.push(line);
    text += line;
  }
  for (const response of feeds) response.write(text);
}

function find({ selector = {}, sort = [] }) {
  const { g } = selector;
  const found = [...orders.values()].filter((doc) => g === undefined || doc.g === g);
  if (sort.length > 0) found.sort((a, b) => a.n - b.n);
  return { docs: found, bookmark: 'nil' };
}

function listed({ keys }) {
  const rows = keys.map((id) => {
    const doc = orders.get(id);
    return { id, key: id, value: { rev: doc._rev }, doc };
  });
  return { total_rows: orders.size, offset: null, rows };
}

function serveFeed(query, response) {
  response.writeHead(200, HEADERS);
  if (query.get('feed') === 'continuous') {
    const since = Number.parseInt(query.get('since') ?? '0', 10);
    const missed = sequence - since;
    response.write(missed > 0 ? log.slice(-missed).join('') : '\n');
    feeds.add(response);
    response.on('close', () => feeds.delete(response));
  } else if (query.get('feed') === 'longpoll') response.write('\n');
  else response.end(JSON.stringify({ results: [], last_seq: seqOf(), pending: 0 }));
}

const routes = {
  _find: find,
  _all_docs: listed,
  _explain: ({ selector }) => ({ dbname: 'bench', index: INDEX, selector, opts: {}, fields: [] }),
};

const controls = { _reset: reset, _change: change, _counts: () => counts };

const server = createServer((request, response) => {
  const { pathname, searchParams } = new URL(request.url, 'http://stub');
  const [, first, name = ''] = pathname.split('/');
  const parts = [];
  request.on('data', (part) => parts.push(part));
  request.on('end', () => {
    const body = parts.length > 0 ? JSON.parse(Buffer.concat(parts).toString()) : {};
    const send = (value, status = 200) => {
      response.writeHead(status, HEADERS);
      response.end(JSON.stringify(value));
    };
    if (Object.hasOwn(controls, first)) {
      send(controls[first](body) ?? {});
      return;
    }
    counts[name] = (counts[name] ?? 0) + 1;
    if (name === '')
      send({ db_name: 'bench', update_seq: seqOf(), instance_start_time: '1', doc_count: 1 });
    else if (name === '_changes') serveFeed(searchParams, response);
    else if (Object.hasOwn(routes, name)) send(routes[name](body));
    else send({ error: 'not_found', reason: 'missing' }, 404);
  });
});
server.keepAliveTimeout = 60_000;
server.listen(0, '127.0.0.1', () => process.send(`http://127.0.0.1:${server.address().port}`));
process.on('disconnect', () => process.exit());
