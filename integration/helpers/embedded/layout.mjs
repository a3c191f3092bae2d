// CouchDB writes one row per line, with `_id` and `_rev` first. The embedded server must write the
// same lines, so that the tests cover parsers that split lines.

/** A document with `_id` and `_rev` first, as CouchDB writes it. */
export function ordered(doc) {
  if (doc === null || typeof doc !== 'object' || Array.isArray(doc)) return doc;
  const { _id, _rev, ...rest } = doc;
  return {
    ...(_id !== undefined && { _id }),
    ...(_rev !== undefined && { _rev }),
    ...rest,
  };
}

/** A row of a view or of _all_docs. */
export function printRow({ id, key, value, doc, ...rest }) {
  return JSON.stringify({
    ...(id !== undefined && { id }),
    key,
    ...(value !== undefined && { value }),
    ...rest,
    ...(doc !== undefined && { doc: ordered(doc) }),
  });
}

/** The body of a view or of _all_docs. */
export function printRows({ rows, ...head }) {
  const members = Object.entries(head)
    .filter(([, value]) => value !== undefined)
    .map(([name, value]) => `${JSON.stringify(name)}:${JSON.stringify(value)},`);
  return `{${members.join('')}"rows":[\r\n${rows.map(printRow).join(',\r\n')}\r\n]}\n`;
}
