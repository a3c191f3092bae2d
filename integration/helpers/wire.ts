import { expect } from '@jest/globals';
import { Couch } from 'corduroy';
import type { Database } from 'corduroy';
import { firstValueFrom } from 'rxjs';
import type { Observable } from 'rxjs';
import type { StubServer } from './stub-server.ts';

// Compares the requests of an operation, and its value for given responses, with a stub server.

export interface WireExchange {
  /** The request lines in order, each with its body if it has one. */
  readonly sends: string;
  /** The responses in order; the last one repeats. @defaultValue [{}] */
  readonly answers?: readonly unknown[];
  /** The headers of every response. */
  readonly headers?: Readonly<Record<string, string>>;
  readonly emits?: unknown;
  /** Fields of the value. `expect.objectContaining` does not compare the entries of a Map. */
  readonly contains?: object;
}

export type WireCall = (couch: Couch, db: Database) => Observable<unknown>;

/** Rows for `it.each`: a name, the operation, and its exchange. */
export type WireTable = [name: string, call: WireCall, exchange: WireExchange][];

/**
 * Subscribes to an operation, and compares its exchange. `{url}` in `sends` is the server's URL.
 */
export async function expectExchange(
  stub: StubServer,
  call: WireCall,
  { sends, answers = [{}], headers: answered = {}, emits, contains }: WireExchange,
): Promise<void> {
  let turn = 0;
  stub.requests.length = 0;
  stub.answer((_request, response) => {
    const answer = answers[Math.min(turn, answers.length - 1)];
    turn += 1;
    response.setHeader('content-type', 'application/json');
    for (const [name, value] of Object.entries(answered)) response.setHeader(name, value);
    response.end(JSON.stringify(answer));
  });
  const couch = new Couch(stub.url, { auth: ['ada', 'secret'] });
  const value = await firstValueFrom(call(couch, couch.use('db')));
  const seen = stub.requests.map(({ method, url, headers, body }) => {
    const destination = headers['destination'];
    const to = destination === undefined ? '' : ` → ${String(destination)}`;
    return `${method} ${url}${to}${body.length > 0 ? ` ${body.toString()}` : ''}`;
  });
  expect(seen.join('\n')).toBe(sends.replaceAll('{url}', stub.url));
  if (emits !== undefined) expect(value).toEqual(emits);
  if (contains !== undefined) expect(value).toMatchObject(contains);
  for (const { headers } of stub.requests) {
    expect(headers).toMatchObject({ authorization: `Basic ${btoa('ada:secret')}` });
    expect(headers).not.toHaveProperty('x-couch-full-commit');
  }
}
