import { json, missing, notHere } from './answers.mjs';

const NAME = 'embedded@127.0.0.1';

/** The endpoints of a node: its configuration is stored, its statistics never change. */
export class Node {
  #config;

  constructor(config) {
    this.#config = config;
  }

  handle(request) {
    const [first, name, part, ...path] = request.segments;
    if (first === '_active_tasks') return json(200, []);
    if (first === '_membership') return json(200, { all_nodes: [NAME], cluster_nodes: [NAME] });
    if (first !== '_node') return undefined;
    if (name !== '_local' && name !== NAME) throw missing(`no such node: ${name}`);
    if (part === undefined) return json(200, { name: NAME });
    if (part === '_config') return this.#config.handle(request, path);
    if (part === '_stats') return json(200, at(statistics, path));
    throw notHere(part);
  }
}

/** CouchDB answers 200 with null for an unknown path. */
function at(tree, path) {
  let found = tree;
  for (const step of path) found = found?.[step];
  return found ?? null;
}

const counter = (desc, value = 0) => ({ value, type: 'counter', desc });
const histogram = (desc) => ({
  value: {
    n: 0,
    min: 0,
    max: 0,
    arithmetic_mean: 0,
    geometric_mean: 0,
    harmonic_mean: 0,
    median: 0,
    variance: 0,
    standard_deviation: 0,
    skewness: 0,
    kurtosis: 0,
    percentile: [50, 75, 90, 95, 99, 999].map((share) => [share, 0]),
    histogram: [[0, 0]],
  },
  type: 'histogram',
  desc,
});

const statistics = {
  couchdb: {
    auth_cache_hits: counter('number of authentication cache hits'),
    auth_cache_misses: counter('number of authentication cache misses'),
    database_reads: counter('number of times a document was read from a database'),
    database_writes: counter('number of times a database was changed'),
    open_databases: counter('number of open databases'),
    open_os_files: counter('number of file descriptors CouchDB has open'),
    request_time: histogram('length of a request inside CouchDB without MochiWeb'),
    httpd: {
      bulk_requests: counter('number of bulk requests'),
      requests: counter('number of HTTP requests'),
      view_reads: counter('number of view reads'),
    },
    httpd_request_methods: {
      GET: counter('number of HTTP GET requests'),
      POST: counter('number of HTTP POST requests'),
      PUT: counter('number of HTTP PUT requests'),
    },
    httpd_status_codes: {
      200: counter('number of HTTP 200 OK responses'),
      404: counter('number of HTTP 404 Not Found responses'),
    },
  },
};
