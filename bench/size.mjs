/**
 * Measures what a page downloads for typical imports, as the bundler of a user builds it: esbuild
 * bundles and minifies the published entry point, and brotli compresses each file. `rxjs` and the API of
 * OpenTelemetry are external, because the page has them already. Exits with 1 if an import exceeds its
 * budget.
 */
import { brotliCompressSync } from 'node:zlib';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { bundle as bundlePackage } from '../scripts/bundle.mjs';

const root = fileURLToPath(new URL('..', import.meta.url));
// Not `dist`, which may be older than the sources, and which other programs may be using.
const built = 'node_modules/.cache/corduroy-size';
const browser = 'index.browser';
const core = 'core';

/** Budgets in bytes, 2 % above the measured size; `without` matches paths that must not be bundled. */
const imports = [
  { name: 'everything', code: `export * from '${browser}'`, budget: 89_150 },
  { name: 'Couch', code: `export { Couch } from '${browser}'`, budget: 82_000 },
  {
    name: 'Couch of corduroy/core',
    code: `export { Couch } from '${core}'`,
    budget: 47_500,
    without: /^src.live|strategies|upsert|leaves|matcher|deploy|resharding|tab-/,
  },
  {
    name: 'a live document',
    code: `import { Database } from '${browser}'; new Database('a').doc$('b').subscribe()`,
    budget: 71_500,
  },
  {
    name: 'openTelemetry',
    code: `export { openTelemetry } from 'opentelemetry'`,
    budget: 4_650,
    without: /^src.(changes|live|documents|queries)/,
  },
  {
    name: 'relax and the guards',
    code: `export { relax, lastOf, isNotFound, isConflict } from '${browser}'`,
    budget: 1_760,
    without: /^src.(http|changes|live|documents|queries)/,
  },
  {
    name: 'an in-memory server',
    code: `export { memoryServer } from 'testing'`,
    budget: 106_470,
  },
];

/** The files that a page loads on demand: with `crossTab: true`, and with `changesUrl`. */
const onDemand = [
  { name: 'crossTab, on demand', file: 'cross-tab', budget: 2_620 },
  { name: 'changesUrl, on demand', file: 'feed-stream', budget: 1_640 },
];

/** Bundles a page's import of the package, or of the sources if `from` is theirs. */
async function bundle(code, from = (name) => `./${built}/${name}.js`) {
  const contents = code.replace(
    /'(index.browser|core|opentelemetry|testing)'/,
    (_, name) => `'${from(name)}'`,
  );
  const { outputFiles, metafile } = await build({
    stdin: { contents, resolveDir: root, loader: 'ts' },
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
    path,
    inputs: Object.keys(inputs).filter((input) => inputs[input].bytesInOutput > 0),
    bytes: outputFiles[i].contents,
  }));
  const entry = Object.keys(metafile.outputs).find((path) => path.endsWith('stdin.js'));
  const loaded = reach(entry, metafile.outputs);
  return {
    page: files.filter(({ path }) => loaded.has(path)),
    onDemand: (name) => files.filter(({ path }) => path.startsWith(`bundle/${name}`)),
  };
}

/** Returns the files that a page loads at once: those on demand are behind `import()`. */
function reach(path, outputs, seen = new Set()) {
  if (seen.has(path) || outputs[path] === undefined) return seen;
  seen.add(path);
  for (const { path: next, kind } of outputs[path].imports)
    if (kind === 'import-statement') reach(next, outputs, seen);
  return seen;
}

let failed = false;

/** Compares the files of a page with the budget, and the modules that they are made of with `without`. */
function judge({ name, budget, without }, files, modules = []) {
  let minified = 0;
  let compressed = 0;
  for (const { bytes } of files) {
    minified += bytes.length;
    // A server compresses each file by itself.
    compressed += brotliCompressSync(bytes).length;
  }
  const unwanted = modules.filter((input) => without?.test(input));
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

await bundlePackage(`${root}${built}`, { types: false });
let everything;
for (const one of imports) {
  const bundled = await bundle(one.code);
  const { page } = bundled;
  // The modules of the package are joined, so that only the sources show which ones a page needs.
  const sources = await bundle(one.code, (name) => `./src/${name}`);
  everything ??= bundled;
  const modules = sources.page.flatMap(({ inputs }) => inputs);
  judge(one, page, modules);
}
for (const one of onDemand) judge(one, everything.onDemand(one.file));
process.exitCode = failed ? 1 : 0;
