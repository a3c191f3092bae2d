// Cross-origin responses, as a CouchDB sends them with [cors] origins = * and credentials.

const EXPOSED =
  'content-type, cache-control, accept-ranges, etag, server, x-couch-request-id, ' +
  'x-couch-update-newrev, x-couchdb-body-time';

export class Cors {
  /** Adds headers to every response that allow the page to read it. */
  allow({ headers: { origin } }, response) {
    if (!origin) return;
    response.setHeader('Access-Control-Allow-Origin', origin);
    response.setHeader('Access-Control-Allow-Credentials', 'true');
    response.setHeader('Access-Control-Expose-Headers', EXPOSED);
    response.setHeader('Vary', 'Origin');
  }

  /** The response to a preflight request, which has no credentials. */
  preflight({ method, headers }) {
    if (method !== 'OPTIONS' || !headers.origin) return undefined;
    return {
      status: 204,
      headers: {
        'access-control-allow-methods': 'GET, PUT, POST, HEAD, DELETE, COPY',
        'access-control-allow-headers': headers['access-control-request-headers'] ?? '',
        'access-control-max-age': '600',
      },
      body: Buffer.alloc(0),
    };
  }
}
