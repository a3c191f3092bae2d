import type { FeedState } from '../changes/feed-model.ts';
import type { Channel } from './channel.ts';
import type { Ending } from './listener.ts';

/** One feed that a relay shares. */
export interface RelayFeedStats {
  readonly database: string;
  /** How many listen to it. */
  readonly listeners: number;
  /** The state of its connection to CouchDB. */
  readonly status: FeedState['status'];
  /** How long it has not heard of CouchDB, in milliseconds; 0 while it is live. */
  readonly blindFor: number;
  /** How many recent rows it keeps for listeners that come back, and their bytes in memory. */
  readonly rows: number;
  readonly bytes: number;
}

/** The present work of a relay, and the sum of its work since it began. */
export interface RelayStats {
  /** How many listen now. */
  readonly listeners: number;
  /** How many of these have a separate request to CouchDB. */
  readonly direct: number;
  /** How many rows the slowest listener has still to take. */
  readonly backlog: number;
  /** How many users listen, counted once for each database. */
  readonly grants: number;
  readonly feeds: readonly RelayFeedStats[];
  /** How many rows were written to listeners. */
  readonly delivered: number;
  /** How many requests read older changes for listeners. */
  readonly caughtUp: number;
  /** How many listeners were refused or have left, by the reason. */
  readonly ended: Readonly<Record<Ending, number>>;
}

export const NO_ENDINGS: Readonly<Record<Ending, number>> = {
  finished: 0,
  left: 0,
  slow: 0,
  revoked: 0,
  lost: 0,
  refused: 0,
  closed: 0,
};

/** Describes the feeds that a relay shares. */
export function feedStats(channels: Iterable<Channel>): RelayFeedStats[] {
  return [...channels].map((channel) => {
    const { database, listeners, state$, blindFor, window } = channel;
    return {
      database,
      listeners: listeners.size,
      status: state$.value.status,
      blindFor: Math.round(blindFor),
      rows: window === null ? 0 : window.end - window.first,
      bytes: window?.bytes ?? 0,
    };
  });
}

/** Writes the figures of a relay in the text format of Prometheus. */
export function prometheusText(stats: RelayStats): string {
  const metrics: string[] = [];
  const metric = (
    name: string,
    type: 'gauge' | 'counter',
    help: string,
    values: readonly (readonly [labels: Readonly<Record<string, string>>, value: number])[],
  ): void => {
    metrics.push(`# HELP corduroy_relay_${name} ${help}`, `# TYPE corduroy_relay_${name} ${type}`);
    for (const [labels, value] of values) {
      const pairs = Object.entries(labels).map(([label, text]) => `${label}=${quoted(text)}`);
      const suffix = pairs.length === 0 ? '' : `{${pairs.join(',')}}`;
      metrics.push(`corduroy_relay_${name}${suffix} ${value}`);
    }
  };
  const { feeds, ended } = stats;
  const each = (
    value: (feed: RelayFeedStats) => number,
  ): (readonly [Record<string, string>, number])[] =>
    feeds.map((feed, index) => [{ database: feed.database, feed: String(index) }, value(feed)]);
  metric('listeners', 'gauge', 'Listeners at present', [[{}, stats.listeners]]);
  metric('direct', 'gauge', 'Listeners with a separate request to CouchDB', [[{}, stats.direct]]);
  metric('backlog_rows', 'gauge', 'Rows that the slowest listener has still to take', [
    [{}, stats.backlog],
  ]);
  metric('grants', 'gauge', 'Users who listen, counted once for each database', [
    [{}, stats.grants],
  ]);
  metric('delivered_rows_total', 'counter', 'Rows that were written to listeners', [
    [{}, stats.delivered],
  ]);
  metric('catch_ups_total', 'counter', 'Requests that read older changes for listeners', [
    [{}, stats.caughtUp],
  ]);
  metric(
    'ended_total',
    'counter',
    'Listeners that were refused or have left, by the reason',
    Object.entries(ended).map(([reason, value]) => [{ reason }, value]),
  );
  metric(
    'feed_listeners',
    'gauge',
    'Listeners of a feed',
    each(({ listeners }) => listeners),
  );
  metric(
    'feed_live',
    'gauge',
    'Whether the feed hears of CouchDB',
    each(({ status }) => (status === 'live' ? 1 : 0)),
  );
  metric(
    'feed_blind_seconds',
    'gauge',
    'How long the feed has not heard of CouchDB',
    each(({ blindFor }) => blindFor / 1000),
  );
  metric(
    'feed_bytes',
    'gauge',
    'The memory of the recent rows of a feed',
    each(({ bytes }) => bytes),
  );
  return `${metrics.join('\n')}\n`;
}

function quoted(text: string): string {
  return `"${text.replace(/[\\"]/g, String.raw`\$&`).replaceAll('\n', String.raw`\n`)}"`;
}
