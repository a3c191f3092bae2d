import { badRequest, Refusal } from './answers.mjs';
import { changeFilter } from './feed-filters.mjs';
import { readSeq } from './sequences.mjs';

/** The maximum of heartbeat and timeout, as CouchDB's changes_timeout. */
const LONGEST_SILENCE = 60_000;
const FEEDS = ['normal', 'longpoll', 'continuous', 'live', 'eventsource'];

/** Parses the options of a feed from the query, the headers and the body. */
export async function feedOptions(request, db, instance) {
  const { query } = request;
  if (request.method === 'POST' && request.body.length === 0) {
    throw badRequest('Missing request body');
  }
  const body = request.method === 'POST' ? request.jsonObject() : {};
  const { update_seq: now } = await db.info();
  const feed = query.get('feed') ?? 'normal';
  if (!FEEDS.includes(feed)) {
    throw badRequest(`Supported \`feed\` types: normal, continuous, live, longpoll, eventsource`);
  }
  // A reconnecting EventSource sends its last sequence in a header.
  const since =
    request.headers['last-event-id'] ?? query.get('since') ?? query.get('last-event-id');
  return {
    feed: feed === 'live' ? 'continuous' : feed,
    since: readSeq(since, instance, now),
    limit: limitOf(query.get('limit')),
    heartbeat: milliseconds(query.get('heartbeat'), 'heartbeat'),
    timeout: milliseconds(query.get('timeout'), 'timeout') ?? LONGEST_SILENCE,
    descending: request.flag('descending') || query.get('dir') === 'rev',
    includeDocs: request.flag('include_docs'),
    conflicts: request.flag('conflicts'),
    attachments: request.flag('attachments'),
    style: query.get('style') ?? 'main_only',
    accepts: await changeFilter(request, body, db),
  };
}

function milliseconds(value, name) {
  if (value === null || value === 'false') return undefined;
  if (value === 'true') return LONGEST_SILENCE;
  if (!/^-?\d+$/.test(value)) {
    throw badRequest(
      `Invalid ${name} value. Expecting a positive integer value (in milliseconds).`,
    );
  }
  if (Number(value) < (name === 'heartbeat' ? 1 : 0)) {
    throw badRequest(`The ${name} value should be a positive integer (in milliseconds).`);
  }
  return Math.min(Number(value), LONGEST_SILENCE);
}

function limitOf(value) {
  if (value === null) return Infinity;
  // CouchDB answers exactly so.
  if (!/^-?\d+$/.test(value)) throw new Refusal(500, 'unknown_error', 'badarg');
  // 0 means no rows, and a negative limit means no limit.
  return Number(value) < 0 ? Infinity : Number(value);
}
