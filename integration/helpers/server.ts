import { afterAll, it } from '@jest/globals';
import { randomBytes } from 'node:crypto';
import { type Capability, lack } from './capabilities.ts';
import { basicAuth, type ServerKind } from './running-server.ts';

// The server of this run, for tests.

interface ServerFacts {
  readonly kind: ServerKind;
  readonly url: string;
  readonly username: string;
  readonly password: string;
  readonly version: string;
}

function readFacts(): ServerFacts {
  const facts = process.env['CORDUROY_TEST_SERVER'];
  if (!facts) throw new Error('No server: run this with Jest, whose globalSetup starts one');
  return JSON.parse(facts) as ServerFacts;
}

function withCredentials({ url, username, password }: ServerFacts): string {
  const authenticated = new URL(url);
  authenticated.username = encodeURIComponent(username);
  authenticated.password = encodeURIComponent(password);
  return authenticated.href.replace(/\/$/, '');
}

const facts = readFacts();

/** The server of this run, with an admin's credentials. */
export const server = { ...facts, authenticatedUrl: withCredentials(facts) } as const;

/** Returns a database name that no other test uses. */
export function uniqueName(prefix = 'test'): string {
  return `${prefix}-${randomBytes(6).toString('hex')}`;
}

type Spec = Parameters<typeof it>[1];

/**
 * Returns an `it` for a test that needs capabilities: `needs('purge')('purges a document', ...)`.
 * If the server lacks one, the test is skipped, and its name contains the reason.
 */
export function needs(
  ...capabilities: [Capability, ...Capability[]]
): (name: string, spec: Spec, timeout?: number) => void {
  const missing = capabilities.filter((capability) => lack(server.kind, capability) !== undefined);
  const [first] = missing;
  if (first === undefined) return (name, spec, timeout) => it(name, spec, timeout);
  const reason = `needs ${missing.join(', ')}, which ${lack(server.kind, first)} lacks`;
  return (name, spec, timeout) => it.skip(`${name} (skipped: ${reason})`, spec, timeout);
}

export interface RawInit {
  readonly method?: string;
  readonly headers?: Record<string, string>;
  /** The body. Sent as JSON unless it is a string or bytes. */
  readonly body?: unknown;
  readonly signal?: AbortSignal;
  /** Sends no credentials. */
  readonly anonymous?: boolean;
}

/** Sends a request without the library under test. `path` starts with a slash. */
export async function rawFetch(path: string, init: RawInit = {}): Promise<Response> {
  const { method = 'GET', body, headers = {}, signal, anonymous = false } = init;
  const ready = body === undefined || typeof body === 'string' || ArrayBuffer.isView(body);
  return fetch(`${server.url}${path}`, {
    method,
    headers: {
      ...(!anonymous && { authorization: basicAuth(server.username, server.password) }),
      ...(!ready && { 'content-type': 'application/json' }),
      ...headers,
    },
    ...(body !== undefined && {
      body: ready ? (body as BodyInit) : JSON.stringify(body),
    }),
    ...(signal && { signal }),
  });
}

const created = new Set<string>();

/** Creates a database that is deleted at the end of the file. Returns its name. */
export async function createDatabase(name = uniqueName()): Promise<string> {
  const response = await rawFetch(`/${encodeURIComponent(name)}`, { method: 'PUT' });
  const text = await response.text();
  if (!response.ok) throw new Error(`Could not create ${name}: ${response.status} ${text}`);
  created.add(name);
  return name;
}

/** Deletes a database at the end of the file. Returns its name. */
export function deleteAtEnd(name: string): string {
  created.add(name);
  return name;
}

afterAll(async () => {
  for (const name of created) {
    const response = await rawFetch(`/${encodeURIComponent(name)}`, { method: 'DELETE' });
    await response.arrayBuffer();
  }
  created.clear();
});
