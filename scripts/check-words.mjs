/**
 * Reports wording that readers stumble over, as `file:line rule: the text`, and exits with 1.
 *
 * It reads README.md, docs/, examples/ and the comments and string literals of src/, below the folder
 * given as argument (the project by default). It ignores code blocks, `code`, "quotations", and the
 * table columns headed `Test` and `Not`, which cite the names of tests and wording to avoid.
 *
 * `--sample 10 --seed 1` prints ten sentences of README, docs and src, drawn at random, to be read.
 */
import { createHash } from 'node:crypto';
import { readFile, readdir } from 'node:fs/promises';
import { join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: { sample: { type: 'string' }, seed: { type: 'string', default: '1' } },
});
const root = resolve(positionals[0] ?? fileURLToPath(new URL('../', import.meta.url)));

const LONGEST_SENTENCE = 25;

/** The rules that look for a phrase. */
const PHRASES = [
  ['indefinite person', /\b(?:nobody|somebody|whom|whoever)\b/gi],
  ['archaism', /\b(?:anew|besides|thereof)\b/gi],
  ['archaism', /\bof (?:its|their) own\b/gi],
  ['passive', /\b(?:is|are) (?:told|asked)\b/gi],
  ['passive', /\b(?:is|are) seen to\b/gi],
  [
    'causative',
    /\b(?:has|have|had) (?:it|them) (?:\w+ed|written|read|made|sent|done|run|built|put|kept)\b/gi,
  ],
  ['saying', /\b(?:think twice|once: once|says so|waited out|put up with)\b/gi],
];

/** A sentence that opens with a free relative clause instead of its subject. */
const FREE_RELATIVE = /^(?:What|Whatever|Who|Whoever|Whose|Whom|Where that)\s+\w/;

/**
 * A piece of prose, with the line on which it begins. Its line breaks are those of the file, so that
 * an offset in it tells a line.
 * @typedef {{ line: number, text: string }} Prose
 */

/** Replaces everything but line breaks, so that offsets stay right. */
const blank = (text) => text.replace(/[^\n]/g, ' ');

/** Removes the parts of prose that cite something, and keeps its length. */
function withoutCitations(text) {
  return text
    .replace(/(`+)[^]*?\1/g, (code) => `x${blank(code).slice(1)}`)
    .replace(/\]\([^)\s]*\)/g, (link) => blank(link))
    .replace(/\{@link ([^}]*)\}/g, (link) => `x${blank(link).slice(1)}`)
    .replace(/https?:\/\/\S+/g, blank)
    .replace(/"[^"\n]{1,200}"|“[^”]{1,200}”/g, (quoted) => `x${blank(quoted).slice(1)}`);
}

/** @returns {Prose[]} the paragraphs, headings, list items and table cells of a Markdown text */
function markdownProse(text) {
  const clean = text.replace(/^( *)```[^]*?^\1```[^\n]*$/gm, blank).replace(/<!--[^]*?-->/g, blank);
  const prose = [];
  let open = null;
  let skipped = null;
  clean.split('\n').forEach((raw, i) => {
    const line = i + 1;
    const row = /^\s*\|(.*)\|\s*$/.exec(raw);
    if (row !== null) {
      open = null;
      const cells = row[1].replaceAll('\\|', '  ').split('|');
      if (skipped === null) {
        skipped = new Set(
          cells.flatMap((cell, at) => (/^\s*(Test|Not)\s*$/.test(cell) ? [at] : [])),
        );
        return;
      }
      cells.forEach((cell, at) => {
        if (!skipped.has(at) && /\w/.test(cell)) prose.push({ line, text: cell, table: true });
      });
      return;
    }
    skipped = null;
    if (raw.trim() === '') {
      open = null;
      return;
    }
    const start = /^\s*(?:#{1,6}|[-*+]|\d+\.|>)\s+/.exec(raw);
    const content = start === null ? raw : raw.slice(start[0].length);
    if (open === null || start !== null) prose.push((open = { line, text: content }));
    else open.text += `\n${content}`;
    if (raw.startsWith('#')) open = null;
  });
  return prose;
}

/** @returns {Prose[]} the comments and string literals of a program */
function codeProse(text) {
  const prose = [];
  const lineAt = (offset) => text.slice(0, offset).split('\n').length;
  const add = (offset, content) => {
    if (/\w\s+\w/.test(content)) prose.push({ line: lineAt(offset), text: content });
  };
  const templates = [];
  let braces = 0;
  let at = 0;
  let before = '';

  const readTemplate = (from) => {
    let end = from;
    while (end < text.length && text[end] !== '`' && !text.startsWith('${', end))
      end += text[end] === '\\' ? 2 : 1;
    add(from, text.slice(from, end));
    if (text[end] === '`') return end + 1;
    templates.push(braces);
    return end + 2;
  };

  while (at < text.length) {
    const char = text[at];
    if (text.startsWith('//', at)) {
      // Comments on lines that follow each other are one text.
      const run = /^\/\/[^\n]*(?:\n[ \t]*\/\/[^\n]*)*/.exec(text.slice(at))[0];
      add(at, run.replace(/^[ \t]*\/\/+ ?/gm, ''));
      at += run.length;
    } else if (text.startsWith('/*', at)) {
      const end = text.indexOf('*/', at);
      const stop = end === -1 ? text.length : end + 2;
      for (const piece of commentPieces(text.slice(at, stop))) add(at + piece.offset, piece.text);
      at = stop;
    } else if (char === "'" || char === '"') {
      let end = at + 1;
      while (end < text.length && text[end] !== char && text[end] !== '\n')
        end += text[end] === '\\' ? 2 : 1;
      add(at, text.slice(at + 1, end));
      at = end + 1;
      before = char;
    } else if (char === '`') {
      at = readTemplate(at + 1);
      before = '`';
    } else if (char === '}' && templates.at(-1) === braces) {
      templates.pop();
      at = readTemplate(at + 1);
      before = '`';
    } else if (char === '/' && (before === '' || /[-(,=:[!&|?{};+*%<>~^]/.test(before))) {
      at += /^\/(?:\\.|\[(?:\\.|[^\]\n])*\]|[^/\n])*\/?\w*/.exec(text.slice(at))[0].length;
      before = '/';
    } else {
      if (char === '{') braces += 1;
      if (char === '}') braces -= 1;
      if (/\S/.test(char)) before = char;
      at += 1;
    }
  }
  return prose;
}

/** Takes a block comment apart: its paragraphs and tags, without its stars and its examples. */
function commentPieces(comment) {
  const clean = comment
    .replace(/^\/\*+|\*+\/$/g, blank)
    .replace(/^[ \t]*\*(?=[ \t\n])/gm, blank)
    .replace(/```[^]*?```/g, blank)
    .replace(/^\s*@example\b[^]*?(?=^\s*@|(?![^]))/gm, blank);
  const pieces = [];
  let offset = 0;
  for (const part of clean.split(/(\n[ \t]*(?=\n)|\n(?=[ \t]*(?:@|- |\d+\. )))/)) {
    const lead = /^\s*(?:-|\d+\.)?\s*(?:@\w+\s*(?:\w+\s+-\s+)?)?/.exec(part)[0].length;
    pieces.push({ offset: offset + lead, text: part.slice(lead) });
    offset += part.length;
  }
  return pieces;
}

/** @returns {Prose[]} the text of an HTML page */
function htmlProse(text) {
  const clean = text
    .replace(/<(script|style)\b[^]*?<\/\1>/gi, blank)
    .replace(/<!--[^]*?-->/g, blank)
    .replace(/<[^>]*>/g, (tag) => `\u0000${blank(tag).slice(1)}`);
  let line = 1;
  return clean.split('\u0000').flatMap((piece) => {
    const from = line;
    line += piece.split('\n').length - 1;
    return /\w/.test(piece) ? [{ line: from, text: piece }] : [];
  });
}

/** Splits prose into sentences, with their offsets. */
function sentences(text) {
  const found = [];
  for (const match of text.matchAll(/\S[^]*?(?:[.!?]+(?=[\s)*_]|$)|$)[)*_]*/g)) {
    if (match[0] !== '') found.push({ offset: match.index, text: match[0] });
  }
  return found;
}

const oneLine = (text) => text.replace(/\s+/g, ' ').trim();

/** Finds what is wrong with the prose of a file. */
function findings(path, prose) {
  const found = [];
  const checksLength = path === 'README.md' || path.startsWith('docs/guide/');
  for (const piece of prose) {
    const clean = withoutCitations(piece.text);
    const report = (offset, length, rule) => {
      const line = piece.line + clean.slice(0, offset).split('\n').length - 1;
      const shown = oneLine(piece.text.slice(offset, offset + length));
      found.push({ line, text: `${path}:${line} ${rule}: ${shown.slice(0, 100)}` });
    };
    for (const [rule, phrase] of PHRASES) {
      for (const match of clean.matchAll(new RegExp(phrase.source.replaceAll(' ', '\\s+'), 'gi')))
        report(match.index, match[0].length, rule);
    }
    for (const { offset, text } of sentences(clean)) {
      const bare = text.replace(/^[\s*_(>]+/, '');
      if (FREE_RELATIVE.test(bare) && !/\?[)*_]*$/.test(text))
        report(offset, text.length, 'free relative');
      const words = text.split(/\s+/).filter((word) => /[\p{L}\p{N}]/u.test(word)).length;
      if (checksLength && !piece.table && words > LONGEST_SENTENCE)
        report(offset, text.length, `${words} words`);
    }
  }
  return found.sort((a, b) => a.line - b.line).map(({ text }) => text);
}

/** Lists the files below a folder that have one of these endings. */
async function filesBelow(folder, endings) {
  const entries = await readdir(join(root, folder), { withFileTypes: true }).catch(() => []);
  const lists = await Promise.all(
    entries.map(({ name, ...entry }, i) => {
      const path = join(folder, name);
      if (entries[i].isDirectory())
        return ['node_modules', 'dist'].includes(name) ? [] : filesBelow(path, endings);
      return endings.some((ending) => name.endsWith(ending)) ? [path] : [];
    }),
  );
  return lists.flat().sort();
}

const PROSE = { md: markdownProse, html: htmlProse };

const files = [
  ...(await filesBelow('.', ['README.md'])).filter((path) => path === 'README.md'),
  ...(await filesBelow('docs', ['.md'])),
  ...(await filesBelow('examples', ['.md', '.ts', '.mjs', '.html'])),
  ...(await filesBelow('src', ['.ts'])),
];
/** Draws sentences at random: the same ones for the same seed. */
function sample(prose, size) {
  const rank = (text) => createHash('sha1').update(`${options.seed} ${text}`).digest('hex');
  return prose
    .flatMap(({ text }) => sentences(text).map((one) => oneLine(one.text)))
    .filter((text) => text.split(' ').length > 5)
    .map((text) => ({ text, rank: rank(text) }))
    .sort((a, b) => (a.rank < b.rank ? -1 : 1))
    .slice(0, size)
    .map(({ text }) => text);
}

let count = 0;
const everything = [];
for (const file of files) {
  const text = await readFile(join(root, file), 'utf8');
  const prose = (PROSE[file.split('.').at(-1)] ?? codeProse)(text);
  if (!file.startsWith('examples')) everything.push(...prose);
  for (const finding of findings(relative('.', file), prose)) {
    console.log(finding);
    count += 1;
  }
}
if (options.sample !== undefined)
  console.log(sample(everything, Number(options.sample)).join('\n'));
if (count > 0) {
  console.error(`\n${count} ${count === 1 ? 'finding' : 'findings'}.`);
  process.exitCode = 1;
}
