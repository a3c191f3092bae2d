import type { DocumentRules } from '../http/scope.ts';
import { Row } from '../model/view.ts';
import type { LiveQuery } from './live-query.ts';

/**
 * Decodes the documents that a live query emits: a document, a list of documents, of rows with documents,
 * or of conflicts. Live queries compute their results with documents as they are stored.
 *
 * Unchanged parts stay the same objects. A document that does not fit the schema is null, or left out of
 * a list; lists with a place for each id keep the place.
 */
export function decodeLive<V>(
  rules: DocumentRules | null,
  query: LiveQuery<V>,
  keepsPlaces = false,
): LiveQuery<V> {
  if (rules === null) return query;
  const parts = new WeakMap<object, unknown>();
  const decodePart = (part: unknown): unknown => {
    if (typeof part !== 'object' || part === null) return part;
    if (!('doc' in part) || '_id' in part) return rules.readOrWarn(part);
    if (!parts.has(part)) parts.set(part, decodeHolder(rules, part));
    return parts.get(part);
  };
  return query.mapValue((value) => {
    if (!Array.isArray(value)) return decodePart(value) as V;
    const decoded = value.map(decodePart);
    return (keepsPlaces ? decoded : decoded.filter((part) => part !== null)) as V;
  });
}

/** Decodes the document in a row, or in a conflict: null if it does not fit and nothing else remains. */
function decodeHolder(rules: DocumentRules, holder: { readonly doc: unknown }): unknown {
  const doc = rules.readOrWarn(holder.doc);
  if (doc === holder.doc) return holder;
  if (holder instanceof Row) return new Row(holder.id, holder.key, holder.value, doc, holder.error);
  return doc === null ? null : { ...holder, doc };
}
