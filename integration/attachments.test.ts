import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { gzipSync } from 'node:zlib';
import { Couch, fetchTransport, gotTransport } from 'corduroy';
import type { Database, Draft, Transport } from 'corduroy';
import { undiciTransport } from 'corduroy/undici';
import { firstValueFrom, lastValueFrom, toArray } from 'rxjs';
import { json, startStub } from './helpers/stub-server.ts';
import type { StubServer } from './helpers/stub-server.ts';

let stub: StubServer;
beforeAll(async () => {
  stub = await startStub();
});
beforeEach(() => {
  stub.requests.length = 0;
});
afterAll(() => stub.close());

const open = (transport?: Transport): Database =>
  new Couch(stub.url, { retry: false, ...(transport && { transport }) }).use('db');

describe('the stubs of a document', () => {
  const known = { content_type: 'text/plain', stub: true, digest: 'md5-x', length: 1 } as const;
  let writes = 0;
  beforeEach(() => {
    writes = 1;
    stub.answer((request, response) => {
      writes += 1;
      json({ ok: true, id: 'a', rev: `${writes}-x` }, 201)(request, response);
    });
  });
  const saved = async (doc: Draft & { _id: string }): Promise<unknown> => {
    await firstValueFrom(open().save(doc));
    return JSON.parse(String(stub.requests.at(-1)?.body));
  };

  it('stay when another attachment is written, so that the next save keeps all', async () => {
    const doc = { _id: 'a', _rev: '1-x', _attachments: { 'one.txt': known } };
    await firstValueFrom(open().putAttachment(doc, 'two', 'two.txt', { contentType: 'text/x' }));
    expect(await saved(doc)).toEqual({
      _id: 'a',
      _rev: '2-x',
      _attachments: { 'one.txt': known, 'two.txt': { content_type: 'text/x', stub: true } },
    });
  });

  it('stay when another attachment is deleted', async () => {
    const doc = { _id: 'a', _rev: '1-x', _attachments: { 'one.txt': known, 'two.txt': known } };
    await firstValueFrom(open().deleteAttachment(doc, 'two.txt'));
    expect(await saved(doc)).toEqual({
      _id: 'a',
      _rev: '2-x',
      _attachments: { 'one.txt': known },
    });
  });
});

describe.each<[string, () => Transport]>([
  ['gotTransport', gotTransport],
  ['fetchTransport', fetchTransport],
  ['undiciTransport', undiciTransport],
])('the progress of a download over %s', (_, transport) => {
  const text = 'corduroy '.repeat(20_000);
  const progressOf = async (): Promise<readonly { done: number; total: number | null }[]> => {
    const chunks$ = open(transport()).getAttachment('a', 'f').chunks();
    const chunks = await lastValueFrom(chunks$.pipe(toArray()));
    expect(Buffer.concat(chunks.map(({ bytes }) => bytes)).toString()).toBe(text);
    return chunks;
  };

  it('has the length as its total', async () => {
    stub.answer((_request, response) => {
      response.writeHead(200, { 'content-length': text.length }).end(text);
    });
    const progress = await progressOf();
    expect(progress.map(({ total }) => total)).toEqual(progress.map(() => text.length));
    expect(progress.at(-1)).toMatchObject({ done: text.length });
  });

  it('has no total if the server compresses the attachment, whose length is another', async () => {
    const zipped = gzipSync(text);
    stub.answer((_request, response) => {
      const headers = { 'content-encoding': 'gzip', 'content-length': zipped.length };
      response.writeHead(200, headers).end(zipped);
    });
    const progress = await progressOf();
    expect(progress.map(({ total }) => total)).toEqual(progress.map(() => null));
    expect(progress.at(-1)).toMatchObject({ done: text.length });
  });
});
