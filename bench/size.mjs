/**
 * Measures the size of typical imports from the browser entry point: bundled, minified and compressed with
 * brotli, without rxjs. Exits with 1 if an import exceeds its budget.
 */
import { brotliCompressSync } from 'node:zlib';
import { fileURLToPath } from 'node:url';
import { minify } from '@swc/core';
import { build } from 'esbuild';

const root = fileURLToPath(new URL('..', import.meta.url));
const entryPoint = './src/index.browser.ts';
const core = './src/core.ts';

/** The budgets in bytes, and the modules that an import must not include. */
const imports = [
  { name: 'everything', code: `export * from '${entryPoint}'`, budget: 44_500 },
  { name: 'Couch', code: `export { Couch } from '${entryPoint}'`, budget: 42_000 },
  {
    name: 'Couch of corduroy/core',
    code: `export { Couch } from '${core}'`,
    budget: 23_000,
    without: /^src.live|strategies|upsert|leaves|matcher|deploy|resharding|tab-/,
  },
  {
    name: 'a live document',
    code: `import { Database } from '${entryPoint}'; new Database('a').doc$('b').subscribe()`,
    budget: 37_500,
  },
  {
    name: 'relax and the guards',
    code: `export { relax, lastOf, isNotFound, isConflict } from '${entryPoint}'`,
    budget: 1_200,
    without: /^src.(http|changes|live)/,
  },
];

/** The chunk that `crossTab: true` loads on demand. */
const lazyChunk = { name: 'crossTab, on demand', budget: 3_200 };

async function bundle(code) {
  const { outputFiles, metafile } = await build({
    stdin: { contents: code, resolveDir: root, loader: 'ts' },
    bundle: true,
    splitting: true,
    format: 'esm',
    platform: 'browser',
    external: ['rxjs', 'rxjs-for-await'],
    absWorkingDir: root,
    outdir: 'bundle',
    metafile: true,
    write: false,
  });
  const pieces = Object.entries(metafile.outputs).map(([path, { inputs }], i) => ({
    // One chunk is loaded on demand; all others belong to the page.
    isLater: /^bundle\/cross-tab/.test(path),
    inputs: Object.keys(inputs).filter((input) => inputs[input].bytesInOutput > 0),
    text: outputFiles[i].text,
  }));
  return {
    page: pieces.filter(({ isLater }) => !isLater),
    crossTab: pieces.find(({ isLater }) => isLater),
  };
}

/** Each chunk is minified and compressed separately, as servers do. */
async function sizeOf(pieces) {
  let minified = 0;
  let compressed = 0;
  for (const { text } of pieces) {
    const { code: small } = await minify(text, {
      module: true,
      compress: { passes: 3, ecma: 2020, toplevel: true },
      mangle: { toplevel: true },
    });
    // Minification removes these statements, and with them the modules that they name.
    const own = small.replace(/import\s*\{[^}]*\}\s*from\s*"rxjs(-for-await)?";/g, '');
    minified += own.length;
    compressed += brotliCompressSync(own).length;
  }
  return { minified, compressed };
}

let failed = false;

async function judge({ name, budget, without }, pieces) {
  const { minified, compressed } = await sizeOf(pieces);
  const unwanted = pieces.flatMap(({ inputs }) => inputs.filter((input) => without?.test(input)));
  const faults = [
    ...(compressed > budget ? ['TOO LARGE'] : []),
    ...unwanted.map((input) => `BRINGS ${input}`),
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
  await judge(one, page);
}
await judge(lazyChunk, lazy === undefined ? [] : [lazy]);
process.exitCode = failed ? 1 : 0;
