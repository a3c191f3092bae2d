/** Encodes and decodes JSON. A connection's codec: see `ConnectionOptions.codec`. */
export interface JsonCodec {
  readonly parse: (text: string) => unknown;
  readonly stringify: (value: unknown) => string;
}

/**
 * Throws for a value that JSON would lose or change without an error:
 *
 * - NaN, Infinity and invalid dates, which become null;
 * - bigint and cycles, which throw without a path;
 * - functions, symbols, Promise, Error, Map, Blob and other objects that become `{}`;
 * - binary data, which becomes an object of numbers;
 * - lone surrogates in strings and keys, which CouchDB refuses without a reason;
 * - holes in arrays.
 *
 * An `undefined` property is left out, as `JSON.stringify` does.
 *
 * @param what - The name of the value in the error.
 * @param codec - The codec that will write the value. A value that only this codec can write passes.
 * @throws TypeError that names the problem and the path to it.
 */
export function assertJson(value: unknown, what: ValueName, codec: JsonCodec = JSON): void {
  check(value, { what, codec, exact: false, ancestors: [], keys: [] });
}

/**
 * Throws as {@link assertJson} does, and also for an `undefined` property: it would be left out, and a
 * query without it finds more.
 */
export function assertQuery(value: unknown, what: ValueName, codec: JsonCodec = JSON): void {
  check(value, { what, codec, exact: true, ancestors: [], keys: [] });
}

/** The name of a value in an error, or a function that returns it, if the name costs time to make. */
export type ValueName = string | (() => string);

/** Tells whether a string is well-formed Unicode, as JSON, URLs and CouchDB require. */
export function isWellFormed(text: string & { isWellFormed?(): boolean }): boolean {
  // Old platforms lack the method.
  return text.isWellFormed?.() ?? !/\p{Surrogate}/u.test(text);
}

/** The state of a walk through a value. The path is built only for an error: bulk saves check often. */
interface Walk {
  readonly what: ValueName;
  readonly codec: JsonCodec;
  /** Whether `undefined` properties are errors. */
  readonly exact: boolean;
  readonly ancestors: object[];
  readonly keys: (string | number)[];
}

function check(value: unknown, walk: Walk): void {
  switch (typeof value) {
    case 'string':
      if (isWellFormed(value)) return;
      throw notJson(walk, LONE_SURROGATE);
    case 'boolean':
      return;
    case 'undefined':
      throw notJson(walk, 'undefined');
    case 'number':
      if (Number.isFinite(value) || isWritten(value, walk)) return;
      throw notJson(walk, String(value));
    case 'object':
      if (value !== null) checkObject(value, walk);
      return;
    default:
      if (isWritten(value, walk)) return;
      throw notJson(walk, `a ${typeof value}`);
  }
}

const LONE_SURROGATE = 'a lone surrogate, which is half a character';

/** @param isReplacement - Whether `toJSON` returned the value: JSON does not call the method again. */
function checkObject(value: object, walk: Walk, isReplacement = false): void {
  const { ancestors, keys } = walk;
  if (ancestors.includes(value)) throw notJson(walk, 'a cycle');
  if (!Array.isArray(value) && !isLiteral(value)) {
    const problem = problemOf(value, isReplacement);
    if (problem !== null) {
      if (isWritten(value, walk)) return;
      throw notJson(walk, problem);
    }
  }
  if (!isReplacement && hasToJson(value)) {
    const replacement: unknown = value.toJSON(String(keys.at(-1) ?? ''));
    // An invalid Date turns into null.
    if (replacement === null) throw notJson(walk, 'an invalid date');
    if (typeof replacement !== 'object') return check(replacement, walk);
    if (replacement !== value) {
      if (hasToJson(replacement) && !isLiteral(replacement))
        throw notJson(
          walk,
          `a toJSON that returns ${article(tagOf(replacement))} (JSON calls toJSON only once)`,
        );
      ancestors.push(value);
    }
    checkObject(replacement, walk, true);
    if (replacement !== value) ancestors.pop();
    return;
  }
  ancestors.push(value);
  if (Array.isArray(value)) {
    for (let i = 0; i < value.length; i++) {
      keys.push(i);
      check(value[i], walk);
      keys.pop();
    }
  } else {
    for (const key of Object.keys(value)) {
      const field: unknown = (value as Record<string, unknown>)[key];
      if (field === undefined && !walk.exact) continue;
      // JSON leaves out a function in a replacement that is its own toJSON.
      if (isReplacement && key === 'toJSON' && typeof field === 'function') continue;
      keys.push(key);
      if (!isWellFormed(key)) throw notJson(walk, `${LONE_SURROGATE}, in the key`);
      check(field, walk);
      keys.pop();
    }
  }
  ancestors.pop();
}

/** Tells whether an object has no class, so that it holds nothing but its fields. */
function isLiteral(value: object): boolean {
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === Object.prototype || prototype === null;
}

/** The built-in classes whose content `JSON.stringify` never writes, by their tags. */
const LOST = /^(?:Error|RegExp|Map|Set|Weak(?:Map|Set|Ref)|Symbol|(?:Async)?Generator|Blob|File)$/;

/** Describes why JSON would lose the content of an object, or returns null if it would not. */
function problemOf(
  value: object & { readonly then?: unknown; readonly pipe?: unknown },
  isReplacement: boolean,
): string | null {
  const tag = tagOf(value);
  if (ArrayBuffer.isView(value) || tag === 'ArrayBuffer' || tag === 'SharedArrayBuffer')
    return 'binary data (save it as an attachment)';
  if (!isReplacement && hasToJson(value)) return null;
  if (tag === 'Map' || tag === 'Set') return `a ${tag} (use an object or an array)`;
  if (tag === 'Promise' || typeof value.then === 'function') return 'a Promise (await it first)';
  const plain = unbox(value, tag);
  if (typeof plain === 'number') return Number.isFinite(plain) ? null : String(plain);
  if (typeof plain === 'string') return isWellFormed(plain) ? null : LONE_SURROGATE;
  if (typeof plain === 'boolean') return null;
  if (typeof plain === 'bigint') return 'a bigint';
  // Streams and Observables.
  if (typeof value.pipe === 'function') return `a ${value.constructor.name} (read it first)`;
  if (LOST.test(tag)) return article(tag);
  // Other objects of the platform, such as Headers, have no fields.
  const isPlatform = tag !== 'Object' && Object.keys(value).length === 0;
  return isPlatform ? `an object of the class ${tag}, which has no fields` : null;
}

function tagOf(value: object): string {
  return Object.prototype.toString.call(value).slice('[object '.length, -1);
}

const article = (noun: string): string => `${/^[AEIO]/.test(noun) ? 'an' : 'a'} ${noun}`;

/** Tells whether JSON writes the result of the method `toJSON` instead of the object. */
export function hasToJson(value: object): value is { toJSON(key?: string): unknown } {
  // One look-up, because every object of a bulk save passes here several times.
  return typeof (value as { readonly toJSON?: unknown }).toJSON === 'function';
}

/** Returns the value that JSON writes: the result of `toJSON`, or a primitive instead of its object. */
export function asWritten(value: unknown): unknown {
  if (typeof value !== 'object' || value === null) return value;
  const written = hasToJson(value) ? value.toJSON() : value;
  if (typeof written !== 'object' || written === null || isLiteral(written)) return written;
  return unbox(written, tagOf(written)) ?? written;
}

/** Returns the primitive value of a Number, String, Boolean or BigInt object; undefined for others. */
function unbox(value: object, tag: string): unknown {
  return /^(?:Number|String|Boolean|BigInt)$/.test(tag) ? value.valueOf() : undefined;
}

/** Tells whether the codec writes a value that `JSON.stringify` refuses, loses or changes. */
function isWritten(value: unknown, { codec }: Walk): boolean {
  const text = write(codec, value);
  if (text === undefined || text === '{}') return false;
  return typeof value === 'bigint' || text !== write(JSON, value);
}

function write(codec: JsonCodec, value: unknown): string | undefined {
  try {
    const text: unknown = codec.stringify(value);
    return typeof text === 'string' ? text : undefined;
  } catch {
    return undefined;
  }
}

function notJson({ what, keys }: Walk, problem: string): TypeError {
  const path = keys.map((key) => (typeof key === 'number' ? `[${key}]` : `.${printable(key)}`));
  const at = path.length === 0 ? '' : ` at ${path.join('').replace(/^\./, '')}`;
  return new TypeError(`${nameOf(what)} cannot be written as JSON: ${problem}${at}`);
}

/** Escapes lone surrogates, so that every log can hold the message. */
const printable = (key: string): string =>
  isWellFormed(key) ? key : JSON.stringify(key).slice(1, -1);

/** Returns the name of a value. */
export function nameOf(what: ValueName): string {
  return typeof what === 'string' ? what : what();
}

/**
 * Writes a value as JSON with sorted keys, so that equal JSON values give equal strings. A bigint is
 * written as an integer.
 */
export function canonical(value: unknown): string {
  const written = asWritten(value);
  if (typeof written === 'bigint') return String(written);
  if (written === undefined) return 'null';
  if (typeof written !== 'object' || written === null) return JSON.stringify(written);
  if (Array.isArray(written)) return `[${written.map(canonical).join(',')}]`;
  const fields = writtenNames(written)
    .sort((a, b) => (a < b ? -1 : 1))
    .map((name) => `${JSON.stringify(name)}:${canonical(property(written, name))}`);
  return `{${fields.join(',')}}`;
}

/** Returns the names of the fields that JSON writes. */
function writtenNames(value: object): string[] {
  return Object.keys(value).filter((name) => {
    const field = property(value, name);
    return field !== undefined && !(name === 'toJSON' && typeof field === 'function');
  });
}

/**
 * Tells whether JSON writes two values as equal ones. The order of keys does not matter. A date equals
 * its text, and a field that is undefined equals a missing one.
 *
 * The package `dequal` is no replacement: it compares the `constructor` property. It calls two equal
 * documents different if a field of that name holds an object, or if they come from two realms.
 */
export function equal(left: unknown, right: unknown): boolean {
  if (left === right) return true;
  const [a, b] = [asWritten(left), asWritten(right)];
  if (a === b) return true;
  // A bigint equals a number of the same value.
  if (typeof a === 'bigint' || typeof b === 'bigint')
    return isNumeric(a) && isNumeric(b) && a <= b && a >= b;
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return false;
  if (Array.isArray(a) !== Array.isArray(b)) return false;
  if (Array.isArray(a) && a.length !== (b as readonly unknown[]).length) return false;
  const names = writtenNames(a);
  return (
    names.length === writtenNames(b).length &&
    names.every((name) => Object.hasOwn(b, name) && equal(property(a, name), property(b, name)))
  );
}

function property(value: object, name: string): unknown {
  return (value as Readonly<Record<string, unknown>>)[name];
}

/** Tells whether a value is a number, or a bigint of a codec. */
export function isNumeric(value: unknown): value is number | bigint {
  return typeof value === 'number' || typeof value === 'bigint';
}

/** Returns whether a text is printable ASCII: two such texts are equal only if they are the same. */
export function isAscii(text: string): boolean {
  return /^[\x20-\x7e]*$/.test(text);
}

/** Copies a value as JSON writes it: a date is its text, and undefined fields are left out. */
export function plainCopy(value: unknown, codec: JsonCodec = JSON): unknown {
  return codec.parse(codec.stringify(value));
}
