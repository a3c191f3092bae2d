import { afterAll, beforeAll, describe, expect, it, jest } from '@jest/globals';
import { once } from 'node:events';
import { createServer } from 'node:net';
import type { AddressInfo, Server, Socket } from 'node:net';
import { gzipSync } from 'node:zlib';
import { Couch, fetchTransport, gotTransport } from 'corduroy';
import type { Transport } from 'corduroy';
import { undiciTransport } from 'corduroy/undici';
import { firstValueFrom } from 'rxjs';

// A body that ends early is an error, however the connection ends: 40 responses at the same time, on
// raw sockets.

jest.setTimeout(60_000);

const TIMES = 40;
const zipped = gzipSync(Buffer.from(Array.from({ length: 50_000 }, (_, i) => (i * i) % 251)));
const half = zipped.subarray(0, zipped.length / 2);
const chunk = (bytes: Buffer): Buffer =>
  Buffer.concat([Buffer.from(`${bytes.length.toString(16)}\r\n`), bytes, Buffer.from('\r\n')]);
const GZIP = 'content-encoding: gzip\r\n';
const LENGTH = `content-length: ${zipped.length}\r\n`;
const CHUNKED = 'transfer-encoding: chunked\r\n';
const CLOSE = 'connection: close\r\n';
const LAST = Buffer.from('0\r\n\r\n');

interface Cut {
  readonly headers: string;
  readonly body: Buffer;
  readonly end: 'fin' | 'reset';
  /** Whether fetch reports it. */
  readonly overFetch: boolean;
}

const cuts: Readonly<Record<string, Cut>> = {
  'a length, FIN': { headers: LENGTH, body: half, end: 'fin', overFetch: true },
  'a length, RST': { headers: LENGTH, body: half, end: 'reset', overFetch: true },
  'a length and close, FIN': { headers: LENGTH + CLOSE, body: half, end: 'fin', overFetch: true },
  'a length and close, RST': { headers: LENGTH + CLOSE, body: half, end: 'reset', overFetch: true },
  'chunks, FIN': { headers: CHUNKED, body: chunk(half), end: 'fin', overFetch: true },
  'chunks, RST': { headers: CHUNKED, body: chunk(half), end: 'reset', overFetch: true },
  'chunks and close, FIN': {
    headers: CHUNKED + CLOSE,
    body: chunk(half),
    end: 'fin',
    overFetch: false,
  },
  'chunks and close, RST': {
    headers: CHUNKED + CLOSE,
    body: chunk(half),
    end: 'reset',
    overFetch: false,
  },
  'no length, RST': { headers: CLOSE, body: half, end: 'reset', overFetch: false },
  'gzip, a length, FIN': { headers: GZIP + LENGTH, body: half, end: 'fin', overFetch: true },
  'gzip, no length, FIN': { headers: GZIP + CLOSE, body: half, end: 'fin', overFetch: false },
  'gzip, no length, RST': { headers: GZIP + CLOSE, body: half, end: 'reset', overFetch: false },
  'whole gzip, no length, RST': {
    headers: GZIP + CLOSE,
    body: zipped,
    end: 'reset',
    overFetch: false,
  },
  'half a gzip in whole chunks': {
    headers: GZIP + CHUNKED,
    body: Buffer.concat([chunk(half), LAST]),
    end: 'fin',
    overFetch: false,
  },
};

const transports: [string, () => Transport][] = [
  ['gotTransport', gotTransport],
  ['undiciTransport', undiciTransport],
  ['fetchTransport', fetchTransport],
];

/** Sends RST. `resetAndDestroy` would send FIN first, and that ends a body without a length. */
function reset(socket: Socket): void {
  Object.assign(socket, { resetAndClosing: true }).destroy();
}

let server: Server;
let url: string;
let cut: Cut;
const sockets = new Set<Socket>();
beforeAll(async () => {
  server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => {}).on('close', () => sockets.delete(socket));
    socket.once('data', () => {
      socket.write(`HTTP/1.1 200 OK\r\n${cut.headers}\r\n`);
      socket.write(cut.body, () => {
        if (cut.end === 'fin') socket.end();
        // A turn later, because a reset discards what the client has not received.
        else setImmediate(() => reset(socket));
      });
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
afterAll(async () => {
  const closed = once(server, 'close');
  server.close();
  for (const socket of sockets) socket.destroy();
  await closed;
});

describe.each(transports)('%s', (kind, make) => {
  const outcomes = async (): Promise<string[]> => {
    const pets = new Couch(url, { transport: make() }).use('pets');
    const all = Array.from({ length: TIMES }, () =>
      firstValueFrom(pets.getAttachment('a', 'b')).then(
        (bytes) => `${bytes.length} bytes`,
        ({ name, message }: Error) => (/ended early/.test(message) ? name : message),
      ),
    );
    return [...new Set(await Promise.all(all))];
  };

  it.each(Object.keys(cuts).filter((name) => kind !== 'fetchTransport' || cuts[name]?.overFetch))(
    'errors: %s',
    async (name) => {
      cut = cuts[name] as Cut;
      expect(await outcomes()).toEqual(['ProtocolError']);
    },
  );

  it('emits whole bodies, however they are framed', async () => {
    for (const headers of [LENGTH, LENGTH + CLOSE, CLOSE]) {
      cut = { headers, body: zipped, end: 'fin', overFetch: true };
      expect(await outcomes()).toEqual([`${zipped.length} bytes`]);
    }
    cut = {
      headers: GZIP + CHUNKED,
      body: Buffer.concat([chunk(zipped), LAST]),
      end: 'fin',
      overFetch: true,
    };
    expect(await outcomes()).toEqual(['50000 bytes']);
  });
});
