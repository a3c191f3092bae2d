/**
 * What a page pays: typical imports through the browser door, bundled, minified and compressed
 * with brotli, without rxjs, which the page has already. Exits with 1 where a budget is exceeded.
 */
import { brotliCompressSync } from 'node:zlib';
import { fileURLToPath } from 'node:url';
import { minify } from '@swc/core';
import { build } from 'esbuild';

const root = fileURLToPath(new URL('..', import.meta.url));
const door = './src/index.browser.ts';

/** Budgets in bytes. */
const imports = [
  { name: 'everything', code: `export * from '${door}'`, budget: 20_000 },
  { name: 'Couch', code: `export { Couch } from '${door}'`, budget: 19_000 },
  { name: 'relax', code: `export { relax, lastOf } from '${door}'`, budget: 1_000 },
  { name: 'the guards', code: `export { isNotFound, isConflict } from '${door}'`, budget: 1_000 },
];

async function sizeOf(code) {
  const { outputFiles } = await build({
    stdin: { contents: code, resolveDir: root, loader: 'ts' },
    bundle: true,
    format: 'esm',
    platform: 'browser',
    external: ['rxjs', 'rxjs-for-await'],
    write: false,
  });
  const { code: small } = await minify(outputFiles[0].text, {
    module: true,
    compress: { passes: 3, ecma: 2020, toplevel: true },
    mangle: { toplevel: true },
  });
  // In a page these statements are gone, and with them the modules that they name.
  const own = small.replace(/import\s*\{[^}]*\}\s*from\s*"rxjs(-for-await)?";/g, '');
  return { minified: own.length, compressed: brotliCompressSync(own).length };
}

let exceeded = false;
for (const { name, code, budget } of imports) {
  const { minified, compressed } = await sizeOf(code);
  const verdict = compressed > budget ? 'TOO LARGE' : 'ok';
  exceeded ||= compressed > budget;
  const figures = [minified, compressed, budget].map((figure) => String(figure).padStart(7));
  console.log(
    `${name.padEnd(12)} minified ${figures[0]}  brotli ${figures[1]}  budget ${figures[2]}  ${verdict}`,
  );
}
process.exitCode = exceeded ? 1 : 0;
