// What a handler gives back, and what it throws to refuse. Every answer of this server is a value
// { status, headers, body } until the very end, so a fix-up can look at it and change it.

/** Thrown anywhere below the pipeline: becomes a CouchDB error body with this status. */
export class Refusal extends Error {
  constructor(status, error, reason, headers = {}) {
    super(reason);
    this.status = status;
    this.error = error;
    this.headers = headers;
  }

  get answer() {
    return json(this.status, { error: this.error, reason: this.message }, this.headers);
  }
}

/** An answer with a JSON body, ended by a newline as CouchDB ends its own. */
export function json(status, value, headers = {}) {
  return text(status, `${JSON.stringify(value)}\n`, headers);
}

/** An answer whose body is already printed; JSON unless the headers say otherwise. */
export function text(status, body, headers = {}) {
  return {
    status,
    headers: { 'content-type': 'application/json', ...headers },
    body: Buffer.from(body),
  };
}

/** The JSON value of an answer, or undefined where its body is not JSON. */
export function valueOf(answer) {
  try {
    return JSON.parse(answer.body.toString('utf8'));
  } catch {
    return undefined;
  }
}

export const missing = (reason = 'missing') => new Refusal(404, 'not_found', reason);
export const badRequest = (reason) => new Refusal(400, 'bad_request', reason);
export const conflict = () => new Refusal(409, 'conflict', 'Document update conflict.');
export const badQuery = (reason) => new Refusal(400, 'query_parse_error', reason);

export const notAllowed = (methods) =>
  new Refusal(405, 'method_not_allowed', `Only ${methods} allowed`, { allow: methods });

/** The honest answer for what would take an emulator to do. */
export const notHere = (name) =>
  new Refusal(501, 'not_implemented', `${name} is not available on the embedded server`);
