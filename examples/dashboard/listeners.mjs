// The listeners of the demo, in a separate process: raw sockets, so that a listener costs little here.
// It ends with the demo.
import { once } from 'node:events';
import { connect as connectPlain } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { connect as connectTls } from 'node:tls';

/** How many connections are opened at most in 100 ms, and how many wait for an answer at most. */
const RATE = { perTick: 25, waiting: 100 };
/** How many listeners look at what they receive. The others take their bytes only. */
const MEASURING = 50;
/** How many arrivals and lags are kept. */
const KEPT = 10_000;

process.on('SIGINT', () => {});
process.on('disconnect', () => process.exit(0));
const [{ url, auth, name, count }] = await once(process, 'message');

let waiting = 0;
let open = 0;
let ended = 0;
/** When revisions have arrived, each at several listeners, in milliseconds since 1970. */
const arrivals = new Map();
/** When the server has acknowledged revisions. */
const acknowledged = new Map();
let lags = [];

const now = () => performance.timeOrigin + performance.now();

process.on('message', ({ rev, at, reset }) => {
  if (reset) lags = [];
  if (rev === undefined) return;
  acknowledged.set(rev, at);
  for (const time of arrivals.get(rev) ?? []) keep(time - at);
  arrivals.delete(rev);
  forgetOldest(acknowledged);
});

function arrive(rev) {
  const at = acknowledged.get(rev);
  if (at !== undefined) return keep(now() - at);
  arrivals.set(rev, [...(arrivals.get(rev) ?? []), now()]);
  return forgetOldest(arrivals);
}

// A change may arrive before its writer has the acknowledgement.
function keep(lag) {
  lags.push(Math.max(0, lag));
  if (lags.length > KEPT) lags.splice(0, KEPT / 2);
}

function forgetOldest(map) {
  if (map.size > KEPT) map.delete(map.keys().next().value);
}

function listen(measures) {
  const { protocol, hostname, port, host, pathname } = new URL(url);
  const isSecure = protocol === 'https:';
  const address = hostname.replace(/^\[|\]$/g, '');
  const socket = (isSecure ? connectTls : connectPlain)({
    host: address,
    port: Number(port || (isSecure ? 443 : 80)),
    ...(isSecure && { servername: address }),
  });
  const path = `${pathname.replace(/\/$/, '')}/${encodeURIComponent(name)}/_changes`;
  const pair = auth && Buffer.from(`${auth.username}:${auth.password}`).toString('base64');
  const lines = [
    `GET ${path}?feed=continuous&since=now&heartbeat=10000 HTTP/1.1`,
    `Host: ${host}`,
    ...(pair ? [`Authorization: Basic ${pair}`] : []),
    '\r\n',
  ];
  socket.write(lines.join('\r\n'));
  waiting += 1;
  let state = 'waiting';
  let rest = '';
  socket.on('data', (data) => {
    if (state === 'waiting') {
      state = data.toString('latin1').startsWith('HTTP/1.1 200') ? 'open' : 'refused';
      waiting -= 1;
      if (state === 'open') open += 1;
      else socket.destroy();
    }
    if (!measures || state !== 'open') return;
    const text = rest + data.toString('latin1');
    const end = text.lastIndexOf('\n') + 1;
    rest = text.slice(end);
    for (const [, rev] of text.slice(0, end).matchAll(/"rev":"([^"]+)"/g)) arrive(rev);
  });
  socket.on('error', () => {});
  socket.on('close', () => {
    if (state === 'waiting') waiting -= 1;
    if (state === 'open') open -= 1;
    state = 'ended';
    ended += 1;
  });
}

setInterval(() => {
  const sorted = lags.toSorted((a, b) => a - b);
  const at = (share) => sorted[Math.floor((sorted.length - 1) * share)] ?? null;
  process.send({ open, ended, lag: at(0.5), slowLag: at(0.95) });
}, 500);

for (let started = 0; started < count;) {
  const room = Math.min(RATE.perTick, RATE.waiting - waiting, count - started);
  for (let n = 0; n < room; n += 1, started += 1)
    listen(started % Math.ceil(count / MEASURING) === 0);
  await sleep(100);
}
