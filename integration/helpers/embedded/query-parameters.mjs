import { badQuery, badRequest } from './answers.mjs';

const ALIASES = { start_key: 'startkey', end_key: 'endkey' };
const KEYS = new Set(['key', 'keys', 'startkey', 'endkey']);
const COUNTS = new Set(['limit', 'skip', 'group_level']);
const FLAGS = new Set(
  (
    'descending group include_docs inclusive_end reduce update_seq conflicts attachments ' +
    'sorted stable'
  ).split(' '),
);

/** Parses the parameters of a query from its URL and body, with CouchDB's errors. */
export function parametersOf(request) {
  const body = request.method === 'POST' ? request.jsonObject({}) : {};
  const parameters = {};
  for (const [name, value] of Object.entries(body)) parameters[ALIASES[name] ?? name] = value;
  for (const [given, value] of request.query) {
    const name = ALIASES[given] ?? given;
    parameters[name] = read(name, value);
  }
  return parameters;
}

function read(name, value) {
  if (KEYS.has(name)) return parse(value);
  if (COUNTS.has(name)) return count(value);
  if (FLAGS.has(name)) return flag(value);
  return value;
}

function parse(value) {
  try {
    return JSON.parse(value);
  } catch {
    throw badRequest('invalid UTF-8 JSON');
  }
}

function count(value) {
  if (!/^-?\d+$/.test(value)) throw badQuery(`Invalid value for integer: "${value}"`);
  if (Number(value) < 0) throw badQuery(`Invalid value for positive integer: "${value}"`);
  return Number(value);
}

function flag(value) {
  if (value !== 'true' && value !== 'false') {
    throw badQuery(`Invalid boolean parameter: "${value}"`);
  }
  return value === 'true';
}
