/**
 * A stub of CouchDB for the benchmark, in a separate process. It answers from memory, so fast that
 * the client determines the figures. It serves one database under any name.
 */
import { createServer } from 'node:http';
import { gunzipSync } from 'node:zlib';

const ROWS = Number(process.argv[2] ?? 200_000);
const REV = `1-${'9'.repeat(32)}`;
const PAD =
  'Lorem ipsum dolor sit amet, consectetur adipiscing elit, sed do eiusmod tempor '.repeat(2);
const HEADERS = {
  'content-type': 'application/json',
  'cache-control': 'must-revalidate',
  server: 'CouchDB/3.5.0 (Erlang OTP/26)',
  'x-couch-request-id': '0123456789',
  'x-couchdb-body-time': '0',
};

const idOf = (n) => `doc-${String(n).padStart(7, '0')}`;
const docOf = (id) =>
  `{"_id":"${id}","_rev":"${REV}","type":"order","customer":"ada","pad":"${PAD}"}`;
const seqOf = (n) => `${n}-${'g'.repeat(80)}`;
const changeOf = (n, docs) =>
  `{"seq":"${seqOf(n)}","id":"${idOf(n)}","changes":[{"rev":"${REV}"}]${docs ? `,"doc":${docOf(idOf(n))}` : ''}}`;

/** The text of many lines as buffers of 64 kB, cached. */
const made = new Map();
function buffers(key, lines) {
  const known = made.get(key);
  if (known !== undefined) return known;
  const parts = [];
  let text = '';
  for (const line of lines()) {
    text += line;
    if (text.length < 65_536) continue;
    parts.push(Buffer.from(text));
    text = '';
  }
  parts.push(Buffer.from(text));
  made.set(key, parts);
  return parts;
}

const view = () =>
  buffers('view', function* () {
    yield `{"total_rows":${ROWS},"offset":0,"rows":[\r\n`;
    for (let n = 1; n <= ROWS; n++) {
      const row = `{"id":"${idOf(n)}","key":["order",${n}],"value":{"n":${n},"customer":"ada","pad":"${PAD}"}}`;
      yield n === ROWS ? `${row}\r\n]}\n` : `${row},\r\n`;
    }
  });

const feed = (docs, since = 0) =>
  buffers(`feed ${docs} ${since}`, function* () {
    for (let n = since + 1; n <= ROWS; n++) yield `${changeOf(n, docs)}\n`;
  });

async function writeAll(response, parts) {
  for (const part of parts) {
    if (response.destroyed) return;
    if (!response.write(part)) await new Promise((resolve) => response.once('drain', resolve));
  }
}

let requests = 0;
const sockets = new Set();

const routes = {
  _all_docs({ keys = [] }) {
    const rows = keys.map(
      (id) => `{"id":"${id}","key":"${id}","value":{"rev":"${REV}"},"doc":${docOf(id)}}`,
    );
    return `{"total_rows":${ROWS},"offset":null,"rows":[\r\n${rows.join(',\r\n')}\r\n]}\n`;
  },
  _bulk_get({ docs }) {
    return `{"results":[${docs.map(({ id }) => `{"id":"${id}","docs":[{"ok":${docOf(id)}}]}`).join(',')}]}\n`;
  },
  _bulk_docs({ docs }) {
    return `[${docs.map(({ _id }) => `{"ok":true,"id":"${_id}","rev":"${REV}"}`).join(',')}]\n`;
  },
};

/** Serves the changes after `since`. A continuous feed stays open after the last change. */
async function changes(query, response) {
  const docs = query.get('include_docs') === 'true';
  const since = query.get('since') ?? '0';
  const start = since === 'now' ? ROWS : Number.parseInt(since, 10);
  if (query.get('feed') === 'continuous') {
    // A real server takes a moment here, and answers other requests in the meantime.
    response.flushHeaders();
    await new Promise((resolve) => setTimeout(resolve, 20));
    if (start < ROWS) await writeAll(response, feed(docs, start));
    const beat = setInterval(
      () => response.write('\n'),
      Math.min(Number(query.get('heartbeat') ?? 10_000), 10_000),
    );
    response.write('\n');
    response.on('close', () => clearInterval(beat));
    return;
  }
  const limit = Number(query.get('limit') ?? ROWS);
  const end = Math.min(ROWS, start + limit);
  if (start >= ROWS && query.get('feed') === 'longpoll') {
    response.write('\n');
    return;
  }
  const parts = buffers(`changes ${start} ${end} ${docs}`, function* () {
    yield '{"results":[\n';
    for (let n = start + 1; n <= end; n++) yield changeOf(n, docs) + (n === end ? '\n' : ',\r\n');
    yield `],\n"last_seq":"${seqOf(end)}","pending":${ROWS - end}}\n`;
  });
  await writeAll(response, parts);
  response.end();
}

const server = createServer((request, response) => {
  const { pathname, searchParams } = new URL(request.url, 'http://stub');
  const [, , name = '', rest = ''] = pathname.split('/');
  if (pathname === '/_counts') {
    response.end(JSON.stringify({ requests, sockets: sockets.size }));
    return;
  }
  if (pathname === '/_reset') {
    requests = 0;
    response.end();
    return;
  }
  requests += 1;
  const parts = [];
  request.on('data', (part) => parts.push(part));
  request.on('end', () => {
    const bytes = Buffer.concat(parts);
    const plain = request.headers['content-encoding'] === 'gzip' ? gunzipSync(bytes) : bytes;
    const body = plain.length > 0 ? JSON.parse(plain.toString()) : {};
    const send = (text, status = 200) => {
      response.writeHead(status, {
        ...HEADERS,
        'content-length': Buffer.byteLength(text),
        etag: `"${REV}"`,
      });
      response.end(text);
    };
    if (name === '') send('{"db_name":"bench","update_seq":"0","instance_start_time":"1"}');
    else if (name === '_changes') {
      response.writeHead(200, HEADERS);
      void changes(searchParams, response);
    } else if (name === '_design' && rest !== '' && pathname.includes('/_view/')) {
      response.writeHead(200, HEADERS);
      void writeAll(response, view()).then(() => response.end());
    } else if (Object.hasOwn(routes, name))
      send(routes[name](body), name === '_bulk_docs' ? 201 : 200);
    else if (request.method === 'PUT') send(`{"ok":true,"id":"${name}","rev":"${REV}"}\n`, 201);
    else send(`${docOf(decodeURIComponent(name))}\n`);
  });
});
server.keepAliveTimeout = 60_000;
server.on('connection', (socket) => {
  sockets.add(socket);
  socket.on('close', () => sockets.delete(socket));
});
server.listen(0, '127.0.0.1', () => {
  // Fill the caches before the measurements.
  view();
  feed(false);
  feed(true);
  process.send(`http://127.0.0.1:${server.address().port}`);
});
process.on('disconnect', () => process.exit());
