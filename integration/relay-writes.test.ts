import { afterEach, describe, expect, it, jest } from '@jest/globals';
import { Couch } from 'corduroy';
import { relay } from 'corduroy/relay';
import type { Relay } from 'corduroy/relay';
import { once } from 'node:events';
import {
  type IncomingMessage,
  type RequestListener,
  type Server,
  createServer,
  get,
} from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { firstValueFrom } from 'rxjs';
import { basicAuth } from './helpers/running-server.ts';
import { createDatabase, rawFetch, server } from './helpers/server.ts';

// How a relay writes rows: chunks that all listeners share go to the sockets themselves.

jest.setTimeout(20_000);

const opened: Server[] = [];

afterEach(() => {
  for (const one of opened.splice(0)) one.close().closeAllConnections();
});

/** Starts a server, and ends the relay with it. */
async function start(handler: Relay, listener: RequestListener): Promise<string> {
  const listening = createServer(listener).listen(0, '127.0.0.1');
  opened.push(listening);
  listening.once('close', () => void handler.close());
  await once(listening, 'listening');
  return `http://127.0.0.1:${(listening.address() as AddressInfo).port}`;
}

const newRelay = (): Relay =>
  relay(new Couch(server.url, { auth: [server.username, server.password] }));

/** Opens a feed. Resolves with its head. */
function listen(url: string, name: string, feed: string): Promise<IncomingMessage> {
  const headers = { authorization: basicAuth(server.username, server.password) };
  const path = `${url}/${name}/_changes?feed=${feed}&since=0&heartbeat=60000`;
  return new Promise((resolve, reject) => {
    get(path, { headers, agent: false }, resolve).once('error', reject);
  });
}

/** Returns the ids of the documents in a response, in order. */
function idsOf(text: string): string[] {
  return [...text.matchAll(/"id":"([^"]+)"/g)].map(([, id]) => id as string);
}

/** Waits until something is true. */
async function until(isTrue: () => Promise<boolean> | boolean): Promise<void> {
  while (!(await isTrue())) await sleep(10);
}

describe('the rows of a relay', () => {
  for (const feed of ['continuous', 'eventsource']) {
    it(`pass what others have put around a response (${feed})`, async () => {
      const name = await createDatabase();
      const handler = newRelay();
      const passed: string[] = [];
      const url = await start(handler, (request, response) => {
        const write = response.write.bind(response);
        response.write = (part: unknown): boolean => {
          passed.push(String(part));
          return write(part);
        };
        handler(request, response);
      });
      const response = await listen(url, name, feed);
      let text = '';
      response.setEncoding('utf8').on('data', (part: string) => (text += part));
      for (const id of ['ada', 'bea']) {
        await rawFetch(`/${name}/${id}`, { method: 'PUT', body: {} });
        await until(() => idsOf(text).includes(id));
      }
      expect(idsOf(text)).toEqual(['ada', 'bea']);
      expect(passed.join('')).toBe(text);
      response.destroy();
    });
  }

  it('go on when a slow client takes them again, without another change', async () => {
    const name = await createDatabase();
    const handler = newRelay();
    const url = await start(handler, handler);
    const response = await listen(url, name, 'continuous&include_docs=true');
    response.pause();
    const pad = 'x'.repeat(500_000);
    const ids: string[] = [];
    const backlog = async (): Promise<number> => (await firstValueFrom(handler.stats$)).backlog;
    // The buffers of the system hold some of them.
    while ((await backlog()) < 3) {
      ids.push(`doc-${ids.length}`);
      await rawFetch(`/${name}/${ids.at(-1)}`, { method: 'PUT', body: { pad } });
      await sleep(20);
    }
    let text = '';
    response.setEncoding('utf8').on('data', (part: string) => (text += part.replaceAll('x', '')));
    response.resume();
    await until(() => idsOf(text).length === ids.length && text.endsWith('\n'));
    expect(idsOf(text)).toEqual(ids);
    expect(await backlog()).toBe(0);
    for (const line of text.split('\n').filter(Boolean)) JSON.parse(line);
    response.destroy();
  });

  it('wait for a slow client that reads older changes', async () => {
    const name = await createDatabase();
    const pad = 'x'.repeat(60_000);
    for (let page = 0; page < 6; page += 1) {
      const docs = Array.from({ length: 50 }, (_, n) => ({ _id: `doc-${page}-${n}`, pad }));
      await rawFetch(`/${name}/_bulk_docs`, { method: 'POST', body: { docs } });
    }
    const handler = newRelay();
    const url = await start(handler, handler);
    const response = await listen(url, name, 'continuous&include_docs=true');
    response.pause();
    const delivered = async (): Promise<number> => (await firstValueFrom(handler.stats$)).delivered;
    // It waits when the buffers of the system are full.
    for (let before = -1, present = 0; before !== present || present === 0;) {
      before = present;
      await sleep(500);
      present = await delivered();
    }
    expect(await delivered()).toBeLessThan(300);
    response.resume();
    await until(async () => (await delivered()) === 300);
    response.destroy();
  });
});
