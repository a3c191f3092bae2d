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
  relay: [
    ...files('relay', ['changes-query', 'command-line', 'row-filter', 'slices', 'window']),
    ...files('http', ['shared-response']),
  ],
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

/**
 * Mutants that change nothing that a caller can observe, each with the reason. `line` is a part of the source line.
 * Without `to`, it stands for all mutants of the line that survive.
 */
export const equivalent = [
  ...same('src/operators/lines.ts', 'chunks are joined to save memory: their bytes are the same', [
    ['this.#small = chunk.length < SMALL'],
    ['if (this.#small < MAX_SMALL) return;'],
    ['this.#parts.push(concatenate(this.#parts.splice(-MAX_SMALL)));'],
  ]),
  ...same('src/operators/lines.ts', 'a shortcut: the longer way has the same result', [
    ['if (parts.length === 1 && first !== undefined) return first;', 'true'],
    ['if (limit !== null && open.length + chunk.length > limit.max) {', 'true'],
    ['if (limit !== null && open.length', 'open.length + chunk.length >= limit.max'],
    ['if (open.length > 0) {', 'true'],
    ['if (open.length > 0) {', 'open.length >= 0'],
    ["if (!text.includes('\\r')) return split;", 'false'],
  ]),
  ...same('src/operators/lines.ts', 'an empty chunk has no bytes', [
    ['if (end + 1 < chunk.length) open.add', 'true'],
    ['if (end + 1 < chunk.length) open.add', 'end + 1 <= chunk.length'],
    ['if (end + 1 < chunk.length) open.add', 'end - 1'],
  ]),
  ...same('src/http/rows.ts', 'empty lines take memory, and change no JSON', [
    ["if (line !== '') otherLines.push(line);", 'true'],
  ]),
  ...same('src/model/collation.ts', 'both values have the same type there', [
    ['if (isNumeric(a) && isNumeric(b)) return', 'isNumeric(a) || isNumeric(b)'],
  ]),
  ...same('src/model/collation.ts', 'it is the default of the platform', [
    ["collator ??= new Intl.Collator('en', { usage: 'sort' });", '{}'],
  ]),
  ...same('src/model/document.ts', 'the values differ there', [
    ['return a === b ? 0 : a > b ? -1 : 1;', 'a >= b'],
  ]),
  ...same('src/model/json.ts', 'the names of the fields of one object differ', [
    ['.sort((a, b) => (a < b ? -1 : 1))', 'a <= b'],
  ]),
  ...same('src/model/json.ts', 'a shortcut: the fields of both are compared afterwards', [
    ['if (left === right) return true;', 'false'],
    [
      'if (Array.isArray(a) && a.length !== (b as readonly unknown[]).length) return false;',
      'false',
    ],
  ]),
  ...same('src/model/json.ts', 'no value is this text, because ancestors are objects', [
    ['ancestors: [], keys: [] });', '["Stryker was here"]'],
  ]),
  ...same('src/errors/corduroy-error.ts', '507 is in the set', [
    ['return TRANSIENT_STATUSES.has(status) || status > 507', 'status >= 507'],
  ]),
  ...same('src/errors/from-response.ts', 'a WeakSet has no primitive values', [
    ["return typeof error === 'object' && error !== null && wrongPasswords.has(error);"],
  ]),
  ...same(
    'src/errors/from-response.ts',
    'null has no fields to destructure, and the error is caught',
    [["if (typeof parsed !== 'object' || parsed === null) return null;", 'false']],
  ),
  ...same('src/errors/from-response.ts', 'each blank is removed by itself', [
    ["const joined = clean.replace(/<[^<>]*>|\\s+/g, '')", '/<[^<>]*>|\\s/g'],
  ]),
  ...same('src/errors/http-error.ts', 'an undefined entry is as good as none', [
    ['if (details.raw !== undefined) rawAnswers.set(this, details.raw);', 'true'],
  ]),
  ...same('src/errors/redact.ts', 'a shortcut: no URL has userinfo then', [
    ["if (!isCut && !text.includes('@')) return [];", 'false'],
  ]),
  ...same('src/errors/secret-forms.ts', 'a shortcut: the longer way has the same result', [
    ["const joined = secret.replace(/\\s+/g, '');", '/\\s/g'],
    ['if (joined !== secret && joined.length >= MIN_SECRET_LENGTH)', 'true'],
    ['return forms.length === 0 ? [] : new Search(text, forms).run();', 'false'],
    ['while (at < text.length) {', 'at <= text.length'],
    ['if (!isAmbiguous(plain)) return this.#longest', 'false'],
    ['for (; i < codes.length; i++) {', 'false'],
    ['for (; i < codes.length; i++) {', 'i >= codes.length'],
    ['if (isAmbiguous(plain)) break;', 'true'],
  ]),
  ...same('src/errors/secret-forms.ts', 'behind the last pair, no form begins', [
    ['for (let i = 0; i < read.length; i += 2)', 'i <= read.length'],
    ['for (let i = own; i < end; i += 2) {', 'i <= end'],
  ]),
  ...same('src/errors/secret-forms.ts', 'a place without a secret has no kind', [
    ['const nothingAt = (at: number): Found => [at, false];', 'true'],
  ]),
  ...same('src/live/sorted-list.ts', 'the first answer sets it', [
    ['#waiting = false;', 'true'],
    ['#complete = true;', 'false'],
    ['#disordered = false;', 'true'],
    ['this.#compare = rules.orderOf([]);', '["Stryker was here"]'],
  ]),
  ...same('src/live/sorted-list.ts', 'a shortcut: the longer way has the same result', [
    ['const ids = heard.size > 0 ? new Set<string>() : null;'],
    ['a === b || (idOf(a) === idOf(b)', 'false'],
    ['if (entryOf !== null && before?.doc === null) return -1;'],
    ['if (!this.#disordered) {', 'false'],
    ['if (!this.#disordered) {', '{}'],
    ['if (index !== undefined) {', 'false'],
    ['if (index !== undefined) {', '{}'],
    ['const [from, to] = [removed[0], inserted[0]];', '[]'],
    ['if (from !== undefined && to !== undefined', 'false'],
    ['if (from !== undefined && to !== undefined', '{}'],
    ['if (removed.length + inserted.length <= FEW_EDITS) {'],
    ['else items.splice(index, 0, inserted[i--]?.item ?? (item as Item));'],
    ['const cut = edited.length > limit ? edited.slice(limit) : [];'],
    ['const items = cut.length > 0 ? edited.slice(0, limit) : edited;'],
    ['const same = cut.length > 0 &&'],
  ]),
  ...same('src/live/sorted-list.ts', 'the place of the moved item is written afterwards', [
    ['for (let i = from; i < target; i++)', 'i <= target'],
    ['for (let i = from; i > target; i--)', 'i >= target'],
  ]),
  ...same('src/http/adaptive-limit.ts', 'a shortcut: the longer way has the same result', [
    ['const now = this.#baseRate === Infinity ? Infinity : this.#now();', 'false'],
    ['if (this.#nextAt < 0) return 0;'],
    ['if (this.#probes > 0) this.#probes -= 1;'],
  ]),
];

function same(file, reason, mutants) {
  return mutants.map(([line, to]) => ({ file, line, to, reason }));
}
