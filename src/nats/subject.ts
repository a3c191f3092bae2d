import { encodeText } from '../http/url.ts';
import { describeValue, invalidArgument } from '../model/invalid-argument.ts';

/**
 * The longest subject, in bytes. A NATS server closes the connection if the line with the subject, the
 * inbox and the sizes has more than 4096 bytes (`max_control_line`).
 */
const MAX_LENGTH = 1024;

/**
 * Validates the subject of a message.
 *
 * @param what - The name of the value in the error.
 * @throws TypeError for a subject that NATS cannot publish to, or that it would treat as a pattern.
 * @see https://docs.nats.io/nats-concepts/subjects
 */
export function requireSubject(subject: unknown, what: string): asserts subject is string {
  if (typeof subject !== 'string' || subject === '')
    throw invalidArgument(what, 'a string that is not empty', subject);
  const rule = brokenRule(subject);
  if (rule === null) return;
  const remedy = 'encode each part with subjectToken()';
  throw new TypeError(`${what} must ${rule} (received ${describeValue(subject)}): ${remedy}`);
}

/** Returns the rule that a subject breaks; null if it is valid. */
function brokenRule(subject: string): string | null {
  // oxlint-disable-next-line no-control-regex -- the protocol of NATS is made of lines
  if (/[\s\u0000-\u001f\u007f]/.test(subject)) return 'have no spaces and no control characters';
  if (/[*>]/.test(subject)) return 'have no wildcards (* and >)';
  if (subject.split('.').includes('')) return 'have no empty part between its dots';
  const { length } = new TextEncoder().encode(subject);
  return length > MAX_LENGTH ? `have at most ${MAX_LENGTH} bytes` : null;
}

/** The characters that `encodeURIComponent` keeps and that have a meaning in subjects. */
const SPECIAL: Readonly<Record<string, string>> = { '.': '%2E', '*': '%2A' };

/**
 * Encodes a text as one token of a subject, so that an id with dots, spaces or wildcards can be a part
 * of a subject. `decodeURIComponent` decodes it.
 *
 * @throws TypeError for an empty text, and for lone surrogates.
 * @example
 * publishChanges(orders, js, { name: 'orders', subject: ({ id }) => `orders.${subjectToken(id)}` });
 */
export function subjectToken(text: string): string {
  if (typeof text !== 'string' || text === '')
    throw invalidArgument('subjectToken: text', 'a string that is not empty', text);
  const encoded = encodeText(text, 'subjectToken: text');
  return encoded.replace(/[.*]/g, (character) => SPECIAL[character] ?? character);
}
