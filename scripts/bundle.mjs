/**
 * Bundles the package: one JavaScript file and one declaration file for each entry point, and chunks that
 * they share, so that each class exists once. Source maps contain the sources. Declaration maps lead to
 * the folder `source`, because editors open only files that exist.
 */
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { rolldown } from 'rolldown';
import { dts } from 'rolldown-plugin-dts';
import { publishSources } from './publish-sources.mjs';

const root = fileURLToPath(new URL('..', import.meta.url));

/** The entry points, by the name of their file in `dist`. */
const entries = {
  index: 'index.ts',
  'index.browser': 'index.browser.ts',
  core: 'core.ts',
  'cross-tab': 'changes/cross-tab.ts',
  'exact-integers': 'exact-integers.ts',
  testing: 'testing/index.ts',
  angular: 'angular/index.ts',
  nats: 'nats/index.ts',
  opentelemetry: 'opentelemetry/index.ts',
  relay: 'relay/index.ts',
  cli: 'cli.ts',
  undici: 'undici.ts',
};

const sourceOf = (name) => join(root, 'src', entries[name]);

/** Modules with public names among those that `cross-tab` imports. */
const PUBLIC = /src.(?:http.(?:operation|row-stream)|model.document)\.ts$/;

/**
 * Bundlers keep or drop the top-level classes of a file as a whole, and a page that loads `cross-tab` on
 * demand shares with it each file that both import. Names that programs import are therefore in other
 * chunks than the modules behind `cross-tab`: a page that imports only `relax` or a guard stays small.
 */
const groups = [
  {
    name: 'errors',
    test: /src.(?:relax|errors.(?:corduroy|http|connection)-error|operators.to-observable)\.ts$/,
    priority: 3,
  },
  {
    name: (id, graph) => (isShared(id, graph) && !PUBLIC.test(id) ? 'feed' : null),
    debugName: 'feed',
    priority: 2,
  },
  { name: 'operation', test: PUBLIC, priority: 1 },
];

/** Tells whether both `cross-tab` and the entry point of pages import a module. */
function isShared(id, graph) {
  return ['cross-tab', 'index.browser'].every((name) => reach(sourceOf(name), graph).has(id));
}

function reach(id, graph, seen = new Set()) {
  if (seen.has(id)) return seen;
  seen.add(id);
  for (const next of graph.getModuleInfo(id)?.importedIds ?? []) reach(next, graph, seen);
  return seen;
}

/** Bundles all entry points into a folder, with declarations and sources if `types` is true. */
export async function bundle(dir, { types }) {
  rmSync(dir, { recursive: true, force: true });
  const build = await rolldown({
    cwd: root,
    input: Object.fromEntries(Object.keys(entries).map((name) => [name, sourceOf(name)])),
    external: (id) => !/^[./]|^[a-z]:/i.test(id),
    platform: 'neutral',
    // Groups without their dependencies need this. A test compares the names of each entry point.
    preserveEntrySignatures: 'allow-extension',
    tsconfig: 'tsconfig.build.json',
    checks: { pluginTimings: false },
    plugins: types ? [dts({ cwd: root, tsconfig: 'tsconfig.build.json' })] : [],
  });
  await build.write({
    dir,
    format: 'esm',
    sourcemap: true,
    chunkFileNames: 'chunks/[name].js',
    // The declarations have the documentation.
    comments: { jsdoc: false },
    codeSplitting: { groups, includeDependenciesRecursively: false },
  });
  await build.close();
  if (types) publishSources(root, dir);
}
