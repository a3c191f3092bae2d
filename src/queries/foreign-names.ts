/** The names of CouchDB's JavaScript engine, and those that it gives to functions of design documents. */
const GLOBALS = new Set(
  (
    'undefined NaN Infinity globalThis arguments Object Array String Number Boolean Date Math JSON RegExp ' +
    'Symbol BigInt Map Set WeakMap WeakSet Promise Proxy Reflect Function Error TypeError RangeError ' +
    'SyntaxError ReferenceError EvalError URIError ArrayBuffer DataView Int8Array Uint8Array ' +
    'Uint8ClampedArray Int16Array Uint16Array Int32Array Uint32Array Float32Array Float64Array ' +
    'parseInt parseFloat isNaN isFinite encodeURIComponent decodeURIComponent encodeURI decodeURI escape ' +
    'unescape eval emit index sum log toJSON isArray require exports module getRow send start provides ' +
    'registerType'
  ).split(' '),
);

const KEYWORDS = new Set(
  (
    'break case catch class const continue debugger default delete do else extends false finally for ' +
    'function if in instanceof let new null of return static super switch this throw true try typeof var ' +
    'void while with yield async await get set'
  ).split(' '),
);

/** Keywords before a bracket that holds no parameters. */
const STATEMENTS = new Set(['if', 'for', 'while', 'switch', 'with']);

const TOKEN =
  /\s+|\/\/[^\n]*|\/\*[^]*?\*\/|'(?:\\[^]|[^'\\])*'|"(?:\\[^]|[^"\\])*"|[\p{ID_Start}$_][\p{ID_Continue}$\u200c\u200d]*|\d[\w.]*|=>|\.\.\.|\?\.|[=!]==?|<=|>=|[^]/uy;
const REGEX = /\/(?:\\.|\[(?:\\.|[^\]\\\n])*\]|[^/\\\n[])+\/[a-z]*/y;
const TEMPLATE = /(?:\\[^]|\$(?!\{)|[^`\\$])*(?:`|\$\{)/y;
const NAME = /^[\p{ID_Start}$_]/u;

/**
 * Returns the names that the source text of a function uses, but neither declares nor finds in CouchDB.
 *
 * It reads tokens, and knows no scopes: a name that is declared anywhere in the text counts as declared.
 */
export function foreignNames(source: string): readonly string[] {
  const tokens = tokenize(source);
  const partners = matchBrackets(tokens);
  const declared = declarations(tokens, partners);
  const used = tokens.filter((token, i) => isUse(tokens, partners, i) && !declared.has(token));
  return [...new Set(used)].filter((name) => !GLOBALS.has(name));
}

/** Splits a source into tokens, without space, comments, texts and regular expressions. */
function tokenize(source: string): readonly string[] {
  const tokens: string[] = [];
  /** The open braces: whether each belongs to a template. */
  const braces: boolean[] = [];
  const brackets: (string | undefined)[] = [];
  let mayBeRegex = true;
  let at = 0;
  const read = (pattern: RegExp): string => {
    pattern.lastIndex = at;
    const [text = source.slice(at, at + 1)] = pattern.exec(source) ?? [];
    at += text.length;
    return text;
  };
  const readTemplate = (): void => {
    if (read(TEMPLATE).endsWith('${')) braces.push(true);
    else mayBeRegex = false;
  };
  while (at < source.length) {
    if (mayBeRegex && source[at] === '/' && !/[/*]/.test(source[at + 1] ?? '')) {
      read(REGEX);
      tokens.push('0');
      mayBeRegex = false;
      continue;
    }
    const token = read(TOKEN);
    if (/^(?:\s|\/[/*])/.test(token)) continue;
    if (token === '`') {
      // Stands for a value, as texts do.
      tokens.push('0');
      mayBeRegex = true;
      readTemplate();
      continue;
    }
    if (token === '}' && braces.pop() === true) {
      readTemplate();
      continue;
    }
    if (token === '{') braces.push(false);
    if (token === '(') brackets.push(tokens.at(-1));
    const opener = token === ')' ? brackets.pop() : undefined;
    const isText = token.startsWith("'") || token.startsWith('"');
    tokens.push(isText ? '0' : token);
    mayBeRegex =
      token === ')'
        ? STATEMENTS.has(opener ?? '')
        : KEYWORDS.has(token)
          ? !/^(?:this|super|true|false|null)$/.test(token)
          : !(isText || /^[\p{ID_Continue}$\]}]/u.test(token));
  }
  return tokens;
}

/** Returns the index of the closing bracket for each opening one. */
function matchBrackets(tokens: readonly string[]): ReadonlyMap<number, number> {
  const partners = new Map<number, number>();
  const open: number[] = [];
  tokens.forEach((token, i) => {
    if (/^[([{]$/.test(token)) open.push(i);
    else if (/^[)\]}]$/.test(token)) partners.set(open.pop() ?? -1, i);
  });
  return partners;
}

/** Returns the names that a source declares: variables, parameters, functions, classes. */
function declarations(
  tokens: readonly string[],
  partners: ReadonlyMap<number, number>,
): ReadonlySet<string> {
  const names = new Set<string>();
  const declareIn = (start: number, end: number): void => {
    for (let i = start; i < end; i++) {
      const isBound =
        /^(?:[([{,:]|\.\.\.)$/.test(tokens[i - 1] ?? '') && /^[,)=\]}]$/.test(tokens[i + 1] ?? '');
      if (isBound) names.add(tokens[i] as string);
    }
  };
  tokens.forEach((token, i) => {
    const next = tokens[i + 1] ?? '';
    if (token === '(' && isParameterList(tokens, partners, i))
      declareIn(i + 1, partners.get(i) ?? i);
    // Without a declaration, an assignment makes a global variable.
    if (next === '=>' || next === '=') names.add(token);
    if (/^(?:function|class)$/.test(token)) names.add(next === '*' ? (tokens[i + 2] ?? '') : next);
    if (!/^(?:var|let|const)$/.test(token)) return;
    for (let at = i + 1; at < tokens.length && !/^[;)\]}]$/.test(tokens[at] as string); at++) {
      const end = partners.get(at);
      const isFirst = at === i + 1 || tokens[at - 1] === ',';
      if (isFirst && end !== undefined) declareIn(at, end);
      else if (isFirst) names.add(tokens[at] as string);
      at = end ?? at;
    }
  });
  return names;
}

function isParameterList(
  tokens: readonly string[],
  partners: ReadonlyMap<number, number>,
  open: number,
): boolean {
  const before = tokens[open - 1] ?? '';
  const after = tokens[(partners.get(open) ?? open) + 1];
  if (after === '=>' || before === 'catch' || before === 'function' || before === '*') return true;
  return after === '{' && NAME.test(before) && !STATEMENTS.has(before);
}

/** Tells whether a token is a name that is read, not a property, a key or a label. */
function isUse(
  tokens: readonly string[],
  partners: ReadonlyMap<number, number>,
  i: number,
): boolean {
  const [token = '', before = '', after = ''] = [tokens[i], tokens[i - 1], tokens[i + 1]];
  if (!NAME.test(token) || KEYWORDS.has(token)) return false;
  if (/^(?:\.|\?\.|#|typeof|break|continue)$/.test(before)) return false;
  if (after === ':' && /^(?:[{,;}]|)$/.test(before)) return false;
  // A method of an object or a class.
  return !(after === '(' && isParameterList(tokens, partners, i + 1));
}
