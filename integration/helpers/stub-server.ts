import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

/** A request that the stub received. */
export interface StubRequest {
  readonly method: string;
  /** The path and query of the request line. */
  readonly url: string;
  readonly headers: IncomingMessage['headers'];
  readonly body: Buffer;
}

export type StubHandler = (request: StubRequest, response: ServerResponse) => void;

/**
 * An HTTP server with scripted responses: for tests of the requests on the wire, and of responses
 * that a CouchDB does not send.
 */
export interface StubServer {
  readonly url: string;
  readonly requests: StubRequest[];
  /** Resolves with the number of open sockets. */
  connections(): Promise<number>;
  /** Sets the handler for the next requests. */
  answer(handler: StubHandler): void;
  /** Resolves with a request of this URL: at once if there was one, else with the next one. */
  seen(url: string): Promise<StubRequest>;
  /** Resolves when a client closes the connection before its response is complete. */
  aborted(): Promise<void>;
  close(): Promise<void>;
}

export async function startStub(handler: StubHandler = emptyObject): Promise<StubServer> {
  const requests: StubRequest[] = [];
  const waiting: { url: string; resolve: (request: StubRequest) => void }[] = [];
  const abortions: (() => void)[] = [];
  let current = handler;
  const server = createServer((incoming, response) => {
    response.on('close', () => {
      if (!response.writableFinished) for (const resolve of abortions.splice(0)) resolve();
    });
    const parts: Buffer[] = [];
    incoming.on('data', (part: Buffer) => parts.push(part));
    incoming.on('end', () => {
      const { method = '', url = '', headers } = incoming;
      const request = { method, url, headers, body: Buffer.concat(parts) };
      requests.push(request);
      for (const one of waiting.splice(0)) {
        if (one.url === url) one.resolve(request);
        else waiting.push(one);
      }
      current(request, response);
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    requests,
    connections: () =>
      new Promise((resolve, reject) => {
        server.getConnections((error, count) => (error ? reject(error) : resolve(count)));
      }),
    answer(next) {
      current = next;
    },
    seen(url) {
      const known = requests.find((request) => request.url === url);
      if (known !== undefined) return Promise.resolve(known);
      return new Promise((resolve) => {
        waiting.push({ url, resolve });
      });
    },
    aborted: () =>
      new Promise((resolve) => {
        abortions.push(resolve);
      }),
    async close() {
      const ended = once(server, 'close');
      server.close();
      server.closeAllConnections();
      await ended;
    },
  };
}

function emptyObject(_request: StubRequest, response: ServerResponse): void {
  response.setHeader('content-type', 'application/json');
  response.end('{}');
}

/** Returns a handler that answers with JSON. */
export function json(body: unknown, status = 200): StubHandler {
  return (_request, response) => {
    response.writeHead(status, { 'content-type': 'application/json' });
    response.end(JSON.stringify(body));
  };
}
