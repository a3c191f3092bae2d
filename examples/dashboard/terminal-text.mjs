import { styleText } from 'node:util';

const plain = !process.stdout.isTTY || Boolean(process.env.NO_COLOR);
const format = new Intl.NumberFormat('en-US');

/** Colours text, if the output is a terminal that shows colours. */
export const paint = (style, text) => (plain ? text : styleText(style, text));

/** Formats a number with thousands separators. */
export const figure = (value) => format.format(value);

/** Formats a number of things: `1 batch`, `3,376 documents`. */
export function count(value, noun) {
  const plural = noun.endsWith('ch') ? `${noun}es` : `${noun}s`;
  return `${figure(value)} ${value === 1 ? noun : plural}`;
}
