/** A part of a text, from `start` up to `stop`. */
export interface Range {
  readonly start: number;
  readonly stop: number;
}

/** A secret in one form: its characters, folded. */
export interface Form {
  readonly codes: readonly number[];
  /** Whether it is the base64 of the secret: its neighbours in a text may encode a part of it. */
  readonly isBase64: boolean;
}

/** Shorter secrets are likely to be part of an ordinary word. */
const MIN_SECRET_LENGTH = 4;

/**
 * Returns the forms of a secret: the secret itself, without its blanks, and its base64 at each of three
 * offsets.
 */
export function formsOf(secret: string): Form[] {
  if (secret.length < MIN_SECRET_LENGTH) return [];
  const forms: Form[] = [{ codes: toCodes(secret), isBase64: false }];
  const joined = secret.replace(/\s+/g, '');
  if (joined !== secret && joined.length >= MIN_SECRET_LENGTH)
    forms.push({ codes: toCodes(joined), isBase64: false });
  let bytes = '';
  for (const byte of new TextEncoder().encode(secret)) bytes += String.fromCharCode(byte);
  for (const offset of [0, 1, 2]) {
    // Only the characters that encode nothing but the secret.
    const first = Math.ceil((offset * 8) / 6);
    const last = Math.floor(((offset + bytes.length) * 8) / 6);
    const core = btoa('\0'.repeat(offset) + bytes).slice(first, last);
    forms.push({ codes: toCodes(core), isBase64: true });
  }
  return forms;
}

function toCodes(text: string): number[] {
  return Array.from(text, (char) => fold(char.codePointAt(0) ?? 0));
}

/** Gives equal codes to characters that encodings exchange: blanks, `+` and `-`, and `/` and `_`. */
function fold(code: number): number {
  if (code === 0x20 || code === 0x2d || code === 0xa0 || (code >= 9 && code <= 13)) return 0x2b;
  return code === 0x5f ? 0x2f : code;
}

const PERCENT = 0x25;
const AMPERSAND = 0x26;
const BACKSLASH = 0x5c;
/** A named entity: any character that is neither a letter nor a digit of ASCII. */
const ENTITY_NAME = -1;
/** The comparisons in one text. Secrets that repeat themselves would take quadratic time. */
const MAX_STEPS = 500_000;

/**
 * Finds secrets in a text: plain, percent-encoded, as base64, as HTML entities, escaped as in JSON, or
 * with another encoding for each character. Returns the whole text if the search takes too long.
 */
export function findSecrets(text: string, forms: readonly Form[]): Range[] {
  return forms.length === 0 ? [] : new Search(text, forms).run();
}

class Search {
  readonly #text: string;
  readonly #byFirst = new Map<number, Form[]>();
  #steps = 0;

  constructor(text: string, forms: readonly Form[]) {
    this.#text = text;
    for (const form of forms) {
      const first = form.codes[0] ?? 0;
      for (const code of isWord(first) ? [first] : [first, ENTITY_NAME]) {
        const others = this.#byFirst.get(code);
        if (others === undefined) this.#byFirst.set(code, [form]);
        else others.push(form);
      }
    }
  }

  run(): Range[] {
    const text = this.#text;
    const ranges: Range[] = [];
    let at = 0;
    while (at < text.length) {
      const [stop, isBase64] = this.#findAt(at);
      if (this.#steps > MAX_STEPS) return [{ start: 0, stop: text.length }];
      if (stop === at) {
        at += 1;
        continue;
      }
      const previous = ranges.at(-1)?.stop ?? 0;
      const start = isBase64 && at > previous && isBase64At(text, at - 1) ? at - 1 : at;
      at = stop;
      if (isBase64) while (isBase64At(text, at)) at += 1;
      ranges.push({ start, stop: at });
    }
    return ranges;
  }

  /** Returns the end of the longest secret that begins at a place; the place itself if none does. */
  #findAt(at: number): readonly [stop: number, isBase64: boolean] {
    const plain = this.#text.charCodeAt(at);
    if (!isAmbiguous(plain)) return this.#longest(at, fold(plain), nothingAt(at));
    const read = readings(this.#text, at);
    this.#steps += read.length;
    let longest = nothingAt(at);
    for (let i = 0; i < read.length; i += 2) longest = this.#longest(at, read[i] ?? 0, longest);
    return longest;
  }

  #longest(at: number, first: number, known: Found): Found {
    const forms = this.#byFirst.get(first);
    if (forms === undefined) return known;
    let longest = known;
    for (const { codes, isBase64 } of forms) {
      const stop = this.#matchAt(at, codes);
      if (stop > longest[0]) longest = [stop, isBase64];
    }
    return longest;
  }

  /** Returns the end of a secret at a place, or -1. Keeps the places that can be reached. */
  #matchAt(at: number, codes: readonly number[]): number {
    const text = this.#text;
    let place = at;
    let i = 0;
    // Most texts have no escapes, and so one place.
    for (; i < codes.length; i++) {
      const plain = text.charCodeAt(place);
      if (isAmbiguous(plain)) break;
      if (fold(plain) !== codes[i]) return -1;
      this.#steps += 1;
      place += 1;
    }
    let places = [place];
    for (; i < codes.length && this.#steps <= MAX_STEPS; i++) {
      const next: number[] = [];
      for (const each of places) this.#advance(each, codes[i] ?? 0, next);
      if (next.length === 0) return -1;
      places = next;
    }
    return Math.max(...places);
  }

  #advance(place: number, code: number, next: number[]): void {
    const read = readings(this.#text, place);
    this.#steps += read.length;
    for (let i = 0; i < read.length; i += 2) {
      const isSame = read[i] === code || (read[i] === ENTITY_NAME && !isWord(code));
      const end = read[i + 1] ?? 0;
      if (isSame && !next.includes(end)) next.push(end);
    }
  }
}

type Found = readonly [stop: number, isBase64: boolean];
const nothingAt = (at: number): Found => [at, false];

/** Returns the ways to read the character at a place: pairs of its folded code and its end. */
function readings(text: string, at: number, found: number[] = [], depth = 0): number[] {
  const code = text.codePointAt(at);
  if (code === undefined) return found;
  const own = found.length;
  found.push(fold(code), at + (code > 0xffff ? 2 : 1));
  if (code === PERCENT) readPercent(text, at, found);
  else if (code === AMPERSAND) readEntity(text, at, found);
  else readUtf8(code, at + 1, (place) => [text.charCodeAt(place), place + 1], found);
  // Escapes may be escaped again.
  const end = depth < 8 ? found.length : own;
  for (let i = own; i < end; i += 2) {
    if (found[i] === BACKSLASH) readEscape(text, found[i + 1] ?? 0, found, depth + 1);
  }
  return found;
}

/** Reads `%41`, and the same encoded again: `%2541`. */
function readPercent(text: string, at: number, found: number[]): void {
  let digits = at + 1;
  for (let level = 0; level < 4; level++) {
    const byte = hexAt(text, digits, 2);
    if (byte === -1) return;
    found.push(fold(byte), digits + 2);
    const prefix = text.slice(at, digits);
    const next = (place: number): [number, number] =>
      text.startsWith(prefix, place)
        ? [hexAt(text, place + prefix.length, 2), place + prefix.length + 2]
        : [-1, place];
    readUtf8(byte, digits + 2, next, found);
    if (byte !== PERCENT) return;
    digits += 2;
  }
}

/**
 * Reads a character from its bytes in UTF-8, which may be percent-encoded, or be read as Latin-1.
 * `next` returns the byte at a place, and its end.
 */
function readUtf8(
  lead: number,
  at: number,
  next: (place: number) => [byte: number, end: number],
  found: number[],
): void {
  if (lead < 0xc2 || lead > 0xf4) return;
  const more = lead >= 0xf0 ? 3 : lead >= 0xe0 ? 2 : 1;
  let code = lead & (0x3f >> more);
  let place = at;
  for (let i = 0; i < more; i++) {
    const [byte, end] = next(place);
    if (!(byte >= 0x80 && byte < 0xc0)) return;
    code = code * 64 + (byte & 0x3f);
    place = end;
  }
  found.push(fold(code), place);
}

const ENTITY = /#0{0,8}(\d{1,7});?|#x0{0,8}([\da-f]{1,6});?|([a-z]{2,31}\d{0,2};)/iy;

/** Reads `&#65;`, and the same encoded again: `&amp;#65;`. */
function readEntity(text: string, at: number, found: number[]): void {
  let place = at + 1;
  for (let level = 0; level < 4; level++) {
    ENTITY.lastIndex = place;
    const [all = '', decimal, hex, name] = ENTITY.exec(text) ?? [];
    if (all === '') return;
    place += all.length;
    if (name !== undefined) found.push(ENTITY_NAME, place);
    else found.push(fold(decimal === undefined ? parseInt(hex ?? '', 16) : Number(decimal)), place);
    if (name?.toLowerCase() !== 'amp;') return;
  }
}

const LOW_SURROGATE = /\\{1,8}u(d[c-f][\da-f]{2})/iy;

/** Reads the rest of an escape: `\u0041`, `\n`, or the character itself. */
function readEscape(text: string, at: number, found: number[], depth: number): void {
  const letter = text[at] ?? '';
  if (letter === 'u') {
    const unit = hexAt(text, at + 1, 4);
    LOW_SURROGATE.lastIndex = at + 5;
    const low = unit >= 0xd800 && unit < 0xdc00 ? LOW_SURROGATE.exec(text) : null;
    if (low !== null) {
      const code = 0x10000 + (unit - 0xd800) * 0x400 + parseInt(low[1] ?? '', 16) - 0xdc00;
      found.push(code, at + 5 + low[0].length);
    } else if (unit !== -1) found.push(fold(unit), at + 5);
  } else if (letter === 'b') found.push(8, at + 1);
  else if (letter !== '' && 'fnrt'.includes(letter)) found.push(fold(10), at + 1);
  readings(text, at, found, depth);
}

function hexAt(text: string, at: number, length: number): number {
  let value = 0;
  for (let i = at; i < at + length; i++) {
    const code = text.charCodeAt(i);
    // An upper-case letter and its lower-case form differ in one bit.
    const letter = (code | 0x20) - 87;
    if (code >= 48 && code <= 57) value = value * 16 + code - 48;
    else if (letter >= 10 && letter < 16) value = value * 16 + letter;
    else return -1;
  }
  return value;
}

/** Tells whether a character may be the first of an encoded one. */
function isAmbiguous(code: number): boolean {
  return code === PERCENT || code === AMPERSAND || code === BACKSLASH || code >= 0xc2;
}

/** Tells whether a code is a letter or a digit of ASCII. */
function isWord(code: number): boolean {
  return (code >= 48 && code <= 57) || (code >= 65 && code <= 90) || (code >= 97 && code <= 122);
}

function isBase64At(text: string, at: number): boolean {
  const code = text.charCodeAt(at);
  return isWord(code) || BASE64_SIGNS.has(code);
}

/** `+`, `/`, `=`, `-` and `_`. */
const BASE64_SIGNS = new Set([0x2b, 0x2f, 0x3d, 0x2d, 0x5f]);
