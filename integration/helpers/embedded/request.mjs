import { gunzipSync, inflateSync } from 'node:zlib';
import { badRequest, Refusal } from './answers.mjs';

const unpack = { gzip: gunzipSync, deflate: inflateSync };

/** Reads a whole request, because several fix-ups need the body before express does. */
export async function readRequest(incoming) {
  const chunks = [];
  for await (const chunk of incoming) chunks.push(chunk);
  const headers = { ...incoming.headers };
  let body = Buffer.concat(chunks);
  const encoding = headers['content-encoding'];
  if (encoding && encoding !== 'identity') {
    if (!unpack[encoding]) {
      throw new Refusal(415, 'bad_ctype', `${encoding} is not a supported content encoding.`);
    }
    body = unpack[encoding](body);
    delete headers['content-encoding'];
  }
  return new Request(incoming.method, incoming.url, headers, body);
}

export class Request {
  constructor(method, url, headers, body = Buffer.alloc(0)) {
    // HEAD is processed as GET, and the body is dropped when the response is written.
    this.head = method === 'HEAD';
    this.method = this.head ? 'GET' : method;
    this.headers = headers;
    this.body = body;
    const mark = url.indexOf('?');
    this.search = mark < 0 ? '' : url.slice(mark);
    this.query = new URLSearchParams(this.search);
    this.rawSegments = (mark < 0 ? url : url.slice(0, mark)).split('/').filter(Boolean);
    this.segments = this.rawSegments.map(decode);
    this.user = null;
  }

  get url() {
    return `/${this.rawSegments.join('/')}${this.query.size > 0 ? `?${this.query}` : ''}`;
  }

  /** The same request with other query parameters, method, headers, body or path. */
  with({ method = this.method, segments, query, headers = this.headers, body = this.body } = {}) {
    const path = segments ? segments.map(encodeURIComponent) : this.rawSegments;
    const search = new URLSearchParams(query ?? this.query);
    const other = new Request(method, `/${path.join('/')}?${search}`, headers, body);
    other.user = this.user;
    return other;
  }

  /** The same request with a JSON body. */
  withJson(value, changes = {}) {
    const body = Buffer.from(JSON.stringify(value));
    return this.with({
      ...changes,
      headers: { ...this.headers, 'content-type': 'application/json' },
      body,
    });
  }

  json(fallback) {
    if (this.body.length === 0 && fallback !== undefined) return fallback;
    try {
      return JSON.parse(this.body.toString('utf8'));
    } catch {
      throw badRequest('invalid UTF-8 JSON');
    }
  }

  jsonObject(fallback) {
    const value = this.json(fallback);
    if (value === null || typeof value !== 'object' || Array.isArray(value)) {
      throw badRequest('Request body must be a JSON object');
    }
    return value;
  }

  /** CouchDB refuses a POST without the JSON content type, even without a body. */
  needJson() {
    if (!/^application\/json\s*(;|$)/i.test(this.headers['content-type'] ?? '')) {
      throw new Refusal(415, 'bad_content_type', 'Content-Type must be application/json');
    }
  }

  flag(name) {
    return this.query.get(name) === 'true';
  }
}

function decode(segment) {
  try {
    return decodeURIComponent(segment);
  } catch {
    throw badRequest('Invalid percent-encoding in the path.');
  }
}
