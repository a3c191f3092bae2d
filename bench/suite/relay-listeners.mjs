/**
 * Many listeners of a changes feed in one process, for `bench/relay.mjs`. A listener is a socket and two
 * counters: it searches the bytes for the ids of documents, and parses nothing else.
 *
 * It receives `{ url, count, perSecond }`, and sends `{ connected }`. It sends `{ heard }` when all listeners
 * have had a row of the document `number`. For `{ acks }` it sends how long the rows took.
 */
import { connect } from 'node:net';
import { quantile } from './live-figures.mjs';
import { clock } from './processes.mjs';

const MARK = Buffer.from('"id":"row-');
/** All sockets read into one buffer, because a row is searched before the next socket is read. */
const buffer = Buffer.allocUnsafe(65_536);
/** By the number of the document: when each listener had its row, and how many have had it. */
const arrivals = new Map();
let count = 0;

function hear(listener, number, at) {
  let all = arrivals.get(number);
  if (all === undefined) {
    all = { times: new Float64Array(count).fill(NaN), heard: 0 };
    arrivals.set(number, all);
  }
  if (!Number.isNaN(all.times[listener])) return;
  all.times[listener] = at;
  all.heard += 1;
  if (all.heard === count) process.send({ heard: number });
}

/** Returns the start of an id that continues in the next chunk. */
function search(listener, bytes, at) {
  for (let from = 0; ;) {
    const found = bytes.indexOf(MARK, from);
    if (found < 0) return Buffer.from(bytes.subarray(Math.max(from, bytes.length - MARK.length)));
    const start = found + MARK.length;
    const end = bytes.indexOf(0x22, start);
    if (end < 0) return Buffer.from(bytes.subarray(found));
    hear(listener, Number(bytes.latin1Slice(start, end)), at);
    from = end;
  }
}

function listen(index, { host, port, request }) {
  let rest = null;
  const socket = connect({
    host,
    port,
    onread: {
      buffer,
      callback: (size) => {
        const at = clock();
        const bytes = buffer.subarray(0, size);
        // A row ends with a line: nothing of it follows.
        const isWhole = buffer[size - 1] === 0x0a;
        const left = search(index, rest === null ? bytes : Buffer.concat([rest, bytes]), at);
        rest = isWhole ? null : left;
        return true;
      },
    },
  });
  socket.on('error', ({ message }) => fail(`listener ${index}: ${message}`));
  socket.on('close', () => fail(`listener ${index} was cut off`));
  return new Promise((resolve) => {
    socket.once('connect', () => {
      socket.write(request);
      resolve();
    });
  });
}

let isFailed = false;
function fail(error) {
  if (isFailed || !process.connected) return;
  isFailed = true;
  process.send({ error });
}

async function listenAll({ url, perSecond }) {
  const { hostname: host, port, pathname, search: query, username, password } = new URL(url);
  const user = [username, password].map(decodeURIComponent).join(':');
  const request = [
    `GET ${pathname}${query} HTTP/1.1`,
    `Host: ${host}:${port}`,
    `Authorization: Basic ${Buffer.from(user).toString('base64')}`,
    '',
    '',
  ].join('\r\n');
  const began = clock();
  for (let index = 0; index < count; index += 1) {
    const early = began + (index * 1000) / perSecond - clock();
    if (early > 1) await new Promise((resolve) => setTimeout(resolve, early));
    await listen(index, { host, port: Number(port), request });
  }
}

process.on('message', async (message) => {
  if (message.url !== undefined) {
    ({ count } = message);
    await listenAll(message);
    process.send({ connected: count });
  } else {
    const times = message.acks.flatMap(([number, acknowledged]) =>
      [...(arrivals.get(number)?.times ?? [])].map((at) => at - acknowledged),
    );
    const known = times.filter((time) => !Number.isNaN(time));
    process.send({
      median: quantile(known, 0.5),
      p95: quantile(known, 0.95),
      most: quantile(known, 1),
      missing: message.acks.length * count - known.length,
    });
    arrivals.clear();
  }
});
process.once('disconnect', () => process.exit());
