import { fileURLToPath } from 'node:url';
import { build, stop } from 'esbuild';

/**
 * Makes one script of the page and of what it imports, as an application's bundler would: with the
 * condition `browser`, `corduroy` is its door for browsers, which brings neither got nor Node.
 */
export async function bundlePage() {
  try {
    const { metafile, outputFiles } = await build({
      entryPoints: [fileURLToPath(new URL('./page/page.ts', import.meta.url))],
      bundle: true,
      write: false,
      metafile: true,
      platform: 'browser',
      conditions: ['browser'],
      format: 'esm',
      target: 'es2022',
      sourcemap: 'inline',
      logLevel: 'silent',
      // The project's own settings lead `corduroy` to its sources; here it is to be the package.
      tsconfigRaw: {},
    });
    const foreign = Object.keys(metafile.inputs).find((path) => /node_modules\/got\//.test(path));
    if (foreign !== undefined) throw new Error(`The page must not contain ${foreign}`);
    return outputFiles[0].text;
  } finally {
    // It keeps a process for the next build, which there is none.
    await stop();
  }
}
