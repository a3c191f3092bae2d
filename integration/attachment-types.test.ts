import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { Couch } from 'corduroy/core';
import { firstValueFrom } from 'rxjs';
import { json, startStub } from './helpers/stub-server.ts';
import type { StubServer } from './helpers/stub-server.ts';

// The built-in table of media types, which replaces a library in browsers. This file must not import
// the entry point for Node: that one sets the library.

let stub: StubServer;
beforeAll(async () => {
  stub = await startStub(json({ ok: true, id: 'a', rev: '1-x' }));
});
afterAll(() => stub.close());

const typeOf = async (content: string | Uint8Array, name: string): Promise<string | undefined> => {
  stub.requests.length = 0;
  await firstValueFrom(new Couch(stub.url).use('db').putAttachment({ _id: 'a' }, content, name));
  return stub.requests[0]?.headers['content-type'];
};

describe('without a library, the type of an attachment', () => {
  it.each([
    ['photo.PNG', 'image/png'],
    ['photo.jpeg', 'image/jpeg'],
    ['scan.pdf', 'application/pdf'],
    ['index.html', 'text/html'],
    ['a.b/page.htm', 'text/html'],
    ['app.mjs', 'text/javascript'],
    ['song.mp3', 'audio/mpeg'],
    ['data.bin', 'application/octet-stream'],
    ['constructor', 'application/octet-stream'],
    ['a.constructor', 'application/octet-stream'],
    ['png', 'application/octet-stream'],
  ])('of bytes with the name %s is %s', async (name, type) => {
    expect(await typeOf(new Uint8Array([1]), name)).toBe(type);
  });

  it.each([
    ['index.html', 'text/html;charset=utf-8'],
    ['notes.txt', 'text/plain;charset=utf-8'],
    ['data.json', 'application/json'],
    ['icon.svg', 'image/svg+xml'],
    ['README', 'text/plain;charset=utf-8'],
    ['data.bin', 'text/plain;charset=utf-8'],
  ])('of text with the name %s is %s', async (name, type) => {
    expect(await typeOf('x', name)).toBe(type);
  });
});
