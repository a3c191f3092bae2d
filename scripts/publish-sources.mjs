/**
 * Writes the sources into `dist/source`, one file for each folder of `src`, and points the declaration
 * maps to them. 'Go to definition' then leads to the source, and the package has few files.
 */
import { mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { dirname, join, posix, relative, resolve } from 'node:path';
import { decode, encode } from '@jridgewell/sourcemap-codec';
import { parseAst } from 'rolldown/parseAst';

// Two files of a folder may have private functions of one name, which the compiler would refuse.
const HEADER = [
  '// @ts-nocheck',
  '// Sources of Corduroy, for editors. Programs import the package.',
  '',
];

/** Writes the sources of `root/src` for the declaration maps in `dist`. */
export function publishSources(root, dist) {
  const folder = join(dist, 'source');
  mkdirSync(folder);
  /** The published file and the published line of each line, by source file. */
  const places = new Map();
  for (const [name, paths] of publishedFiles(join(root, 'src'))) {
    const { text, lines } = concatenate(join(root, 'src'), name, paths);
    writeFileSync(join(folder, name), text);
    for (const [path, numbers] of lines) {
      places.set(join(root, 'src', path), { file: join(folder, name), numbers });
    }
  }
  for (const path of readdirSync(dist, { recursive: true })) {
    if (path.endsWith('.d.ts.map')) redirect(join(dist, path), places);
  }
}

/** Returns the paths in `src` by the name of the file that they are published in. */
function publishedFiles(src) {
  const files = new Map();
  for (const path of readdirSync(src, { recursive: true }).sort()) {
    if (!path.endsWith('.ts')) continue;
    const posixPath = path.replaceAll('\\', '/');
    const name = publishedName(posixPath);
    files.set(name, [...(files.get(name) ?? []), posixPath]);
  }
  return files;
}

/** The files of a folder are published in one file. Others keep their names. */
function publishedName(path) {
  return path.includes('/') ? `${path.split('/')[0]}.ts` : path;
}

/** Joins files. Their imports move to the top, except for imports from each other, which are dropped. */
function concatenate(src, name, paths) {
  const imports = new Map();
  const sections = paths.map((path) => {
    const code = readFileSync(join(src, path), 'utf8');
    const lines = code.trimEnd().split('\n');
    const lineOf = (offset) => code.slice(0, offset).split('\n').length - 1;
    for (const node of parseAst(code, { lang: 'ts' }).body) {
      if (!node.source) continue;
      const from = publishedSpecifier(path, node.source.value);
      const isImport = node.type === 'ImportDeclaration';
      if (isImport && from !== `./${name}`) addImport(imports, from, node, code);
      if (isImport || from === `./${name}`) {
        lines.fill(null, lineOf(node.start), lineOf(node.end) + 1);
      } else {
        const line = lineOf(node.source.start);
        lines[line] = lines[line].replace(node.source.raw, `'${from}'`);
      }
    }
    return [path, lines];
  });
  const out = [...HEADER, ...statements(imports)];
  const numbers = sections.map(([path, lines]) => {
    out.push('', `// src/${path}`);
    return [path, lines.map((line) => (line === null ? null : out.push(line) - 1))];
  });
  return { text: `${out.join('\n')}\n`, lines: numbers };
}

/** Returns the specifier that an import in `dist/source` needs. */
function publishedSpecifier(importer, specifier) {
  if (!specifier.startsWith('.')) return specifier;
  return `./${publishedName(posix.join(posix.dirname(importer), specifier))}`;
}

function addImport(imports, from, { importKind, specifiers }, code) {
  const key = `import ${importKind === 'type' ? 'type ' : ''}{ * } from '${from}';`;
  const names = imports.get(key) ?? new Set();
  imports.set(key, names);
  for (const { type, start, end } of specifiers) {
    if (type !== 'ImportSpecifier') throw new Error(`${from}: an import must be of names ({ … })`);
    names.add(code.slice(start, end));
  }
}

function statements(imports) {
  return [...imports.keys()]
    .sort()
    .map((key) => key.replace('*', [...imports.get(key)].sort().join(', ')));
}

/**
 * Points a declaration map to the published sources. Keeps only the segments of names: those of comments
 * and keywords are wrong, because the bundler of the declarations does not keep their places.
 */
function redirect(mapPath, places) {
  const { version, file, sources, mappings } = JSON.parse(readFileSync(mapPath, 'utf8'));
  const folder = dirname(mapPath);
  const generated = readFileSync(mapPath.replace(/\.map$/, ''), 'utf8').split('\n');
  const targets = sources.map((source) => {
    const path = resolve(folder, source);
    const place = places.get(path);
    if (place === undefined) throw new Error(`${mapPath} must map to src (received ${source})`);
    return { ...place, text: readFileSync(path, 'utf8').split('\n') };
  });
  const files = [...new Set(targets.map((target) => target.file))];
  const redirected = decode(mappings).map((segments, row) => {
    const names = segments.filter(([column, source, line, from]) => {
      const name = nameAt(generated[row], column)?.replace(/\$\d+$/, '');
      if (name === undefined || name !== nameAt(targets[source]?.text[line], from)) return false;
      return targets[source].numbers[line] !== null;
    });
    const [first] = names;
    if (first === undefined) return [];
    // Editors ask for the start of the declaration, too.
    const [column, source, line] = first;
    const start = generated[row].search(/\S/);
    const before =
      start < column ? [[start, source, line, targets[source].text[line].search(/\S/)]] : [];
    return [...before, ...names].map(([to, index, at, from]) => {
      const target = targets[index];
      return [to, files.indexOf(target.file), target.numbers[at], from];
    });
  });
  const paths = files.map((path) => relative(folder, path).replaceAll('\\', '/'));
  const map = { version, file, sources: paths, names: [], mappings: encode(redirected) };
  writeFileSync(mapPath, JSON.stringify(map));
}

function nameAt(line = '', column) {
  return /^[\w$]+/.exec(line.slice(column))?.[0];
}
