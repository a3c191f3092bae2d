import { badRequest } from './answers.mjs';

// PouchDB counts changes: 1, 2, 3. CouchDB's sequences are opaque strings, and a client that did
// arithmetic on them would work here and fail there: so they are strings here too.

/** The sequence as clients see it. */
export function printSeq(number, instance) {
  return `${number}-embedded${instance.id}`;
}

/** The number in a client's sequence; `now` is the value for the word. */
export function readSeq(value, instance, now) {
  if (value === null || value === undefined || value === '') return 0;
  // An event stream's id is the sequence as JSON.
  const seq = String(value).replaceAll('"', '');
  if (seq === '0') return 0;
  if (seq === 'now') return now;
  const [, number, id] = /^(\d+)-embedded([0-9a-f]+)$/.exec(seq) ?? [];
  if (number === undefined) throw badRequest("Malformed sequence supplied in 'since' parameter.");
  // A sequence of an earlier database of this name says nothing about this one: from the start.
  return id === instance.id ? Number(number) : 0;
}
