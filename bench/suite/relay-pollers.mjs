/**
 * Many long-polls in one process, for `bench/relay-polls.mjs`: sockets that stay open, each with one request
 * after the other. Receives `{ url, since, count, perSecond }`, and sends `{ polled }` when all have sent their
 * first request. Sends `{ heard, times }` when all have had the row of the document `heard`.
 */
import { connect } from 'node:net';
import { clock } from './processes.mjs';

const arrivals = new Map();
let count = 0;

function fail(error) {
  if (process.connected) process.send({ error });
}

function hear(number) {
  const times = arrivals.get(number) ?? [];
  arrivals.set(number, times);
  times.push(clock());
  if (times.length === count) process.send({ heard: number, times });
}

/** Polls, and polls again after the last sequence of each answer. */
function poll({ hostname, port, pathname, search }, first) {
  const socket = connect({ host: hostname, port: Number(port) });
  let text = '';
  const ask = (since) => {
    const path = `${pathname}${search}&since=${encodeURIComponent(since)}`;
    socket.write(`GET ${path} HTTP/1.1\r\nHost: ${hostname}:${port}\r\n\r\n`);
  };
  socket.setEncoding('latin1');
  socket.on('data', (part) => {
    text += part;
    const end = /"last_seq":"([^"]+)","pending":\d+\}\n\n(?:\r\n0\r\n\r\n)?$/.exec(text);
    if (!text.startsWith('HTTP/1.1 200')) fail(text.slice(0, 200));
    if (end === null || (text.includes('chunked') && !text.endsWith('0\r\n\r\n'))) return;
    for (const [, number] of text.matchAll(/"id":"row-(\d+)"/g)) hear(Number(number));
    text = '';
    ask(end[1]);
  });
  socket.on('error', ({ message }) => fail(message));
  socket.on('close', () => fail('A poll was cut off'));
  return new Promise((resolve) => {
    socket.once('connect', () => {
      ask(first);
      resolve();
    });
  });
}

process.once('message', async ({ url, since, count: all, perSecond }) => {
  count = all;
  const began = clock();
  for (let index = 0; index < count; index += 1) {
    const early = began + (index * 1000) / perSecond - clock();
    if (early > 1) await new Promise((resolve) => setTimeout(resolve, early));
    await poll(new URL(url), since);
  }
  process.send({ polled: count });
});
process.once('disconnect', () => process.exit());
