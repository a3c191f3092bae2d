import type { ChangesParameters } from '../changes/changes-request.ts';
import type { Sequence } from '../model/change.ts';
import { acceptAll, byDesign, byIds, bySelector } from './row-filter.ts';
import type { RowFilter } from './row-filter.ts';

/** How a listener receives rows. */
export type ListenerFeed = 'continuous' | 'longpoll' | 'eventsource';

/** A request for changes that the relay can answer from a feed that it shares. */
export interface ChangesQuery {
  readonly feed: ListenerFeed;
  readonly since: Sequence;
  readonly limit: number;
  /** Milliseconds; null if the listener asked for none. */
  readonly heartbeat: number | null;
  /** How long the feed may be without a row, in milliseconds. */
  readonly timeout: number;
  /** The parameters of the shared feed. */
  readonly parameters: ChangesParameters;
  /** Decides about rows of the shared feed. */
  readonly filter: RowFilter;
  /** Whether the listener gets the documents that `filter` needs. */
  readonly includeDocs: boolean;
  /** The parameters by which CouchDB selects rows, and their content, for a separate request of the listener. */
  readonly own: URLSearchParams;
  /** The body of such a request; null for GET. */
  readonly body: string | null;
}

/** CouchDB ends a feed that had no row for this long, in milliseconds. */
const LONGEST_WAIT = 60_000;

const FEEDS: Readonly<Record<string, ListenerFeed>> = {
  continuous: 'continuous',
  live: 'continuous',
  longpoll: 'longpoll',
  eventsource: 'eventsource',
};

/** The parameters that name the pace of a feed. */
const PACE = new Set(['feed', 'since', 'last-event-id', 'limit', 'heartbeat', 'timeout']);
const FLAGS: Readonly<Record<string, 'include_docs' | 'conflicts'>> = {
  include_docs: 'include_docs',
  conflicts: 'conflicts',
};
/** Parameters whose feeds are not shared, unless they are false. */
const RARE = new Set(['descending', 'attachments', 'att_encoding_info', 'seq_interval']);

/**
 * Reads a request for changes. Returns null for one that the relay leaves to CouchDB: a single answer, a
 * rare parameter, or one that CouchDB refuses.
 *
 * @param lastEventId - The header that a browser sends when it reconnects.
 * @param body - The text of the body; null if there is none.
 */
export function readChangesQuery(
  params: URLSearchParams,
  lastEventId: string | undefined,
  body: string | null,
): ChangesQuery | null {
  const feed = FEEDS[params.get('feed') ?? ''];
  if (feed === undefined) return null;
  const header = feed === 'eventsource' ? lastEventId : undefined;
  const since = unquoted(header ?? params.get('last-event-id') ?? params.get('since') ?? '0');
  const limit = wholeNumber(params.get('limit'));
  const beat = params.get('heartbeat');
  const heartbeat = beat === 'true' ? LONGEST_WAIT : wholeNumber(beat === 'false' ? null : beat);
  const timeout = wholeNumber(params.get('timeout'));
  if ([limit, heartbeat, timeout].includes(undefined) || limit === 0 || heartbeat === 0)
    return null;
  const content = readContent(params, body);
  if (content === null) return null;
  const own = new URLSearchParams([...params].filter(([name]) => !PACE.has(name)));
  return {
    feed,
    since,
    limit: limit ?? Infinity,
    heartbeat: typeof heartbeat === 'number' ? Math.min(heartbeat, LONGEST_WAIT) : null,
    timeout: Math.min(timeout ?? LONGEST_WAIT, LONGEST_WAIT),
    ...content,
    own,
    body,
  };
}

type Content = Pick<ChangesQuery, 'parameters' | 'filter' | 'includeDocs'>;

/** Reads which rows a listener wants, and with what. */
function readContent(params: URLSearchParams, body: string | null): Content | null {
  const flags = { include_docs: false, conflicts: false };
  const custom: Record<string, string> = {};
  let style: 'main_only' | 'all_docs' | undefined;
  for (const [name, value] of params) {
    const flag = FLAGS[name];
    if (PACE.has(name) || name === 'filter' || name === 'view' || name === 'doc_ids') continue;
    if (flag !== undefined) {
      if (value !== 'true' && value !== 'false') return null;
      flags[flag] = value === 'true';
    } else if (RARE.has(name)) {
      if (value !== 'false') return null;
    } else if (name === 'style') {
      if (value !== 'main_only' && value !== 'all_docs') return null;
      if (value === 'all_docs') style = value;
    } else custom[name] = value;
  }
  const includeDocs = flags.include_docs;
  const parameters: ChangesParameters = {
    ...(includeDocs && { includeDocs }),
    ...(includeDocs && flags.conflicts && { conflicts: true }),
    ...(style !== undefined && { style }),
  };
  const local = (filter: RowFilter): Content => ({ parameters, filter, includeDocs });
  const remote = (added: ChangesParameters): Content => ({
    parameters: { ...parameters, ...added },
    filter: acceptAll,
    includeDocs,
  });
  const name = params.get('filter');
  const fields = objectOf(body);
  switch (name) {
    case null:
      return local(acceptAll);
    case '_design':
      return local(byDesign);
    case '_doc_ids': {
      const ids = fields?.['doc_ids'] ?? parsed(params.get('doc_ids'));
      return isStrings(ids) ? local(byIds(ids)) : null;
    }
    case '_selector': {
      const selector = objectOf(fields?.['selector']);
      // Each leaf is filtered for itself, and `fields` select parts of documents: CouchDB does both.
      if (selector === null || fields?.['fields'] !== undefined) return null;
      if (style !== undefined) return remote({ selector });
      const filter = bySelector(selector);
      return { parameters: { ...parameters, includeDocs: true }, filter, includeDocs };
    }
    case '_view': {
      const view = params.get('view');
      return view !== null && isPair(view) ? remote({ view }) : null;
    }
    default:
      return isPair(name) ? remote({ filter: name, query: custom }) : null;
  }
}

function wholeNumber(text: string | null): number | null | undefined {
  if (text === null) return null;
  return /^\d{1,15}$/.test(text) ? Number(text) : undefined;
}

/** The id of an event is the sequence as JSON. */
function unquoted(text: string): string {
  return /^".*"$/.test(text) ? text.slice(1, -1) : text;
}

function parsed(text: string | null): unknown {
  try {
    return text === null ? undefined : JSON.parse(text);
  } catch {
    return undefined;
  }
}

function objectOf(value: unknown): Readonly<Record<string, unknown>> | null {
  const read = typeof value === 'string' ? parsed(value) : value;
  const isObject = typeof read === 'object' && read !== null && !Array.isArray(read);
  return isObject ? (read as Record<string, unknown>) : null;
}

function isStrings(value: unknown): value is string[] {
  return Array.isArray(value) && value.every((item) => typeof item === 'string');
}

/** Tells whether a text names a function of a design document: `'design-document/function'`. */
function isPair(text: string): boolean {
  return /^[^/]+\/[^/]+$/.test(text);
}
