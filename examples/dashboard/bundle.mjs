import { fileURLToPath } from 'node:url';
import { build, stop } from 'esbuild';

/**
 * Bundles the page's scripts as an application's bundler would. Under the condition `browser`,
 * `corduroy` resolves to its browser entry point, which contains neither got nor Node built-ins.
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
      // The project's tsconfig.json maps `corduroy` to its sources. The page must use the package.
      tsconfigRaw: {},
    });
    const got = Object.keys(metafile.inputs).find((path) => /node_modules\/got\//.test(path));
    if (got !== undefined) throw new Error(`The page must not contain got (found ${got})`);
    return outputFiles[0].text;
  } finally {
    // esbuild keeps a child process for further builds. The demo builds once.
    await stop();
  }
}
