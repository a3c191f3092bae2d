import { badRequest } from './answers.mjs';

// PouchDB's sequences are numbers. CouchDB's are opaque strings, so they are strings here too: a
// client that computes with them must fail in the tests.

/** The sequence as clients see it. */
export function printSeq(number, instance) {
  return `${number}-embedded${instance.id}`;
}

/** The number in a client's sequence. `now` is the value of 'now'. */
export function readSeq(value, instance, now) {
  if (value === null || value === undefined || value === '') return 0;
  // The id of an event stream is the sequence as JSON.
  const seq = String(value).replaceAll('"', '');
  if (seq === '0') return 0;
  if (seq === 'now') return now;
  const [, number, id] = /^(\d+)-embedded([0-9a-f]+)$/.exec(seq) ?? [];
  if (number === undefined) throw badRequest("Malformed sequence supplied in 'since' parameter.");
  // A sequence of an earlier database of this name is invalid, so start from the beginning.
  return id === instance.id ? Number(number) : 0;
}
