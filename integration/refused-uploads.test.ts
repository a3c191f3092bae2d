import { afterAll, beforeAll, describe, expect, it, jest } from '@jest/globals';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:net';
import type { AddressInfo, Server, Socket } from 'node:net';
import { Readable } from 'node:stream';
import { createServer as createTlsServer } from 'node:tls';
import { Couch, fetchTransport, gotTransport } from 'corduroy';
import type { AttachmentContent, Transport } from 'corduroy';
import { undiciTransport } from 'corduroy/undici';
import { firstValueFrom, from } from 'rxjs';
import type { Observable } from 'rxjs';
import { createDatabase, server } from './helpers/server.ts';

// Uploads that a server refuses before it has received them, and uploads whose source fails.

jest.setTimeout(60_000);

type MakeTransport = (options?: { readonly rejectUnauthorized: boolean }) => Transport;
const transports: [string, MakeTransport][] = [
  ['gotTransport', gotTransport],
  ['undiciTransport', undiciTransport],
];

const MEGABYTE = Buffer.alloc(1_000_000, 'x');
/** Resolves when the server has refused the upload. */
let refused: Promise<void> = Promise.resolve();

/** Goes on in the turn in which the server closes the connection, before the answer is read. */
async function* source(): AsyncGenerator<Uint8Array> {
  for (let i = 0; i < 8; i++) {
    yield MEGABYTE;
    await refused;
  }
}

const parts = Array.from({ length: 8 }, () => MEGABYTE);
const contents: [string, () => AttachmentContent][] = [
  ['a generator', source],
  ['a stream of Node', () => Readable.from(source(), { objectMode: false })],
  ['a stream of the web', () => Readable.toWeb(Readable.from(source())) as never],
  ['an Observable', () => from(source())],
  ['a Blob', () => new Blob(parts)],
  ['bytes', () => Buffer.concat(parts)],
];

const outcomeOf = (source$: Observable<unknown>): Promise<string> =>
  firstValueFrom(source$).then(
    (value) => `emitted ${JSON.stringify(value)}`,
    ({ name, status, reason, message }) =>
      status === undefined ? `${name}: ${message}` : `${name} ${status}: ${reason}`,
  );

/** Counts the outcomes of calls, which run one after the other. */
async function outcomes(times: number, call: () => Observable<unknown>): Promise<object> {
  const counts: Record<string, number> = {};
  for (let i = 0; i < times; i++) {
    const outcome = await outcomeOf(call());
    counts[outcome] = (counts[outcome] ?? 0) + 1;
  }
  return counts;
}

describe.each(transports)('%s', (_, make) => {
  describe('emits the answer of a server that refuses an upload early and closes', () => {
    let refusing: Server;
    let secure: Server;
    let url: string;
    let refuse = (): void => {};
    const expectUpload = (): void => {
      refused = new Promise((resolve) => (refuse = resolve));
    };
    const sockets = new Set<Socket>();
    beforeAll(async () => {
      const handler = (socket: Socket): void => {
        sockets.add(socket);
        socket.on('error', () => {}).on('close', () => sockets.delete(socket));
        socket.once('data', (start) => {
          const [, status = ''] = /^PUT \S*\/s(\d+)/.exec(start.toString('latin1')) ?? [];
          const body = `{"error":"refused","reason":"because of ${status}"}`;
          const head = `content-type: application/json\r\ncontent-length: ${body.length}`;
          socket.write(`HTTP/1.1 ${status} No\r\n${head}\r\n\r\n${body}`);
          // The rest is not read, so the system resets the connection.
          socket.destroy();
          refuse();
        });
      };
      refusing = createServer(handler);
      const pem = (name: string): Buffer =>
        readFileSync(new URL(`helpers/certificates/${name}.pem`, import.meta.url));
      secure = createTlsServer({ cert: pem('server'), key: pem('server-key') }, handler);
      for (const one of [refusing, secure]) {
        one.listen(0, '127.0.0.1');
        await once(one, 'listening');
      }
      url = `http://127.0.0.1:${(refusing.address() as AddressInfo).port}`;
    });
    afterAll(async () => {
      refused = Promise.resolve();
      for (const socket of sockets) socket.destroy();
      for (const one of [refusing, secure]) {
        const closed = once(one, 'close');
        one.close();
        await closed;
      }
    });

    describe.each(contents)('%s', (__, content) => {
      it.each([401, 404, 409, 412, 413])('%d', async (status) => {
        const db = new Couch(url, { transport: make() }).use('db');
        const counts = await outcomes(5, () => {
          expectUpload();
          return db.putAttachment({ _id: `s${status}` }, content(), 'film.bin');
        });
        expect(Object.keys(counts)).toEqual([
          expect.stringMatching(new RegExp(`^\\w+ ${status}: because of ${status}$`)),
        ]);
      });
    });

    it('over TLS', async () => {
      const { port } = secure.address() as AddressInfo;
      const transport = make({ rejectUnauthorized: false });
      const db = new Couch(`https://127.0.0.1:${port}`, { transport }).use('db');
      const counts = await outcomes(5, () => {
        expectUpload();
        return db.putAttachment({ _id: 's413' }, source(), 'film.bin');
      });
      expect(counts).toEqual({ 'PayloadTooLarge 413: because of 413': 5 });
    });

    it('a document of 8 MB', async () => {
      const db = new Couch(url, { transport: make() }).use('db');
      const text = 'x'.repeat(8_000_000);
      expect(await outcomes(5, () => db.save({ _id: 's413', text }))).toEqual({
        'PayloadTooLarge 413: because of 413': 5,
      });
    });
  });

  it('closes the connection after an early answer to a server that keeps it open', async () => {
    let closed = Promise.resolve<unknown>(null);
    const keeping = createServer((socket) => {
      closed = once(
        socket.on('error', () => {}),
        'close',
      );
      socket.once('data', () => {
        socket.write('HTTP/1.1 413 No\r\ncontent-length: 2\r\n\r\n{}');
      });
    });
    keeping.listen(0, '127.0.0.1');
    await once(keeping, 'listening');
    const { port } = keeping.address() as AddressInfo;
    async function* endless(): AsyncGenerator<Uint8Array> {
      for (;;) yield MEGABYTE;
    }
    const db = new Couch(`http://127.0.0.1:${port}`, { transport: make() }).use('db');
    const outcome = await outcomeOf(db.putAttachment({ _id: 'a' }, endless(), 'film.bin'));
    expect(outcome).toMatch(/^PayloadTooLarge 413/);
    await closed;
    keeping.close();
  });

  it('errors if a server closes the connection without an answer', async () => {
    const mute = createServer((socket) => {
      socket.on('error', () => {}).once('data', () => socket.destroy());
    });
    mute.listen(0, '127.0.0.1');
    await once(mute, 'listening');
    const { port } = mute.address() as AddressInfo;
    const db = new Couch(`http://127.0.0.1:${port}`, { transport: make() }).use('db');
    const counts = await outcomes(20, () => db.putAttachment({ _id: 'a' }, source(), 'film.bin'));
    for (const outcome of Object.keys(counts)) expect(outcome).toMatch(/^ConnectionError: /);
    mute.close();
  });

  it('emits the answer of CouchDB: 401, 404 and 409', async () => {
    const name = await createDatabase();
    const { url, username, password } = server;
    const transport = make();
    const couch = new Couch(url, { auth: [username, password], transport });
    const doc = { _id: 'a' };
    await firstValueFrom(couch.use(name).save(doc));
    const stale = { ...doc };
    await firstValueFrom(couch.use(name).save(doc));
    const stranger = new Couch(url, { transport });
    const upload = (from$: Couch, db: string, to: object): Promise<object> =>
      outcomes(10, () => from$.use(db).putAttachment({ _id: 'a', ...to }, source(), 'film.bin'));
    const first = (counts: object): string =>
      Object.keys(counts)
        .map((outcome) => outcome.split(':')[0])
        .join();
    expect(first(await upload(couch, name, stale))).toBe('Conflict 409');
    expect(first(await upload(couch, `${name}-missing`, {}))).toBe('NotFound 404');
    // Without credentials, so that no account is locked.
    expect(first(await upload(stranger, name, {}))).toBe('Unauthorized 401');
  });
});

describe.each([...transports, ['fetchTransport', fetchTransport] as [string, () => Transport]])(
  '%s: an upload whose source fails',
  (_, make) => {
    const failure = new Error('disk gone');
    async function* failing(): AsyncGenerator<Uint8Array> {
      yield Buffer.from('a');
      throw failure;
    }
    class FailingBlob extends Blob {
      override slice(): Blob {
        return this;
      }
      override arrayBuffer(): Promise<ArrayBuffer> {
        return Promise.reject(failure);
      }
      override stream(): ReturnType<Blob['stream']> {
        return new ReadableStream({
          pull() {
            throw failure;
          },
        }) as ReturnType<Blob['stream']>;
      }
    }
    it.each<[string, () => AttachmentContent]>([
      ['a generator', failing],
      ['a stream of Node', () => Readable.from(failing(), { objectMode: false })],
      ['a stream of the web', () => Readable.toWeb(Readable.from(failing())) as never],
      ['an Observable', () => from(failing())],
      ['a Blob', () => new FailingBlob(['abc'])],
    ])('%s errors with its error', async (__, content) => {
      const db = new Couch(server.url, { transport: make() }).use('db');
      await expect(
        firstValueFrom(db.putAttachment({ _id: 'a' }, content(), 'film.bin')),
      ).rejects.toBe(failure);
    });
  },
);
