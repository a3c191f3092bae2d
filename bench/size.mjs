/**
 * Measures what a page downloads for typical imports, as the bundler of a user builds it: esbuild
 * bundles and minifies the browser entry point, and brotli compresses each file. `rxjs` and the API of
 * OpenTelemetry are external, because the page has them already. Exits with 1 if an import exceeds its budget.
 */
import { brotliCompressSync } from 'node:zlib';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const root = fileURLToPath(new URL('..', import.meta.url));
const browser = './src/index.browser.ts';
const core = './src/core.ts';

/** Budgets in bytes, 2 % above the measured size; `without` matches paths that must not be bundled. */
const imports = [
  { name: 'everything', code: `export * from '${browser}'`, budget: 63_230 },
  { name: 'Couch', code: `export { Couch } from '${browser}'`, budget: 60_550 },
  {
    name: 'Couch of corduroy/core',
    code: `export { Couch } from '${core}'`,
    budget: 37_560,
    without: /^src.live|strategies|upsert|leaves|matcher|deploy|resharding|tab-/,
  },
  {
    name: 'a live document',
    code: `import { Database } from '${browser}'; new Database('a').doc$('b').subscribe()`,
    budget: 54_720,
  },
  {
    name: 'openTelemetry',
    code: `export { openTelemetry } from './src/opentelemetry/index.ts'`,
    budget: 3_965,
    without: /^src.(changes|live|documents|queries)/,
  },
  {
    name: 'relax and the guards',
    code: `export { relax, lastOf, isNotFound, isConflict } from '${browser}'`,
    budget: 1_570,
    without: /^src.(http|changes|live|documents|queries)/,
  },
];

/** The file that `crossTab: true` loads on demand. */
const onDemand = { name: 'crossTab, on demand', budget: 2_620 };

async function bundle(code) {
  const { outputFiles, metafile } = await build({
    stdin: { contents: code, resolveDir: root, loader: 'ts' },
    bundle: true,
    minify: true,
    splitting: true,
    format: 'esm',
    platform: 'browser',
    external: ['rxjs', '@opentelemetry/api'],
    absWorkingDir: root,
    outdir: 'bundle',
    metafile: true,
    write: false,
  });
  const files = Object.entries(metafile.outputs).map(([path, { inputs }], i) => ({
    isOnDemand: /^bundle\/cross-tab/.test(path),
    inputs: Object.keys(inputs).filter((input) => inputs[input].bytesInOutput > 0),
    bytes: outputFiles[i].contents,
  }));
  return {
    page: files.filter(({ isOnDemand }) => !isOnDemand),
    crossTab: files.find(({ isOnDemand }) => isOnDemand),
  };
}

let failed = false;

function judge({ name, budget, without }, files) {
  let minified = 0;
  let compressed = 0;
  for (const { bytes } of files) {
    minified += bytes.length;
    // A server compresses each file by itself.
    compressed += brotliCompressSync(bytes).length;
  }
  const unwanted = files.flatMap(({ inputs }) => inputs.filter((input) => without?.test(input)));
  const faults = [
    ...(compressed > budget ? ['TOO LARGE'] : []),
    ...unwanted.map((input) => `CONTAINS ${input}`),
  ];
  failed ||= faults.length > 0;
  const figures = [minified, compressed, budget].map((figure) => String(figure).padStart(7));
  console.log(
    `${name.padEnd(24)} minified ${figures[0]}  brotli ${figures[1]}  budget ${figures[2]}  ${faults.join(', ') || 'ok'}`,
  );
}

let lazy;
for (const one of imports) {
  const { page, crossTab } = await bundle(one.code);
  lazy ??= crossTab;
  judge(one, page);
}
judge(onDemand, lazy === undefined ? [] : [lazy]);
process.exitCode = failed ? 1 : 0;
