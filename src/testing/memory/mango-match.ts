import { compileSelector } from '../../queries/matcher.ts';
import { collate } from '../../model/collation.ts';
import { byId } from '../../model/document.ts';
import type { Platform } from '../../queries/platform.ts';
import { stepsOf } from '../../queries/fields.ts';
import { Refusal, notImplemented, toText } from '../reply.ts';
import { fieldsOf, normalize } from './mango-selector.ts';

/** Decides everything with the libraries of JavaScript. */
const DECIDED: Platform = {
  compare: (a, b, byBytes) =>
    byBytes && typeof a === 'string' && typeof b === 'string' ? byId(a, b) : collate(a, b),
  beginsWith: (value, prefix) => value.startsWith(prefix),
  expression: (source) => new RegExp(source),
  // In the filter of a feed, an empty combination matches every document.
  refusesEmpty: false,
};

/**
 * Matches as `_find` does, with the matcher of live queries, which decides here what depends on the
 * collation and the regular expressions of the server.
 */
export function matcherOf(selector: object): (doc: Readonly<Record<string, unknown>>) => boolean {
  const wrong = fieldsOf(normalize(selector)).find((field) => stepsOf(field).includes(''));
  const text = toText(selector);
  const matches = compileSelector(selector, DECIDED);
  return (doc) => {
    // CouchDB splits a path when it reads a document.
    if (wrong !== undefined && wrong !== '')
      throw new Refusal(400, 'invalid_field_name', `Invalid field name: ${wrong}`);
    const verdict = matches(doc);
    if (verdict !== undefined) return verdict;
    if (text.includes('"$mod":[0,')) throw new Refusal(500, 'unknown_error', 'badarith');
    throw notImplemented(`evaluate the selector ${text} for ${toText(doc)}`);
  };
}
