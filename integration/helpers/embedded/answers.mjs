// The responses and errors of handlers. A response is a value { status, headers, body } until it is
// sent, so that a fix-up can change it.

/** Handlers throw it to answer with a CouchDB error of this status. */
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

/** A response with a JSON body and a final newline, as CouchDB sends it. */
export function json(status, value, headers = {}) {
  return text(status, `${JSON.stringify(value)}\n`, headers);
}

/** A response with a serialized body. It is JSON unless the headers set another type. */
export function text(status, body, headers = {}) {
  return {
    status,
    headers: { 'content-type': 'application/json', ...headers },
    body: Buffer.from(body),
  };
}

/** The JSON value of a response, or undefined if its body is not JSON. */
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

/** The error for unsupported endpoints. */
export const notHere = (name) =>
  new Refusal(501, 'not_implemented', `${name} is not available on the embedded server`);
