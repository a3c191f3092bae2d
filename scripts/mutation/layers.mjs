/** The pure sources of each layer. */
const files = (folder, names) => names.map((name) => `src/${folder}/${name}.ts`);

export const layers = {
  conflicts: files('conflicts', [
    'leaves',
    'merge',
    'merge-attachments',
    'resolution',
    'resolve-all-leaves',
    'save',
    'upsert',
  ]),
  live: files('live', [
    'confirmed-entries',
    'document-cache',
    'edit-state',
    'keyed-list',
    'live-entry',
    'live-result',
    'query-index',
    'sorted-list',
  ]),
  feeds: files('changes', [
    'feed-core',
    'feed-draft',
    'feed-model',
    'feed-pace',
    'changes-request',
  ]),
  model: files('model', ['change', 'collation', 'document', 'json', 'view']),
  queries: files('queries', [
    'equalities',
    'field-path',
    'fields',
    'matcher',
    'platform',
    'selector',
    'verdict',
  ]),
  urls: files('http', ['decode', 'query', 'url']),
  errors: files('errors', [
    'connection-error',
    'corduroy-error',
    'from-response',
    'http-error',
    'redact',
    'secret-forms',
  ]),
  parsers: [...files('http', ['row-stream', 'rows']), ...files('operators', ['lines'])],
  links: files('http', [
    'adaptive-limit',
    'concurrency',
    'connection-budget',
    'cookie-session',
    'link',
    'nodes',
    'redirect',
    'retry',
    'retry-transient',
  ]),
};

/** Tests that need what the bundle has not: Angular's compiler, and the guide's programs. */
export const unusable = [
  'provide-corduroy.marbles.ts',
  'live-signal.marbles.ts',
  'opentelemetry.marbles.ts',
  'guide.marbles.ts',
  'checkpoint.marbles.ts',
  'live-requests.marbles.ts',
];

/** Integration tests that need no CouchDB, or only in some of their tests, which then fail without a mutant. */
export const serverless = [
  'attachments',
  'json',
  'proxy-paths',
  'redaction',
  'request',
  'retry',
  'secrets-and-limits',
  'test-failures',
  'truncation',
  'urls',
  'wire',
  'wire-coalesce',
  'wire-conflicts',
  'wire-database',
  'wire-mango',
  'wire-rows',
  'wire-server',
  'wire-sessions',
];

/** Fewer random sequences, and a server that refuses all connections. */
export const environment = {
  CORDUROY_SEQUENCES: '2000',
  CORDUROY_TEST_SERVER: JSON.stringify({
    kind: 'embedded',
    url: 'http://127.0.0.1:1',
    username: 'admin',
    password: 'secret',
    version: '3.5.0',
  }),
};

/** Mutants that change nothing that a caller can observe, each with the reason. */
export const equivalent = [];
