import { once } from 'node:events';
import { createServer } from 'node:http';
import { connect } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';

/** An HTTP proxy that opens tunnels (CONNECT) to this machine. */
export interface ConnectProxy {
  /** Without a user and a password. */
  readonly url: string;
  /** `host:port` of each tunnel that a client requested. */
  readonly tunnels: string[];
  /** The value of `proxy-authorization` that it requires; null if it requires none. */
  authorization: string | null;
  /** The status that it answers instead of opening a tunnel; null if it opens one. */
  refusal: number | null;
  /** Whether it never answers. */
  isSilent: boolean;
  /** Resolves when a client requests a tunnel. */
  requested(): Promise<Socket>;
  close(): Promise<void>;
}

export async function startConnectProxy(): Promise<ConnectProxy> {
  const sockets = new Set<Socket>();
  const waiting: ((socket: Socket) => void)[] = [];
  const server = createServer((_, response) => response.writeHead(405).end());
  const track = (socket: Socket): void => {
    sockets.add(socket);
    // Tests break connections.
    socket.on('error', () => {}).on('close', () => sockets.delete(socket));
  };
  server.on('connection', track);
  server.on('connect', ({ url = '', headers }, client: Socket) => {
    proxy.tunnels.push(url);
    for (const resolve of waiting.splice(0)) resolve(client);
    if (proxy.isSilent) {
      // Node leaves both to the handler: a socket that is not read does not notice its end.
      client.on('end', () => client.end()).resume();
      return;
    }
    const isKnown = [null, headers['proxy-authorization']].includes(proxy.authorization);
    const status = proxy.refusal ?? (isKnown ? null : 407);
    if (status !== null) {
      client.end(`HTTP/1.1 ${status} No\r\nx-echo: ${headers['proxy-authorization']}\r\n\r\n`);
      return;
    }
    const target = connect(Number(url.split(':').at(-1)), '127.0.0.1', () => {
      client.write('HTTP/1.1 200 Connection established\r\n\r\n');
      client.pipe(target).pipe(client);
    });
    track(target);
    target.on('close', () => client.destroy());
    client.on('close', () => target.destroy());
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const proxy: ConnectProxy = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    tunnels: [],
    authorization: null,
    refusal: null,
    isSilent: false,
    requested: () => new Promise((resolve) => waiting.push(resolve)),
    async close() {
      const ended = once(server, 'close');
      server.close();
      for (const socket of sockets) socket.destroy();
      await ended;
    },
  };
  return proxy;
}
