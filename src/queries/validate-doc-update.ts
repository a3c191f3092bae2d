import type { StandardSchemaV1 } from '@standard-schema/spec';
import { invalidArgument } from '../model/invalid-argument.ts';

/** A JSON Schema: an object, or a boolean that accepts everything or nothing. */
type JsonSchema = Readonly<Record<string, unknown>> | boolean;

/** Keywords that the function checks, and those that say nothing about whether a document fits. */
const CHECKED =
  /^(?:type|properties|required|additionalProperties|propertyNames|items|prefixItems|minItems|maxItems|uniqueItems|minProperties|maxProperties|enum|const|minimum|maximum|exclusiveMinimum|exclusiveMaximum|multipleOf|minLength|maxLength|pattern|anyOf|oneOf|allOf|not|\$ref|\$defs|definitions)$/;
const IGNORED =
  /^(?:\$schema|\$id|\$comment|\$anchor|title|description|default|examples|deprecated|readOnly|writeOnly|format|contentEncoding|contentMediaType|x-.*)$/;

/**
 * Makes the `validateDocUpdate` function of a design document from a schema: CouchDB then refuses documents
 * that do not fit, from every client, with 403 `forbidden` and the path.
 *
 * The schema is a Standard Schema that knows its JSON Schema, as those of zod 4.2 and ArkType 2.2 do, or a
 * JSON Schema (2020-12). It describes documents as they are written. Deletions and design documents pass;
 * the fields of CouchDB are not checked. `format` is not checked either; custom checks and transformations
 * have no JSON Schema, and stay in your program.
 *
 * CouchDB runs the function for each write, and for each document of a replication.
 *
 * @returns the source text of the function, for {@link defineDesign}.
 * @throws TypeError for a schema without JSON Schema, or with a keyword that the function cannot check.
 * @example
 * const design = defineDesign('pets', { validateDocUpdate: validateDocUpdate(Pet) });
 * pets.designs.deploy(design).subscribe();
 * @see https://docs.couchdb.org/en/stable/ddocs/ddocs.html#validate-document-update-functions
 */
export function validateDocUpdate(
  schema: StandardSchemaV1 | Readonly<Record<string, unknown>>,
): string {
  const json = jsonSchemaOf(schema);
  requireCheckable(json, '');
  // JSON is JavaScript since 2019. Older engines end a line at these two characters.
  const text = JSON.stringify(json)
    .replace(/\u2028/g, '\\u2028')
    .replace(/\u2029/g, '\\u2029');
  return `function (newDoc) {
  if (newDoc._deleted || newDoc._id.indexOf('_design/') === 0) return;
  var schema = ${text};
  var doc = {};
  for (var name in newDoc) if (name.charAt(0) !== '_') doc[name] = newDoc[name];
${CHECK}
  var problem = check(schema, doc, '');
  if (problem) throw { forbidden: problem };
}`;
}

function jsonSchemaOf(schema: unknown): JsonSchema {
  if ((typeof schema !== 'object' && typeof schema !== 'function') || schema === null)
    throw invalidArgument(
      'validateDocUpdate: schema',
      'a Standard Schema or a JSON Schema',
      schema,
    );
  if (!('~standard' in schema)) return schema as JsonSchema;
  const { jsonSchema } = schema['~standard'] as {
    readonly jsonSchema?: { readonly input: (options: { readonly target: string }) => JsonSchema };
  };
  if (jsonSchema === undefined)
    throw new TypeError(
      'validateDocUpdate: the schema does not know its JSON Schema; convert it with a tool of its library, and pass the result',
    );
  return jsonSchema.input({ target: 'draft-2020-12' });
}

/** Throws a TypeError for a keyword that the function does not check, with its path in the schema. */
function requireCheckable(schema: unknown, path: string): void {
  if (typeof schema === 'boolean') return;
  if (typeof schema !== 'object' || schema === null)
    throw invalidArgument(`validateDocUpdate: schema${path}`, 'a JSON Schema', schema);
  const has = (name: string): boolean => Object.hasOwn(schema, name);
  for (const [name, value] of Object.entries(schema)) {
    const at = `${path}.${name}`;
    if (IGNORED.test(name)) continue;
    if (!CHECKED.test(name))
      throw new TypeError(`validateDocUpdate: schema${at}: this keyword cannot be checked`);
    if (/^(?:properties|\$defs|definitions)$/.test(name))
      for (const [key, one] of Object.entries(value as object))
        requireCheckable(one, `${at}.${key}`);
    else if (/^(?:anyOf|oneOf|allOf|prefixItems)$/.test(name))
      (value as readonly unknown[]).forEach((one, i) => requireCheckable(one, `${at}[${i}]`));
    else if (/^(?:additionalProperties|propertyNames|items|not)$/.test(name))
      requireCheckable(value, at);
    else if (name === '$ref' && !/^#(?:\/(?:\$defs|definitions)\/[^/]+)?$/.test(String(value)))
      throw new TypeError(
        `validateDocUpdate: schema${at}: only definitions of the schema itself work`,
      );
    else if (name === 'pattern' && !isPattern(value))
      throw invalidArgument(`validateDocUpdate: schema${at}`, 'a regular expression', value);
  }
  if (
    has('$ref') &&
    Object.keys(schema).some((name) => CHECKED.test(name) && !name.startsWith('$'))
  )
    throw new TypeError(`validateDocUpdate: schema${path}: $ref stands alone`);
}

function isPattern(value: unknown): boolean {
  try {
    return typeof value === 'string' && new RegExp(value, 'u') instanceof RegExp;
  } catch {
    return false;
  }
}

/**
 * The checks, as source text: they run in CouchDB's engine. `check` returns what is wrong, with the path, or nothing.
 */
const CHECK = String.raw`  function typeOf(v) {
    return v === null ? 'null' : Array.isArray(v) ? 'array' : typeof v;
  }
  function isType(v, type) {
    return type === 'integer' ? typeof v === 'number' && Math.floor(v) === v : typeOf(v) === type;
  }
  function same(a, b) {
    if (a === b) return true;
    if (typeOf(a) !== typeOf(b) || typeof a !== 'object' || a === null || b === null) return false;
    var names = Object.keys(a);
    if (names.length !== Object.keys(b).length) return false;
    return names.every(function (k) { return b.hasOwnProperty(k) && same(a[k], b[k]); });
  }
  function has(object, name) {
    return Object.prototype.hasOwnProperty.call(object, name);
  }
  function at(path, text) {
    return path === '' ? 'the document ' + text : path.replace(/^\./, '') + ' ' + text;
  }
  function check(s, v, path) {
    if (s === true) return;
    if (s === false) return at(path, 'must not be there');
    var i, name, problem;
    if (s.$ref !== undefined) {
      var ref = s.$ref.split('/');
      return check(ref.length === 1 ? schema : schema[ref[1]][ref[2]], v, path);
    }
    if (s.type !== undefined) {
      var types = [].concat(s.type);
      if (!types.some(function (type) { return isType(v, type); }))
        return at(path, 'must be of the type ' + types.join(' or '));
    }
    if (s.enum && !s.enum.some(function (one) { return same(one, v); }))
      return at(path, 'must be one of ' + JSON.stringify(s.enum));
    if (has(s, 'const') && !same(s['const'], v)) return at(path, 'must be ' + JSON.stringify(s['const']));
    if (typeof v === 'number') {
      if (v < s.minimum) return at(path, 'must be at least ' + s.minimum);
      if (v > s.maximum) return at(path, 'must be at most ' + s.maximum);
      if (v <= s.exclusiveMinimum) return at(path, 'must be greater than ' + s.exclusiveMinimum);
      if (v >= s.exclusiveMaximum) return at(path, 'must be less than ' + s.exclusiveMaximum);
      if (s.multipleOf && Math.abs(v / s.multipleOf - Math.round(v / s.multipleOf)) > 1e-9)
        return at(path, 'must be a multiple of ' + s.multipleOf);
    }
    if (typeof v === 'string') {
      // Characters beyond 16 bits count as one.
      var length = v.replace(/[\ud800-\udbff][\udc00-\udfff]/g, '_').length;
      if (length < s.minLength) return at(path, 'must have at least ' + s.minLength + ' characters');
      if (length > s.maxLength) return at(path, 'must have at most ' + s.maxLength + ' characters');
      if (s.pattern && !new RegExp(s.pattern, 'u').test(v)) return at(path, 'must match ' + s.pattern);
    }
    if (Array.isArray(v)) {
      if (v.length < s.minItems) return at(path, 'must have at least ' + s.minItems + ' items');
      if (v.length > s.maxItems) return at(path, 'must have at most ' + s.maxItems + ' items');
      var first = s.prefixItems || [];
      for (i = 0; i < v.length; i++) {
        var item = i < first.length ? first[i] : s.items;
        problem = item === undefined ? '' : check(item, v[i], path + '[' + i + ']');
        if (problem) return problem;
        if (s.uniqueItems && v.slice(0, i).some(function (one) { return same(one, v[i]); }))
          return at(path, 'must have no item twice');
      }
    }
    if (typeOf(v) === 'object') {
      var names = Object.keys(v);
      if (names.length < s.minProperties) return at(path, 'must have at least ' + s.minProperties + ' fields');
      if (names.length > s.maxProperties) return at(path, 'must have at most ' + s.maxProperties + ' fields');
      for (i = 0; s.required && i < s.required.length; i++)
        if (!has(v, s.required[i])) return at(path + '.' + s.required[i], 'is missing');
      for (i = 0; i < names.length; i++) {
        name = names[i];
        var known = s.properties && has(s.properties, name);
        var own = known ? s.properties[name] : s.additionalProperties;
        problem = own === undefined ? '' : check(own, v[name], path + '.' + name);
        if (!problem && s.propertyNames !== undefined) problem = check(s.propertyNames, name, path + '.' + name);
        if (problem) return problem;
      }
    }
    for (i = 0; s.allOf && i < s.allOf.length; i++) {
      problem = check(s.allOf[i], v, path);
      if (problem) return problem;
    }
    var any = s.anyOf || s.oneOf;
    if (any) {
      var problems = any.map(function (one) { return check(one, v, path); });
      var fits = problems.filter(function (one) { return !one; }).length;
      if (fits === 0) return problems[0];
      if (s.oneOf && !s.anyOf && fits > 1) return at(path, 'fits several alternatives');
    }
    if (s.not !== undefined && !check(s.not, v, path)) return at(path, 'must be something else');
  }`;
