import type { StandardSchemaV1 } from '@standard-schema/spec';
import { SchemaError } from '../errors/schema-error.ts';
import type { SchemaIssue } from '../errors/schema-error.ts';
import type { DocumentRules } from '../http/scope.ts';
import { invalidArgument } from '../model/invalid-argument.ts';
import { plainCopy } from '../model/json.ts';
import type { JsonCodec } from '../model/json.ts';
import { plainDraft } from './write.ts';

/** A schema of documents with other fields than those of CouchDB, as zod, Valibot and ArkType make them. */
export type DocumentSchema<
  In extends object = object,
  Out extends object = object,
> = StandardSchemaV1<In, Out>;

/**
 * Decides what is emitted in place of a document that was read and does not fit the schema: the returned
 * document. Null leaves it out of lists and feeds, and is an error where one document is read.
 */
export type InvalidDocumentHandler = (error: SchemaError, doc: unknown) => object | null;

/** The options of a database with a schema. */
export interface SchemaOptions<Schema extends DocumentSchema = DocumentSchema> {
  /**
   * Describes the documents: any Standard Schema without asynchronous checks. It sees a document without
   * the fields of CouchDB (`_id`, `_rev`…), unless it mentions them. Design documents and deletions pass
   * unseen.
   */
  readonly schema: Schema;
  /** Whether documents are checked when they are read, written, or both. @defaultValue 'both' */
  readonly validate?: 'read' | 'write' | 'both';
  /**
   * The reaction to a document that was read and does not fit. `'error'`: a read errors with a
   * `SchemaError`; feeds and live queries leave the document out, and warn in the console. `'keep'`: it is
   * emitted as it is stored. Or a function decides.
   * @defaultValue 'error'
   */
  readonly onInvalid?: 'error' | 'keep' | InvalidDocumentHandler;
}

type Fields = Readonly<Record<string, unknown>>;
type Verdict = { readonly value: unknown } | { readonly issues: readonly SchemaIssue[] };

/** The options of a database that concern its schema, if it has one. */
type GivenOptions = { readonly [Name in keyof SchemaOptions]: SchemaOptions[Name] | undefined };

/**
 * Makes the rules for the documents of a database from its schema; null without one.
 *
 * @throws TypeError for a schema that is none, and for invalid options.
 */
export function rulesOf(
  { schema, validate = 'both', onInvalid = 'error' }: GivenOptions,
  codec: JsonCodec,
): DocumentRules | null {
  if (schema === undefined && validate === 'both' && onInvalid === 'error') return null;
  const check = validatorOf(schema);
  if (!['read', 'write', 'both'].includes(validate))
    throw invalidArgument('use: validate', "one of 'read', 'write', 'both'", validate);
  if (onInvalid !== 'error' && onInvalid !== 'keep' && typeof onInvalid !== 'function')
    throw invalidArgument('use: onInvalid', "'error', 'keep' or a function", onInvalid);

  /** Returns the decoded document; null if the user's function leaves it out. */
  const read = <D>(doc: D): D | null => {
    const verdict = judge(check, doc as Fields);
    if ('value' in verdict) return verdict.value as D;
    if (onInvalid === 'keep') return doc;
    const { _id: id } = doc as { readonly _id?: string };
    const error = new SchemaError(id ?? null, 'read', verdict.issues);
    if (onInvalid === 'error') throw error;
    return (onInvalid(error, doc) ?? null) as D | null;
  };
  const reads = validate !== 'write';
  /** The results for feeds and live queries, which emit one document many times. */
  const known = new WeakMap<object, { readonly doc: object | null }>();
  return {
    read: (doc) => (reads && isSubject(doc) ? read(doc) : doc),
    readOrWarn: (doc) => {
      if (!reads || !isSubject(doc)) return doc;
      let result = known.get(doc);
      if (result === undefined) {
        try {
          result = { doc: read<object>(doc) };
        } catch (error) {
          // A feed must not end for one document, and nothing else tells the user.
          console.warn(`corduroy: ${error instanceof Error ? error.message : String(error)}`);
          result = { doc: null };
        }
        known.set(doc, result);
      }
      return result.doc as typeof doc;
    },
    requireValid: (doc, what) => {
      if (validate === 'read' || !isSubject(doc)) return;
      const plain = plainDraft(doc);
      const asGiven = judge(check, plain as Fields);
      if ('value' in asGiven) return;
      // A document that was read has the values of the schema, such as dates; the schema reads JSON.
      const asWritten = judge(check, plainCopy(plain, codec) as Fields);
      if ('value' in asWritten) return;
      const { _id: id } = doc as { readonly _id?: string };
      const { issues } = asWritten.issues.length < asGiven.issues.length ? asWritten : asGiven;
      throw new SchemaError(id ?? null, 'write', issues, what);
    },
  };
}

/** Tells whether a value is a document that a schema describes: no tombstone, no design document. */
function isSubject(doc: unknown): doc is object {
  if (typeof doc !== 'object' || doc === null) return false;
  const { _id: id, _deleted: deleted } = doc as { _id?: unknown; _deleted?: unknown };
  return deleted !== true && !(typeof id === 'string' && id.startsWith('_'));
}

/** Checks a document without the fields of CouchDB; with them, if the schema asks for them. */
function judge(check: (value: unknown) => Verdict, doc: Fields): Verdict {
  const own: Record<string, unknown> = {};
  const added: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(doc))
    (name.startsWith('_') ? added : own)[name] = value;
  const verdict = check(own);
  if ('value' in verdict) return decoded(verdict.value, added);
  const isAsked = verdict.issues.some(({ path: [name] }) => String(name).startsWith('_'));
  if (!isAsked) return verdict;
  const whole = check(doc);
  return 'value' in whole ? decoded(whole.value, added) : whole;
}

/** Adds the fields of CouchDB to what a schema returns. */
function decoded(value: unknown, added: Fields): Verdict {
  if (typeof value !== 'object' || value === null) return { value };
  const missing = Object.entries(added).filter(([name]) => !Object.hasOwn(value, name));
  const fields = Object.fromEntries(missing);
  return {
    value: Object.isExtensible(value) ? Object.assign(value, fields) : { ...value, ...fields },
  };
}

function validatorOf(schema: unknown): (value: unknown) => Verdict {
  const { '~standard': standard } = Object(schema) as {
    readonly '~standard'?: Partial<StandardSchemaV1.Props>;
  };
  if (typeof standard?.validate !== 'function')
    throw invalidArgument(
      'use: schema',
      'a Standard Schema, such as an object schema of zod, Valibot or ArkType',
      schema,
    );
  const { validate } = standard;
  return (value) => {
    const result = validate(value);
    if ('then' in result)
      throw new TypeError('use: schema must check without Promises, and this one returned one');
    if (result.issues === undefined) return { value: result.value };
    return {
      issues: result.issues.map(({ message, path = [] }) => ({
        message,
        // A library may have its own class of arrays.
        path: Array.from(path, (part) => {
          const key = typeof part === 'object' ? part.key : part;
          return typeof key === 'number' ? key : String(key);
        }),
      })),
    };
  };
}
