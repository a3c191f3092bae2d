import { createDatabase, rawFetch, type RawInit } from './server.ts';

// Plain HTTP for tests of the server itself.

export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
  /** The parsed body, or an empty object if it is not JSON. */
  readonly body: Record<string, unknown>;
}

export async function call(path: string, init?: RawInit): Promise<Answer> {
  const response = await rawFetch(path, init);
  const text = await response.text();
  let body: unknown;
  try {
    body = JSON.parse(text);
  } catch {
    body = {};
  }
  return { status: response.status, headers: response.headers, text, body: body as Answer['body'] };
}

type RequestHeaders = Record<string, string>;

export const put = (path: string, body: unknown, headers: RequestHeaders = {}): Promise<Answer> =>
  call(path, { method: 'PUT', body, headers });

export const post = (path: string, body: unknown, headers: RequestHeaders = {}): Promise<Answer> =>
  call(path, { method: 'POST', body, headers });

export const del = (path: string, headers: RequestHeaders = {}): Promise<Answer> =>
  call(path, { method: 'DELETE', headers });

/** Creates a database and returns its path. */
export const newDatabase = async (): Promise<string> => `/${await createDatabase()}`;
