import { json } from './reply.ts';
import type { Reply } from './reply.ts';

/** Thrown within the in-memory server where CouchDB would answer a failure. */
export class Refusal extends Error {
  override readonly name = 'Refusal';
  readonly status: number;
  readonly error: string;

  constructor(code: number, error: string, reason: string) {
    super(reason);
    this.status = code;
    this.error = error;
  }

  /** The failure as an answer. */
  reply(): Reply {
    return json(this.status, { error: this.error, reason: this.message });
  }
}

export const badRequest = (reason: string): Refusal => new Refusal(400, 'bad_request', reason);

export const missing = (reason = 'missing'): Refusal => new Refusal(404, 'not_found', reason);

export const conflict = (): Refusal => new Refusal(409, 'conflict', 'Document update conflict.');

/** What CouchDB does and this server does not; it says so rather than answer something. */
export const notImplemented = (what: string): Refusal =>
  new Refusal(
    501,
    'not_implemented',
    `the in-memory server of corduroy/testing does not ${what}; test that on a CouchDB`,
  );
