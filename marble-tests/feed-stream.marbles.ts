import { expect, it } from '@jest/globals';
import { NEVER, Subject, of } from 'rxjs';
import { FeedStream } from '../src/http/feed-stream.ts';
import type { Transport, TransportRequest } from '../src/http/transport.ts';

it('reports a stream that ends while a feed begins', async () => {
  const body = new Subject<Uint8Array>();
  const sent: TransportRequest[] = [];
  const transport: Transport = {
    send: (request) => {
      sent.push(request);
      // The relay does not answer the request that adds a feed.
      return request.url.endsWith('/_relay/streams')
        ? of({ status: 200, headers: {}, body })
        : NEVER;
    },
  };
  const stream = new FeedStream('http://relay', transport);
  const heard: string[] = [];
  const follow = (name: string): void => {
    stream.send({ method: 'GET', url: `http://relay/${name}/_changes`, headers: {} }).subscribe({
      next: ({ body: rows }) => rows.subscribe({ complete: () => heard.push(`${name} ended`) }),
      error: (error: Error) => heard.push(`${name} failed: ${error.message}`),
      complete: () => heard.push(`${name} completed`),
    });
  };
  const receive = (text: string): void => body.next(new TextEncoder().encode(text));
  follow('a');
  await Promise.resolve();
  receive('{"stream":"name"}\no1 {}\n');
  follow('b');
  await Promise.resolve();
  expect(sent.map(({ url }) => url)).toEqual([
    'http://relay/_relay/streams',
    'http://relay/_relay/streams/name',
  ]);
  body.complete();
  expect(heard).toEqual(['a ended', 'a completed', 'b failed: the stream of the relay ended']);
});
